//! A broker to be tried, the clock that it goes by, and short words for what the tests say.

use bytes::Bytes;
use opsloop_embedded::{
    broker::{Broker, Held, Settings, Subscription, Topology},
    clock::VirtualClock,
    host::Entity,
};
use opsloop_kernel::{
    Destination, Message, Outcome, Timestamp,
    message::{TOPIC, property},
};
use std::{sync::Arc, time::Duration};

pub const START: Timestamp = Timestamp::from_millis(1_795_255_200_000);
pub const LOCK: Duration = Duration::from_secs(60);

pub struct Bed {
    pub broker: Broker,
    pub clock: Arc<VirtualClock>,
    pub folder: Option<tempfile::TempDir>,
}

pub fn topology() -> Topology {
    Topology::new(
        ["otlp-traces", "pages"],
        [
            Subscription::new("Incidents", ["AlertTriggered", "SloBreached"]),
            Subscription::new("Quality", ["IncidentResolved", "AlertTriggered"]),
            Subscription::new("Feedback", ["TraceRecorded", "IncidentResolved"]).narrowed(
                "TraceRecorded",
                "signals",
                "true",
            ),
        ],
    )
}

impl Bed {
    pub fn memory() -> Self {
        let clock = Arc::new(VirtualClock::at(START));
        let broker = Broker::in_memory(&topology(), Settings::default(), clock.clone()).unwrap();
        Self { broker, clock, folder: None }
    }

    pub fn file() -> Self {
        let (clock, folder) = (Arc::new(VirtualClock::at(START)), tempfile::tempdir().unwrap());
        let broker = Broker::open(folder.path(), &topology(), Settings::default(), clock.clone()).unwrap();
        Self { broker, clock, folder: Some(folder) }
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub async fn send(&self, messages: &[Message]) {
        let outcomes = self.broker.send(messages).await.unwrap();
        assert!(outcomes.iter().all(|o| *o == Outcome::Accepted), "{outcomes:?}");
    }

    /// What is there now, locked.
    pub async fn take(&self, entity: &Entity, max: usize) -> Vec<Held> {
        self.broker.receive(entity, max, Duration::ZERO).await.unwrap()
    }

    pub async fn one(&self, entity: &Entity) -> Held {
        let mut held = self.take(entity, 10).await;
        assert_eq!(held.len(), 1, "{held:?}");
        held.remove(0)
    }

    /// The ids of what is there now; it stays as it was.
    pub async fn ids(&self, entity: &Entity) -> Vec<String> {
        ids(&self.broker.peek(entity, -1, 1_000).await.unwrap())
    }
}

pub fn ids(held: &[Held]) -> Vec<String> {
    held.iter().map(|h| h.delivered.message.id.clone()).collect()
}
pub fn queue() -> Entity {
    Entity::queue("otlp-traces")
}
pub fn of(worker: &str) -> Entity {
    Entity::subscription(TOPIC, worker)
}
pub fn graves(entity: &Entity) -> Entity {
    Entity { dead_letters: true, ..entity.clone() }
}

pub fn message(id: &str, to: Destination) -> Message {
    let body = Bytes::from(format!("body of {id}"));
    let content_type = "application/json".to_owned();
    Message { id: id.to_owned(), to, properties: [].into(), content_type, body, not_before: None }
}
pub fn queued(id: &str) -> Message {
    message(id, Destination::Queue("otlp-traces".to_owned()))
}
pub fn event(id: &str, kind: &str) -> Message {
    with(message(id, Destination::Topic), property::KIND, kind)
}
pub fn with(mut message: Message, name: &str, value: &str) -> Message {
    message.properties.insert(name.to_owned(), value.to_owned());
    message
}
pub fn at(mut message: Message, not_before: Timestamp) -> Message {
    message.not_before = Some(not_before);
    message
}

/// Each test once per variant of the broker.
macro_rules! both {
    ($($(#[$why:meta])* async fn $name:ident($bed:ident: &Bed) $test:block)*) => {
        $( $(#[$why])* async fn $name($bed: &Bed) $test )*
        mod memory { $( #[tokio::test] async fn $name() { super::$name(&super::Bed::memory()).await; } )* }
        mod file { $( #[tokio::test] async fn $name() { super::$name(&super::Bed::file()).await; } )* }
    };
}
pub(crate) use both;
