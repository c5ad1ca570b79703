//! Whole spans, points and records brought to the form in which they are kept (SPEC 5.1.4(3)).

use super::{
    Request,
    attributes::{clean_value, cut, normalise_attributes, redact_attributes, redact_value, truncate},
};
use opentelemetry_proto::tonic::{
    common::v1::{InstrumentationScope, KeyValue},
    logs::v1::LogRecord,
    metrics::v1::metric::Data,
    resource::v1::Resource,
    trace::v1::Span,
};

pub const EVENTS_MAX: usize = 128;
pub const LINKS_MAX: usize = 128;

/// Limits, renames and redacts a span; dropped counts grow by what was cut.
pub fn span(span: &mut Span) {
    cut(&mut span.name);
    cut(&mut span.trace_state);
    attributes(&mut span.attributes, &mut span.dropped_attributes_count);
    span.dropped_events_count = span.dropped_events_count.saturating_add(truncate(&mut span.events, EVENTS_MAX));
    span.dropped_links_count = span.dropped_links_count.saturating_add(truncate(&mut span.links, LINKS_MAX));
    for event in &mut span.events {
        cut(&mut event.name);
        attributes(&mut event.attributes, &mut event.dropped_attributes_count);
    }
    for link in &mut span.links {
        cut(&mut link.trace_state);
        attributes(&mut link.attributes, &mut link.dropped_attributes_count);
    }
    if let Some(status) = &mut span.status {
        cut(&mut status.message);
    }
}

/// Likewise a log record; its body is a value like any other.
pub fn log_record(record: &mut LogRecord) {
    cut(&mut record.severity_text);
    cut(&mut record.event_name);
    attributes(&mut record.attributes, &mut record.dropped_attributes_count);
    if let Some(body) = &mut record.body {
        clean_value(body);
    }
}

pub fn resource(resource: &mut Resource) {
    attributes(&mut resource.attributes, &mut resource.dropped_attributes_count);
}

pub fn scope(scope: &mut InstrumentationScope) {
    cut(&mut scope.name);
    cut(&mut scope.version);
    attributes(&mut scope.attributes, &mut scope.dropped_attributes_count);
}

fn attributes(list: &mut Vec<KeyValue>, dropped: &mut u32) {
    *dropped = dropped.saturating_add(normalise_attributes(list));
}

/// Redacts a whole request in place: what the receiver does, so that no secret reaches queue, object store or dead
/// letter (invariant I6). The workers' own normalisation finds nothing left to redact.
pub fn redact(request: &mut Request) {
    match request {
        Request::Traces(r) => {
            for rs in &mut r.resource_spans {
                redact_resource(rs.resource.as_mut());
                for ss in &mut rs.scope_spans {
                    redact_scope(ss.scope.as_mut());
                    ss.spans.iter_mut().for_each(redact_span);
                }
            }
        }
        Request::Metrics(r) => {
            for rm in &mut r.resource_metrics {
                redact_resource(rm.resource.as_mut());
                for sm in &mut rm.scope_metrics {
                    redact_scope(sm.scope.as_mut());
                    for metric in &mut sm.metrics {
                        redact_attributes(&mut metric.metadata);
                        metric.data.iter_mut().for_each(redact_points);
                    }
                }
            }
        }
        Request::Logs(r) => {
            for rl in &mut r.resource_logs {
                redact_resource(rl.resource.as_mut());
                for sl in &mut rl.scope_logs {
                    redact_scope(sl.scope.as_mut());
                    for record in &mut sl.log_records {
                        redact_attributes(&mut record.attributes);
                        record.body.iter_mut().for_each(redact_value);
                    }
                }
            }
        }
    }
}

fn redact_resource(resource: Option<&mut Resource>) {
    if let Some(r) = resource {
        redact_attributes(&mut r.attributes);
    }
}

fn redact_scope(scope: Option<&mut InstrumentationScope>) {
    if let Some(s) = scope {
        redact_attributes(&mut s.attributes);
    }
}

fn redact_span(span: &mut Span) {
    redact_attributes(&mut span.attributes);
    span.events.iter_mut().for_each(|e| redact_attributes(&mut e.attributes));
    span.links.iter_mut().for_each(|l| redact_attributes(&mut l.attributes));
}

fn redact_points(data: &mut Data) {
    macro_rules! points {
        ($points:expr) => {
            for p in $points {
                redact_attributes(&mut p.attributes);
                p.exemplars.iter_mut().for_each(|e| redact_attributes(&mut e.filtered_attributes));
            }
        };
    }
    match data {
        Data::Gauge(d) => points!(&mut d.data_points),
        Data::Sum(d) => points!(&mut d.data_points),
        Data::Histogram(d) => points!(&mut d.data_points),
        Data::ExponentialHistogram(d) => points!(&mut d.data_points),
        Data::Summary(d) => d.data_points.iter_mut().for_each(|p| redact_attributes(&mut p.attributes)),
    }
}
