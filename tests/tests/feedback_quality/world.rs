//! The shell with the workers of the second half of the loop, on a virtual clock: messages are delivered as they
//! become visible, each worker ticks at its cadence, the outbox is swept.

use super::{
    bus::{Bus, KNOWLEDGE, Waiting},
    events::{at, tenant},
    store::Switched,
};
use opsloop_embedded::{clock::VirtualClock, store::MemoryStore};
use opsloop_kernel::{
    Answer, Blobs, Body, BoxFuture, Commit, Committed, Document, Envelope, Fault, Message, Note, Order, Page, Source,
    Store, Stream, Timestamp, Write,
    http::{Does, Method, Problem},
    message::Destination,
    ports::{Recorder, after_prefix},
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
    bind, dead_letters,
    invocation::{Received, Timer},
    relay,
    settle::{self, Settlement},
    ticks,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

const SWEEP: Duration = Duration::from_secs(30);

pub struct World {
    pub shell: Shell,
    pub clock: Arc<VirtualClock>,
    pub store: Arc<Switched>,
    pub bus: Arc<Bus>,
    pub counted: Arc<Counts>,
    /// What the subscription of the knowledge platform handed over.
    pub known: Vec<Envelope>,
    pub knowledge_down: bool,
    /// No tick comes while it is set.
    pub no_ticks: bool,
    pub attempts: Vec<u32>,
}

#[derive(Default)]
pub struct Counts(Mutex<BTreeMap<String, f64>>);
impl Counts {
    pub fn of(&self, signal: &str) -> f64 {
        self.0.lock().unwrap().get(signal).copied().unwrap_or(0.0)
    }
}
impl Recorder for Counts {
    fn record(&self, _: &str, note: &Note) {
        *self.0.lock().unwrap().entry(note.signal.name.to_owned()).or_default() += note.value;
    }
}

#[derive(Default)]
struct NoBlobs;
impl Blobs for NoBlobs {
    fn put<'a>(&'a self, _: &'a str, _: bytes::Bytes, _: Timestamp) -> BoxFuture<'a, Result<String, Fault>> {
        Box::pin(async { Err(Fault::Unavailable { dependency: Fault::BLOBS }) })
    }
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<bytes::Bytes>, Fault>> {
        Box::pin(async { Ok(None) })
    }
}

pub fn catalogue(policy: FeedbackPolicy, zones: Zones) -> Catalogue {
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
        let clock = Arc::new(VirtualClock::at(at(start)));
        let memory = MemoryStore::new(clock.clone());
        let store = Arc::new(Switched { store: memory, down: false.into() });
        let catalogue = Arc::new(catalogue(policy, zones));
        let bus = Arc::new(Bus::new(clock.clone(), catalogue.clone()));
        let counted = Arc::new(Counts::default());
        let ports = Ports {
            store: store.clone(),
            directory: store.clone(),
            publisher: bus.clone(),
            clock: clock.clone(),
            blobs: Arc::new(NoBlobs),
            backlog: bus.clone(),
            dead_letters: bus.clone(),
            recorder: counted.clone(),
            jitter: Jitter::Longest,
        };
        let shell = Shell { catalogue, ports };
        let (known, attempts) = (vec![], vec![]);
        Self { shell, clock, store, bus, counted, known, knowledge_down: false, no_ticks: false, attempts }
    }

    /// A producer's event comes to the broker now.
    pub fn publish(&self, e: &Envelope) {
        self.publish_as(e, e.event_id.as_str());
    }
    /// The same event under another message id: a redelivery that duplicate detection does not see.
    pub fn publish_as(&self, e: &Envelope, id: &str) {
        let mut properties = bind::properties_of(e);
        let signals = e.payload.0["signals"].as_array().is_some_and(|s| !s.is_empty());
        if signals {
            properties.insert("signals".into(), "true".into());
        }
        self.bus.send(Message {
            id: id.to_owned(),
            to: Destination::Topic,
            properties,
            content_type: "application/json".into(),
            body: e.encode().into(),
            not_before: None,
        });
    }
    /// The same, at the instant of the event, after all that is due before it.
    pub async fn tell(&mut self, e: &Envelope) {
        self.run_until(e.occurred_at).await;
        self.publish(e);
        self.deliver().await;
    }

    /// Everything that happens until then, in order; a due instant comes before an arrival at the same instant.
    pub async fn run_until(&mut self, until: Timestamp) {
        self.deliver().await;
        loop {
            let now = self.clock.now();
            let minute = now.floor_to(30_000, 0).plus(SWEEP);
            let next = self.bus.next_at().map_or(minute, |at| at.max(now).min(minute));
            if next > until || (next == now && next == until) {
                break;
            }
            self.clock.advance_to(next);
            if next == minute && self.store.down.load(Ordering::SeqCst) == false {
                self.tick(next).await;
            }
            self.deliver().await;
        }
        self.clock.advance_to(until);
        self.deliver().await;
    }

    async fn tick(&mut self, now: Timestamp) {
        let Ok(_) = relay::sweep(now, &self.shell.ports).await else { return };
        if self.no_ticks {
            return;
        }
        for worker in self.shell.catalogue.workers() {
            // There are no metrics here: what SLOs say is put into the store.
            let Some(trigger) = worker.spec().timer().filter(|_| worker.spec().name != "SloEvaluation") else {
                continue;
            };
            let Source::Timer { cadence_s, offset_s, .. } = trigger.source else { continue };
            if now.floor_to(i64::from(cadence_s) * 1000, i64::from(offset_s) * 1000) == now {
                let ticked =
                    ticks::tick(&self.shell, worker, trigger, &Timer { next: Some(now), past_due: false }).await;
                assert_eq!(ticked.failed, 0, "{} at {now}", worker.spec().name);
            }
        }
    }

    async fn deliver(&mut self) {
        while let Some(taken) = self.bus.receive(None) {
            self.handle(taken).await;
        }
        while !self.knowledge_down
            && let Some(taken) = self.bus.receive(Some(KNOWLEDGE))
        {
            self.known.push(serde_json::from_slice(&taken.message.body).unwrap());
        }
    }

    async fn handle(&mut self, taken: Waiting) -> Settlement {
        let shell = self.shell.clone();
        let worker = shell.catalogue.named(&taken.handler).unwrap();
        let trigger = worker.spec().triggers.iter().find(|t| matches!(t.source, Source::Events { .. })).unwrap();
        let received = Received {
            body: taken.message.body.clone(),
            message_id: taken.message.id.clone(),
            content_type: Some(taken.message.content_type.clone()),
            deliveries: taken.deliveries,
            enqueued_at: Some(self.clock.now()),
            properties: taken.message.properties.clone(),
        };
        let attempt = taken.message.properties.get("attempt").map_or(1, |a| a.parse().unwrap());
        self.attempts.push(attempt);
        let settlement = settle::message(&shell, worker, trigger, &received).await;
        if settlement.status() != 200 {
            self.bus.abandon(taken);
        }
        settlement
    }

    pub async fn dead(&self) -> Vec<dead_letters::Listed> {
        dead_letters::list(&self.shell, &tenant()).await.unwrap()
    }

    pub async fn call(&self, method: Method, path: &str, body: serde_json::Value) -> Result<Answer, Problem> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let pairs = query.split('&').filter_map(|p| p.split_once('='));
        let caller = Caller { tenant: tenant(), project: None, subject: "ann".into() };
        let call = Call {
            method,
            path,
            query: pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            body: Body(body),
            caller: &caller,
            idempotency: "key-1".into(),
            traceparent: None,
        };
        assert!(self.shell.catalogue.all_endpoints().iter().any(|e| matches!(e.does, Does::Query(_))));
        Ok(api::call(&self.shell, &call).await?.answer)
    }

    /// Puts documents as another worker would.
    pub async fn put(&self, stream: Stream, documents: Vec<Document>) {
        let writes = documents.into_iter().map(Write::Put).collect();
        let commit = Commit { tenant: tenant(), stream, marker: None, writes };
        assert!(matches!(self.store.commit(&commit).await.unwrap(), Committed::Applied(_)));
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
    async fn list(&self, stream: &Stream, prefix: &str) -> Vec<opsloop_kernel::Stored> {
        let (tenant, page) = (tenant(), Page::first(100_000));
        let until = after_prefix(prefix);
        self.store.store.list(&tenant, stream, prefix, &until, page, Order::Ascending).await.unwrap().items
    }

    /// Events of a kind that reached the knowledge platform.
    pub fn told(&self, kind: &str) -> Vec<&Envelope> {
        self.known.iter().filter(|e| e.event_type == kind).collect()
    }
}
