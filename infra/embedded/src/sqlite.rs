//! One SQLite file: how it is opened, and how its faults are told. Store, blobs and broker each have one.

use opsloop_kernel::Fault;
use rusqlite::{Connection, ErrorCode};
use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Two processes share the files for a moment, when `serve` is started anew while the old one dies.
const BUSY_WAIT: Duration = Duration::from_secs(5);
const STATEMENTS_CACHED: usize = 64;

/// WAL, so that readers and the writer do not wait for each other. `synchronous=NORMAL`: a commit has left the process
/// when it returns, in the pages of the operating system, so it survives `kill -9`, which is how everything here ends
/// (P12). A power cut may take the last commits of a laptop's local mode, but never half of one; an fsync per commit would
/// cost a hundred times as much.
const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;";

/// Opens the file, or creates it with `schema`.
pub(crate) fn open(path: &Path, schema: &str, version: i32) -> io::Result<Connection> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let explained = |e: rusqlite::Error| io::Error::other(format!("{}: {e}", path.display()));
    let mut connection = Connection::open(path).map_err(explained)?;
    prepare(&mut connection, schema, version).map_err(explained)?;
    Ok(connection)
}

/// One more connection to a file that is open already: it needs no write lock.
pub(crate) fn open_another(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    tune(&connection)?;
    Ok(connection)
}

/// A database that lives as long as its connection.
pub(crate) fn in_memory(schema: &str, version: i32) -> io::Result<Connection> {
    let mut connection = Connection::open_in_memory().map_err(io::Error::other)?;
    prepare(&mut connection, schema, version).map_err(io::Error::other)?;
    Ok(connection)
}

fn prepare(connection: &mut Connection, schema: &str, version: i32) -> rusqlite::Result<()> {
    tune(connection)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == version {
        return Ok(());
    }
    if found != 0 {
        let why = format!("was written by another version ({found}, not {version})");
        return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(1), Some(why)));
    }
    transaction.execute_batch(schema)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}

fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    connection.execute_batch(PRAGMAS)
}

/// Locked out for too long is a time-out, everything else an outage: both are tried again.
pub(crate) fn fault(dependency: &'static str) -> impl Fn(rusqlite::Error) -> Fault {
    move |error| {
        tracing::warn!(dependency, %error, "sqlite");
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Fault::TimedOut { dependency },
            _ => Fault::Unavailable { dependency },
        }
    }
}

/// Runs work where it may wait: on the blocking threads of tokio. A panic is the task's own; its transaction was rolled
/// back when it unwound.
pub(crate) async fn blocking<T: Send + 'static>(
    dependency: &'static str,
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(dependency, %error, "a blocking task ended");
            Err(Fault::Unavailable { dependency })
        }
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What has one connection for everything: one caller at a time. In a file it may wait for the disk, so it does on the
/// blocking threads; in memory it never does, and needs no runtime.
pub(crate) struct Shared<T> {
    inner: Arc<Mutex<T>>,
    is_in_file: bool,
    dependency: &'static str,
}

impl<T: Send + 'static> Shared<T> {
    pub(crate) fn in_file(inner: T, dependency: &'static str) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)), is_in_file: true, dependency }
    }
    pub(crate) fn in_memory(inner: T, dependency: &'static str) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)), is_in_file: false, dependency }
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> &Mutex<T> {
        &self.inner
    }

    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut T) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, Fault> {
        let (inner, dependency) = (self.inner.clone(), self.dependency);
        let work = move || work(&mut locked(&inner)).map_err(fault(dependency));
        if self.is_in_file { blocking(dependency, work).await } else { work() }
    }
}
