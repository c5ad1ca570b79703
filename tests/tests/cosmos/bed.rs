//! A database of its own, a store on it, and short words for commits.

use opsloop_azure::cosmos::CosmosStore;
use opsloop_embedded::clock::VirtualClock;
use opsloop_kernel::{
    Commit, Committed, Container, DocId, Document, ETag, Fault, Order, Page, Store, Stream, TenantId, Timestamp, Write,
};
use opsloop_tests::cosmos::cosmos_host;
use serde_json::{Value, json};
use std::sync::Arc;

pub const START: Timestamp = Timestamp::from_millis(1_795_255_200_000);

pub struct Bed {
    pub database: String,
    pub clock: Arc<VirtualClock>,
    pub store: CosmosStore,
}

impl Bed {
    /// Not connected yet.
    pub fn new() -> Self {
        let clock = Arc::new(VirtualClock::at(START));
        let database = cosmos_host().database();
        let store = cosmos_host().store(&database, clock.clone());
        Self { database, clock, store }
    }

    /// Connected to the containers of state, so that the requests that follow are of documents.
    pub async fn ready() -> Self {
        let bed = Self::new();
        assert_eq!(bed.get("none").await, Ok(None));
        bed
    }

    pub fn other(&self) -> CosmosStore {
        cosmos_host().store(&self.database, self.clock.clone())
    }

    pub async fn get(&self, id: &str) -> Result<Option<Value>, Fault> {
        let found = self.store.get(&acme(), &stream(), &id.into()).await?;
        Ok(found.map(|s| s.document.body.0))
    }

    pub async fn etag(&self, id: &str) -> ETag {
        self.store.get(&acme(), &stream(), &id.into()).await.unwrap().unwrap().etag
    }

    pub async fn commit(&self, marker: Option<&str>, writes: Vec<Write>) -> Result<Committed, Fault> {
        self.store.commit(&commit(marker, writes)).await
    }

    /// Every document of the stream, by id.
    pub async fn all(&self) -> Vec<(String, Value)> {
        all_of(&self.store, &stream()).await
    }

    /// What every request of the documents meets: `fault` beside the database's path.
    pub fn fault(&self, mut fault: Value) {
        fault["pathContains"] = json!(format!("/dbs/{}/colls/state/docs", self.database));
        cosmos_host().fault(&fault);
    }

    pub fn mend(&self) {
        cosmos_host().mend(&self.database);
    }

    /// The requests of documents so far.
    pub fn requests(&self) -> Vec<Value> {
        let all = cosmos_host().requests(&self.database);
        all.into_iter().filter(|r| r["path"].as_str().unwrap().contains("/docs")).collect()
    }
}

pub async fn all_of(store: &dyn Store, stream: &Stream) -> Vec<(String, Value)> {
    let tenant = acme();
    let page = Page::first(5_000);
    let listing = store.list(&tenant, stream, "", "\u{7f}", page, Order::Ascending).await.unwrap();
    assert!(!listing.more);
    listing.items.into_iter().map(|s| (s.document.id.0, s.document.body.0)).collect()
}

pub fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
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
pub fn save(id: &str, body: Value, etag: &ETag) -> Write {
    Write::Save(document(id, body), Some(etag.clone()))
}
pub fn commit(marker: Option<&str>, writes: Vec<Write>) -> Commit {
    commit_in(&stream(), marker, writes)
}
pub fn commit_in(stream: &Stream, marker: Option<&str>, writes: Vec<Write>) -> Commit {
    let marker = marker.map(|id| document(id, json!({})));
    Commit { tenant: acme(), stream: stream.clone(), marker, writes }
}
pub fn id(text: impl Into<String>) -> DocId {
    DocId(text.into())
}
