//! The account and its containers, resolved at first use, and the limits under which the SDK works for us.

use super::{lazy::Lazy, rank, trouble::Trouble};
use azure_core::credentials::TokenCredential;
use azure_data_cosmos::{
    AccountEndpoint, AccountReference, CosmosClient, CosmosRuntime, RoutingStrategy,
    clients::ContainerClient,
    models::ResponseHeaders,
    options::{
        BinaryEncodingOptions, EndToEndOperationLatencyPolicy, OperationOptions, OperationOptionsBuilder, Region,
        ThrottlingRetryOptionsBuilder,
    },
};
use opsloop_kernel::{Container, Stream, TenantId};
use std::{sync::Arc, time::Duration};
use url::Url;

/// Of one request with all that the SDK does to have it answered.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// The SDK would try 9 times and wait for 30 s, in two rounds: longer than a message may take. The broker spaces better.
const THROTTLED_RETRIES: u32 = 3;
const THROTTLED_WAIT_MAX: Duration = Duration::from_secs(4);
const CONNECT_MAX: Duration = Duration::from_secs(15);

/// What an operation came to, and the request units it was charged, also where it failed after a part of them.
pub(super) struct Metered<T> {
    pub outcome: Result<T, Trouble>,
    pub charge: f64,
}

/// The charge of what an operation has asked so far.
#[derive(Default)]
pub(super) struct Meter(f64);
impl Meter {
    pub fn read(&mut self, headers: &ResponseHeaders) {
        self.0 += headers.request_charge().map_or(0.0, |c| c.value());
    }
    pub fn add(&mut self, charge: f64) {
        self.0 += charge;
    }
    pub fn total(&self) -> f64 {
        self.0
    }
    pub fn done<T>(self, outcome: Result<T, Trouble>) -> Metered<T> {
        Metered { outcome, charge: self.0 }
    }
}

pub(super) struct Connection {
    target: Arc<Target>,
    account: Lazy<CosmosClient, Trouble>,
    containers: [Lazy<ContainerClient, Trouble>; 3],
}

struct Target {
    endpoint: Url,
    database: String,
    credential: Arc<dyn TokenCredential>,
    region: Option<String>,
}

impl Connection {
    pub fn new(endpoint: Url, database: String, credential: Arc<dyn TokenCredential>, region: Option<String>) -> Self {
        let target = Arc::new(Target { endpoint, database, credential, region });
        Self { target, account: Lazy::default(), containers: Default::default() }
    }

    pub async fn container(&self, container: Container) -> Result<ContainerClient, Trouble> {
        let account = self.account.get(|| connect(self.target.clone())).await?;
        self.containers[rank(container)].get(|| resolve(account, self.target.clone(), container)).await
    }
}

pub(super) fn partition(tenant: &TenantId, stream: &Stream) -> (String, String) {
    (tenant.to_string(), stream.name.clone())
}

async fn connect(target: Arc<Target>) -> Result<CosmosClient, Trouble> {
    let connecting = async {
        // A runtime of its own: the SDK's global one would belong to whoever came first in this process.
        let runtime = CosmosRuntime::builder().build().await?;
        let endpoint = AccountEndpoint::from(target.endpoint.clone());
        let account = AccountReference::with_credential(endpoint, target.credential.clone());
        let routing = match &target.region {
            Some(region) => RoutingStrategy::ProximityTo(Region::from(region.clone())),
            None => RoutingStrategy::PreferredRegions(Vec::new()),
        };
        CosmosClient::builder()
            .with_runtime(runtime)
            .with_default_operation_options(limits())
            // Text: numbers go to the last bit as they are written, and a request can be read.
            .with_binary_encoding_options(BinaryEncodingOptions::new().with_enabled(false))
            .build(account, routing)
            .await
    };
    let at = target.endpoint.as_str();
    match tokio::time::timeout(CONNECT_MAX, connecting).await {
        Ok(connected) => connected.map_err(|e| Trouble::of(&e).at(at)),
        Err(_) => Err(Trouble::Unreachable { at: at.to_owned(), why: format!("no answer within {CONNECT_MAX:?}") }),
    }
}

async fn resolve(account: CosmosClient, target: Arc<Target>, container: Container) -> Result<ContainerClient, Trouble> {
    let database = account.database_client(&target.database);
    match tokio::time::timeout(CONNECT_MAX, database.container_client(container.name(), None)).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(e)) if u16::from(e.status().status_code()) == 404 => {
            Err(Trouble::Missing { database: target.database.clone(), container: container.name() })
        }
        Ok(Err(e)) => Err(Trouble::of(&e).at(target.endpoint.as_str())),
        Err(_) => Err(Trouble::TimedOut),
    }
}

fn limits() -> OperationOptions {
    let throttled = ThrottlingRetryOptionsBuilder::new()
        .with_max_retry_count(THROTTLED_RETRIES)
        .with_max_retry_wait_time(THROTTLED_WAIT_MAX)
        .build();
    OperationOptionsBuilder::new()
        .with_throttling_retry_options(throttled)
        .with_end_to_end_latency_policy(EndToEndOperationLatencyPolicy::new(REQUEST_MAX))
        .build()
}
