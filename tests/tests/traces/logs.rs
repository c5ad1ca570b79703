//! LogIngestionWorker (SPEC 5.10.1) and the references to its records (5.10.2, 5.10.3(6)).

use super::world::{DAY, T, TRACE, World, after, batches, seconds, strings, tenant, trace};
use opsloop_kernel::{Body, Scope, TelemetrySignal, Timestamp, http};
use opsloop_observability::{
    events::LogLevel,
    log_ingestion::{self, log_refs, module_stream, read_logs, stream_of},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn log(ms: i64, severity: i64, text: &str) -> Value {
    json!({"timeUnixNano": ((T + ms) * 1_000_000).to_string(), "severityNumber": severity,
        "body": {"stringValue": text}, "traceId": TRACE, "spanId": "00f067aa0ba902b7"})
}

fn body(resource: Value, logs: &[Value]) -> Vec<u8> {
    json!({"resourceLogs": [{"resource": {"attributes": resource}, "scopeLogs": [{"logRecords": logs}]}]})
        .to_string()
        .into_bytes()
}

async fn deliver(w: &mut World, logs: &[Value], at: Timestamp) {
    for made in batches(TelemetrySignal::Logs, &body(strings(&[("service.name", "mod-api")]), logs), at, None).1 {
        w.deliver(made).await;
    }
}

#[tokio::test]
async fn tcw_03_of_250_logs_the_worst_twenty_are_referred_to_whatever_the_order() {
    let logs: Vec<Value> = (0..250).map(|n| log(n, [9, 5, 13, 17, 1][n as usize % 5], &format!("log {n}"))).collect();
    let mut seen = vec![];
    for order in [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1]] {
        let mut w = World::new();
        for part in order {
            deliver(&mut w, &logs[part * 50..part * 50 + 50], seconds(part as i64)).await;
        }
        deliver(&mut w, &logs[..50], seconds(0)).await; // again
        let tenant = tenant();
        seen.push(log_refs(&w.scope(&tenant), &trace()).await.unwrap());
    }
    let refs = &seen[0];
    assert_eq!((refs.count, refs.refs.len(), refs.worst_severity), (250, 20, Some(LogLevel::Error)));
    assert_eq!((refs.first, refs.last), (Some(after(0)), Some(after(249))));
    // Every fifth is an error: 3, 8, 13, …
    let times: Vec<_> = refs.refs.iter().map(|r| (r.level, r.at)).collect();
    assert_eq!(times, (0..20).map(|n| (LogLevel::Error, after(3 + n * 5))).collect::<Vec<_>>());
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn logs_lie_by_trace_or_by_module_and_hour_and_leave_after_seven_days_a32() {
    let mut w = World::new();
    let without = |fields: Value| {
        let mut l = log(0, 9, "x");
        l["traceId"] = json!("");
        super::world::with(l, fields)
    };
    let later = ((T + 3_600_000) * 1_000_000).to_string();
    let named = json!({"timeUnixNano": later, "attributes": strings(&[("factory.module.id", "db")])});
    let undated = json!({"timeUnixNano": "0", "observedTimeUnixNano": ((T + 7_200_000) * 1_000_000).to_string()});
    deliver(
        &mut w,
        &[log(0, 9, "x"), without(json!({})), without(named), without(undated), without(json!({"traceId": "zz"}))],
        seconds(5),
    )
    .await;
    let streams: Vec<String> = w.documents().into_keys().map(|(stream, _)| stream).collect();
    for (stream, n) in [
        (stream_of(&trace()), 2),
        (module_stream(Some("mod-api"), after(0)), 2),
        (module_stream(Some("db"), after(3_600_000)), 2),
        (module_stream(Some("mod-api"), after(7_200_000)), 2),
    ] {
        assert_eq!(streams.iter().filter(|s| **s == stream.name).count(), n, "{}", stream.name);
    }
    assert_eq!(streams.len(), 8, "a chunk and its head each");
    assert!(w.documents().values().all(|d| d.expires == Some(seconds(5).plus(7 * DAY)) && d.due.is_none()));
    assert!(w.told.is_empty());
}

#[tokio::test]
async fn a_repeated_batch_of_logs_changes_nothing() {
    let mut w = World::new();
    deliver(&mut w, &[log(0, 9, "x"), log(1, 17, "y")], seconds(0)).await;
    let before = w.documents();
    deliver(&mut w, &[log(0, 9, "x"), log(1, 17, "y")], seconds(0)).await;
    assert_eq!(w.documents(), before);
}

#[tokio::test]
async fn logs_are_redacted_and_those_of_another_tenant_left_out() {
    let mut w = World::new();
    let mut secret = log(0, 9, "fine");
    secret["attributes"] = strings(&[("authorization", "hunter2")]);
    secret["body"] = json!({"kvlistValue": {"values": [{"key": "password", "value": {"stringValue": "hunter2"}}, {"key": "n", "value": {"intValue": 5}}]}});
    let mut foreign = log(1, 9, "theirs");
    foreign["attributes"] = strings(&[("factory.tenant.id", "globex")]);
    deliver(&mut w, &[secret, foreign], seconds(0)).await;
    let tenant = tenant();
    let page = read_logs(&w.scope(&tenant), &trace(), 10, None, None).await.unwrap();
    assert_eq!(page.logs.len(), 1);
    assert_eq!(page.logs[0].body, json!({"password": "[REDACTED]", "n": 5}));
    assert_eq!(page.logs[0].attributes["authorization"], "[REDACTED]");
}

async fn ask(
    scope: &Scope<'_>,
    endpoint: &http::Endpoint,
    trace: &str,
    query: &[(&str, &str)],
) -> Result<Value, http::Problem> {
    let request = http::Request {
        params: BTreeMap::from([("traceId".to_owned(), trace.to_owned())]),
        query: query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        body: Body::default(),
        now: seconds(60),
        project: None,
        metric_buckets: 8,
    };
    let http::Does::Query(query) = endpoint.does else { panic!("a query") };
    query(&request, scope).await.map(|a| a.body.0)
}

#[tokio::test]
async fn the_logs_of_a_trace_are_read_in_pages_by_time() {
    let mut w = World::new();
    for part in [2, 0, 1] {
        deliver(&mut w, &(0..5).map(|n| log(n * 3 + part, 9, "x")).collect::<Vec<_>>(), seconds(part)).await;
    }
    let tenant = tenant();
    let scope = w.scope(&tenant);
    let endpoint = log_ingestion::endpoints().remove(0);
    let (mut times, mut after_text, mut pages) = (vec![], String::new(), 0);
    loop {
        let mut query = vec![("limit", "4")];
        if pages > 0 {
            query.push(("after", &after_text));
        }
        let page = ask(&scope, &endpoint, &TRACE.to_uppercase(), &query).await.unwrap();
        times.extend(
            page["logs"].as_array().unwrap().iter().map(|l| l["at"].as_str().unwrap().parse::<Timestamp>().unwrap()),
        );
        pages += 1;
        match page["next"].as_str() {
            Some(next) => after_text = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((pages, times), (4, (0..15).map(after).collect()));

    // The handle of a reference leads to the chunk that has it.
    let refs = log_refs(&scope, &trace()).await.unwrap();
    let chunk = refs.refs[0].query.split_once("chunk=").unwrap().1;
    let page = ask(&scope, &endpoint, TRACE, &[("chunk", chunk)]).await.unwrap();
    assert!(page["logs"].as_array().unwrap().iter().any(|l| l["id"] == refs.refs[0].id.as_str()));

    assert_eq!(ask(&scope, &endpoint, "nonsense", &[]).await.unwrap_err().status, 400);
    assert_eq!(ask(&scope, &endpoint, TRACE, &[("limit", "0")]).await.unwrap_err().status, 400);
}

#[tokio::test]
async fn a_trace_is_shown_with_its_spans_and_references_to_its_logs() {
    use super::world::{batch, span};
    let mut w = World::new();
    deliver(&mut w, &[log(0, 17, "x")], seconds(0)).await;
    w.deliver(batch(&[span(1, 0, 0, 100), span(2, 1, 10, 20)], seconds(0))).await;
    let endpoint = opsloop_observability::trace_ingestion::endpoints().remove(0);
    let tenant = tenant();
    let early = ask(&w.scope(&tenant), &endpoint, TRACE, &[]).await.unwrap();
    assert_eq!((early["revision"].as_u64(), early["spanCount"].as_u64()), (Some(0), Some(2)), "not announced yet");
    w.ticks(10, 20).await;
    let shown = ask(&w.scope(&tenant), &endpoint, TRACE, &[("limit", "1")]).await.unwrap();
    assert_eq!((shown["revision"].as_u64(), shown["spans"].as_array().unwrap().len()), (Some(1), 1));
    assert_eq!((shown["logs"]["count"].as_u64(), shown["logs"]["worstSeverity"].as_str()), (Some(1), Some("error")));
    assert!(shown["next"].is_string());
    let globex = opsloop_kernel::TenantId::parse("globex").unwrap();
    assert_eq!(ask(&w.scope(&globex), &endpoint, TRACE, &[]).await.unwrap_err().status, 404);
}
