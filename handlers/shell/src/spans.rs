//! The spans of the platform itself (SPEC 3.12): one per delivery, tick and request, with children for what it commits
//! and publishes. What is no span yet, where nobody listens, costs next to nothing.
//!
//! Messages continue the trace of their envelope, HTTP that of the client. The headers that the host adds to messages
//! and timers are never read, and no flag of a caller decides what is kept (P18).

use crate::{bind::Owed, delivery, invocation::Received};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use opsloop_kernel::{
    Incoming, TenantId,
    message::property,
    traceparent::{ROOT, Traceparent},
};
use tracing::{Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// A message on its way through a worker. `incoming` is none where the message could not be read.
pub fn delivery(
    worker: &'static str,
    event_type: &str,
    attempt: u32,
    received: &Received,
    incoming: Option<&Incoming>,
) -> Span {
    let span = info_span!(
        "delivery",
        otel.name = format!("{worker} process {event_type}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        messaging.operation.type = "process",
        messaging.message.id = %received.message_id,
        tenant.id = Empty,
        worker,
        event_type,
        event_id = delivery::original_id(received),
        correlation_id = Empty,
        attempt,
        outcome = Empty,
        opsloop.root = Empty,
    );
    if span.is_disabled() {
        return span;
    }
    match incoming {
        Some(Incoming::Event(envelope)) => {
            span.record("tenant.id", envelope.tenant_id.as_str());
            span.record("correlation_id", envelope.correlation_id.as_str());
            match envelope.traceparent.as_deref().and_then(Traceparent::parse) {
                Some(parent) => continues(&span, &parent),
                None => continues_trace(&span, &envelope.trace_id),
            }
        }
        _ => {
            // Many traces meet in a batch: it is linked to the request that brought it, and has its own trace.
            span.record("tenant.id", delivery::tenant_of(received).as_str());
            let sender = received.properties.get(property::TRACEPARENT).and_then(|t| Traceparent::parse(t));
            if let Some(context) = sender.as_ref().and_then(remote) {
                span.add_link(context);
            }
        }
    }
    span
}

/// A timer's run, and so a trace of its own (SPEC 3.9).
pub fn tick(worker: &str, function: &str) -> Span {
    info_span!(
        "tick",
        otel.name = format!("{worker} process Tick"),
        otel.kind = "internal",
        otel.status_code = Empty,
        worker,
        function,
        event_type = "Tick",
        applied = Empty,
        failed = Empty,
    )
}

/// A request of a client. The query, which may bear a function's key, is never looked at (P10).
pub fn request(method: &str, traceparent: Option<&Traceparent>) -> Span {
    let span = info_span!(
        "request",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = Empty,
        http.response.status_code = Empty,
        tenant.id = Empty,
    );
    if let Some(parent) = traceparent {
        continues(&span, parent);
    }
    span
}

/// The route of the request under way: its template, for paths have ids in them.
pub fn routed(method: &str, route: &str) {
    let span = Span::current();
    span.record("http.route", route);
    span.record("otel.name", format!("{method} {route}"));
}

/// Whose request it is.
pub fn admitted(tenant: &TenantId) {
    Span::current().record("tenant.id", tenant.as_str());
}

/// How a request was answered.
pub fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "error");
    }
}

/// How a delivery ended: what a human must see is an error, what comes again is none.
pub fn settled(span: &Span, outcome: &'static str) {
    span.record("outcome", outcome);
    if matches!(outcome, "dead_lettered" | "failed") {
        span.record("otel.status_code", "error");
    }
}

/// The store's part of a delivery.
pub fn commit(worker: &'static str) -> Span {
    info_span!("commit", otel.name = "store commit", otel.kind = "client", otel.status_code = Empty, worker)
}

/// One span per message that a commit owes, in the place that its envelope names: consumers are its children. Open as
/// long as the relay's hint takes.
pub fn publishes(worker: &'static str, owed: &Owed) -> Vec<Span> {
    let made = owed.messages.iter().filter_map(|message| {
        let property = |name: &str| message.properties.get(name).map(String::as_str);
        let (kind, place) = (property(property::KIND)?, property(property::TRACEPARENT)?);
        Some(info_span!(
            "publish",
            otel.name = format!("{worker} publish {kind}"),
            otel.kind = "producer",
            messaging.system = "servicebus",
            messaging.operation.type = "send",
            messaging.message.id = message.id,
            tenant.id = property(property::TENANT),
            worker,
            event_type = kind,
            event_id = message.id,
            correlation_id = property(property::CORRELATION_ID),
            opsloop.place = place,
        ))
    });
    made.collect()
}

/// The span under way as a `traceparent`; none where nobody listens.
pub fn current() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let known = span.span_context();
    known.is_valid().then(|| format!("00-{}-{}-01", known.trace_id(), known.span_id()))
}

fn continues(span: &Span, parent: &Traceparent) {
    if let Some(context) = remote(parent) {
        set_parent(span, context);
    }
}

/// An envelope without `traceparent` still names its trace (SPEC 4.5). A parent must have a span id; this one stands
/// for none.
fn continues_trace(span: &Span, trace: &opsloop_kernel::TraceId) {
    if let Ok(trace_id) = TraceId::from_hex(trace.as_str()) {
        span.record(ROOT, true);
        set_parent(span, context_of(trace_id, SpanId::from(1)));
    }
}

fn remote(parent: &Traceparent) -> Option<SpanContext> {
    let trace_id = TraceId::from_hex(parent.trace_id.as_str()).ok()?;
    let span_id = SpanId::from_hex(parent.span_id.as_str()).ok()?;
    Some(context_of(trace_id, span_id))
}

fn context_of(trace_id: TraceId, span_id: SpanId) -> SpanContext {
    SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, true, TraceState::default())
}

fn set_parent(span: &Span, context: SpanContext) {
    // It fails where nobody listens to spans.
    let _ = span.set_parent(Context::new().with_remote_span_context(context));
}
