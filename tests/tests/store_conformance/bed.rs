//! A store to be judged, the clock that it goes by, and short words for what the laws say.

use opsloop_embedded::{
    clock::VirtualClock,
    store::{Dumped, MemoryStore, SqliteStore},
};
use opsloop_kernel::{
    Clock, Commit, Committed, Container, Directory, DocId, Document, ETag, Order, Page, Store, Stored, Stream,
    TenantId, Timestamp, Write,
    ports::{DueList, Within},
};
use opsloop_tests::cosmos::cosmos_host;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

pub const START: Timestamp = Timestamp::from_millis(1_795_255_200_000);
/// Beyond every id that these tests make.
pub const END: &str = "\u{7f}";

pub trait AnyStore: Store + Directory {}
impl<S: Store + Directory> AnyStore for S {}

pub struct Bed {
    pub store: Arc<dyn AnyStore>,
    pub clock: Arc<VirtualClock>,
    kept: Kept,
}

/// Where the documents lie, to look at all of them.
enum Kept {
    Memory(Arc<MemoryStore>),
    File(Arc<SqliteStore>, tempfile::TempDir),
    Cosmos { database: String },
}

impl Bed {
    pub fn memory() -> Self {
        let clock = Arc::new(VirtualClock::at(START));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        Self { store: store.clone(), clock, kept: Kept::Memory(store) }
    }

    pub fn sqlite() -> Self {
        let clock = Arc::new(VirtualClock::at(START));
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(folder.path(), clock.clone()).unwrap());
        Self { store: store.clone(), clock, kept: Kept::File(store, folder) }
    }

    /// A database of its own on the host of this test binary.
    pub fn cosmos() -> Self {
        let clock = Arc::new(VirtualClock::at(START));
        let database = cosmos_host().database();
        let store = cosmos_host().store(&database, clock.clone());
        Self { store: Arc::new(store), clock, kept: Kept::Cosmos { database } }
    }

    /// One more handle on the same documents, as of another process.
    pub fn other(&self) -> Arc<dyn AnyStore> {
        match &self.kept {
            Kept::Memory(store) => store.clone(),
            Kept::File(_, folder) => Arc::new(SqliteStore::open(folder.path(), self.clock.clone()).unwrap()),
            Kept::Cosmos { database } => Arc::new(cosmos_host().store(database, self.clock.clone())),
        }
    }

    /// Every document there is, by (tenant, stream, id).
    pub async fn dump(&self) -> Vec<Dumped> {
        let database = match &self.kept {
            Kept::Memory(store) => return store.dump().unwrap(),
            Kept::File(store, _) => return store.dump().unwrap(),
            Kept::Cosmos { database } => database,
        };
        let mut streams = BTreeSet::new();
        for container in Container::ALL {
            for kept in cosmos_host().documents(database, container) {
                let tenant = TenantId::parse(kept["tenantId"].as_str().unwrap()).unwrap();
                streams.insert((tenant, Stream::new(container, kept["stream"].as_str().unwrap())));
            }
        }
        let mut all = Vec::new();
        for (tenant, stream) in streams {
            let page = Page::first(5_000);
            let listing = self.store.list(&tenant, &stream, "", END, page, Order::Ascending).await.unwrap();
            assert!(!listing.more);
            all.extend(listing.items.into_iter().map(|Stored { document, etag }| Dumped {
                tenant: tenant.clone(),
                stream: stream.clone(),
                document,
                etag,
            }));
        }
        all
    }

    /// Lets the service remove what has expired: it does so a second or two late, and takes the etags until then.
    pub fn let_the_service_expire(&self) {
        if let Kept::Cosmos { database } = &self.kept {
            cosmos_host().expire(database, 20);
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
        mod cosmos { $( #[tokio::test] async fn $name() { super::$name(&super::Bed::cosmos()).await; } )* }
    };
}
pub(crate) use laws;
