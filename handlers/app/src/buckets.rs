//! The number of metric buckets is fixed at the first start: another one would look for series where they are not
//! (SPEC 5.2.4). It is compared when the store is first used, so that a process is up before its store answers.

use opsloop_kernel::{
    BoxFuture, Commit, Committed, Container, Directory, DocId, Document, ETag, Fault, Listing, Order, Page, Store,
    Stored, Stream, TenantId, Timestamp, What, Write,
    ports::{DueList, Within},
};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A store that is used only with the number of buckets that its data was begun with.
pub struct Checked<S> {
    store: Arc<S>,
    buckets: u16,
    agreed: OnceCell<()>,
}

/// Why a process cannot go on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "OPSLOOP_METRIC_BUCKETS is {wanted}, but this data was begun with {known}; set it to {known}, or use other data"
)]
pub struct OtherNumber {
    pub wanted: u16,
    pub known: u16,
}

impl<S: Store> Checked<S> {
    pub fn new(store: Arc<S>, buckets: u16) -> Self {
        Self { store, buckets, agreed: OnceCell::new() }
    }

    /// The number that the data was begun with, which is this one if nothing is there yet.
    pub async fn known(&self) -> Result<u16, Fault> {
        let (tenant, stream) = (TenantId::platform(), Stream::new(Container::State, "settings"));
        let id = DocId::from("metric-buckets");
        if let Some(stored) = self.store.get(&tenant, &stream, &id).await? {
            return Ok(stored.read::<u16>().unwrap_or(self.buckets));
        }
        let create = Write::Save(Document::new(id, "setting", &self.buckets), None);
        let commit = Commit { tenant, stream, marker: None, writes: vec![create] };
        match self.store.commit(&commit).await? {
            Committed::Applied(_) => Ok(self.buckets),
            _ => Err(Fault::Raced),
        }
    }

    /// Ends the process where the numbers differ: whatever it wrote would be in the wrong place.
    async fn agree(&self) -> Result<&S, Fault> {
        let agree = || async {
            let known = self.known().await?;
            if known != self.buckets {
                tracing::error!("{}", OtherNumber { wanted: self.buckets, known });
                std::process::exit(1);
            }
            Ok(())
        };
        self.agreed.get_or_try_init(agree).await?;
        Ok(&self.store)
    }
}

impl<S: Store> Store for Checked<S> {
    fn get<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
    ) -> BoxFuture<'a, Result<Option<Stored>, Fault>> {
        Box::pin(async move { self.agree().await?.get(tenant, stream, id).await })
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
        Box::pin(async move { self.agree().await?.list(tenant, stream, from, until, page, order).await })
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Committed, Fault>> {
        Box::pin(async move { self.agree().await?.commit(commit).await })
    }

    fn paid<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
        etag: &'a ETag,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { self.agree().await?.paid(tenant, stream, id, etag).await })
    }
}

impl<S: Store + Directory> Directory for Checked<S> {
    fn due<'a>(
        &'a self,
        what: &'a What,
        at: Timestamp,
        within: Within<'a>,
        after: Option<(&'a TenantId, &'a Stream)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueList, Fault>> {
        Box::pin(async move { self.agree().await?.due(what, at, within, after, limit).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opsloop_embedded::{clock::WallClock, store::MemoryStore};

    #[tokio::test]
    async fn the_first_number_is_kept() {
        let store = Arc::new(MemoryStore::new(Arc::new(WallClock)));
        assert_eq!(Checked::new(store.clone(), 8).known().await, Ok(8));
        assert_eq!(Checked::new(store, 4).known().await, Ok(8));
    }
}
