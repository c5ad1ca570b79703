//! Documents and what is due, in Azure Cosmos DB (SPEC 3.13, DESIGN 6).
//!
//! A commit is one transactional batch, its marker the first operation. The easily broken rule: the SDK sends a write again
//! whose reply was lost, so a conflict may be with oneself (P15); a marker makes that a duplicate, and without one it is a
//! lost race, after which the caller reads again. What has expired by our clock is absent at once, as in every store, though
//! the service removes it a second or two later; only a save or delete by its etag is still taken until then.
//! Left out on purpose: databases and containers are made by `bicep/`, never here.

mod batch;
mod connection;
mod document;
mod due;
mod lazy;
mod numbers;
mod ping;
mod reads;
mod trouble;

pub use trouble::Trouble;

use azure_core::credentials::TokenCredential;
use connection::{Connection, Metered};
use opsloop_kernel::{
    BoxFuture, Clock, Commit, Committed, Container, Directory, DocId, ETag, Fault, Listing, Note, Order, Page, Store,
    Stored, Stream, TenantId, Timestamp, What,
    ports::{DueList, Recorder, Within},
    signal,
};
use std::{future::Future, sync::Arc, time::Duration};
use url::Url;

/// The database's name, unless a setting says another.
pub const DATABASE: &str = "opsloop";
/// The hierarchical partition key of every container.
pub const PARTITION_KEY: [&str; 2] = ["/tenantId", "/stream"];
/// Whose signals these are.
const NAME: &str = "Store";
/// The SDK's own deadline is 10 s per request; a listing has several, and a first use connects.
const OPERATION_MAX: Duration = Duration::from_secs(20);

/// What a store needs to be made.
pub struct CosmosOptions {
    /// Of the account, such as `https://cosmos-x.documents.azure.com/`.
    pub endpoint: Url,
    pub database: String,
    pub credential: Arc<dyn TokenCredential>,
    pub clock: Arc<dyn Clock>,
    pub recorder: Arc<dyn Recorder>,
    /// The region that this process runs in, such as `West Europe`; without one the account's first is used.
    pub region: Option<String>,
}

/// One per process. It connects when it is first used.
pub struct CosmosStore {
    connection: Connection,
    clock: Arc<dyn Clock>,
    recorder: Arc<dyn Recorder>,
}

impl CosmosStore {
    /// Without any I/O.
    pub fn new(options: CosmosOptions) -> Self {
        let CosmosOptions { endpoint, database, credential, clock, recorder, region } = options;
        Self { connection: Connection::new(endpoint, database, credential, region), clock, recorder }
    }

    /// Whether the store can be used: every container is there, and this identity may read in it. Costs a few request
    /// units; answers within 5 s.
    pub async fn ping(&self) -> Result<(), Trouble> {
        ping::ping(&self.connection).await
    }

    /// Runs an operation under its deadline, and says what it cost.
    async fn metered<T>(
        &self,
        operation: &'static str,
        container: &'static str,
        work: impl Future<Output = Metered<T>>,
    ) -> Result<T, Fault> {
        let began = self.clock.now();
        let Ok(Metered { outcome, charge }) = tokio::time::timeout(OPERATION_MAX, work).await else {
            tracing::warn!(operation, container, "Cosmos DB did not answer within {OPERATION_MAX:?}");
            return Err(Fault::TimedOut { dependency: Fault::STORE });
        };
        let seconds = self.clock.now().millis_since(began) as f64 / 1e3;
        for (signal, value) in [(&signal::COSMOS_CHARGE, charge), (&signal::COSMOS_SECONDS, seconds)] {
            let labels = vec![("operation", operation.to_owned()), ("container", container.to_owned())];
            self.recorder.record(NAME, &Note { signal, labels, value });
        }
        outcome.map_err(|trouble| {
            tracing::warn!(operation, container, "{trouble}");
            trouble.fault()
        })
    }
}

impl Store for CosmosStore {
    fn get<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
    ) -> BoxFuture<'a, Result<Option<Stored>, Fault>> {
        let now = self.clock.now();
        let work = reads::get(&self.connection, tenant, stream, id, now);
        Box::pin(self.metered("get", stream.container.name(), work))
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
        let range = reads::Range { from, until, page, order };
        let work = reads::list(&self.connection, tenant, stream, range, self.clock.now());
        Box::pin(self.metered("list", stream.container.name(), work))
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Committed, Fault>> {
        let work = batch::commit(&self.connection, commit, self.clock.now());
        Box::pin(self.metered("commit", commit.stream.container.name(), work))
    }

    fn paid<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
        etag: &'a ETag,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        let work = batch::paid(&self.connection, tenant, stream, id, etag);
        Box::pin(self.metered("paid", stream.container.name(), work))
    }
}

impl Directory for CosmosStore {
    fn due<'a>(
        &'a self,
        what: &'a What,
        at: Timestamp,
        within: Within<'a>,
        after: Option<(&'a TenantId, &'a Stream)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueList, Fault>> {
        let asked = due::Asked { what, at, now: self.clock.now(), within, after, limit };
        let container = match within {
            Within::Stream(_, stream) => stream.container.name(),
            Within::All | Within::Shard(_) => "all",
        };
        Box::pin(self.metered("due", container, due::due(&self.connection, asked)))
    }
}

/// Where a container stands among its like.
fn rank(container: Container) -> usize {
    match container {
        Container::State => 0,
        Container::Telemetry => 1,
        Container::Metrics => 2,
    }
}
