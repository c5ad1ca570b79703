//! What is rejected alone, and what the sender is told.

use super::{
    super::{ContentType, Request, proto, receive, response, unzstd, validate},
    json, recorded, tenant,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opsloop_kernel::TelemetrySignal as Signal;
use prost::Message;
use serde_json::{Value, json};

const NOW: u64 = 1_795_242_600_000_000_000;
const DAY: u64 = 86_400_000_000_000;

fn span(fields: Value) -> Value {
    let mut span = json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
        "name": "n", "startTimeUnixNano": NOW.to_string(), "endTimeUnixNano": NOW.to_string()});
    for (k, v) in fields.as_object().unwrap() {
        span[k] = v.clone();
    }
    span
}

fn request(resource: Value, spans: Vec<Value>) -> String {
    json!({"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"spans": spans}]}]}).to_string()
}

fn verdict(fields: Value) -> (u64, u64) {
    let accepted = validate(json(Signal::Traces, &request(json!([]), vec![span(fields)])), &tenant(), recorded());
    (accepted.items, accepted.rejected)
}

#[test]
fn spans_are_rejected_alone() {
    assert_eq!(recorded().nanos() as u64, NOW);
    for good in [
        json!({}),
        json!({"parentSpanId": "0000000000000000"}),
        json!({"traceId": "5B8EFFF798038103D269B633813FC60C"}),
        json!({"startTimeUnixNano": NOW - 7 * DAY}),
        json!({"startTimeUnixNano": NOW + 300_000_000_000}),
        json!({"endTimeUnixNano": 0}),
    ] {
        assert_eq!(verdict(good.clone()), (1, 0), "{good}");
    }
    for bad in [
        json!({"traceId": "00000000000000000000000000000000"}),
        json!({"traceId": "5b8efff7"}),
        json!({"traceId": "zz8efff798038103d269b633813fc60c"}),
        json!({"traceId": ""}),
        json!({"spanId": "0000000000000000"}),
        json!({"spanId": "ee"}),
        json!({"parentSpanId": "xyz"}),
        json!({"parentSpanId": "eee19b7ec3c1b17400"}),
        json!({"startTimeUnixNano": 0}),
        json!({"startTimeUnixNano": NOW - 7 * DAY - 1}),
        json!({"startTimeUnixNano": NOW + 300_000_000_001}),
        json!({"startTimeUnixNano": u64::MAX}),
    ] {
        assert_eq!(verdict(bad.clone()), (0, 1), "{bad}");
    }
}

#[test]
fn tiw_05_a_zero_trace_id_is_a_partial_success() {
    let spans = (0..10).map(|n| {
        let id = format!("{:016x}", n + 1);
        let trace = if n == 4 { "0".repeat(32) } else { "5b8efff798038103d269b633813fc60c".to_owned() };
        span(json!({"spanId": id, "traceId": trace}))
    });
    let body = request(json!([]), spans.collect());
    let got = receive(Signal::Traces, ContentType::Json, body.as_bytes(), &tenant(), recorded(), 1 << 18).unwrap();
    assert_eq!((got.rejected, got.items, got.parts.len(), got.parts[0].items), (1, 9, 1, 9));

    let answer = got.response(Signal::Traces, ContentType::Json);
    assert_eq!((answer.status, answer.content_type), (200, "application/json"));
    let partial: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(partial["partialSuccess"]["rejectedSpans"], "1");
    assert!(partial["partialSuccess"]["errorMessage"].as_str().unwrap().contains("trace id"));

    let answer = got.response(Signal::Traces, ContentType::Protobuf);
    let partial = ExportTraceServiceResponse::decode(answer.body).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
}

#[test]
fn tiw_06_telemetry_of_another_tenant_is_rejected_and_counted() {
    let foreign = json!([{"key": "factory.tenant.id", "value": {"stringValue": "globex"}}]);
    let got = validate(json(Signal::Traces, &request(foreign, vec![span(json!({}))])), &tenant(), recorded());
    assert_eq!((got.items, got.rejected, got.tenant_violations), (0, 1, 1));
    assert_eq!(got.request, Request::Traces(Default::default()));
    // In the form of ids "Acme" is acme (A46).
    let own = json!([{"key": "factory.tenant.id", "value": {"stringValue": "Acme"}}]);
    let got = validate(json(Signal::Traces, &request(own, vec![span(json!({}))])), &tenant(), recorded());
    assert_eq!((got.items, got.tenant_violations), (1, 0));
}

#[test]
fn the_tenant_of_a_span_is_looked_up_before_that_of_its_resource() {
    let attribute = |t: &str| json!([{"key": "factory.tenant.id", "value": {"stringValue": t}}]);
    for (of_span, of_resource, kept) in [("acme", "globex", 1), ("globex", "acme", 0)] {
        let text = request(attribute(of_resource), vec![span(json!({"attributes": attribute(of_span)}))]);
        assert_eq!(validate(json(Signal::Traces, &text), &tenant(), recorded()).items, kept);
    }
}

fn points(metric: Value) -> (u64, u64) {
    let text = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).to_string();
    let got = validate(json(Signal::Metrics, &text), &tenant(), recorded());
    (got.items, got.rejected)
}

#[test]
fn points_are_rejected_alone() {
    let sum =
        |t: i32, p: Value| json!({"name": "m", "sum": {"aggregationTemporality": t, "dataPoints": [p, {"asInt": 1}]}});
    assert_eq!(points(sum(2, json!({"asInt": "7", "timeUnixNano": NOW.to_string()}))), (2, 0));
    assert_eq!(points(sum(1, json!({"flags": 1}))), (2, 0), "no recorded value");
    assert_eq!(points(sum(1, json!({}))), (1, 1), "no value");
    assert_eq!(points(sum(0, json!({"asInt": 1}))), (0, 2), "no temporality");
    assert_eq!(points(sum(2, json!({"asDouble": "NaN"}))), (1, 1));
    assert_eq!(points(sum(2, json!({"asDouble": "Infinity"}))), (1, 1));
    assert_eq!(points(sum(2, json!({"asInt": 1, "timeUnixNano": NOW + 300_000_000_001}))), (1, 1));
    assert_eq!(points(sum(2, json!({"asInt": 1, "timeUnixNano": 0}))), (2, 0), "no limit to the past");
    let foreign = json!([{"key": "factory.tenant.id", "value": {"stringValue": "globex"}}]);
    assert_eq!(points(sum(2, json!({"asInt": 1, "attributes": foreign}))), (1, 1));
    assert_eq!(points(json!({"name": "m"})), (0, 1), "no data");
    assert_eq!(points(json!({"name": "m", "gauge": {"dataPoints": [{"asInt": 1}]}})), (1, 0));
    assert_eq!(points(json!({"name": "m", "summary": {"dataPoints": [{"count": 1}, {"count": 2}]}})), (0, 2));

    let histogram = |p: Value| json!({"name": "m", "histogram": {"aggregationTemporality": 1, "dataPoints": [p]}});
    assert_eq!(points(histogram(json!({"count": 1, "bucketCounts": [1, 0], "explicitBounds": [5]}))), (1, 0));
    assert_eq!(points(histogram(json!({"count": 1, "sum": 0.5}))), (1, 0), "none at all");
    assert_eq!(points(histogram(json!({"count": 1, "bucketCounts": [1, 0], "explicitBounds": [5, 10]}))), (0, 1));
    assert_eq!(points(histogram(json!({"count": 1, "sum": "NaN"}))), (0, 1));
    assert_eq!(points(histogram(json!({"count": 1, "max": "-Infinity"}))), (0, 1));
    let exponential = |t: i32, p: Value| json!({"name": "m", "exponentialHistogram": {"aggregationTemporality": t, "dataPoints": [p]}});
    assert_eq!(points(exponential(1, json!({"count": 1, "sum": 2}))), (1, 0));
    assert_eq!(points(exponential(0, json!({"count": 1, "sum": 2}))), (0, 1));
    assert_eq!(points(exponential(1, json!({"count": 1, "min": "NaN"}))), (0, 1));
}

#[test]
fn logs_are_rejected_for_another_tenant_and_for_nothing_else() {
    let foreign = json!([{"key": "factory.tenant.id", "value": {"stringValue": "globex"}}]);
    let text = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"traceId": "zz", "timeUnixNano": "0"}, {"timeUnixNano": u64::MAX}, {"attributes": foreign},
    ]}]}]})
    .to_string();
    let got = validate(json(Signal::Logs, &text), &tenant(), recorded());
    assert_eq!((got.items, got.rejected, got.tenant_violations), (2, 1, 1));
}

#[test]
fn answers_are_in_the_encoding_of_the_request() {
    let answer = response::success(Signal::Metrics, ContentType::Protobuf, 0, "");
    assert!(answer.body.is_empty());
    assert_eq!(&response::success(Signal::Logs, ContentType::Json, 0, "").body[..], b"{}");
    let status = response::error(ContentType::Protobuf, 503, "try later");
    assert_eq!(response::Status::decode(status.body).unwrap().code, 14);
    let status: Value = serde_json::from_slice(&response::error(ContentType::Json, 400, "no").body).unwrap();
    assert_eq!(status, json!({"code": 3, "message": "no"}));
    assert_eq!(ContentType::parse("Application/JSON; charset=utf-8"), Some(ContentType::Json));
    assert_eq!(ContentType::parse("text/plain"), None);
}

/// Invariant I6, where it begins: neither queue nor object store gets to see a secret.
#[test]
fn the_receiver_redacts_before_anything_is_stored() {
    let attributes = json!([{"key": "Authorization", "value": {"stringValue": "Bearer hunter2"}}]);
    let body = request(
        attributes.clone(),
        vec![span(json!({"attributes": attributes, "events": [{"attributes": attributes}]}))],
    );
    let got = receive(Signal::Traces, ContentType::Json, body.as_bytes(), &tenant(), recorded(), 1 << 18).unwrap();
    let sent = unzstd(&got.parts[0].bytes).unwrap();
    assert!(!String::from_utf8_lossy(&sent).contains("hunter2"));
    let sent = proto::collector::trace::v1::ExportTraceServiceRequest::decode(sent).unwrap();
    assert_eq!(sent.resource_spans[0].scope_spans[0].spans.len(), 1);
}
