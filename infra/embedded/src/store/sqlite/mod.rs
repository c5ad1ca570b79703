//! Documents in `state.sqlite3`: what local mode keeps (DESIGN 7).
//!
//! One connection writes, under a lock; a few read, each statement on the newest commit, so the reads of one client are
//! monotonic. Work runs on the blocking threads of tokio: a read takes some 10 µs, but a checkpoint or another process may
//! hold it up for longer.

mod rows;
mod schema;

use super::{
    Dumped,
    batch::{self, Batch},
};
use crate::sqlite;
use opsloop_kernel::{
    BoxFuture, Clock, Commit, Committed, Directory, DocId, ETag, Fault, Listing, Order, Page, Store, Stored, Stream,
    TenantId, Timestamp, What,
    ports::{DueList, Within},
};
use rows::{Range, Row};
use rusqlite::{Connection, TransactionBehavior};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

const FILE: &str = "state.sqlite3";
/// Idle read connections that are kept.
const READERS_MAX: usize = 4;
/// Every so many commits …
const COMMITS_PER_SWEEP: u32 = 64;
/// … this many expired documents are removed: steps too small to be noticed, and more than one per commit.
const SWEPT_MAX: usize = 128;

pub struct SqliteStore {
    files: Arc<Files>,
    clock: Arc<dyn Clock>,
}

struct Files {
    path: PathBuf,
    writer: Mutex<Writer>,
    readers: Mutex<Vec<Connection>>,
}

struct Writer {
    connection: Connection,
    commits: u32,
}

impl SqliteStore {
    /// Opens `state.sqlite3` in the data folder. Several processes may; each sees what the others commit.
    pub fn open(folder: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let path = folder.join(FILE);
        let writer = Writer { connection: sqlite::open(&path, schema::CREATE, schema::VERSION)?, commits: 0 };
        let files = Files { path, writer: Mutex::new(writer), readers: Mutex::default() };
        Ok(Self { files: Arc::new(files), clock })
    }

    /// Every document there is, by (tenant, stream, id). Blocks.
    pub fn dump(&self) -> Result<Vec<Dumped>, Fault> {
        let now = self.clock.now().millis();
        self.files.read(|connection| rows::dump(connection, now))
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        let files = self.files.clone();
        sqlite::blocking(Fault::STORE, move || files.read(query)).await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let files = self.files.clone();
        sqlite::blocking(Fault::STORE, move || {
            work(&mut sqlite::locked(&files.writer)).map_err(sqlite::fault(Fault::STORE))
        })
        .await
    }
}

impl Store for SqliteStore {
    fn get<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
    ) -> BoxFuture<'a, Result<Option<Stored>, Fault>> {
        let (tenant, stream, id) = (tenant.clone(), stream.clone(), id.clone());
        let now = self.clock.now().millis();
        Box::pin(self.read(move |connection| rows::get(connection, &tenant, &stream, &id, now)))
    }

    fn list<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        from: &'a str,
        until: &'a str,
        page: Page,
        order: Order,
    ) -> BoxFuture<'a, Result<Listing, Fault>> {
        let (tenant, stream) = (tenant.clone(), stream.clone());
        let range = Range { from: from.to_owned(), until: until.to_owned(), page, order };
        let now = self.clock.now().millis();
        Box::pin(self.read(move |connection| rows::list(connection, &tenant, &stream, &range, now)))
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Committed, Fault>> {
        let now = self.clock.now().millis();
        Box::pin(async move {
            let batch = match batch::lay_out(commit, Row::sized) {
                Ok(batch) => batch,
                Err(refusal) => return Ok(Committed::Refused(refusal)),
            };
            let (tenant, stream) = (commit.tenant.clone(), commit.stream.clone());
            self.write(move |writer| writer.commit(&tenant, &stream, &batch, now)).await
        })
    }

    fn paid<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
        etag: &'a ETag,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        let (tenant, stream, id) = (tenant.clone(), stream.clone(), id.clone());
        let etag = batch::number_of(etag);
        Box::pin(self.write(move |writer| rows::delete_at(&writer.connection, &tenant, &stream, &id, etag)))
    }
}

impl Directory for SqliteStore {
    fn due<'a>(
        &'a self,
        what: &'a What,
        at: Timestamp,
        within: Within<'a>,
        after: Option<(&'a TenantId, &'a Stream)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueList, Fault>> {
        let asked = rows::Asked {
            what: what.clone(),
            at: at.millis(),
            now: self.clock.now().millis(),
            within: rows::Scope::of(within),
            after: after.map(|(tenant, stream)| (tenant.clone(), stream.clone())),
            limit,
        };
        Box::pin(self.read(move |connection| rows::due(connection, &asked)))
    }
}

impl Files {
    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<Result<T, Fault>>) -> Result<T, Fault> {
        let idle = sqlite::locked(&self.readers).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => sqlite::open_another(&self.path).map_err(sqlite::fault(Fault::STORE))?,
        };
        let answer = query(&connection).map_err(sqlite::fault(Fault::STORE));
        let mut idle = sqlite::locked(&self.readers);
        if idle.len() < READERS_MAX && answer.is_ok() {
            idle.push(connection);
        }
        answer?
    }
}

impl Writer {
    fn commit(
        &mut self,
        tenant: &TenantId,
        stream: &Stream,
        batch: &Batch<Row>,
        now: i64,
    ) -> rusqlite::Result<Committed> {
        // The write lock is taken first: a transaction that begins by reading could not go on beside another process.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let next = rows::last_etag(&transaction)? + 1;
        if let Err(conflict) = batch::judge(batch, next, |id| rows::etag(&transaction, tenant, stream, id, now))? {
            return Ok(conflict.into());
        }
        let mut last = next - 1;
        for operation in &batch.operations {
            last += 1;
            match &operation.document {
                Some(row) => rows::upsert(&transaction, tenant, stream, &operation.id, row, last)?,
                None => rows::delete(&transaction, tenant, stream, &operation.id)?,
            }
        }
        rows::set_last_etag(&transaction, last)?;
        self.commits = self.commits.wrapping_add(1);
        if self.commits.is_multiple_of(COMMITS_PER_SWEEP) {
            rows::sweep(&transaction, now, SWEPT_MAX)?;
        }
        transaction.commit()?;
        Ok(batch::applied(batch, next))
    }
}
