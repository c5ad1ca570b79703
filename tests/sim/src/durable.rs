//! The SQLite store under the simulation: a process that dies drops its store, and the next one opens the file again.

use crate::ports::Documents;
use opsloop_embedded::store::{Dumped, SqliteStore};
use opsloop_kernel::{
    BoxFuture, Clock, Commit, Committed, Directory, DocId, ETag, Fault, Listing, Order, Page, Store, Stored, Stream,
    TenantId, Timestamp,
    document::What,
    ports::{DueList, Within},
};
use std::{
    future::{Future, ready},
    io,
    sync::{Arc, Mutex, PoisonError},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Each call is done when it returns: the threads on which the store works are waited for, so they add no chance.
pub struct DurableStore {
    folder: TempDir,
    clock: Arc<dyn Clock>,
    runtime: Runtime,
    open: Mutex<Arc<SqliteStore>>,
}

impl DurableStore {
    pub fn new(clock: Arc<dyn Clock>) -> io::Result<Self> {
        let folder = TempDir::new()?;
        let open = Mutex::new(Arc::new(SqliteStore::open(folder.path(), clock.clone())?));
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { folder, clock, runtime, open })
    }

    fn store(&self) -> Arc<SqliteStore> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn done<'a, T: Send + 'a>(&'a self, call: impl Future<Output = T>) -> BoxFuture<'a, T> {
        Box::pin(ready(self.runtime.block_on(call)))
    }
}

impl Documents for DurableStore {
    fn dump(&self) -> Result<Vec<Dumped>, Fault> {
        self.store().dump()
    }
    /// What was only in memory is gone; what was committed is in the file.
    fn reopen(&self) -> Result<(), Fault> {
        let gone = |_| Fault::Unavailable { dependency: Fault::STORE };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = Arc::new(SqliteStore::open(self.folder.path(), self.clock.clone()).map_err(gone)?);
        Ok(())
    }
}

impl Store for DurableStore {
    fn get<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
    ) -> BoxFuture<'a, Result<Option<Stored>, Fault>> {
        self.done(self.store().get(tenant, stream, id))
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
        self.done(self.store().list(tenant, stream, from, until, page, order))
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Committed, Fault>> {
        self.done(self.store().commit(commit))
    }

    fn paid<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
        etag: &'a ETag,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        self.done(self.store().paid(tenant, stream, id, etag))
    }
}

impl Directory for DurableStore {
    fn due<'a>(
        &'a self,
        what: &'a What,
        at: Timestamp,
        within: Within<'a>,
        after: Option<(&'a TenantId, &'a Stream)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueList, Fault>> {
        self.done(self.store().due(what, at, within, after, limit))
    }
}
