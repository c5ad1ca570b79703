//! The memory store, with a switch that takes it down.

use opsloop_embedded::store::MemoryStore;
use opsloop_kernel::{
    BoxFuture, Commit, Committed, Directory, DocId, ETag, Fault, Listing, Order, Page, Store, Stored, Stream, TenantId,
    Timestamp,
    document::What,
    ports::{DueList, Within},
};
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Switched {
    pub store: MemoryStore,
    pub down: AtomicBool,
}

impl Switched {
    fn check(&self) -> Result<(), Fault> {
        if self.down.load(Ordering::SeqCst) { Err(Fault::Unavailable { dependency: Fault::STORE }) } else { Ok(()) }
    }
}

impl Store for Switched {
    fn get<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
    ) -> BoxFuture<'a, Result<Option<Stored>, Fault>> {
        Box::pin(async move {
            self.check()?;
            self.store.get(tenant, stream, id).await
        })
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
        Box::pin(async move {
            self.check()?;
            self.store.list(tenant, stream, from, until, page, order).await
        })
    }
    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Committed, Fault>> {
        Box::pin(async move {
            self.check()?;
            self.store.commit(commit).await
        })
    }
    fn paid<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
        etag: &'a ETag,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            self.check()?;
            self.store.paid(tenant, stream, id, etag).await
        })
    }
}

impl Directory for Switched {
    fn due<'a>(
        &'a self,
        what: &'a What,
        at: Timestamp,
        within: Within<'a>,
        after: Option<(&'a TenantId, &'a Stream)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueList, Fault>> {
        Box::pin(async move {
            self.check()?;
            self.store.due(what, at, within, after, limit).await
        })
    }
}
