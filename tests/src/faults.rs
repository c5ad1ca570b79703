//! A store that fails when it is told to: every call goes to the store behind it, or meets the next fault.

use opsloop_kernel::{
    BoxFuture, Commit, Committed, Directory, DocId, ETag, Fault, Listing, Order, Page, Store, Stored, Stream, TenantId,
    Timestamp,
    document::What,
    ports::{DueList, Within},
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

pub const DOWN: Fault = Fault::Unavailable { dependency: Fault::STORE };

/// What goes wrong next.
#[derive(Default)]
pub struct Faults {
    /// The store is away: no call arrives.
    pub down: AtomicBool,
    /// So many commits fail before they arrive.
    pub fail_commits: AtomicUsize,
    /// So many commits are applied, and their reply is lost.
    pub lose_replies: AtomicUsize,
    /// Payments of outbox documents never arrive: a crash between publish and delete.
    pub never_paid: AtomicBool,
    /// Runs once, right before the next commit: what another replica does in between.
    pub before_commit: Mutex<Option<Interloper>>,
    pub commits: AtomicUsize,
}

pub type Interloper = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

impl Faults {
    fn away(&self) -> Result<(), Fault> {
        if self.down.load(Ordering::SeqCst) { Err(DOWN) } else { Ok(()) }
    }
}

fn take_one(counter: &AtomicUsize) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

pub struct Faulty<S> {
    pub inner: Arc<S>,
    pub faults: Arc<Faults>,
}

// Not derived: a derive would ask for `S: Clone`.
impl<S> Clone for Faulty<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), faults: self.faults.clone() }
    }
}

impl<S: Store> Store for Faulty<S> {
    fn get<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
    ) -> BoxFuture<'a, Result<Option<Stored>, Fault>> {
        Box::pin(async move {
            self.faults.away()?;
            self.inner.get(tenant, stream, id).await
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
            self.faults.away()?;
            self.inner.list(tenant, stream, from, until, page, order).await
        })
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Committed, Fault>> {
        Box::pin(async move {
            self.faults.away()?;
            let interloper = self.faults.before_commit.lock().unwrap().take();
            if let Some(act) = interloper {
                act().await;
            }
            if take_one(&self.faults.fail_commits) {
                return Err(DOWN);
            }
            let committed = self.inner.commit(commit).await;
            self.faults.commits.fetch_add(1, Ordering::SeqCst);
            if take_one(&self.faults.lose_replies) { Err(DOWN) } else { committed }
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
            self.faults.away()?;
            if self.faults.never_paid.load(Ordering::SeqCst) {
                return Err(DOWN);
            }
            self.inner.paid(tenant, stream, id, etag).await
        })
    }
}

impl<S: Directory> Directory for Faulty<S> {
    fn due<'a>(
        &'a self,
        what: &'a What,
        at: Timestamp,
        within: Within<'a>,
        after: Option<(&'a TenantId, &'a Stream)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueList, Fault>> {
        Box::pin(async move {
            self.faults.away()?;
            self.inner.due(what, at, within, after, limit).await
        })
    }
}
