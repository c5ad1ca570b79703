//! The world of `opsloop_tests` with the workers of the second half of the loop, and a subscription of a platform
//! outside this program that takes their events.

use super::events::{at, tenant};
use opsloop_embedded::{
    blobs::SqliteBlobs,
    broker::{Broker, Settings},
    clock::VirtualClock,
    host::{Entity, Source as BusSource},
    store::MemoryStore,
};
use opsloop_kernel::{
    Answer, Body, Commit, Committed, Document, Envelope, Order, Page, Store, Stored, Stream, Timestamp, Write,
    http::{Method, Problem},
    message::TOPIC,
    ports::after_prefix,
};
use opsloop_observability::{
    events::FeedbackItem,
    feedback_creation::{self, FeedbackCreationWorker, FeedbackPolicies, FeedbackPolicy, item},
    incident_analysis::{self, IncidentAnalysisWorker},
    quality_score::{
        self, QualityScoreWorker, Zones, project,
        score::{Ledger, QualityScore, prefix},
    },
    slo_evaluation::{self, SloEvaluation},
};
use opsloop_shell::{
    Catalogue, Jitter, Ports, Shell,
    access::Caller,
    api::{self, Call},
    bind, dead_letters, render,
};
use opsloop_tests::{
    faults::{Faults, Faulty},
    world::{Bus, Recorded},
};
use serde_json::json;
use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

const KNOWLEDGE: &str = "knowledge";
/// There are no metrics here: what SLOs say is put into the store. Nor does an incident of these tests wait.
const STOPPED: &[&str] = &["SloEvaluation", "IncidentAnalysisWorkerTick"];

pub struct World {
    pub inner: opsloop_tests::World,
    /// What the subscription of the knowledge platform handed over.
    pub known: Vec<Envelope>,
    pub knowledge_down: bool,
}

fn catalogue(policy: FeedbackPolicy, zones: Zones) -> Catalogue {
    Catalogue::default()
        .worker(FeedbackCreationWorker { policies: FeedbackPolicies { default: policy, ..Default::default() } })
        .worker(QualityScoreWorker { zones })
        .worker(IncidentAnalysisWorker::default())
        .worker(SloEvaluation { buckets: 8 })
        .endpoints(feedback_creation::endpoints())
        .endpoints(quality_score::endpoints())
        .endpoints(incident_analysis::endpoints())
        .endpoints(slo_evaluation::endpoints())
}

impl World {
    pub fn at(start: &str) -> Self {
        Self::with(start, FeedbackPolicy::default(), Zones::default())
    }

    pub fn with(start: &str, policy: FeedbackPolicy, zones: Zones) -> Self {
        let catalogue = catalogue(policy, zones);
        let clock = Arc::new(VirtualClock::at(at(start)));
        let memory = Arc::new(MemoryStore::new(clock.clone()));
        let store = Faulty { inner: memory, faults: Arc::new(Faults::default()) };
        let mut topology = render::topology(&catalogue);
        let kinds = ["FeedbackItemCreated", "QualityScoreComputed"];
        let knowledge =
            json!({"name": KNOWLEDGE, "kinds": kinds, "filter": null, "sqlFilter": "", "maxDeliveryCount": 5});
        topology["subscriptions"].as_array_mut().unwrap().push(knowledge);
        let topology = serde_json::from_value(topology).unwrap();
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
        let inner = opsloop_tests::World { clock, store, bus, recorded, shell, twice: false, crashes: Mutex::new(0) };
        Self { inner, known: vec![], knowledge_down: false }
    }

    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }
    /// Nothing happens in between: no tick, no sweep.
    pub fn jump(&self, to: &str) {
        self.inner.clock.advance_to(at(to));
    }
    pub fn store_down(&self, down: bool) {
        self.inner.faults().down.store(down, Ordering::SeqCst);
    }
    pub fn broker_down(&self, down: bool) {
        self.inner.bus.down.store(down, Ordering::SeqCst);
    }

    /// A producer's event comes to the broker now.
    pub async fn publish(&self, e: &Envelope) {
        self.publish_as(e, e.event_id.as_str()).await;
    }
    /// The same event under another message id: a redelivery that duplicate detection does not see.
    pub async fn publish_as(&self, e: &Envelope, id: &str) {
        let mut properties = bind::properties_of(e);
        if e.payload.0["signals"].as_array().is_some_and(|s| !s.is_empty()) {
            properties.insert("signals".into(), "true".into());
        }
        self.inner.send_raw(id, properties, e.encode()).await;
    }
    /// An event at its instant, after all that is due before it.
    pub async fn tell(&mut self, e: &Envelope) {
        self.run_until(e.occurred_at).await;
        self.publish(e).await;
        self.run_until(e.occurred_at).await;
    }

    /// Everything that happens until then, in order; a due instant comes before an arrival at the same instant.
    pub async fn run_until(&mut self, until: Timestamp) {
        let by = u64::try_from(until.millis_since(self.now())).expect("not back in time");
        self.inner.advance_without(Duration::from_millis(by), STOPPED).await;
        if !self.knowledge_down {
            self.read_knowledge().await;
        }
    }

    async fn read_knowledge(&mut self) {
        let (broker, entity) = (&self.inner.bus.broker, Entity::subscription(TOPIC, KNOWLEDGE));
        loop {
            let got = BusSource::receive(&**broker, &entity, 64, Duration::ZERO).await.unwrap();
            if got.is_empty() {
                return;
            }
            for delivered in got {
                self.known.push(serde_json::from_slice(&delivered.body).unwrap());
                BusSource::complete(&**broker, &entity, &delivered.lock.unwrap()).await.unwrap();
            }
        }
    }

    /// The attempts of all copies that were made.
    pub fn attempts(&self) -> Vec<u32> {
        self.inner.copies().iter().map(|m| m.properties["attempt"].parse().unwrap()).collect()
    }
    pub async fn dead(&self) -> Vec<dead_letters::Listed> {
        self.inner.listed("acme").await
    }

    pub async fn call(&self, method: Method, path: &str, body: serde_json::Value) -> Result<Answer, Problem> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let pairs = query.split('&').filter_map(|p| p.split_once('='));
        let caller = Caller { tenant: tenant(), project: None, subject: Some("ann".into()) };
        let call = Call {
            method,
            path,
            query: pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            body: Body(body),
            caller: &caller,
            idempotency: "key-1".into(),
            traceparent: None,
        };
        Ok(api::call(&self.inner.shell, &call).await?.answer)
    }

    /// Puts a document as another worker would.
    pub async fn put(&self, stream: Stream, document: Document) {
        let commit = Commit { tenant: tenant(), stream, marker: None, writes: vec![Write::Put(document)] };
        assert!(matches!(self.inner.store.commit(&commit).await.unwrap(), Committed::Applied(_)));
    }
    pub async fn get(&self, stream: &Stream, id: &str) -> Option<Stored> {
        self.inner.get("acme", stream, id).await
    }

    pub async fn items(&self, project: &str) -> Vec<FeedbackItem> {
        let found = self.list(&item::stream(Some(project)), item::doc::ITEMS).await;
        found.iter().map(|s| s.read().unwrap()).collect()
    }
    pub async fn ledgers(&self, project: &str, size_ms: i64) -> Vec<Ledger> {
        let found = self.list(&project::stream(project), &prefix(size_ms)).await;
        found.iter().map(|s| s.read().unwrap()).collect()
    }
    pub async fn score(&self, project: &str, size_ms: i64, start: &str) -> Option<QualityScore> {
        let scores = self.ledgers(project, size_ms).await.into_iter().filter_map(|l| l.score);
        scores.into_iter().find(|s| s.announced.window_start == at(start))
    }
    async fn list(&self, stream: &Stream, prefix: &str) -> Vec<Stored> {
        let (tenant, until, page) = (tenant(), after_prefix(prefix), Page::first(100_000));
        self.inner.store.inner.list(&tenant, stream, prefix, &until, page, Order::Ascending).await.unwrap().items
    }

    /// Events of a kind that reached the knowledge platform.
    pub fn told(&self, kind: &str) -> Vec<&Envelope> {
        self.known.iter().filter(|e| e.event_type == kind).collect()
    }
}
