//! A few traces per tenant, in up to four batches each.

use crate::{
    plan::{Cast, Plan},
    rng::Rng,
    workers::otlp::{inside, integer, nanos, of_each_tenant, offer, service, text},
};
use opsloop_kernel::{TenantId, Timestamp};
use opsloop_observability::otlp::{
    Request,
    proto::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::KeyValue,
        trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Event},
    },
};

/// Batches of one tenant.
const BATCHES_MAX: usize = 10;
const ROOTS: [&str; 3] = ["GET /bookings", "POST /orders", "consume payment"];
const STATUS_ERROR: i32 = 2;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// The share of tenants with more due at one instant than a tick handles at once.
const FLOODED: f64 = 1.0 / 90.0;

/// Spans of one service on their way.
#[derive(Clone)]
struct Batch {
    at: Timestamp,
    project: &'static str,
    module: &'static str,
    spans: Vec<Span>,
}

pub fn generate(rng: &mut Rng, cast: &Cast, plan: &mut Plan) {
    of_each_tenant(rng, cast, |rng, tenant| {
        of_tenant(rng, cast, plan, tenant);
        if rng.hit(FLOODED) {
            flood(rng, cast, plan, tenant);
        }
    });
}

fn of_tenant(rng: &mut Rng, cast: &Cast, plan: &mut Plan, tenant: &TenantId) {
    let mut batches: Vec<Batch> = vec![];
    let traces = rng.between(2, 5) as usize;
    for n in 0..traces {
        let left = BATCHES_MAX - batches.len() - (traces - n - 1);
        batches.extend(trace(rng, cast, plan, tenant, left));
    }
    let mut requests: Vec<Vec<Batch>> = vec![];
    for batch in batches {
        // Two traces share a request now and then; an exporter sends what it has.
        match requests.last_mut() {
            Some(last) if last.len() == 1 && rng.hit(0.2) => last.push(batch),
            _ => requests.push(vec![batch]),
        }
    }
    let repeats = BATCHES_MAX - requests.len().min(BATCHES_MAX);
    for parts in &requests {
        let at = parts.iter().map(|b| b.at).max().unwrap_or(cast.start);
        offer(plan, cast, at, tenant, &request(parts));
    }
    for _ in 0..repeats.min(2) {
        repeat(rng, cast, plan, tenant, &requests);
    }
}

/// Many traces of one span each in one request: the tick must publish pages (A49).
fn flood(rng: &mut Rng, cast: &Cast, plan: &mut Plan, tenant: &TenantId) {
    let at = inside(cast, cast.start.plus_millis(rng.between(6_000, 60_000)));
    let mut spans = vec![];
    for _ in 0..rng.between(210, 260) {
        let span = Span {
            trace_id: bytes(rng, 16),
            span_id: bytes(rng, 8),
            name: ROOTS[0].to_owned(),
            kind: SERVER,
            start_time_unix_nano: nanos(at.plus_millis(-2_000)),
            end_time_unix_nano: nanos(at.plus_millis(-1_000)),
            ..Span::default()
        };
        let known = plan.spans.entry((tenant.clone(), hex(&span.trace_id))).or_default();
        known.insert(hex(&span.span_id));
        spans.push(span);
    }
    let (project, module) = (*rng.pick(&cast.projects), *rng.pick(&cast.modules));
    offer(plan, cast, at, tenant, &request(&[Batch { at, project, module, spans }]));
}

/// Somebody sends again what was sent before: the same bytes, or the spans of two requests in one.
fn repeat(rng: &mut Rng, cast: &Cast, plan: &mut Plan, tenant: &TenantId, requests: &[Vec<Batch>]) {
    let mut parts = rng.pick(requests).clone();
    if rng.hit(0.5) {
        parts.extend(rng.pick(requests).clone());
    }
    let after = parts.iter().map(|b| b.at).max().unwrap_or(cast.start);
    let at = after.plus_millis(rng.between(1, 40_000));
    offer(plan, cast, at, tenant, &request(&parts));
}

/// The spans of a trace, shuffled and cut into batches.
fn trace(rng: &mut Rng, cast: &Cast, plan: &mut Plan, tenant: &TenantId, batches_max: usize) -> Vec<Batch> {
    let room = cast.end.millis_since(cast.start);
    let began = inside(cast, cast.start.plus_millis(rng.between(5_000, room * 3 / 4)));
    let mut spans = spans(rng, plan, began);
    if spans.len() > 1 && rng.hit(0.15) {
        spans.remove(0);
    }
    if let Some(first) = spans.first() {
        let known = plan.spans.entry((tenant.clone(), hex(&first.trace_id))).or_default();
        known.extend(spans.iter().map(|s| hex(&s.span_id)));
    }
    let (project, module) = (*rng.pick(&cast.projects), *rng.pick(&cast.modules));
    rng.shuffle(&mut spans);
    let count = (rng.between(1, 4) as usize).min(spans.len()).min(batches_max);
    let size = spans.len().div_ceil(count);
    let mut batches = vec![];
    for (n, part) in spans.chunks(size).enumerate() {
        // The last one may miss the settle window, or even the hold.
        let late = if n > 0 && n + 1 == count && rng.hit(0.5) { rng.between(11_000, 130_000) } else { 0 };
        let at = began.plus_millis(rng.between(0, 8_000) + late);
        batches.push(Batch { at, project, module, spans: part.to_vec() });
    }
    conflict(rng, &mut batches);
    batches
}

/// A span that came before with another end: the larger end stays.
fn conflict(rng: &mut Rng, batches: &mut [Batch]) {
    if let [first, .., last] = batches
        && rng.hit(0.15)
        && let Some(span) = first.spans.first()
    {
        let mut longer = span.clone();
        longer.end_time_unix_nano += 7_000_000;
        last.spans.push(longer);
    }
}

/// The first is the root. All have begun before `at`.
fn spans(rng: &mut Rng, plan: &mut Plan, at: Timestamp) -> Vec<Span> {
    let trace_id = bytes(rng, 16);
    let storm = rng.hit(0.15);
    let count = if storm { 8 } else { rng.between(1, 8) };
    let start = at.plus_millis(-5_000);
    let mut spans: Vec<Span> = vec![];
    for n in 0..count {
        let parent = if storm { 0 } else { rng.below(n.unsigned_abs()) as usize };
        let parent = spans.get(parent).map(|p| p.span_id.clone()).unwrap_or_default();
        let start = start.plus_millis(n * 40 + rng.between(0, 30));
        spans.push(Span {
            trace_id: trace_id.clone(),
            span_id: bytes(rng, 8),
            parent_span_id: parent,
            name: if storm && n > 0 { "charge".to_owned() } else { format!("step {n}") },
            kind: if n == 0 { SERVER } else { CLIENT },
            start_time_unix_nano: nanos(start),
            end_time_unix_nano: nanos(start.plus_millis(rng.between(0, 400))),
            ..Span::default()
        });
    }
    root(rng, &mut spans[0]);
    if storm || rng.hit(0.5) {
        fail(rng, &mut spans, storm);
    }
    for span in &mut spans {
        whisper(rng, plan, span);
        attribute(rng, span);
    }
    spans
}

fn root(rng: &mut Rng, root: &mut Span) {
    root.name = (*rng.pick(&ROOTS)).to_owned();
    if rng.hit(0.15) {
        root.end_time_unix_nano = root.start_time_unix_nano + 3_000_000_000;
    }
}

/// An error that recurs from trace to trace, so that feedback comes of its signals.
fn fail(rng: &mut Rng, spans: &mut [Span], all: bool) {
    let origin = rng.below(spans.len() as u64) as usize;
    for (n, span) in spans.iter_mut().enumerate() {
        if n == origin || (all && n > 0) {
            span.status = Some(Status { code: STATUS_ERROR, message: "upstream timed out".to_owned() });
            span.attributes.push(text("error.type", "timeout"));
        }
    }
    if rng.hit(0.7) {
        spans[0].attributes.push(integer("http.response.status_code", 503));
    }
}

/// A secret under one of the names that must be redacted.
fn whisper(rng: &mut Rng, plan: &mut Plan, span: &mut Span) {
    if !rng.hit(0.2) {
        return;
    }
    let secret = format!("s3cr3t{}", rng.hex(12));
    let attribute: KeyValue = match rng.below(3) {
        0 => text("http.request.header.authorization", &format!("Bearer {secret}")),
        1 => text("db.connection_string", &format!("Server=db;Password={secret}")),
        _ => text("session.token", &secret),
    };
    if rng.hit(0.3) {
        let time_unix_nano = span.start_time_unix_nano;
        span.events.push(Event {
            time_unix_nano,
            name: "sent".to_owned(),
            attributes: vec![attribute],
            ..Event::default()
        });
    } else {
        span.attributes.push(attribute);
    }
    plan.secrets.push(secret);
}

fn attribute(rng: &mut Rng, span: &mut Span) {
    if rng.hit(0.4) {
        span.attributes.push(text("factory.artifact.id", &format!("art-{}", rng.below(3))));
        span.attributes.push(text("factory.agent.id", "agent-1"));
    }
}

fn request(batches: &[Batch]) -> Request {
    let resource_spans = batches.iter().map(|batch| ResourceSpans {
        resource: Some(service(batch.project, batch.module)),
        scope_spans: vec![ScopeSpans { spans: batch.spans.clone(), ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    });
    Request::Traces(ExportTraceServiceRequest { resource_spans: resource_spans.collect() })
}

/// Not all zero.
fn bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|_| rng.below(256) as u8).collect();
    bytes[0] |= 1;
    bytes
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
