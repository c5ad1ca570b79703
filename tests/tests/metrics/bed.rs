//! The worker on a store in memory: deliveries and ticks as the shell makes them, with crashes and races where a test
//! wants them.

use super::otlp::{at, encoded, request};
use opsloop_embedded::{clock::VirtualClock, store::MemoryStore};
use opsloop_kernel::{
    Commit, Committed, Directory, DueUnits, Incoming, Moment, Scope, Store, Stream, TelemetryBatch, TelemetrySignal,
    TenantId, Timestamp, Unit, Worker, envelope::blob_uri, incoming::FoundDue, json::sha256_hex, law, ports::Within,
};
use opsloop_observability::{
    metric_aggregation::{
        Bucket, GroupPoint, Input, Key, MetricAggregated, MetricAggregationWorker, MetricPoint, WindowPoints, names,
        read_bucket, read_points,
    },
    otlp::proto::metrics::v1::Metric,
};
use opsloop_shell::bind::{self, Bound, Cause};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub const BUCKETS: u16 = 8;
pub const MINUTE: i64 = 60_000;
pub const FIVE: i64 = 300_000;
/// As the shell's (SPEC 3.8).
const ROUNDS_MAX: usize = 1_000;
pub const HOUR: i64 = 3_600_000;
type W = MetricAggregationWorker;

/// The process was killed here.
#[derive(Debug)]
pub struct Killed;

pub struct Bed {
    pub clock: Arc<VirtualClock>,
    pub store: Arc<MemoryStore>,
    pub tenant: TenantId,
    /// Every event that was ever owed, by id.
    pub events: BTreeMap<String, Event>,
    /// How often each event was owed.
    pub owed: Vec<String>,
    /// What was counted, by signal.
    pub counted: BTreeMap<&'static str, f64>,
    /// Commits until the process is killed.
    pub lives: Option<usize>,
    /// Commits so far.
    pub commits: usize,
    /// Arrives after the next closing has read and before it commits.
    pub meanwhile: Option<TelemetryBatch>,
    /// Whether the kernel's laws are held against every decision; the largest take long to print.
    pub lawful: bool,
    /// Decisions as golden cases.
    pub cases: Vec<serde_json::Value>,
    /// Windows that fail.
    pub failing: BTreeSet<Failing>,
    worker: W,
}
/// Size and start of a window.
pub type Failing = (i64, Timestamp);

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub revision: u32,
    pub properties: BTreeMap<String, String>,
    pub partition_key: String,
    pub payload: MetricAggregated,
}

impl Bed {
    pub fn new() -> Self {
        let clock = Arc::new(VirtualClock::at(at("00:00")));
        Self {
            store: Arc::new(MemoryStore::new(clock.clone())),
            clock,
            tenant: TenantId::parse("acme").unwrap(),
            events: BTreeMap::new(),
            owed: vec![],
            counted: BTreeMap::new(),
            lives: None,
            commits: 0,
            meanwhile: None,
            lawful: true,
            cases: vec![],
            failing: BTreeSet::new(),
            worker: W { metric_buckets: BUCKETS },
        }
    }

    pub fn batch(&self, received: &str, metrics: Vec<Metric>) -> TelemetryBatch {
        let body = encoded(request("api", metrics));
        TelemetryBatch {
            signal: TelemetrySignal::Metrics,
            tenant: self.tenant.clone(),
            project: Some("booking".into()),
            received_at: at(received),
            batch_id: sha256_hex(&body),
            part: 0,
            body,
        }
    }
    /// A batch arrives at its instant of receipt.
    pub async fn send(&mut self, received: &str, metrics: Vec<Metric>) {
        let batch = self.batch(received, metrics);
        self.deliver(batch).await;
    }
    pub async fn deliver(&mut self, batch: TelemetryBatch) {
        self.clock.advance_to(batch.received_at);
        self.run(Incoming::Batch(batch)).await.unwrap();
    }

    /// The tick of `hh:mm:30`: rounds, until nothing is due or a round commits nothing.
    pub async fn tick(&mut self, time: &str) {
        self.try_tick(time).await.unwrap();
    }
    pub async fn try_tick(&mut self, time: &str) -> Result<(), Killed> {
        let tick = at(time);
        self.clock.advance_to(tick);
        for _ in 0..ROUNDS_MAX {
            let what = W::SPEC.name.into();
            let found = self.store.due(&what, tick, Within::All, None, 2_000).await.unwrap().found;
            let mut streams: BTreeMap<(TenantId, Stream), Vec<FoundDue>> = BTreeMap::new();
            for f in found {
                streams.entry((f.tenant, f.stream)).or_default().push(FoundDue { id: f.id, at: f.at });
            }
            let before = self.commits;
            for ((tenant, stream), found) in streams {
                self.run(Incoming::Due(DueUnits { tick, tenant, stream, found })).await?;
            }
            if self.commits == before {
                return Ok(());
            }
        }
        panic!("what is due does not come to rest");
    }
    /// All ticks from `hh:mm:30` to `hh:mm:30`, both included.
    pub async fn ticks(&mut self, first: &str, last: &str) {
        let mut tick = at(first);
        while tick <= at(last) {
            let seconds = tick.millis_since(at("00:00")) / 1_000;
            self.tick(&format!("{}:{}:{}", seconds / 3_600, seconds / 60 % 60, seconds % 60)).await;
            tick = tick.plus_millis(MINUTE);
        }
    }

    async fn run(&mut self, incoming: Incoming) -> Result<(), Killed> {
        let Some(input) = self.worker.accept(&incoming).unwrap() else { return Ok(()) };
        for chain in W::plan(&input) {
            for unit in chain {
                if let Key::Close(w) = unit.key
                    && self.failing.contains(&(w.size_ms, w.start))
                {
                    break;
                }
                self.unit(&unit, &input).await?;
            }
        }
        Ok(())
    }

    async fn unit(&mut self, unit: &Unit<Key>, input: &Input) -> Result<(), Killed> {
        let store = self.store.clone();
        let moment = match input {
            Input::Arrived(a) => a.received_at,
            Input::Due(d) => d.tick,
        };
        let moment = Moment(unit.due.unwrap_or(moment));
        loop {
            let scope = Scope::admit(&unit.tenant, &unit.tenant, &*store).unwrap();
            let view = self.worker.observe(unit, input, &scope).await.unwrap();
            if let (Key::Close(_), Some(batch)) = (unit.key, self.meanwhile.take()) {
                Box::pin(self.deliver(batch)).await;
            }
            if self.lawful {
                law::all::<W>(unit, input, &view, moment).unwrap();
            }
            let decision = W::decide(unit, input, &view, moment).unwrap();
            let key = unit.key.to_string();
            if self.lawful {
                let of = json!({"tenant": unit.tenant, "stream": unit.stream, "key": key, "due": unit.due});
                self.cases.push(json!({"unit": of, "input": input, "view": view, "at": moment, "decision": decision}));
            }
            let cause = Cause {
                spec: &W::SPEC,
                tenant: &unit.tenant,
                stream: &unit.stream,
                key: &key,
                event: None,
                marker: None,
                command: None,
                at: moment.0,
                now: self.clock.now(),
            };
            let bound = bind::bind(&cause, &decision).unwrap();
            if self.commit_all(&bound).await? {
                for note in &decision.notes {
                    *self.counted.entry(note.signal.name).or_default() += note.value;
                }
                return Ok(());
            }
        }
    }

    /// Whether nothing was raced.
    async fn commit_all(&mut self, bound: &Bound) -> Result<bool, Killed> {
        for batch in &bound.ahead {
            if !self.commit(batch).await? {
                return Ok(false);
            }
        }
        let Some(last) = &bound.last else { return Ok(true) };
        if !self.commit(last).await? {
            return Ok(false);
        }
        for message in bound.owed.iter().flat_map(|(_, owed)| &owed.messages) {
            let payload = match message.envelope.0.get("payloadRef").and_then(|r| r["uri"].as_str()) {
                Some(uri) => {
                    let (_, bytes) = bound.blobs.iter().find(|(name, _)| blob_uri(name) == uri).unwrap();
                    serde_json::from_slice(bytes).unwrap()
                }
                None => serde_json::from_value(message.envelope.0["payload"].clone()).unwrap(),
            };
            let revision = message.envelope.0["revision"].as_u64().unwrap() as u32;
            let partition_key = message.envelope.0["partitionKey"].as_str().unwrap().to_owned();
            let event = Event { revision, properties: message.properties.clone(), partition_key, payload };
            self.owed.push(message.id.clone());
            if let Some(other) = self.events.insert(message.id.clone(), event.clone()) {
                assert_eq!(other.payload, event.payload, "one id, two contents");
            }
        }
        Ok(true)
    }

    async fn commit(&mut self, batch: &Commit) -> Result<bool, Killed> {
        if let Some(lives) = &mut self.lives {
            if *lives == 0 {
                return Err(Killed);
            }
            *lives -= 1;
        }
        match self.store.commit(batch).await.unwrap() {
            Committed::Applied(_) => {
                self.commits += 1;
                Ok(true)
            }
            Committed::Raced => Ok(false),
            other => panic!("{other:?}"),
        }
    }

    pub fn scope(&self) -> Scope<'_> {
        Scope::admit(&self.tenant, &self.tenant, &*self.store).unwrap()
    }
    pub async fn root(&self, metric: &str) -> Bucket {
        read_bucket(&self.scope(), &names::stream_of(metric, BUCKETS)).await.unwrap()
    }
    pub async fn windows(&self, metric: &str, size_ms: i64) -> Vec<WindowPoints> {
        let stream = names::stream_of(metric, BUCKETS);
        let (from, until) = (at("00:00"), at("99:00"));
        read_points(&self.scope(), &stream, metric, size_ms, from, until, &|_| true).await.unwrap()
    }
    pub async fn groups(&self, metric: &str, size_ms: i64, start: &str) -> Vec<GroupPoint> {
        let windows = self.windows(metric, size_ms).await;
        windows.into_iter().find(|w| w.window.start == at(start)).map(|w| w.groups).unwrap_or_default()
    }
    /// The point of the only group there is.
    pub async fn point(&self, metric: &str, size_ms: i64, start: &str) -> Option<MetricPoint> {
        let groups = self.groups(metric, size_ms, start).await;
        assert!(groups.len() <= 1, "{} groups", groups.len());
        groups.into_iter().next().map(|g| g.point)
    }
    /// (start, sum) of all windows of one group.
    pub async fn sums(&self, metric: &str, size_ms: i64) -> Vec<(String, f64)> {
        let clock = |t: Timestamp| t.to_string()[11..16].to_owned();
        self.windows(metric, size_ms).await.iter().map(|w| (clock(w.window.start), w.groups[0].point.sum)).collect()
    }
    /// Those of a metric's window, by revision.
    pub fn events_of(&self, metric: &str, size_ms: i64, start: &str) -> Vec<&Event> {
        let of = |e: &&Event| {
            let p = &e.payload;
            p.metric_name == metric && p.window_size_ms == size_ms && p.window_start == at(start)
        };
        let mut events: Vec<&Event> = self.events.values().filter(of).collect();
        events.sort_by_key(|e| e.revision);
        events
    }
    pub fn count_of(&self, signal: &str) -> f64 {
        self.counted.get(signal).copied().unwrap_or(0.0)
    }
    /// What is stored, without what never counts: etags, and the outbox, which bears the clock.
    pub fn documents(&self) -> BTreeMap<(String, String), serde_json::Value> {
        let all = self.store.dump().unwrap().into_iter().filter(|d| !d.document.id.0.starts_with("owed|"));
        all.map(|d| ((d.stream.name, d.document.id.0.clone()), serde_json::to_value(&d.document).unwrap())).collect()
    }
}

pub fn sums(expected: &[(&str, f64)]) -> Vec<(String, f64)> {
    expected.iter().map(|(start, sum)| ((*start).to_owned(), *sum)).collect()
}
