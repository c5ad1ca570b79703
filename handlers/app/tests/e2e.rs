//! E2E-01 (its first stage) and E2E-08 through the local host: real processes, the rendered files, the host's JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use opsloop_kernel::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::{Local, at, otlp};

fn slo() -> Value {
    let selector = |matchers: Value| json!({"metricName": "requests", "matchers": matchers});
    json!({
        "sloId": "slo-api", "projectId": "booking", "moduleId": "mod-api", "environment": "prod", "name": "API answers",
        "objective": 0.999, "period": {"type": "Rolling", "days": 30},
        "sli": {"type": "RequestRatio", "bad": selector(json!([{"label": "status", "op": "=", "value": "500"}])),
                "total": selector(json!([]))},
        "enabled": true,
    })
}

/// An hour of 1,000 requests a minute: 900 fail in the first 55 minutes, 100 in the last five.
async fn bad_hour(local: &Local, tenant: &str, from: Timestamp) {
    for minute in 0..60u32 {
        let bad = match minute {
            0..10 => 0.0,
            _ => 20.0,
        };
        let end = from.plus_millis(i64::from(minute + 1) * 60_000);
        local.advance(60).await;
        local.send(tenant, "metrics", otlp::requests(end, &[("200", 1_000.0 - bad), ("500", bad)])).await.unwrap();
    }
}

/// Long before: so much good traffic that the bad hour leaves half of the budget.
async fn good_past(data: &std::path::Path, tenants: &[&str], from: Timestamp) {
    let local = Local::start(data, from, &["--no-signal-items"]);
    for tenant in tenants {
        local.post(tenant, "/v1/slos", &slo()).await;
        local.advance(60).await;
    }
    // An objective reads no window before the first one of its definitions (SPEC 5.2.2): not this hour's.
    let now = local.advance(2 * 3600).await;
    for tenant in tenants {
        local.send(tenant, "metrics", otlp::requests(now, &[("200", 1_940_000.0)])).await.unwrap();
    }
    local.advance(2 * 3600).await;
}

async fn only_incident(local: &Local, tenant: &str) -> Value {
    let list = local.get(tenant, "/v1/incidents").await;
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "one incident: {items:?}");
    items[0].clone()
}

#[tokio::test]
async fn e2e_01_the_improvement_loop_closes_a18() {
    let folder = tempfile::tempdir().unwrap();
    good_past(folder.path(), &["acme"], at("2026-11-16T10:00:00Z")).await;
    let start = at("2026-11-21T10:00:00Z");
    let local = Local::start(folder.path(), start, &["--no-signal-items"]);
    for n in 0..9 {
        local.send("acme", "traces", otlp::trace(n, start, 2, true)).await.unwrap();
    }
    bad_hour(&local, "acme", start).await;
    local.advance(60).await;
    let incident = only_incident(&local, "acme").await;
    assert_eq!((incident["status"].as_str(), incident["severity"].as_str()), (Some("Escalated"), Some("critical")));
    let id = incident["incidentId"].as_str().unwrap();
    let command = |verb: &str| format!("/v1/incidents/{id}/{verb}");
    let cause = json!({"rootCause": {"category": "code_defect", "artifactId": "art-9", "summary": "a bad query",
        "recordedBy": "on-call", "evidence": []}, "actor": "on-call"});
    let (status, no) = local.try_post("acme", &command("resolve"), &cause).await;
    assert_eq!((status, no["errorKind"].as_str()), (409, Some("invalid_transition")), "API-02");
    local.post("acme", &command("engage"), &json!({"actor": "on-call"})).await;
    local.post("acme", &command("resolve"), &cause).await;
    local.advance(120).await;

    let resolved = local.get("acme", &format!("/v1/incidents/{id}")).await;
    let incident = if resolved["incident"].is_object() { &resolved["incident"] } else { &resolved };
    assert_eq!(incident["status"], "Resolved");
    let items = local.get("acme", "/v1/feedback-items?project=booking").await;
    let items = items["items"].as_array().unwrap().clone();
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!((items[0]["source"].as_str(), items[0]["sourceId"].as_str()), (Some("incident"), Some(id)));
    assert_eq!(items[0]["artifactId"], "art-9");
    assert_eq!(
        (items[0]["sentiment"]["score"].as_f64(), items[0]["attribution"]["confidence"].as_f64()),
        (Some(-1.0), Some(1.0))
    );

    let scores = local.get("acme", "/v1/quality/projects/booking").await;
    let newest = scores["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["windowSizeMs"] == 3_600_000 && s["windowStart"] == "2026-11-21T11:00:00.000Z");
    let score = newest.unwrap_or_else(|| panic!("the hour of the item has a score: {scores}"));
    let dimension = |name: &str| score["dimensions"][name]["score"].as_f64();
    assert_eq!(
        (dimension("correctness"), dimension("reliability"), score["overall"].as_f64()),
        (Some(60.65), Some(80.0), Some(84.16)),
        "{score}"
    );
    assert!(local.get("acme", "/v1/dead-letters").await["items"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn e2e_08_two_tenants_with_identical_data_share_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let start = at("2026-11-21T10:00:00Z");
    {
        let local = Local::start(folder.path(), start, &[]);
        for tenant in ["acme", "globex"] {
            local.post(tenant, "/v1/slos", &slo()).await;
            for n in 0..12 {
                local.send(tenant, "traces", otlp::trace(n, start, 1, true)).await.unwrap();
            }
        }
        for minute in 1..20 {
            let end = local.advance(60).await;
            for tenant in ["acme", "globex"] {
                let body = otlp::requests(end, &[("200", 500.0), ("500", f64::from(minute) * 10.0)]);
                local.send(tenant, "metrics", body).await.unwrap();
            }
        }
        local.advance(180).await;
        let (a, g) = (only_incident(&local, "acme").await, only_incident(&local, "globex").await);
        assert_ne!(a["incidentId"], g["incidentId"]);
        assert_ne!(a["correlationId"], g["correlationId"]);
        let trace = format!("/v1/traces/{}", otlp::trace_id(0));
        assert_eq!(local.get("acme", &trace).await["spanCount"], local.get("globex", &trace).await["spanCount"]);
        // What one tenant has, the other does not see.
        for (tenant, other) in [("acme", &g), ("globex", &a)] {
            let id = other["incidentId"].as_str().unwrap();
            let (status, _) = local.try_post(tenant, &format!("/v1/incidents/{id}/engage"), &json!({})).await;
            assert_eq!(status, 404);
        }
    }
    let clock = std::sync::Arc::new(opsloop_embedded::clock::VirtualClock::at(start));
    let store = opsloop_embedded::store::SqliteStore::open(folder.path(), clock).unwrap();
    let ids = |tenant: &str, kind: &str| -> BTreeSet<String> {
        let all = store.dump().unwrap();
        let mine = all.iter().filter(|d| d.tenant.as_str() == tenant && d.document.kind == kind);
        mine.map(|d| d.document.id.to_string()).collect()
    };
    for kind in ["seen", "incident", "feedback"] {
        assert!(ids("acme", kind).is_disjoint(&ids("globex", kind)), "{kind}");
    }
    let (a, g) = (ids("acme", "seen").len(), ids("globex", "seen").len());
    assert!(a > 0 && a == g, "both were worked on alike: {a} and {g}");
}
