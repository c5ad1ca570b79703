//! A store in memory with series in it, and a replica that does by steps what the shell does at once, so that two can
//! stand between reading and writing, and one can die there.

use opsloop_embedded::{clock::VirtualClock, store::MemoryStore};
use opsloop_kernel::{
    Answer, Body, Commit, Committed, CorrelationId, Decision, Directory, Document, Envelope, EventId, Incoming,
    LabelSet, Moment, Scope, Store, Stored, Stream, TenantId, Timestamp, TraceId, Unit, Window, Worker, Write,
    document::What,
    ids,
    incoming::{DueUnits, FoundDue},
    law,
    ports::Within,
};
use opsloop_observability::metric_aggregation::{
    Bucket, GroupId, GroupPoint, HistogramValue, MetricPoint, SeriesKind, Watermarks,
    combine::{empty, sealed},
    explicit::Explicit,
    names,
    points::parts_of,
};
use opsloop_shell::bind::{self, Bound, Cause};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

pub const BUCKETS: u16 = 8;

pub fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}
/// `10:05`, `10:05:30`, `20T10:05` (of November 2026; without a day the 21st).
pub fn at(text: &str) -> Timestamp {
    let (day, time) = text.split_once('T').unwrap_or(("21", text));
    let seconds = if time.len() == 5 { ":00" } else { "" };
    format!("2026-11-{day}T{time}{seconds}Z").parse().unwrap()
}
pub fn labels(pairs: &[(&str, &str)]) -> LabelSet {
    pairs.iter().copied().collect()
}

pub struct World {
    pub store: Arc<MemoryStore>,
    clock: Arc<VirtualClock>,
    /// Every envelope that a commit owed, in order.
    pub told: Vec<Envelope>,
    pub reasons: Vec<&'static str>,
    commands: u32,
    /// Every decision is held to the laws of the kernel; over long random histories that takes its time.
    pub lawful: bool,
}

/// A unit that has been observed and decided, and not yet committed.
pub struct Prepared {
    pub decision: Decision,
    pub bound: Bound,
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(VirtualClock::at(at("01T00:00")));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        Self { store, clock, told: vec![], reasons: vec![], commands: 0, lawful: true }
    }

    /// A command as the API makes it; status and body of its answer.
    pub async fn command<W: Worker>(&mut self, worker: &W, kind: &str, now: &str, payload: Value) -> (u16, Value) {
        self.commands += 1;
        let event = ids::command_id(&tenant(), "POST", "/v1", &self.commands.to_string());
        self.deliver(worker, &envelope(kind, event, at(now), payload)).await
    }

    pub async fn deliver<W: Worker>(&mut self, worker: &W, e: &Envelope) -> (u16, Value) {
        self.clock.advance_to(e.occurred_at);
        let input = worker.accept(&Incoming::Event(Box::new(e.clone()))).unwrap().unwrap();
        let mut answer: Option<Answer> = None;
        for unit in W::plan(&input).into_iter().flatten() {
            let decision = self.settle(worker, unit, &input, Some(e), e.occurred_at).await;
            answer = answer.or(decision.answer);
        }
        answer.map_or((0, Value::Null), |a| (a.status, a.body.0))
    }

    /// One tick: rounds over all that is due, until nothing is or a round has committed nothing (SPEC 3.8).
    pub async fn tick<W: Worker>(&mut self, worker: &W, now: Timestamp) -> Vec<Decision> {
        self.clock.advance_to(now);
        let mut out = vec![];
        for _ in 0..1_000 {
            let Some(input) = self.due(worker, now).await else { return out };
            let mut committed = false;
            for unit in W::plan(&input).into_iter().flatten() {
                let moment = unit.due.unwrap();
                let decision = self.settle(worker, unit, &input, None, moment).await;
                committed |= !decision.is_nothing();
                out.push(decision);
            }
            if !committed {
                return out;
            }
        }
        panic!("what is due never ends");
    }

    pub async fn due<W: Worker>(&self, worker: &W, now: Timestamp) -> Option<W::Input> {
        let what = What::from(W::SPEC.name);
        let found = self.store.due(&what, now, Within::All, None, 2_000).await.unwrap().found;
        let stream = found.first()?.stream.clone();
        let found = found.into_iter().map(|f| FoundDue { id: f.id, at: f.at }).collect();
        let due = DueUnits { tick: now, tenant: tenant(), stream, found };
        worker.accept(&Incoming::Due(due)).unwrap()
    }

    async fn settle<W: Worker>(
        &mut self,
        worker: &W,
        unit: Unit<W::Key>,
        input: &W::Input,
        event: Option<&Envelope>,
        moment: Timestamp,
    ) -> Decision {
        for _ in 0..4 {
            let prepared = self.prepare(worker, &unit, input, event, moment).await;
            if let Some(decision) = self.commit(prepared).await {
                return decision;
            }
        }
        panic!("raced against nobody");
    }

    /// Reads and decides, and holds the decision to the laws of the kernel.
    pub async fn prepare<W: Worker>(
        &self,
        worker: &W,
        unit: &Unit<W::Key>,
        input: &W::Input,
        event: Option<&Envelope>,
        moment: Timestamp,
    ) -> Prepared {
        let tenant = tenant();
        let scope = Scope::admit(&tenant, &unit.tenant, &*self.store).unwrap();
        let view = worker.observe(unit, input, &scope).await.unwrap();
        if self.lawful {
            law::all::<W>(unit, input, &view, Moment(moment)).unwrap();
        }
        let decision = W::decide(unit, input, &view, Moment(moment)).unwrap();
        let key = unit.key.to_string();
        let cause = Cause {
            spec: &W::SPEC,
            tenant: &unit.tenant,
            stream: &unit.stream,
            key: &key,
            event,
            marker: event.map(|e| e.event_id.as_str()),
            command: event.map(|_| "hash"),
            at: moment,
            now: moment,
        };
        let bound = bind::bind(&cause, &decision).unwrap();
        Prepared { decision, bound }
    }

    /// `None`: another replica was faster, nothing was applied.
    pub async fn commit(&mut self, prepared: Prepared) -> Option<Decision> {
        let Prepared { decision, bound } = prepared;
        assert!(bound.ahead.is_empty());
        let committed = match &bound.last {
            Some(batch) => self.store.commit(batch).await.unwrap(),
            None => Committed::Applied(vec![]),
        };
        match committed {
            Committed::Applied(_) => {
                let owed = bound.owed.iter().flat_map(|(_, o)| &o.messages);
                self.told.extend(owed.map(|m| serde_json::from_value::<Envelope>(m.envelope.0.clone()).unwrap()));
                self.reasons.push(decision.reason);
                Some(decision)
            }
            Committed::Duplicate => Some(Decision::because("duplicate")),
            Committed::Raced => None,
            Committed::Refused(r) => panic!("{r}"),
        }
    }

    pub async fn put(&self, stream: &Stream, document: Document) {
        let commit =
            Commit { tenant: tenant(), stream: stream.clone(), marker: None, writes: vec![Write::Put(document)] };
        assert!(matches!(self.store.commit(&commit).await.unwrap(), Committed::Applied(_)));
    }

    pub async fn get(&self, stream: &Stream, id: &str) -> Option<Stored> {
        self.store.get(&tenant(), stream, &id.into()).await.unwrap()
    }

    /// Aggregation of a metric's bucket stands where it would after its tick at `now`.
    pub async fn aggregated(&self, metric: &str, now: Timestamp) {
        let stream = names::stream_of(metric, BUCKETS);
        let stored = self.get(&stream, names::BUCKET).await;
        let mut bucket: Bucket = stored.map(|s| s.read().unwrap()).unwrap_or_default();
        bucket.watermarks = Watermarks::closed_by(now);
        self.put(&stream, bucket.document(now.plus_millis(60_000))).await;
    }

    /// The points of a metric in one window, replacing what was there.
    pub async fn points(&self, metric: &str, window: Window, groups: &[GroupPoint]) {
        let stream = names::stream_of(metric, BUCKETS);
        for (id, part) in parts_of(metric, window, groups) {
            self.put(&stream, Document::new(id, "points", &part)).await;
        }
    }

    /// One counter group of the default definition, without labels.
    pub async fn count(&self, metric: &str, window: Window, amount: f64) {
        self.points(metric, window, &[counter(window, &[], None, amount)]).await;
    }

    pub fn told(&self, kind: &str) -> Vec<&Envelope> {
        self.told.iter().filter(|e| e.event_type == kind).collect()
    }
    pub fn told_ids(&self) -> Vec<(String, String)> {
        self.told.iter().map(|e| (e.occurred_at.to_string()[11..16].to_owned(), e.event_id.to_string())).collect()
    }
}

/// A 1m window by its start.
pub fn minute(start: &str) -> Window {
    Window { size_ms: 60_000, start: at(start) }
}
pub fn hour(start: &str) -> Window {
    Window { size_ms: 3_600_000, start: at(start) }
}

fn group(kind: SeriesKind, unit: &str, key: &[(&str, &str)], by: Option<&[&str]>, point: MetricPoint) -> GroupPoint {
    let group_by = by.map(|labels| labels.iter().map(|l| (*l).to_owned()).collect());
    let id = GroupId { group_by, kind, group_key: labels(key) };
    GroupPoint { id, unit: unit.into(), gone: false, point: sealed(point) }
}

pub fn counter(window: Window, key: &[(&str, &str)], by: Option<&[&str]>, amount: f64) -> GroupPoint {
    let rate = Some(amount * 1000.0 / window.size_ms as f64);
    group(SeriesKind::Counter, "1", key, by, MetricPoint { sum: amount, count: 1.0, rate, ..empty(window) })
}

pub fn gauge(window: Window, key: &[(&str, &str)], value: f64) -> GroupPoint {
    let (avg, last, last_at) = (Some(value), Some(value), Some(window.end()));
    let point = MetricPoint { count: 1.0, sum: value, avg, min: avg, max: avg, last, last_at, ..empty(window) };
    group(SeriesKind::Gauge, "1", key, None, point)
}

pub struct Buckets<'a> {
    pub unit: &'a str,
    pub bounds: &'a [f64],
    pub counts: &'a [u64],
    pub sum: f64,
}

pub fn histogram(window: Window, key: &[(&str, &str)], by: Option<&[&str]>, of: &Buckets<'_>) -> GroupPoint {
    let count: u64 = of.counts.iter().sum();
    let value = HistogramValue::Explicit(Explicit::new(of.bounds.to_vec(), of.counts.to_vec(), count));
    let point = MetricPoint {
        count: count as f64,
        sum: of.sum,
        rate: Some(count as f64 * 1000.0 / window.size_ms as f64),
        quantiles: value.quantiles(),
        histogram: Some(value),
        ..empty(window)
    };
    group(SeriesKind::Histogram, of.unit, key, by, point)
}

pub fn envelope(kind: &str, event_id: EventId, now: Timestamp, payload: Value) -> Envelope {
    Envelope {
        event_type: kind.to_owned(),
        event_version: 1,
        tenant_id: tenant(),
        project_id: None,
        module_id: None,
        environment: None,
        trace_id: TraceId::parse("4bf92f3577b34da6a3ce929d0e0e4736").unwrap(),
        correlation_id: CorrelationId::parse("corr-0d6f7a52-6c5e-4f0c-8a55-0f8a2f5f2b11").unwrap(),
        causation_id: None,
        causation_depth: 0,
        occurred_at: now,
        recorded_at: now,
        source: "urn:factory:observability:api".into(),
        subject: "Command/x".into(),
        partition_key: "x".into(),
        idempotency_key: ids::key("command", &tenant(), [event_id.as_str()]),
        revision: 0,
        traceparent: None,
        tracestate: None,
        dimensions: BTreeMap::new(),
        freshness: None,
        payload: Body(payload),
        payload_ref: None,
        event_id,
    }
}
