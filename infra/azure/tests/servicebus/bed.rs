//! A broker, its front, the clock that both go by, and the adapter in front of them.

use azure_core::{
    credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions},
    time::OffsetDateTime,
};
use bytes::Bytes;
use opsloop_azure::servicebus::{Address, Deadlines, Options, ServiceBus};
use opsloop_embedded::{
    amqp::Front,
    broker::{Broker, Held, Settings, Subscription, Topology},
    clock::VirtualClock,
    host::Entity,
};
use opsloop_kernel::{
    Destination, Message, Outcome, Timestamp,
    message::{TOPIC, property},
    ports::Publisher,
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

pub const START: Timestamp = Timestamp::from_millis(1_795_255_200_000);
/// What a token lives for; the adapter renews it at half of that.
pub const TOKEN_LIFE: Duration = Duration::from_secs(60);

pub struct Bed {
    pub broker: Arc<Broker>,
    pub front: Option<Front>,
    pub clock: Arc<VirtualClock>,
    pub issued: Arc<Issuer>,
    pub bus: ServiceBus,
}

pub fn broker(clock: &Arc<VirtualClock>) -> Arc<Broker> {
    let subscriptions =
        [Subscription::new("Incidents", ["AlertTriggered", "SloBreached"]), Subscription::new("Quality", ["Loaded"])];
    let topology = Topology::new(["otlp-traces", "pages"], subscriptions);
    Arc::new(Broker::in_memory(&topology, Settings::default(), clock.clone()).unwrap())
}

impl Bed {
    pub async fn new() -> Self {
        Self::with(Deadlines::default()).await
    }

    pub async fn with(deadlines: Deadlines) -> Self {
        let clock = Arc::new(VirtualClock::at(START));
        let broker = broker(&clock);
        let front = Front::listen(broker.clone(), free()).await.unwrap();
        let issued = Arc::new(Issuer { clock: clock.clone(), count: AtomicUsize::new(0) });
        let address = emulator(&front.connection_string());
        let bus = ServiceBus::new(options(address, &clock, issued.clone(), deadlines));
        Self { broker, front: Some(front), clock, issued, bus }
    }

    pub fn front(&self) -> &Front {
        self.front.as_ref().unwrap()
    }

    /// The ids of what is there, in order; it stays as it was.
    pub async fn ids(&self, entity: &Entity) -> Vec<String> {
        self.held(entity).await.into_iter().map(|held| held.delivered.message.id).collect()
    }

    pub async fn held(&self, entity: &Entity) -> Vec<Held> {
        self.broker.peek(entity, -1, 10_000).await.unwrap()
    }

    pub async fn accepted(&self, messages: &[Message]) {
        let outcomes = self.bus.publish(messages).await.unwrap();
        assert_eq!(outcomes, vec![Outcome::Accepted; messages.len()]);
    }
}

pub fn options(
    address: Address,
    clock: &Arc<VirtualClock>,
    credential: Arc<dyn TokenCredential>,
    deadlines: Deadlines,
) -> Options {
    let handlers = BTreeMap::from([
        ("Incidents".to_owned(), Destination::Topic),
        ("pages".to_owned(), Destination::Queue("pages".to_owned())),
    ]);
    Options { address, credential, clock: clock.clone(), handlers, deadlines }
}

/// A port that nobody has yet.
pub fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// As the front names itself; its management API is nowhere.
pub fn emulator(connection_string: &str) -> Address {
    let mut address = Address::connection_string(connection_string).unwrap();
    // Port 1 is nobody's, so counting falls back to what AMQP can say.
    address.management = "http://127.0.0.1:1/".parse().unwrap();
    address
}

pub fn incidents() -> Entity {
    Entity { topic: Some(TOPIC.to_owned()), name: "Incidents".to_owned(), dead_letters: false }
}

pub fn queue(name: &str) -> Entity {
    Entity { topic: None, name: name.to_owned(), dead_letters: false }
}

pub fn event(id: impl Into<String>) -> Message {
    let properties =
        [(property::KIND, "AlertTriggered"), (property::TENANT, "acme"), (property::CORRELATION_ID, "c-1")];
    Message {
        id: id.into(),
        to: Destination::Topic,
        properties: properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        content_type: "application/json".to_owned(),
        body: Bytes::from_static(br#"{"n":1}"#),
        not_before: None,
    }
}

pub fn to_queue(name: &str, id: impl Into<String>, body: usize) -> Message {
    let to = Destination::Queue(name.to_owned());
    Message { to, body: vec![b'x'; body].into(), ..event(id) }
}

/// Gives tokens that are good for a minute of the test's clock, and counts them.
#[derive(Debug)]
pub struct Issuer {
    clock: Arc<VirtualClock>,
    count: AtomicUsize,
}
impl Issuer {
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

#[async_trait::async_trait]
impl TokenCredential for Issuer {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let expires = self.clock.now().plus(TOKEN_LIFE).millis() / 1_000;
        Ok(AccessToken::new(Secret::new("short-lived"), OffsetDateTime::from_unix_timestamp(expires).unwrap()))
    }
}
