//! A store to be judged, the clock that it goes by, and short words for what the laws say.

use opsloop_embedded::{
    clock::VirtualClock,
    store::{Dumped, MemoryStore, SqliteStore},
};
use opsloop_kernel::{
    Clock, Commit, Committed, Container, Directory, DocId, Document, ETag, Fault, Order, Page, Store, Stored, Stream,
    TenantId, Timestamp, Write,
    ports::{DueList, Within},
};
use serde_json::{Value, json};
use std::sync::Arc;

pub const START: Timestamp = Timestamp::from_millis(1_795_255_200_000);
/// Beyond every id that these tests make.
pub const END: &str = "\u{7f}";

pub trait AnyStore: Store + Directory {
    fn dump(&self) -> Result<Vec<Dumped>, Fault>;
}
impl AnyStore for MemoryStore {
    fn dump(&self) -> Result<Vec<Dumped>, Fault> {
        Self::dump(self)
    }
}
impl AnyStore for SqliteStore {
    fn dump(&self) -> Result<Vec<Dumped>, Fault> {
        Self::dump(self)
    }
}

pub struct Bed {
    pub store: Arc<dyn AnyStore>,
    pub clock: Arc<VirtualClock>,
    /// Of a store in a file.
    pub folder: Option<tempfile::TempDir>,
}

impl Bed {
    pub fn memory() -> Self {
        let clock = Arc::new(VirtualClock::at(START));
        Self { store: Arc::new(MemoryStore::new(clock.clone())), clock, folder: None }
    }

    pub fn sqlite() -> Self {
        let clock = Arc::new(VirtualClock::at(START));
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path(), clock.clone()).unwrap();
        Self { store: Arc::new(store), clock, folder: Some(folder) }
    }

    /// One more handle on the same documents, as of another process.
    pub fn other(&self) -> Arc<dyn AnyStore> {
        match &self.folder {
            Some(folder) => Arc::new(SqliteStore::open(folder.path(), self.clock.clone()).unwrap()),
            None => self.store.clone(),
        }
    }

    pub fn now(&self) -> Timestamp {
        Clock::now(self.clock.as_ref())
    }

    pub async fn get(&self, id: &str) -> Option<Stored> {
        self.store.get(&acme(), &stream(), &DocId::from(id)).await.unwrap()
    }

    pub async fn body(&self, id: &str) -> Option<Value> {
        self.get(id).await.map(|s| s.document.body.0)
    }

    pub async fn commit(&self, marker: Option<&str>, writes: Vec<Write>) -> Committed {
        self.commit_in(&acme(), &stream(), marker, writes).await
    }

    pub async fn commit_in(
        &self,
        tenant: &TenantId,
        stream: &Stream,
        marker: Option<&str>,
        writes: Vec<Write>,
    ) -> Committed {
        let marker = marker.map(|id| document(id, json!({})));
        let commit = Commit { tenant: tenant.clone(), stream: stream.clone(), marker, writes };
        self.store.commit(&commit).await.unwrap()
    }

    /// Commits what must apply, and gives the etag of its last write.
    pub async fn applied(&self, writes: Vec<Write>) -> ETag {
        etags(self.commit(None, writes).await).pop().unwrap()
    }

    pub async fn ids(&self, from: &str, until: &str, page: Page, order: Order) -> (Vec<String>, bool) {
        let listing = self.store.list(&acme(), &stream(), from, until, page, order).await.unwrap();
        (listing.items.into_iter().map(|s| s.document.id.0).collect(), listing.more)
    }

    pub async fn due(&self, within: Within<'_>, after: Option<(&TenantId, &Stream)>, limit: usize) -> DueList {
        self.store.due(&"Alerts".into(), self.now(), within, after, limit).await.unwrap()
    }
}

pub fn etags(committed: Committed) -> Vec<ETag> {
    match committed {
        Committed::Applied(etags) => etags,
        other => panic!("not applied: {other:?}"),
    }
}

pub fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}
pub fn globex() -> TenantId {
    TenantId::parse("globex").unwrap()
}
pub fn stream() -> Stream {
    Stream::new(Container::State, "rules")
}
pub fn document(id: &str, body: Value) -> Document {
    Document::new(id, "test", &body)
}
pub fn create(id: &str, body: Value) -> Write {
    Write::Save(document(id, body), None)
}
pub fn put(id: &str, body: Value) -> Write {
    Write::Put(document(id, body))
}
pub fn save(id: &str, body: Value, etag: &ETag) -> Write {
    Write::Save(document(id, body), Some(etag.clone()))
}
pub fn delete(id: &str, etag: &ETag) -> Write {
    Write::Delete(id.into(), etag.clone())
}

/// Each law as one test per store.
macro_rules! laws {
    ($($(#[$why:meta])* async fn $name:ident($bed:ident: &Bed) $law:block)*) => {
        $( $(#[$why])* async fn $name($bed: &Bed) $law )*
        mod memory { $( #[tokio::test] async fn $name() { super::$name(&super::Bed::memory()).await; } )* }
        mod sqlite { $( #[tokio::test] async fn $name() { super::$name(&super::Bed::sqlite()).await; } )* }
    };
}
pub(crate) use laws;
