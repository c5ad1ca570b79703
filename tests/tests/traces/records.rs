//! What a record says of a trace (SPEC 5.1.4(5), (6)), and what is kept of its spans.

use super::world::{T, TRACE, World, after, batch, batches, seconds, span, spans_body, strings, with};
use opsloop_kernel::{TelemetrySignal, TraceId, ids::digest};
use opsloop_observability::{
    events::{Completeness, SignalKind, TraceStatus},
    trace_ingestion::{SpanFlag, TraceRecord, TraceSettings},
};
use serde_json::{Value, json};

async fn recorded(spans: &[Value]) -> TraceRecord {
    let mut w = World::new();
    w.deliver(batch(spans, seconds(0))).await;
    w.ticks(10, 70).await;
    assert_eq!(w.told.len(), 1);
    w.record().await.unwrap()
}

fn failed(s: Value) -> Value {
    with(s, json!({"status": {"code": 2}}))
}
fn attributes(s: Value, pairs: Value) -> Value {
    with(s, json!({"attributes": pairs}))
}
fn number(key: &str, n: i64) -> Value {
    json!({"key": key, "value": {"intValue": n}})
}

#[tokio::test]
async fn tiw_05_the_other_nine_spans_are_stored() {
    let spans: Vec<Value> = (1..=10)
        .map(|id| span(id, u64::from(id > 1), 0, 100))
        .map(|s| if s["spanId"] == "0000000000000005" { with(s, json!({"traceId": "0".repeat(32)})) } else { s })
        .collect();
    let (received, made) = batches(TelemetrySignal::Traces, &spans_body(strings(&[]), &spans), seconds(0), None);
    assert_eq!(received.rejected, 1);
    let mut w = World::new();
    w.deliver(made[0].clone()).await;
    assert_eq!(w.spans().await.spans.len(), 9);
}

#[tokio::test]
async fn tiw_06_a_span_of_another_tenant_makes_no_record_in_either() {
    let body = spans_body(strings(&[("factory.tenant.id", "globex")]), &[span(1, 0, 0, 100)]);
    let (received, made) = batches(TelemetrySignal::Traces, &body, seconds(0), None);
    assert_eq!((received.tenant_violations, made.len()), (1, 0));

    // Behind the receiver, too: whoever posts to the queue reaches no other tenant.
    let request = opsloop_observability::otlp::decode(
        TelemetrySignal::Traces,
        opsloop_observability::otlp::ContentType::Json,
        &body,
    );
    let mut posted = batch(&[span(1, 0, 0, 100)], seconds(0));
    posted.body = request.unwrap().encode().into();
    let mut w = World::new();
    w.deliver(posted).await;
    w.ticks(10, 70).await;
    assert!(w.documents().is_empty() && w.told.is_empty());
}

#[tokio::test]
async fn tiw_09_and_16_no_secret_is_stored_or_emitted() {
    let secrets = json!([
        {"key": "Authorization", "value": {"stringValue": "Bearer hunter2"}},
        {"key": "http.request.header.authorization", "value": {"arrayValue": {"values": [
            {"stringValue": "Bearer hunter2"}, {"stringValue": "Basic hunter2"}]}}},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "cookie", "value": {"stringValue": "hunter2"}}]}}},
    ]);
    let s = with(
        span(1, 0, 0, 100),
        json!({
            "attributes": secrets, "events": [{"name": "e", "attributes": secrets}],
            "links": [{"traceId": TRACE, "spanId": "0000000000000002", "attributes": secrets}],
        }),
    );
    // Straight into the queue, past the receiver that would have redacted it already.
    let body = json!({"resourceSpans": [{"resource": {"attributes": secrets}, "scopeSpans": [
        {"scope": {"attributes": secrets}, "spans": [s]}]}]})
    .to_string();
    let request = opsloop_observability::otlp::decode(
        TelemetrySignal::Traces,
        opsloop_observability::otlp::ContentType::Json,
        body.as_bytes(),
    );
    let mut posted = batch(&[span(1, 0, 0, 100)], seconds(0));
    posted.body = request.unwrap().encode().into();
    assert!(String::from_utf8_lossy(&posted.body).contains("hunter2"));
    let mut w = World::new();
    w.deliver(posted).await;
    w.ticks(10, 20).await;
    let page = w.spans().await;
    let shown = serde_json::to_string(&page).unwrap();
    assert!(!shown.contains("hunter2"));
    assert_eq!(page.spans[0].attributes["Authorization"], "[REDACTED]");
    assert_eq!(page.spans[0].attributes["http.request.header.authorization"], json!(["[REDACTED]", "[REDACTED]"]));
    assert_eq!(page.spans[0].attributes["map"]["cookie"], "[REDACTED]");
    assert_eq!(page.spans[0].resource["Authorization"], "[REDACTED]");
    assert!(!format!("{:?}{:?}", w.told, w.documents()).contains("hunter2"));
}

#[tokio::test]
async fn tiw_10_an_error_trace_has_the_type_of_its_origin_and_one_fingerprint() {
    let spans = |trace: &str, at: i64| {
        let root = attributes(
            with(span(1, 0, at, at + 100), json!({"name": "GET /pay"})),
            json!([number("http.status_code", 503)]),
        );
        let child = attributes(failed(span(2, 1, at + 10, at + 50)), strings(&[("error.type", "timeout")]));
        [root, child].map(|s| with(s, json!({"traceId": trace})))
    };
    let other = "5bf92f3577b34da6a3ce929d0e0e4736";
    let mut w = World::new();
    w.deliver(batch(&spans(TRACE, 0), seconds(0))).await;
    w.deliver(batch(&spans(other, 700), seconds(1))).await;
    w.ticks(10, 30).await;
    let one = w.record().await.unwrap();
    let two = w.record_of(&TraceId::parse(other).unwrap()).await.unwrap();
    assert_eq!((one.status, one.error_span_count, one.signals.len()), (TraceStatus::Error, 1, 1));
    let signal = &one.signals[0];
    assert_eq!((signal.kind, signal.error_type.as_deref()), (SignalKind::ErrorTrace, Some("timeout")));
    assert_eq!((signal.span_name.as_str(), signal.origin_span_id.as_str()), ("span 2", "0000000000000002"));
    assert_eq!(signal.fingerprint, digest(["acme", "mod-api", "GET /pay", "timeout"])[..16]);
    assert_eq!(signal.fingerprint, two.signals[0].fingerprint);
    assert_eq!(w.events()[0].signals.len(), 1);
    assert_eq!(w.told[0].module_id.as_deref(), Some("mod-api"));
}

#[tokio::test]
async fn tiw_14_names_of_sdks_become_ids_and_the_originals_stay_a46() {
    for (environment, expected) in [("production", Some("prod")), ("qa-7", None)] {
        let resource = strings(&[
            ("factory.project.id", "Booking App"),
            ("service.name", "Checkout_API/v2"),
            ("deployment.environment.name", environment),
        ]);
        let (_, made) =
            batches(TelemetrySignal::Traces, &spans_body(resource, &[span(1, 0, 0, 100)]), seconds(0), None);
        let mut w = World::new();
        w.deliver(made[0].clone()).await;
        w.ticks(10, 20).await;
        let record = w.record().await.unwrap();
        assert_eq!(record.project_id.as_deref(), Some("booking-app"));
        assert_eq!(record.module_id.as_deref(), Some("checkout_api-v2"));
        assert_eq!(record.environment.as_deref(), expected);
        let shown = &w.spans().await.spans[0];
        assert_eq!(shown.resource["factory.project.id"], "Booking App");
        assert_eq!(shown.resource["deployment.environment.name"], environment);
        assert_eq!(w.told[0].project_id.as_deref(), Some("booking-app"));
    }
}

#[tokio::test]
async fn tiw_15_an_unmodified_sdk_has_project_and_module() {
    let all = [("service.namespace", "Shop"), ("service.name", "cart")];
    for (resource, project) in [(strings(&all), "shop"), (strings(&all[1..]), "local")] {
        let body = spans_body(resource, &[failed(span(1, 0, 0, 100))]);
        let (_, made) = batches(TelemetrySignal::Traces, &body, seconds(0), Some("local"));
        let mut w = World::new();
        w.deliver(made[0].clone()).await;
        w.ticks(10, 20).await;
        let record = w.record().await.unwrap();
        assert_eq!((record.project_id.as_deref(), record.module_id.as_deref()), (Some(project), Some("cart")));
        assert_eq!(w.told[0].project_id.as_deref(), Some(project));
        assert_eq!(record.signals[0].fingerprint, digest(["acme", "cart", "span 1", ""])[..16]);
    }
}

#[tokio::test]
async fn the_earliest_of_several_roots_is_the_root() {
    let record = recorded(&[span(3, 0, 5, 100), span(2, 0, 5, 90), span(1, 0, 6, 80)]).await;
    assert_eq!(record.root_span_name.as_deref(), Some("span 2"));
    assert_eq!((record.completeness, record.anomalies), (Completeness::Malformed, vec!["multiple_roots:2".to_owned()]));
}

#[tokio::test]
async fn a_cycle_is_broken_at_its_smallest_span_which_is_no_root() {
    let record = recorded(&[span(2, 4, 0, 10), span(3, 2, 0, 10), span(4, 3, 0, 10), span(9, 8, 0, 1)]).await;
    assert_eq!((record.root_span_id, record.completeness), (None, Completeness::Malformed));
    assert_eq!(record.anomalies, ["cycle", "missing_parent:1"]);
    // Span 2 was freed and is at the top, so its error is the trace's; span 4 is below it.
    let cycle = |bad: u64| {
        [span(2, 4, 0, 10), span(3, 2, 0, 10), span(4, 3, 0, 10)]
            .map(|s| if s["spanId"] == format!("{bad:016x}") { failed(s) } else { s })
    };
    assert_eq!(recorded(&cycle(2)).await.status, TraceStatus::Error);
    assert_eq!(recorded(&cycle(4)).await.status, TraceStatus::Unset);
    let record = recorded(&[span(1, 0, 0, 10), span(2, 3, 0, 10), span(3, 2, 0, 10)]).await;
    assert_eq!((record.root_span_name.as_deref(), record.completeness), (Some("span 1"), Completeness::Malformed));
}

#[tokio::test]
async fn a_span_that_is_its_own_parent_is_a_root_and_one_that_ends_early_is_adjusted() {
    let mut w = World::new();
    w.deliver(batch(&[span(1, 1, 0, 100), span(2, 1, 50, 20)], seconds(0))).await;
    w.ticks(10, 20).await;
    let record = w.record().await.unwrap();
    assert_eq!((record.completeness, record.duration_ms), (Completeness::Complete, 100));
    let spans = w.spans().await.spans;
    assert_eq!(
        (spans[0].flags.clone(), spans[1].flags.clone()),
        (vec![SpanFlag::SelfParent], vec![SpanFlag::ClockAdjusted])
    );
    assert_eq!((spans[1].duration_ms, spans[1].start_ns == spans[1].end_ns), (0, true));
}

#[tokio::test]
async fn status_is_the_roots_or_what_blames_the_server() {
    let ok = |s: Value| with(s, json!({"status": {"code": 1}}));
    let status = async |spans: &[Value]| recorded(spans).await.status;
    let root = || span(1, 0, 0, 100);
    assert_eq!(
        status(&[root(), failed(span(2, 1, 0, 1))]).await,
        TraceStatus::Unset,
        "an error below is no error above"
    );
    assert_eq!(status(&[failed(root())]).await, TraceStatus::Error);
    assert_eq!(
        status(&[ok(attributes(root(), json!([number("http.response.status_code", 503)])))]).await,
        TraceStatus::Ok
    );
    for (attribute, expected) in [
        (number("http.response.status_code", 499), TraceStatus::Unset),
        (number("http.response.status_code", 500), TraceStatus::Error),
        (strings(&[("http.response.status_code", "504")])[0].clone(), TraceStatus::Error),
        (number("rpc.grpc.status_code", 14), TraceStatus::Error),
        (number("rpc.grpc.status_code", 5), TraceStatus::Unset),
        (strings(&[("rpc.response.status_code", "DEADLINE_EXCEEDED")])[0].clone(), TraceStatus::Error),
    ] {
        assert_eq!(status(&[attributes(root(), json!([attribute]))]).await, expected, "{attribute}");
    }
    // Without root the spans at the top decide.
    assert_eq!(status(&[span(2, 9, 0, 1), failed(span(3, 9, 0, 1))]).await, TraceStatus::Error);
    assert_eq!(status(&[span(2, 9, 0, 1), failed(span(3, 2, 0, 1))]).await, TraceStatus::Unset);
}

#[tokio::test]
async fn the_origin_of_an_error_is_the_last_error_on_the_earliest_path() {
    let origin = async |spans: &[Value]| {
        let record = recorded(spans).await;
        record.signals.iter().find(|s| s.kind == SignalKind::ErrorTrace).unwrap().origin_span_id.to_string()
    };
    let id = |n: u64| format!("{n:016x}");
    let spans = [
        failed(span(1, 0, 0, 100)),
        span(2, 1, 5, 50),
        failed(span(3, 2, 6, 40)),
        span(4, 3, 7, 8),
        failed(span(5, 1, 60, 70)),
    ];
    assert_eq!(origin(&spans).await, id(3));
    assert_eq!(origin(&[failed(span(1, 0, 0, 100)), span(2, 1, 0, 1)]).await, id(1));
    assert_eq!(origin(&[span(2, 9, 0, 5), failed(span(3, 9, 1, 5)), failed(span(4, 9, 2, 5))]).await, id(3), "no root");
    let blamed = attributes(span(3, 9, 1, 5), json!([number("http.status_code", 500)]));
    assert_eq!(origin(&[span(2, 9, 0, 5), blamed]).await, id(3), "the one that made the status");
}

#[tokio::test]
async fn slow_roots_and_storms_of_retries_are_signals() {
    let client = |id: u64, name: &str, bad: bool| {
        let s = with(span(id, 2, 10, 20), json!({"kind": 3, "name": name}));
        if bad { failed(s) } else { s }
    };
    let mut spans = vec![span(1, 0, 0, 2_001), span(2, 1, 0, 100)];
    spans.extend((10..15).map(|id| client(id, "GET db", id > 10)));
    spans.extend((20..25).map(|id| client(id, "GET ok", id > 21))); // three errors only
    spans.extend((30..34).map(|id| client(id, "GET few", true))); // four children only
    let record = recorded(&spans).await;
    let kinds: Vec<_> =
        record.signals.iter().map(|s| (s.kind, s.span_name.as_str(), s.origin_span_id.as_str())).collect();
    assert_eq!(
        kinds,
        [
            (SignalKind::LatencyOutlier, "span 1", "0000000000000001"),
            (SignalKind::RetryStorm, "GET db", "0000000000000002"),
        ]
    );
    assert_eq!((record.signals[0].observed_ms, record.signals[0].threshold_ms), (Some(2_001), Some(2_000)));
    assert_eq!(record.signals[0].fingerprint, digest(["acme", "mod-api", "span 1", "latency_outlier"])[..16]);
    assert_eq!(record.signals[1].fingerprint, digest(["acme", "mod-api", "span 1", "retry_storm", "GET db"])[..16]);
    assert!(recorded(&[span(1, 0, 0, 2_000)]).await.signals.is_empty());
}

#[tokio::test]
async fn artifacts_are_weighed_by_errors_and_self_time() {
    let of = |s: Value, artifact: &str, agent: &str| {
        attributes(s, strings(&[("factory.artifact.id", artifact), ("factory.agent.id", agent)]))
    };
    // a: root 0–100 with children over 10–80, one beyond its end; b holds the origin.
    let record = recorded(&[
        of(failed(span(1, 0, 0, 100)), "art-a", ""),
        of(failed(span(2, 1, 10, 60)), "art-b", "agent-2"),
        of(span(3, 1, 50, 80), "art-b", "agent-3"),
        of(span(4, 1, 90, 120), "art-a", "agent-4"),
    ])
    .await;
    let shares: Vec<_> = record
        .artifacts
        .iter()
        .map(|a| (a.artifact_id.as_str(), a.error_origins, a.error_spans, a.agent_id.as_deref()))
        .collect();
    assert_eq!(shares, [("art-b", 1, 0, Some("agent-2")), ("art-a", 0, 1, Some("agent-4"))]);
    // Self time: root 100 − (70 + 10) = 20, b 50 + 30, d 30; of 130 in all.
    assert!((record.artifacts[0].self_time_share - 80.0 / 130.0).abs() < 1e-12);
    assert!((record.artifacts[1].self_time_share - 50.0 / 130.0).abs() < 1e-12);
    let still = recorded(&[of(span(1, 0, 5, 5), "art-a", "")]).await;
    assert_eq!(still.artifacts[0].self_time_share, 0.0);
}

#[tokio::test]
async fn dimensions_are_the_roots_else_of_the_first_that_names_one() {
    let root = attributes(span(1, 0, 0, 100), strings(&[("factory.workflow.id", "w-root")]));
    let late = attributes(
        span(2, 1, 20, 30),
        strings(&[("factory.workflow.id", "w-2"), ("factory.skill.id", "s-2"), ("factory.module.id", "db")]),
    );
    let early =
        attributes(span(3, 1, 10, 30), strings(&[("factory.skill.id", "s-3"), ("deployment.environment.name", "dev")]));
    let record = recorded(&[late, root, early]).await;
    let dimensions: Vec<_> = record.dimensions.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(dimensions, [("skillId", "s-3"), ("workflowId", "w-root")]);
    assert_eq!((record.module_id.as_deref(), record.environment.as_deref()), (Some("mod-api"), Some("dev")));
    assert_eq!(record.services, ["db", "mod-api"]);
}

/// Times of the whole, not of the root; floored to milliseconds (SPEC 5.1.4(5)).
#[tokio::test]
async fn durations_are_floored() {
    let ns = |s: Value, end: i64| with(s, json!({"endTimeUnixNano": (T * 1_000_000 + end).to_string()}));
    let record = recorded(&[ns(span(1, 0, 0, 0), 1_999_999)]).await;
    assert_eq!(
        (record.duration_ms, record.started_at, record.ended_at),
        (1, after(0), after(0).plus(std::time::Duration::from_nanos(0)).plus_millis(1))
    );
}

#[tokio::test]
async fn sampling_keeps_errors_and_what_the_trace_id_says() {
    let settings = TraceSettings { sampling: Some(0.25), ..TraceSettings::default() };
    let of = |low: &str| TraceId::parse(format!("{}{low}", "f".repeat(18))).unwrap();
    assert!(!settings.keeps(&of("bfffffffffffff"), 0), "just below three quarters");
    assert!(settings.keeps(&of("c0000000000000"), 0));
    assert!(settings.keeps(&of("00000000000000"), 1), "an error");
    assert!(!TraceSettings { sampling: Some(0.0), ..TraceSettings::default() }.keeps(&of("fffffffffffffe"), 0));

    let mut w = World::new();
    w.traces.settings.sampling = Some(0.0);
    w.deliver(batch(&[span(1, 0, 0, 100)], seconds(0))).await;
    w.ticks(10, 20).await;
    assert!(w.told.is_empty() && w.record().await.is_none());
    assert_eq!(w.documents().len(), 1, "the head alone remembers");
    w.deliver(batch(&[failed(span(2, 1, 0, 100))], seconds(30))).await;
    w.ticks(40, 100).await;
    assert!(w.told.is_empty(), "decided at the first emission");

    let mut w = World::new();
    w.traces.settings.sampling = Some(0.0);
    w.deliver(batch(&[span(1, 0, 0, 100), failed(span(2, 1, 0, 100))], seconds(0))).await;
    w.ticks(10, 20).await;
    assert_eq!(w.told.len(), 1);
}

#[tokio::test]
async fn a30_a_huge_trace_covers_the_smallest_span_ids_and_stores_them_all() {
    let mut w = World::new();
    w.lawful = false;
    // Ids descend, so that the smallest come last; compact spans, or the test would be about JSON.
    for n in 0..26u64 {
        let spans: Vec<Value> =
            (0..2_000).map(|k| 52_000 - n * 2_000 - k).map(|id| span(id, u64::from(id > 1), 0, 100)).collect();
        let body = spans_body(strings(&[("service.name", "mod-api")]), &spans);
        for made in batches(TelemetrySignal::Traces, &body, after(n as i64), None).1 {
            w.deliver(made).await;
        }
    }
    w.ticks(10, 20).await;
    let record = w.record().await.unwrap();
    assert_eq!(
        (record.span_count, record.anomalies, record.completeness),
        (50_000, vec!["span_limit".to_owned()], Completeness::Complete)
    );
    let stored: u64 =
        w.documents().values().filter(|d| d.kind == "chunk").map(|d| d.body.0["spans"].as_u64().unwrap()).sum();
    assert_eq!(stored, 52_000);
}
