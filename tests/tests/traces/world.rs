//! A receiver, a store in memory, and by steps what the shell does at once: every batch goes the way of a real one,
//! every decision is held to the laws of the kernel.

use opsloop_embedded::{clock::VirtualClock, store::MemoryStore};
use opsloop_kernel::{
    BoxFuture, Committed, DocId, Document, ETag, Envelope, Fault, Incoming, Listing, Moment, Order, Page, Scope, Stop,
    Store, Stream, TelemetryBatch, TelemetrySignal, TenantId, Timestamp, TraceId, Unit, Worker,
    document::What,
    incoming::{DueUnits, FoundDue},
    law,
    ports::{Directory, Within},
};
use opsloop_observability::{
    events::TraceRecorded,
    log_ingestion::LogIngestionWorker,
    otlp::{ContentType, Received, receive, unzstd},
    trace_ingestion::{
        NAME, SpanPage, TraceIngestionWorker, TraceRecord, read_head, read_record, read_spans, stream_of,
    },
};
use opsloop_shell::bind::{self, Cause};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// 2026-11-21T10:00:00Z.
pub const T: i64 = 1_795_255_200_000;
pub const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PART_BYTES: usize = 240 * 1024;

/// Milliseconds after 10:00.
pub fn after(ms: i64) -> Timestamp {
    Timestamp::from_millis(T + ms)
}
pub fn seconds(s: i64) -> Timestamp {
    after(s * 1_000)
}
pub fn trace() -> TraceId {
    TraceId::parse(TRACE).unwrap()
}
pub fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

/// A span of [`TRACE`], times in ms after 10:00; `parent` 0 is none.
pub fn span(id: u64, parent: u64, start: i64, end: i64) -> Value {
    let mut span = json!({
        "traceId": TRACE, "spanId": format!("{id:016x}"), "name": format!("span {id}"), "kind": 1,
        "startTimeUnixNano": ((T + start) * 1_000_000).to_string(), "endTimeUnixNano": ((T + end) * 1_000_000).to_string(),
    });
    if parent != 0 {
        span["parentSpanId"] = json!(format!("{parent:016x}"));
    }
    span
}

pub fn with(mut span: Value, fields: Value) -> Value {
    for (key, value) in fields.as_object().unwrap() {
        span[key] = value.clone();
    }
    span
}

pub fn strings(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(k, v)| json!({"key": k, "value": {"stringValue": v}})).collect()
}

pub fn spans_body(resource: Value, spans: &[Value]) -> Vec<u8> {
    json!({"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"spans": spans}]}]})
        .to_string()
        .into_bytes()
}

/// Spans of a service `mod-api` as JSON through the receiver, as they leave the queue.
pub fn batch(spans: &[Value], received_at: Timestamp) -> TelemetryBatch {
    let body = spans_body(strings(&[("service.name", "mod-api")]), spans);
    batches(TelemetrySignal::Traces, &body, received_at, None).1.remove(0)
}

pub fn batches(
    signal: TelemetrySignal,
    body: &[u8],
    received_at: Timestamp,
    project: Option<&str>,
) -> (Received, Vec<TelemetryBatch>) {
    let received = receive(signal, ContentType::Json, body, &tenant(), received_at, PART_BYTES).unwrap();
    let batch = |(n, part): (usize, &opsloop_observability::otlp::Part)| TelemetryBatch {
        signal,
        tenant: tenant(),
        project: project.map(str::to_owned),
        received_at,
        batch_id: received.batch_id.clone(),
        part: n as u32,
        body: unzstd(&part.bytes).unwrap(),
    };
    let made = received.parts.iter().enumerate().map(batch).collect();
    (received, made)
}

/// The memory store, out of order for the next so many commits.
pub struct Flaky {
    pub inner: MemoryStore,
    pub failures: AtomicU32,
}

impl Store for Flaky {
    fn get<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
    ) -> BoxFuture<'a, Result<Option<opsloop_kernel::Stored>, Fault>> {
        self.inner.get(tenant, stream, id)
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
        self.inner.list(tenant, stream, from, until, page, order)
    }
    fn commit<'a>(&'a self, commit: &'a opsloop_kernel::Commit) -> BoxFuture<'a, Result<Committed, Fault>> {
        let fails = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if fails {
            return Box::pin(async { Err(Fault::Unavailable { dependency: Fault::STORE }) });
        }
        self.inner.commit(commit)
    }
    fn paid<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
        etag: &'a ETag,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        self.inner.paid(tenant, stream, id, etag)
    }
}

pub struct World {
    pub store: Flaky,
    pub clock: Arc<VirtualClock>,
    pub traces: TraceIngestionWorker,
    /// Every envelope that a commit owed.
    pub told: Vec<Envelope>,
    pub counted: BTreeMap<&'static str, f64>,
    pub reasons: Vec<&'static str>,
    pub lawful: bool,
    /// Every decision as a golden case.
    pub cases: Vec<Value>,
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(VirtualClock::at(after(0)));
        let store = Flaky { inner: MemoryStore::new(clock.clone()), failures: AtomicU32::new(0) };
        let traces = TraceIngestionWorker::default();
        Self {
            store,
            clock,
            traces,
            told: vec![],
            counted: BTreeMap::new(),
            reasons: vec![],
            lawful: true,
            cases: vec![],
        }
    }

    pub fn count(&self, signal: &str) -> f64 {
        self.counted.get(signal).copied().unwrap_or_default()
    }

    /// Delivers a batch whole.
    pub async fn deliver(&mut self, batch: TelemetryBatch) {
        self.try_deliver(batch).await.unwrap();
    }

    pub async fn try_deliver(&mut self, batch: TelemetryBatch) -> Result<(), Stop> {
        self.clock.advance_to(batch.received_at);
        let traces = self.traces.clone();
        match batch.signal {
            TelemetrySignal::Logs => self.run(&LogIngestionWorker, &Incoming::Batch(batch), usize::MAX).await,
            _ => self.run(&traces, &Incoming::Batch(batch), usize::MAX).await,
        }
    }

    /// Delivers the first chains of a batch, then the process dies.
    pub async fn deliver_chains(&mut self, batch: TelemetryBatch, chains: usize) {
        self.clock.advance_to(batch.received_at);
        let traces = self.traces.clone();
        self.run(&traces, &Incoming::Batch(batch), chains).await.unwrap();
    }

    /// The index of what is due, then the process dies.
    pub async fn tick_index_only(&mut self, at: Timestamp) {
        self.clock.advance_to(at);
        let found = vec![FoundDue { id: DocId::from("head"), at }];
        let due = DueUnits { tick: at, tenant: tenant(), stream: stream_of(&trace()), found };
        let traces = self.traces.clone();
        let input = traces.accept(&Incoming::Due(due)).unwrap().unwrap();
        let unit = TraceIngestionWorker::plan(&input).remove(0).remove(0);
        self.settle(&traces, &unit, &input, at).await.unwrap();
    }

    /// Everything that is due by then, each at its own instant, until nothing is.
    pub async fn tick(&mut self, at: Timestamp) {
        self.clock.advance_to(at);
        for _ in 0..1_000 {
            let found = self.store.inner.due(&What::from(NAME), at, Within::All, None, 10_000).await.unwrap().found;
            let Some(first) = found.first().cloned() else { return };
            let of_stream = found.into_iter().filter(|f| f.stream == first.stream);
            let found = of_stream.map(|f| FoundDue { id: f.id, at: f.at }).collect();
            let due = DueUnits { tick: at, tenant: first.tenant, stream: first.stream, found };
            let traces = self.traces.clone();
            self.run(&traces, &Incoming::Due(due), usize::MAX).await.unwrap();
        }
        panic!("what is due never ends");
    }

    /// A tick every ten seconds, as in a calm run.
    pub async fn ticks(&mut self, from_s: i64, to_s: i64) {
        let mut at = from_s;
        while at <= to_s {
            self.tick(seconds(at)).await;
            at += 10;
        }
    }

    async fn run<W: Worker>(&mut self, worker: &W, incoming: &Incoming, chains: usize) -> Result<(), Stop> {
        let Some(input) = worker.accept(incoming)? else { return Ok(()) };
        let at = match incoming {
            Incoming::Batch(b) => b.received_at,
            _ => after(0),
        };
        for chain in W::plan(&input).into_iter().take(chains) {
            for unit in chain {
                self.settle(worker, &unit, &input, unit.due.unwrap_or(at)).await?;
            }
        }
        Ok(())
    }

    async fn settle<W: Worker>(
        &mut self,
        worker: &W,
        unit: &Unit<W::Key>,
        input: &W::Input,
        at: Timestamp,
    ) -> Result<(), Stop> {
        let tenant = unit.tenant.clone();
        let scope = Scope::admit(&tenant, &unit.tenant, &self.store)?;
        let view = worker.observe(unit, input, &scope).await?;
        if self.lawful {
            law::all::<W>(unit, input, &view, Moment(at)).unwrap();
        }
        let decision = W::decide(unit, input, &view, Moment(at)).unwrap();
        let key = unit.key.to_string();
        if self.lawful {
            self.cases.push(json!({
                "unit": {"tenant": unit.tenant, "stream": unit.stream, "key": key, "due": unit.due},
                "input": input, "view": view, "at": at, "decision": decision,
            }));
        }
        assert_eq!(key.parse::<W::Key>().ok().as_ref(), Some(&unit.key));
        let cause = Cause {
            spec: &W::SPEC,
            tenant: &unit.tenant,
            stream: &unit.stream,
            key: &key,
            event: None,
            marker: None,
            command: None,
            at,
            now: self.clock.now(),
        };
        let bound = bind::bind(&cause, &decision)?;
        assert!(bound.ahead.is_empty());
        if let Some(batch) = &bound.last {
            assert!(matches!(self.store.commit(batch).await?, Committed::Applied(_)), "raced against nobody");
        }
        for (_, owed) in &bound.owed {
            self.told.extend(owed.messages.iter().map(|m| m.envelope.read::<Envelope>().unwrap()));
        }
        for note in &decision.notes {
            *self.counted.entry(note.signal.name).or_default() += note.value;
        }
        self.reasons.push(decision.reason);
        Ok(())
    }

    pub fn events(&self) -> Vec<TraceRecorded> {
        self.told.iter().map(|e| e.read().unwrap()).collect()
    }

    pub async fn record(&self) -> Option<TraceRecord> {
        self.record_of(&trace()).await
    }
    pub async fn record_of(&self, trace: &TraceId) -> Option<TraceRecord> {
        let tenant = tenant();
        read_record(&self.scope(&tenant), trace).await.unwrap()
    }
    pub async fn due(&self) -> Option<Timestamp> {
        let tenant = tenant();
        read_head(&self.scope(&tenant), &trace()).await.unwrap()?.due()
    }
    pub async fn spans(&self) -> SpanPage {
        let tenant = tenant();
        read_spans(&self.scope(&tenant), &trace(), 10_000, None).await.unwrap()
    }
    pub fn scope<'a>(&'a self, tenant: &'a TenantId) -> Scope<'a> {
        Scope::admit(tenant, tenant, &self.store).unwrap()
    }

    /// All documents but what is owed, which is told already, by stream and id.
    pub fn documents(&self) -> BTreeMap<(String, String), Document> {
        let all = self.store.inner.dump().unwrap().into_iter().filter(|d| d.document.kind != "owed");
        all.map(|d| ((d.stream.name, d.document.id.0.clone()), d.document)).collect()
    }
}

/// A day and more, in the units of `std`.
pub const DAY: Duration = Duration::from_secs(86_400);
