//! Spans of the shell, as they become spans of OpenTelemetry.

use crate::{signals::Signals, sink::Queue};
use opentelemetry::{
    Context,
    trace::{Link, SpanContext, SpanId, TraceId},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use opsloop_kernel::traceparent::{PLACE, ROOT, Traceparent};
use std::{sync::Arc, time::Duration};
use tracing::{Level, Metadata};

/// Whose spans are exported: the platform's own. So those of the exporters' HTTP client never are, and no export makes
/// spans of an export.
const OURS: &str = "opsloop";

/// Spans, and of log lines only those that somebody should see: what a delivery came to stands in its span already.
pub fn exported(metadata: &Metadata<'_>) -> bool {
    let level = if metadata.is_span() { Level::INFO } else { Level::WARN };
    metadata.target().starts_with(OURS) && *metadata.level() <= level
}

/// Gives every finished span to every queue; never waits.
#[derive(Debug)]
pub struct Spans {
    pub queues: Arc<[Queue]>,
    pub signals: Arc<Signals>,
}

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let span = placed(span);
        for queue in &*self.queues {
            queue.offer(span.clone(), &self.signals);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Puts a span where an envelope says that it is. In another trace than its maker's it is a root, linked to that.
fn placed(mut span: SpanData) -> SpanData {
    if take(&mut span, ROOT).is_some() {
        span.parent_span_id = SpanId::INVALID;
        span.parent_span_is_remote = false;
    }
    let place = take(&mut span, PLACE).and_then(|text| Traceparent::parse(&text));
    let Some((trace_id, span_id)) = place.and_then(ids_of) else { return span };
    let made = span.span_context;
    if trace_id != made.trace_id() {
        let maker =
            SpanContext::new(made.trace_id(), span.parent_span_id, made.trace_flags(), false, Default::default());
        span.links.links.push(Link::with_context(maker));
        span.parent_span_id = SpanId::INVALID;
        span.parent_span_is_remote = false;
    }
    span.span_context = SpanContext::new(trace_id, span_id, made.trace_flags(), false, Default::default());
    span
}

/// The value of a field that is for us, not for who reads the span.
fn take(span: &mut SpanData, field: &str) -> Option<String> {
    let at = span.attributes.iter().position(|kv| kv.key.as_str() == field)?;
    Some(span.attributes.swap_remove(at).value.as_str().into_owned())
}

fn ids_of(place: Traceparent) -> Option<(TraceId, SpanId)> {
    Some((TraceId::from_hex(place.trace_id.as_str()).ok()?, SpanId::from_hex(place.span_id.as_str()).ok()?))
}
