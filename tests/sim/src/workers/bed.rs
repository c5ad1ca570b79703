//! For the tests of this folder: a plan run calmly through the telemetry workers on a store in memory, and the tape of
//! what was committed, on which a test then breaks something.

use crate::{
    journal::{Applied, Change, End, Oracle},
    plan::{Cast, Offer, Plan},
    rng::Rng,
    workers::Part,
};
use bytes::Bytes;
use futures::FutureExt as _;
use opsloop_embedded::{
    clock::VirtualClock,
    store::{Dumped, MemoryStore},
};
use opsloop_kernel::{
    Commit, Committed, Destination, Directory as _, DocId, Document, DueUnits, Envelope, Incoming, Message, Moment,
    Scope, Store as _, Stream, TelemetryBatch, TelemetrySignal, TenantId, Timestamp, Unit, Worker, Write,
    incoming::FoundDue, ports::Within,
};
use opsloop_observability::{
    log_ingestion::LogIngestionWorker,
    metric_aggregation::MetricAggregationWorker,
    otlp::{ContentType, receive, unzstd},
    trace_ingestion::TraceIngestionWorker,
};
use opsloop_shell::bind::{self, Cause, Owed};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
};

const PART_BYTES: usize = 240 * 1024;
const STEP_MS: i64 = 10_000;

pub fn cast() -> Cast {
    let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    Cast {
        tenants: ["acme", "globex"].map(|t| TenantId::parse(t).unwrap()).to_vec(),
        twins: false,
        projects: vec!["booking", "billing"],
        modules: vec!["mod-api", "mod-web"],
        start,
        end: start.plus_millis(10 * 60_000),
        rest: start.plus_millis(20 * 60_000),
        metric_buckets: 4,
        later: vec![],
    }
}

/// What a seed's plan has of some parts.
pub fn plan_of(parts: &[&Part], cast: &Cast, seed: u64) -> Plan {
    let mut plan = Plan::default();
    for part in parts {
        (part.generate)(&mut Rng::new(seed, part.worker), cast, &mut plan);
    }
    plan.arrivals.sort_by_key(|a| a.at);
    plan
}

/// Every arrival lies inside the cast's time, and the receiver keeps all of it.
pub fn all_taken(cast: &Cast, plan: &Plan) {
    for arrival in &plan.arrivals {
        assert!(arrival.at >= cast.start && arrival.at < cast.end, "{}", arrival.at);
        let Offer::Otlp { signal, body } = &arrival.offer else { panic!("not telemetry: {arrival:?}") };
        let received = receive(*signal, ContentType::Protobuf, body, &arrival.tenant, arrival.at, PART_BYTES).unwrap();
        assert_eq!((received.rejected, received.parts.len()), (0, 1), "{}", received.message);
    }
}

pub fn part(worker: &str) -> &'static Part {
    super::PARTS.iter().find(|p| p.worker == worker).unwrap()
}

/// A run that came to its end.
pub struct Tape {
    pub cast: Cast,
    pub plan: Plan,
    pub commits: Vec<Applied>,
    pub documents: Vec<Dumped>,
    pub published: Vec<Message>,
    pub recorded: BTreeMap<String, f64>,
}

impl Tape {
    /// What oracles say of it: the first complaint, with the name of who complains.
    pub fn judge(&self, oracles: fn() -> Vec<Box<dyn Oracle>>) -> Result<(), String> {
        self.ask(oracles, |_| true)
    }

    /// One oracle must complain, whatever the others say.
    pub fn must_fail(&self, oracles: fn() -> Vec<Box<dyn Oracle>>, name: &str) {
        assert!(self.ask(oracles, |o| o == name).is_err(), "{name} noticed nothing");
    }

    /// All see everything; those whose word counts are heard.
    fn ask(&self, oracles: fn() -> Vec<Box<dyn Oracle>>, counts: impl Fn(&str) -> bool) -> Result<(), String> {
        let mut oracles = oracles();
        let said = |name: &str, what: String| if counts(name) { Err(format!("{name}: {what}")) } else { Ok(()) };
        for commit in &self.commits {
            for oracle in &mut oracles {
                oracle.applied(commit).or_else(|what| said(oracle.name(), what))?;
            }
        }
        let accepted = vec![true; self.plan.arrivals.len()];
        let end = End {
            cast: &self.cast,
            plan: &self.plan,
            documents: &self.documents,
            published: &self.published,
            dead: &BTreeMap::new(),
            scheduled: &BTreeSet::new(),
            accepted: &accepted,
            recorded: &self.recorded,
        };
        for oracle in &mut oracles {
            oracle.at_rest(&end).or_else(|what| said(oracle.name(), what))?;
        }
        Ok(())
    }
}

pub fn run(cast: Cast, plan: Plan) -> Tape {
    let mut bed = Bed::new(&cast);
    let mut arrivals = plan.arrivals.iter().peekable();
    let mut tick = cast.start;
    while tick <= cast.rest {
        while let Some(arrival) = arrivals.next_if(|a| a.at < tick) {
            if let Offer::Otlp { signal, body } = &arrival.offer {
                bed.deliver(*signal, body, &arrival.tenant, arrival.at);
            }
        }
        bed.tick(&TraceIngestionWorker::default(), tick);
        if tick.millis().rem_euclid(60_000) == 30_000 {
            let metrics = MetricAggregationWorker { metric_buckets: cast.metric_buckets };
            bed.tick(&metrics, tick);
        }
        tick = tick.plus_millis(STEP_MS);
    }
    let documents = bed.store.dump().unwrap();
    Tape { cast, plan, commits: bed.commits, documents, published: bed.published, recorded: bed.recorded }
}

struct Bed {
    clock: Arc<VirtualClock>,
    store: MemoryStore,
    metric_buckets: u16,
    held: BTreeMap<(TenantId, Stream, DocId), Document>,
    commits: Vec<Applied>,
    published: Vec<Message>,
    recorded: BTreeMap<String, f64>,
}

impl Bed {
    fn new(cast: &Cast) -> Self {
        let clock = Arc::new(VirtualClock::at(cast.start));
        let store = MemoryStore::new(clock.clone());
        let metric_buckets = cast.metric_buckets;
        let (held, recorded) = (BTreeMap::new(), BTreeMap::new());
        Self { clock, store, metric_buckets, held, commits: vec![], published: vec![], recorded }
    }

    fn deliver(&mut self, signal: TelemetrySignal, body: &Bytes, tenant: &TenantId, at: Timestamp) {
        self.clock.advance_to(at);
        let received = receive(signal, ContentType::Protobuf, body, tenant, at, PART_BYTES).unwrap();
        assert_eq!(received.rejected, 0, "{}", received.message);
        for (n, part) in (0..).zip(&received.parts) {
            self.published.push(message(&received.batch_id, n, part.bytes.clone()));
            let batch = TelemetryBatch {
                signal,
                tenant: tenant.clone(),
                project: None,
                received_at: at,
                batch_id: received.batch_id.clone(),
                part: n,
                body: unzstd(&part.bytes).unwrap(),
            };
            let incoming = Incoming::Batch(batch);
            match signal {
                TelemetrySignal::Traces => self.run(&TraceIngestionWorker::default(), &incoming, at),
                TelemetrySignal::Logs => self.run(&LogIngestionWorker, &incoming, at),
                TelemetrySignal::Metrics => {
                    self.run(&MetricAggregationWorker { metric_buckets: self.metric_buckets }, &incoming, at);
                }
            }
        }
    }

    fn tick<W: Worker>(&mut self, worker: &W, at: Timestamp) {
        self.clock.advance_to(at);
        let what = W::SPEC.name.into();
        for _ in 0..200 {
            let found = now(self.store.due(&what, at, Within::All, None, 2_000)).unwrap().found;
            let mut streams: BTreeMap<(TenantId, Stream), Vec<FoundDue>> = BTreeMap::new();
            for f in found {
                streams.entry((f.tenant, f.stream)).or_default().push(FoundDue { id: f.id, at: f.at });
            }
            let before = self.commits.len();
            for ((tenant, stream), found) in streams {
                self.run(worker, &Incoming::Due(DueUnits { tick: at, tenant, stream, found }), at);
            }
            if self.commits.len() == before {
                return;
            }
        }
    }

    fn run<W: Worker>(&mut self, worker: &W, incoming: &Incoming, at: Timestamp) {
        let Some(input) = worker.accept(incoming).unwrap() else { return };
        for unit in W::plan(&input).into_iter().flatten() {
            self.settle(worker, &unit, &input, unit.due.unwrap_or(at));
        }
    }

    fn settle<W: Worker>(&mut self, worker: &W, unit: &Unit<W::Key>, input: &W::Input, at: Timestamp) {
        let scope = Scope::admit(&unit.tenant, &unit.tenant, &self.store).unwrap();
        let view = now(worker.observe(unit, input, &scope)).unwrap_or_else(|stop| panic!("{stop:?}"));
        let Ok(decision) = W::decide(unit, input, &view, Moment(at)) else { panic!("{} refuses", unit.key) };
        let cause = Cause {
            spec: &W::SPEC,
            tenant: &unit.tenant,
            stream: &unit.stream,
            key: &unit.key.to_string(),
            event: None,
            marker: None,
            command: None,
            at,
            now: self.clock.now(),
        };
        let bound = bind::bind(&cause, &decision).unwrap();
        assert!(bound.ahead.is_empty());
        for note in &decision.notes {
            *self.recorded.entry(format!("{}|{}|", W::SPEC.name, note.signal.name)).or_default() += note.value;
        }
        if let Some(last) = &bound.last {
            self.commit(last, &bound.owed);
        }
    }

    fn commit(&mut self, commit: &Commit, owed: &[(Document, Owed)]) {
        assert!(matches!(now(self.store.commit(commit)).unwrap(), Committed::Applied(_)));
        let mut changes = vec![];
        for write in &commit.writes {
            let place = (commit.tenant.clone(), commit.stream.clone(), write.id().clone());
            let after = match write {
                Write::Save(d, _) | Write::Put(d) => Some(d.clone()),
                Write::Delete(..) => None,
            };
            let before = match &after {
                Some(document) => self.held.insert(place, document.clone()),
                None => self.held.remove(&place),
            };
            changes.push(Change { id: write.id().clone(), before, after });
        }
        let messages = owed.iter().flat_map(|(_, o)| &o.messages);
        self.commits.push(Applied {
            turn: self.commits.len() as u64,
            at: self.clock.now(),
            tenant: commit.tenant.clone(),
            stream: commit.stream.clone(),
            marker: None,
            changes,
            owed: messages.map(|m| m.envelope.read::<Envelope>().unwrap()).collect(),
        });
    }
}

fn message(batch_id: &str, part: u32, body: Bytes) -> Message {
    Message {
        id: format!("{batch_id}|{part}"),
        to: Destination::Queue("q".into()),
        properties: BTreeMap::from([("batchId".to_owned(), batch_id.to_owned())]),
        content_type: String::new(),
        body,
        not_before: None,
    }
}

/// The store in memory never waits.
fn now<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().unwrap()
}
