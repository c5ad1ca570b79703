//! Enrichment by real telemetry (SPEC 5.5.4(5)): spans and logs go the way of every batch, settle, and are found by
//! the index of their module.

use super::{events::*, world::*};
use opsloop_kernel::{
    Commit, Committed, Directory, DueUnits, Incoming, Moment, Scope, Store, TelemetryBatch, TelemetrySignal, Timestamp,
    Worker, document::What, incoming::FoundDue, ports::Within,
};
use opsloop_observability::{
    events::{TraceStatus, kind},
    incident_analysis::incident::EntryKind,
    log_ingestion::LogIngestionWorker,
    otlp::{ContentType, receive, unzstd},
    trace_ingestion::{self, TraceIngestionWorker},
};
use serde_json::{Value, json};

const PART_BYTES: usize = 240 * 1024;

/// A worker of the family beside ours: decides and commits all units of what comes in.
async fn run<W: Worker>(w: &World, worker: &W, incoming: &Incoming, at: Timestamp) {
    let tenant = tenant();
    let input = worker.accept(incoming).unwrap().unwrap();
    for unit in W::plan(&input).into_iter().flatten() {
        let scope = Scope::admit(&tenant, &unit.tenant, &*w.store).unwrap();
        let view = worker.observe(&unit, &input, &scope).await.unwrap();
        let writes = W::decide(&unit, &input, &view, Moment(unit.due.unwrap_or(at))).unwrap().writes;
        let commit = Commit { tenant: unit.tenant, stream: unit.stream, marker: None, writes };
        assert!(matches!(w.store.commit(&commit).await.unwrap(), Committed::Applied(_)));
    }
}

async fn send<W: Worker>(w: &World, worker: &W, signal: TelemetrySignal, body: Value, at: Timestamp) {
    w.clock.advance_to(at);
    let bytes = body.to_string().into_bytes();
    let received = receive(signal, ContentType::Json, &bytes, &tenant(), at, PART_BYTES).unwrap();
    for (n, part) in (0..).zip(&received.parts) {
        let (batch_id, body) = (received.batch_id.clone(), unzstd(&part.bytes).unwrap());
        let batch =
            TelemetryBatch { signal, tenant: tenant(), project: None, received_at: at, batch_id, part: n, body };
        run(w, worker, &Incoming::Batch(batch), at).await;
    }
}

/// A trace of one root, with an error or not, in these services.
async fn trace(w: &World, id: u8, error: bool, duration_ms: i64, services: &[&str], start: &str) {
    let start = at(start);
    let span = |n: usize, service: &&str| {
        let parent = if n == 0 { json!("") } else { json!(format!("{:016x}", 1)) };
        let end = start.plus_millis(duration_ms - i64::try_from(n).unwrap());
        let span = json!({"traceId": format!("{id:032x}"), "spanId": format!("{:016x}", n + 1), "parentSpanId": parent,
            "name": format!("GET /{id}"), "kind": 2, "startTimeUnixNano": start.nanos().to_string(),
            "endTimeUnixNano": end.nanos().to_string(), "status": {"code": if error { 2 } else { 1 }}});
        let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": service}}]});
        json!({"resource": resource, "scopeSpans": [{"spans": [span]}]})
    };
    let spans: Vec<Value> = services.iter().enumerate().map(|(n, s)| span(n, s)).collect();
    let received = start.plus_millis(duration_ms);
    send(w, &TraceIngestionWorker::default(), TelemetrySignal::Traces, json!({"resourceSpans": spans}), received).await;
}

async fn log(w: &World, id: u8, when: &str) {
    let record = json!({"timeUnixNano": at(when).nanos().to_string(), "severityNumber": 17, "traceId": format!("{id:032x}"),
        "body": {"stringValue": "it broke"}});
    let body = json!({"resourceLogs": [{"resource": {"attributes": []}, "scopeLogs": [{"logRecords": [record]}]}]});
    send(w, &LogIngestionWorker, TelemetrySignal::Logs, body, at(when)).await;
}

async fn settle_traces(w: &World, until: &str) {
    let until = at(until);
    w.clock.advance_to(until);
    let what = What::from(trace_ingestion::NAME);
    for found in w.store.due(&what, until, Within::All, None, 1_000).await.unwrap().found {
        let one = vec![FoundDue { id: found.id, at: found.at }];
        let due = DueUnits { tick: until, tenant: found.tenant, stream: found.stream, found: one };
        run(w, &TraceIngestionWorker::default(), &Incoming::Due(due), until).await;
    }
}

#[tokio::test]
async fn an_incident_is_enriched_by_the_traces_of_its_module_a48() {
    let mut w = World::new();
    trace(&w, 1, false, 900, &["mod-api"], "09:58").await;
    trace(&w, 2, true, 50, &["mod-api", "mod-db"], "09:59").await;
    trace(&w, 3, true, 700, &["mod-web"], "09:59").await;
    trace(&w, 4, false, 10, &["mod-front", "mod-api"], "09:59").await;
    trace(&w, 5, true, 9_000, &["mod-api"], "09:53").await;
    log(&w, 2, "09:59").await;
    settle_traces(&w, "10:00").await;
    w.deliver(&alert("alr-7", "10:00").fires()).await;
    let i = w.incident().await;
    assert!(i.trace_lineage.is_empty(), "it opens first");
    w.tick(at("10:00:30")).await;
    let i = w.incident().await;
    let lineage: Vec<_> = i.trace_lineage.iter().map(|t| (t.trace_id.as_str().ends_with('2'), t.status)).collect();
    // The error first, then the longest; neither that of another module nor the one from before the five minutes.
    let expected = [(true, TraceStatus::Error), (false, TraceStatus::Ok), (false, TraceStatus::Ok)];
    assert_eq!(lineage, expected);
    assert_eq!(i.trace_id, Some(i.trace_lineage[0].trace_id.clone()));
    assert_eq!(i.trace_lineage[1].duration_ms, 900);
    assert_eq!(i.trace_lineage[0].root_span_name.as_deref(), Some("GET /2"));
    assert_eq!(i.impacted_services, ["mod-api", "mod-db", "mod-front"]);
    let logs = &i.trace_lineage[0].logs;
    assert_eq!((logs.count, logs.refs.len()), (1, 1));
    assert_eq!(w.log(&i.incident_id).await.last().unwrap().kind, EntryKind::Enriched);
    // What settles later is found at the second try, and told in the resolution.
    trace(&w, 6, true, 80, &["mod-api"], "10:01").await;
    settle_traces(&w, "10:01:50").await;
    w.tick(at("10:02")).await;
    w.deliver(&resolve("10:30", &i.incident_id)).await;
    let told = &w.told(kind::INCIDENT_RESOLVED)[0].payload.0;
    assert_eq!(told["traceLineage"].as_array().unwrap().len(), 4);
    assert_eq!(told["traceLineage"][0]["traceId"], format!("{:032x}", 6));
    assert_eq!(w.reasons, ["opened", "enriched", "enriched", "resolved"]);
}

#[tokio::test]
async fn a_resolved_incident_is_not_enriched() {
    let mut w = World::new();
    trace(&w, 1, true, 900, &["mod-api"], "09:59").await;
    settle_traces(&w, "10:00").await;
    w.deliver(&alert("alr-7", "10:00").fires()).await;
    let id = w.incident().await.incident_id;
    w.deliver(&resolve("10:00:10", &id)).await;
    w.tick(at("10:30")).await;
    assert_eq!(w.reasons, ["opened", "resolved"]);
    assert!(w.incident().await.trace_lineage.is_empty());
}
