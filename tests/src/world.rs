//! Production shell on a memory store, an embedded broker and a virtual clock.

use crate::faults::{Faults, Faulty};
use opsloop_embedded::{
    blobs::SqliteBlobs,
    broker::{Broker, Settings, Topology},
    clock::VirtualClock,
    host::{Entity, Source as BusSource, Value},
    store::{Dumped, MemoryStore},
};
use opsloop_kernel::{
    BoxFuture, Clock, Container, Destination, Document, Envelope, Fault, Message, Note, Outcome, Publisher, Source,
    Stored, Stream, TenantId, Timestamp,
    message::{QUEUE_PAGES, TOPIC},
    ports::{DeadLetters, Recorder, Store},
};
use opsloop_shell::{
    Catalogue, Jitter, Ports, Shell,
    bind::properties_of,
    catalogue::{OUTBOX_SWEEP, TICK_PAGES},
    dead_letters,
    invocation::{Received, Timer},
    relay, render, settle,
    ticks::{self, Ticked},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub const START: &str = "2026-11-21T10:00:00.000Z";

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
pub fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

/// Sums of what was recorded, by worker, signal and labels.
#[derive(Default)]
pub struct Recorded(Mutex<BTreeMap<String, f64>>);
impl Recorder for Recorded {
    fn record(&self, worker: &str, note: &Note) {
        let labels: Vec<String> = note.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let key = format!("{worker}|{}|{}", note.signal.name, labels.join(","));
        *self.0.lock().unwrap().entry(key).or_default() += note.value;
    }
}
impl Recorded {
    /// The sum over everything whose `worker|signal|labels` holds each of these texts.
    pub fn sum(&self, parts: &[&str]) -> f64 {
        self.0.lock().unwrap().iter().filter(|(k, _)| parts.iter().all(|p| k.contains(p))).map(|(_, v)| v).sum()
    }
}

/// The broker with an ear on it, and a switch to take it away.
pub struct Bus {
    pub broker: Arc<Broker>,
    pub down: AtomicBool,
    pub published: Mutex<Vec<Message>>,
}
impl Publisher for Bus {
    fn publish<'a>(&'a self, messages: &'a [Message]) -> BoxFuture<'a, Result<Vec<Outcome>, Fault>> {
        Box::pin(async move {
            if self.down.load(Ordering::SeqCst) {
                return Err(Fault::Unavailable { dependency: Fault::BROKER });
            }
            let outcomes = self.broker.publish(messages).await?;
            let accepted = messages.iter().zip(&outcomes).filter(|(_, o)| **o == Outcome::Accepted);
            self.published.lock().unwrap().extend(accepted.map(|(m, _)| m.clone()));
            Ok(outcomes)
        })
    }
}

pub struct World {
    pub clock: Arc<VirtualClock>,
    pub store: Faulty<MemoryStore>,
    pub bus: Arc<Bus>,
    pub recorded: Arc<Recorded>,
    pub shell: Shell,
    /// Messages are delivered twice, the copies in reverse order.
    pub twice: bool,
    /// The handler dies after its commit, before its answer, this often.
    pub crashes: Mutex<u32>,
}

impl World {
    pub fn new(catalogue: Catalogue) -> Self {
        let clock = Arc::new(VirtualClock::at(at(START)));
        let inner = Arc::new(MemoryStore::new(clock.clone()));
        let store = Faulty { inner, faults: Arc::new(Faults::default()) };
        let topology: Topology = serde_json::from_value(render::topology(&catalogue)).unwrap();
        let broker = Arc::new(Broker::in_memory(&topology, Settings::default(), clock.clone()).unwrap());
        let bus = Arc::new(Bus { broker: broker.clone(), down: false.into(), published: Mutex::default() });
        let recorded = Arc::new(Recorded::default());
        let ports = Ports {
            store: Arc::new(store.clone()),
            directory: Arc::new(store.clone()),
            publisher: bus.clone(),
            clock: clock.clone(),
            blobs: Arc::new(SqliteBlobs::in_memory(clock.clone()).unwrap()),
            backlog: broker.clone(),
            dead_letters: broker,
            recorder: recorded.clone(),
            jitter: Jitter::Longest,
        };
        let shell = Shell { catalogue: Arc::new(catalogue), ports };
        Self { clock, store, bus, recorded, shell, twice: false, crashes: Mutex::new(0) }
    }

    pub fn faults(&self) -> &Faults {
        &self.store.faults
    }
    pub fn now(&self) -> Timestamp {
        Clock::now(&*self.clock)
    }

    /// Sends an event to the topic, as another platform would.
    pub async fn send(&self, envelope: &Envelope) {
        self.send_raw(&envelope.event_id.to_string(), properties_of(envelope), envelope.encode()).await;
    }
    pub async fn send_raw(&self, id: &str, properties: BTreeMap<String, String>, body: Vec<u8>) {
        let message = Message {
            id: id.to_owned(),
            to: Destination::Topic,
            properties,
            content_type: "application/json".into(),
            body: body.into(),
            not_before: None,
        };
        self.bus.broker.publish(&[message]).await.unwrap();
    }

    /// Every entity that a function listens to.
    fn entities(&self) -> Vec<(String, Entity)> {
        let mut out = vec![(TICK_PAGES.to_owned(), Entity::queue(QUEUE_PAGES))];
        for (spec, trigger) in self.shell.catalogue.triggers() {
            match trigger.source {
                Source::Events { .. } => out.push((trigger.function.into(), Entity::subscription(TOPIC, spec.name))),
                Source::Queue { name } => out.push((trigger.function.into(), Entity::queue(name))),
                Source::Commands { .. } | Source::Timer { .. } => {}
            }
        }
        out
    }

    /// Delivers all that is there, and what that makes available, until nothing is left.
    pub async fn drain(&self) {
        loop {
            let mut any = false;
            for (function, entity) in self.entities() {
                any |= self.deliver_all(&function, &entity).await;
            }
            if !any {
                return;
            }
        }
    }

    async fn deliver_all(&self, function: &str, entity: &Entity) -> bool {
        let broker = &self.bus.broker;
        let mut got = BusSource::receive(&**broker, entity, 64, Duration::ZERO).await.unwrap();
        let any = !got.is_empty();
        if self.twice {
            let mut again: Vec<_> = got.iter().map(received).collect();
            again.reverse();
            for r in again {
                self.handle(function, &r).await;
            }
        }
        for delivered in got.drain(..) {
            let status = self.handle(function, &received(&delivered)).await;
            let lock = delivered.lock.unwrap();
            let crashed = {
                let mut crashes = self.crashes.lock().unwrap();
                let crashed = *crashes > 0;
                *crashes = crashes.saturating_sub(1);
                crashed
            };
            match status == 200 && !crashed {
                true => BusSource::complete(&**broker, entity, &lock).await.unwrap(),
                false => BusSource::abandon(&**broker, entity, &lock).await.unwrap(),
            }
        }
        any
    }

    /// One delivery through the shell; the status that the host would see.
    pub async fn handle(&self, function: &str, received: &Received) -> u16 {
        if function == TICK_PAGES {
            return ticks::handle_page(&self.shell, received).await.status();
        }
        let (worker, trigger) = self.shell.catalogue.function(function).unwrap();
        settle::message(&self.shell, worker, trigger, received).await.status()
    }

    /// A run of a timer function, planned for now.
    pub async fn tick(&self, function: &str) -> Ticked {
        let timer = Timer { next: Some(self.now()), past_due: false };
        if function == OUTBOX_SWEEP {
            let _ = relay::sweep(self.now(), &self.shell.ports).await;
            return Ticked::default();
        }
        let (worker, trigger) = self.shell.catalogue.function(function).unwrap();
        ticks::tick(&self.shell, worker, trigger, &timer).await
    }

    /// Moves the clock from one due instant or arrival to the next; at each, timers first, then messages (A24).
    pub async fn advance(&self, by: Duration) {
        self.advance_without(by, &[]).await;
    }

    /// The same, while these timer functions are stopped.
    pub async fn advance_without(&self, by: Duration, stopped: &[&str]) {
        let until = self.now().plus(by);
        self.drain().await;
        loop {
            let timers = self.timers(stopped);
            let wake = self.bus.broker.next_wake().await.unwrap();
            let next = timers.iter().map(|t| t.1).chain(wake).min().unwrap_or(until);
            if next > until {
                break;
            }
            self.clock.advance_to(next);
            for (function, _) in timers.iter().filter(|t| t.1 == next) {
                self.tick(function).await;
            }
            self.drain().await;
        }
        self.clock.advance_to(until);
        self.drain().await;
    }

    pub async fn advance_to(&self, text: &str) {
        let by = at(text).millis_since(self.now());
        self.advance(Duration::from_millis(by.try_into().unwrap())).await;
    }

    /// The timer functions with their next occurrences after now.
    fn timers(&self, stopped: &[&str]) -> Vec<(String, Timestamp)> {
        let after = |cadence: i64, offset: i64| self.now().floor_to(cadence, offset).plus_millis(cadence);
        let mut out = vec![(OUTBOX_SWEEP.to_owned(), after(30_000, 0))];
        for (_, trigger) in self.shell.catalogue.triggers() {
            if let Source::Timer { cadence_s, offset_s, .. } = trigger.source {
                out.push((trigger.function.into(), after(i64::from(cadence_s) * 1000, i64::from(offset_s) * 1000)));
            }
        }
        out.retain(|(f, _)| !stopped.contains(&f.as_str()));
        out
    }

    /// The distinct events that the broker accepted, in the order of acceptance.
    pub fn events(&self, kind: &str) -> Vec<Envelope> {
        let mut seen = std::collections::BTreeSet::new();
        let published = self.bus.published.lock().unwrap();
        published
            .iter()
            .filter(|m| m.properties.get("kind").is_some_and(|k| k == kind) && !m.properties.contains_key("hop"))
            .filter(|m| seen.insert(m.id.clone()))
            .map(|m| Envelope::decode(&m.body).unwrap())
            .collect()
    }
    /// Every copy that was published.
    pub fn copies(&self) -> Vec<Message> {
        self.bus.published.lock().unwrap().iter().filter(|m| m.properties.contains_key("hop")).cloned().collect()
    }

    pub async fn get(&self, tenant_name: &str, stream: &Stream, id: &str) -> Option<Stored> {
        self.store.inner.get(&tenant(tenant_name), stream, &id.into()).await.unwrap()
    }
    pub async fn put(&self, tenant_name: &str, stream: &Stream, document: Document) {
        let writes = vec![opsloop_kernel::Write::Put(document)];
        let commit =
            opsloop_kernel::Commit { tenant: tenant(tenant_name), stream: stream.clone(), marker: None, writes };
        self.store.inner.commit(&commit).await.unwrap();
    }
    pub fn dump(&self) -> Vec<Dumped> {
        self.store.inner.dump().unwrap()
    }
    /// Outbox documents: what is owed.
    pub fn owed(&self) -> usize {
        self.dump().iter().filter(|d| d.document.kind == "owed").count()
    }
    pub async fn dead(&self, handler: &str) -> Vec<opsloop_kernel::message::DeadLetter> {
        DeadLetters::peek(&*self.bus.broker, handler, -1, 1_000).await.unwrap()
    }
    pub async fn listed(&self, tenant_name: &str) -> Vec<dead_letters::Listed> {
        dead_letters::list(&self.shell, &tenant(tenant_name)).await.unwrap()
    }
}

/// What the host would hand over.
fn received(d: &opsloop_embedded::host::Delivered) -> Received {
    let text = |v: &Value| match v {
        Value::String(s) => s.clone(),
        other => format!("{other:?}"),
    };
    Received {
        body: d.body.clone(),
        message_id: d.message_id.clone().unwrap_or_default(),
        content_type: d.content_type.clone(),
        deliveries: d.delivery_count,
        enqueued_at: Some(Timestamp::from_millis(d.enqueued_at.as_millisecond())),
        properties: d.properties.iter().map(|(k, v)| (k.clone(), text(v))).collect(),
    }
}

/// A stream of the container `state`.
pub fn state(name: &str) -> Stream {
    Stream::new(Container::State, name)
}
