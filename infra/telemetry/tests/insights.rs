//! What Application Insights gets, decoded from the wire: requests and dependencies with their trace, and metrics.

#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers of a test

mod receiver;

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use opsloop_kernel::{Note, ports::Recorder, signal};
use opsloop_telemetry::{Bearer, ConnectionString, Export, Telemetry};
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::prelude::*;

const KEY: &str = "00000000-1111-2222-3333-444444444444";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// Spans of others are not exported.
const OURS: &str = "opsloop_shell";
const WITHIN: Duration = Duration::from_secs(20);
const TAKEN: &str = r#"{"itemsReceived":1,"itemsAccepted":1,"errors":[]}"#;

fn telemetry(to: SocketAddr) -> Telemetry {
    let text = format!("InstrumentationKey={KEY};IngestionEndpoint=http://{to}/");
    let application_insights = Some(ConnectionString::parse(&text).unwrap());
    let bearer = Some(Bearer::new(|| Box::pin(async { Ok("token-1".to_owned()) })));
    let role = "opsloop-test".to_owned();
    Telemetry::start(&Export { application_insights, bearer, role, ..Export::default() }).unwrap()
}

fn parent() -> Context {
    let (trace, span) = (TraceId::from_hex(TRACE).unwrap(), SpanId::from_hex(PARENT).unwrap());
    // Flag 00, as the host sets it: it decides nothing (P18).
    let remote = SpanContext::new(trace, span, TraceFlags::default(), true, TraceState::default());
    Context::new().with_remote_span_context(remote)
}

/// The items of a kind, as `Microsoft.ApplicationInsights.<kind>`.
fn items(received: &receiver::Received, kind: &str) -> Vec<Value> {
    let batches = received.at("/v2.1/track");
    let items = batches.iter().flat_map(|b| serde_json::from_slice::<Vec<Value>>(b).unwrap());
    items.filter(|i| i["name"] == format!("Microsoft.ApplicationInsights.{kind}")).collect()
}

#[tokio::test]
async fn a_delivery_is_a_request_and_what_it_calls_a_dependency_of_the_senders_operation() {
    let (address, received) = receiver::listen(200, TAKEN).await;
    let telemetry = telemetry(address);
    let listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(telemetry.layer()));
    {
        let delivery = tracing::info_span!(
            target: OURS,
            "delivery",
            otel.name = "W process X",
            otel.kind = "consumer",
            otel.status_code = "error",
            tenant.id = "acme"
        );
        delivery.set_parent(parent()).unwrap();
        let _entered = delivery.enter();
        let _commit =
            tracing::info_span!(target: OURS, "commit", otel.name = "store commit", otel.kind = "client").entered();
    }
    drop(listening);
    assert!(telemetry.flush(WITHIN).await);
    let (requests, dependencies) = (items(&received, "Request"), items(&received, "RemoteDependency"));
    assert_eq!((requests.len(), dependencies.len()), (1, 1));
    let (request, dependency) = (&requests[0], &dependencies[0]);
    assert_eq!(request["iKey"], KEY);
    assert_eq!(request["tags"]["ai.cloud.role"], "opsloop-test");
    assert_eq!(request["tags"]["ai.operation.id"], TRACE);
    assert_eq!(request["tags"]["ai.operation.parentId"], PARENT);
    assert_eq!(received.header("authorization")[0], "Bearer token-1", "the key alone admits nobody");
    let data = &request["data"]["baseData"];
    assert_eq!((data["name"].as_str(), data["success"].as_bool()), (Some("W process X"), Some(false)));
    assert_eq!(data["properties"]["tenant.id"], "acme");
    assert!(data["duration"].as_str().unwrap().starts_with("0.00:00:"), "{data}");
    assert_eq!(dependency["tags"]["ai.operation.id"], TRACE);
    assert_eq!(dependency["tags"]["ai.operation.parentId"], data["id"], "the dependency is a child of the request");
    assert_eq!(dependency["data"]["baseData"]["name"], "store commit");
}

#[tokio::test]
async fn declared_signals_are_metrics_of_the_same_name() {
    let (address, received) = receiver::listen(200, TAKEN).await;
    let telemetry = telemetry(address);
    let count = |n| Note::count(&signal::MESSAGES, n).label("event_type", "X").label("outcome", "processed");
    telemetry.signals.record("W", &count(3));
    telemetry.signals.record("W", &Note { signal: &signal::INFLIGHT, labels: vec![], value: 2.0 });
    telemetry.signals.record("W", &Note { signal: &signal::HANDLER_SECONDS, labels: vec![], value: 0.25 });
    assert!(telemetry.flush(WITHIN).await);
    telemetry.signals.record("W", &count(4));
    assert!(telemetry.flush(WITHIN).await);
    let metrics = items(&received, "Metric");
    let of = |name: &str| -> Vec<&Value> {
        metrics.iter().map(|m| &m["data"]["baseData"]).filter(|d| d["metrics"][0]["name"] == name).collect()
    };
    let counts: Vec<_> =
        of("worker_messages_total").iter().map(|d| d["metrics"][0]["value"].as_f64().unwrap()).collect();
    assert_eq!(counts, [3.0, 4.0], "what was added since the last time, for it adds up itself");
    assert_eq!(of("worker_messages_total")[0]["properties"]["outcome"], "processed");
    assert_eq!(of("worker_messages_total")[0]["properties"]["worker"], "W");
    assert_eq!(of("worker_inflight")[0]["metrics"][0]["value"], 2.0);
    let seconds = &of("worker_handler_duration_seconds")[0]["metrics"][0];
    assert_eq!((seconds["value"].as_f64(), seconds["count"].as_i64()), (Some(0.25), Some(1)));
}

#[tokio::test]
async fn what_is_refused_for_good_is_dropped_and_counted() {
    let (address, _) = receiver::listen(400, "{}").await;
    let telemetry = telemetry(address);
    let listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(telemetry.layer()));
    drop(tracing::info_span!(target: OURS, "one"));
    drop(listening);
    assert!(!telemetry.flush(WITHIN).await);
    let text = telemetry.signals.exposition();
    let line =
        r#"telemetry_dropped_total{worker="Telemetry",exporter="application-insights",reason="export_failed"} 1"#;
    assert!(text.contains(line), "{text}");
}
