//! What a collector gets over OTLP, and what becomes of handlers when it does not answer.

#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers of a test

mod receiver;

use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    metrics::v1::{Metric, metric::Data, number_data_point::Value},
    trace::v1::Span,
};
use opsloop_kernel::{Note, ports::Recorder, signal, traceparent::Traceparent};
use opsloop_telemetry::{Export, OtlpEndpoint, QUEUE_MAX, Telemetry};
use prost::Message;
use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};
use tracing_subscriber::prelude::*;

/// Spans of others are not exported.
const OURS: &str = "opsloop_shell";
const WITHIN: Duration = Duration::from_secs(20);

fn telemetry(to: SocketAddr) -> Telemetry {
    let otlp = Some(OtlpEndpoint::parse(&format!("http://{to}")).unwrap());
    Telemetry::start(&Export { otlp, ..Export::default() }).unwrap()
}
fn spans(received: &receiver::Received) -> Vec<Span> {
    let bodies = received.at("/v1/traces");
    let requests = bodies.iter().map(|b| ExportTraceServiceRequest::decode(&b[..]).unwrap());
    requests.flat_map(|r| r.resource_spans).flat_map(|r| r.scope_spans).flat_map(|s| s.spans).collect()
}
fn metrics(received: &receiver::Received) -> Vec<Metric> {
    let bodies = received.at("/v1/metrics");
    let requests = bodies.iter().map(|b| ExportMetricsServiceRequest::decode(&b[..]).unwrap());
    requests.flat_map(|r| r.resource_metrics).flat_map(|r| r.scope_metrics).flat_map(|s| s.metrics).collect()
}
fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no span {name}"))
}

#[tokio::test]
async fn a_span_takes_the_place_that_an_envelope_gave_it() {
    let (address, received) = receiver::listen(200, "").await;
    let telemetry = telemetry(address);
    let listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(telemetry.layer()));
    {
        let maker = tracing::info_span!(target: OURS, "maker");
        let _entered = maker.enter();
        let other = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        drop(tracing::info_span!(target: OURS, "elsewhere", opsloop.place = other));
        drop(tracing::info_span!(target: OURS, "bare"));
    }
    drop(listening);
    assert!(telemetry.flush(WITHIN).await);
    let spans = spans(&received);
    let (maker, elsewhere) = (named(&spans, "maker"), named(&spans, "elsewhere"));
    let place = Traceparent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(hex(&elsewhere.trace_id), place.trace_id.as_str());
    assert_eq!(hex(&elsewhere.span_id), place.span_id.as_str());
    assert!(elsewhere.parent_span_id.is_empty(), "the first of its trace");
    assert_eq!(elsewhere.links[0].span_id, maker.span_id, "linked to who made it");
    assert!(elsewhere.attributes.iter().all(|a| !a.key.starts_with("opsloop.")), "{:?}", elsewhere.attributes);
    assert_eq!(named(&spans, "bare").parent_span_id, maker.span_id);
}

#[tokio::test]
async fn signals_have_their_names_units_buckets_and_labels() {
    let (address, received) = receiver::listen(200, "").await;
    let telemetry = telemetry(address);
    let note = Note::count(&signal::MESSAGES, 3).label("event_type", "X").label("outcome", "processed");
    telemetry.signals.record("W", &note);
    telemetry.signals.record("W", &note);
    telemetry.signals.record("W", &Note { signal: &signal::OUTBOX_PUBLISH, labels: vec![], value: 0.02 });
    assert!(telemetry.flush(WITHIN).await);
    let metrics = metrics(&received);
    let of = |name: &str| metrics.iter().find(|m| m.name == name).unwrap();
    let Some(Data::Sum(sum)) = &of("worker_messages_total").data else { panic!() };
    assert!(sum.is_monotonic);
    assert_eq!(sum.data_points[0].value, Some(Value::AsDouble(6.0)));
    let labels: Vec<_> = sum.data_points[0].attributes.iter().map(|a| a.key.as_str()).collect();
    assert!(["worker", "event_type", "outcome"].iter().all(|l| labels.contains(l)), "{labels:?}");
    let seconds = of("outbox_publish_seconds");
    assert_eq!((seconds.unit.as_str(), seconds.description.as_str()), ("s", signal::OUTBOX_PUBLISH.help));
    let Some(Data::Histogram(histogram)) = &seconds.data else { panic!() };
    assert_eq!(histogram.data_points[0].explicit_bounds, signal::OUTBOX_PUBLISH.buckets);
    assert_eq!((histogram.data_points[0].count, histogram.data_points[0].sum), (1, Some(0.02)));
}

#[tokio::test]
async fn an_endpoint_that_never_answers_costs_neither_time_nor_memory() {
    // Connections are taken by the kernel; nobody reads them.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let telemetry = telemetry(deaf.local_addr().unwrap());
    let listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(telemetry.layer()));
    // No await in between: the exporter's task has no turn, so what does not fit is known exactly.
    for _ in 0..QUEUE_MAX + 1_000 {
        drop(tracing::info_span!(target: OURS, "one"));
    }
    drop(listening);
    let text = telemetry.signals.exposition();
    let line = r#"telemetry_dropped_total{worker="Telemetry",exporter="otlp",reason="queue_full"} 1000"#;
    assert!(text.contains(line), "{text}");
    assert!(!telemetry.flush(Duration::from_millis(20)).await, "given up in time");
    // The first flush is still under way, and one more waits; a third is refused at once, not queued.
    assert!(!telemetry.flush(Duration::from_millis(20)).await);
    assert!(!telemetry.flush(WITHIN).await);
}

#[tokio::test]
async fn only_the_platforms_own_spans_are_exported() {
    let (address, received) = receiver::listen(200, "").await;
    let telemetry = telemetry(address);
    let listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(telemetry.layer()));
    drop(tracing::info_span!(target: "hyper_util::client", "connect"));
    drop(tracing::info_span!(target: "opsloop_shell::spans", "delivery"));
    // The exporter's own requests are made while this listens: they must not make spans to export.
    assert!(telemetry.flush(WITHIN).await);
    assert!(telemetry.flush(WITHIN).await);
    drop(listening);
    assert!(telemetry.flush(WITHIN).await);
    let names: Vec<_> = spans(&received).into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["delivery"]);
}
