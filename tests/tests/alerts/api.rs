//! Commands and the surface of SPEC 14.2.

use super::{
    slos::{S, slo, status},
    world::*,
};
use opsloop_kernel::{
    Answer, Body, Scope,
    http::{Does, Endpoint, Method, Problem, Request},
    ids,
};
use opsloop_observability::{
    alert_evaluation::{self, AlertEvaluationWorker, documents as docs},
    metric_aggregation::{Bucket, names},
    slo_evaluation,
};
use serde_json::{Value, json};

const W: AlertEvaluationWorker = AlertEvaluationWorker { buckets: BUCKETS };

fn rule(change: Value) -> Value {
    let mut text = json!({"ruleId": "alr-7", "name": "cpu", "severity": "high", "labels": {"team": "shop"},
        "condition": {"type": "Threshold", "selector": {"metricName": "cpu", "groupBy": ["moduleId"]},
            "aggregation": "last", "op": "gt", "threshold": 0.5}});
    for (name, value) in change.as_object().unwrap() {
        text[name] = value.clone();
    }
    text
}
fn endpoint(method: Method, path: &str) -> Endpoint {
    let all = alert_evaluation::endpoints().into_iter().chain(slo_evaluation::endpoints());
    all.into_iter().find(|e| e.method == method && e.path == path).unwrap()
}
fn request(params: &[(&str, &str)], query: &[(&str, &str)], body: Value) -> Request {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let project = Some("local".into());
    Request {
        params: map(params),
        query: map(query),
        body: Body(body),
        now: at("12:00"),
        project,
        metric_buckets: BUCKETS,
    }
}
async fn get(w: &World, path: &str, r: &Request) -> Result<Answer, Problem> {
    let tenant = tenant();
    let scope = Scope::admit(&tenant, &tenant, &*w.store).unwrap();
    let Does::Query(query) = endpoint(Method::Get, path).does else { panic!("a command") };
    query(r, &scope).await
}
fn post(path: &str, body: Value) -> Result<(&'static str, Value), Problem> {
    let Does::Command { kind, payload, .. } = endpoint(Method::Post, path).does else { panic!("a query") };
    Ok((kind, payload(&request(&[], &[], body))?.0))
}

#[tokio::test]
async fn a_saved_rule_has_its_definitions_its_first_slot_and_a_version() {
    let mut w = World::new();
    let by = json!({"type": "Threshold", "selector": {"metricName": "cpu", "groupBy": ["pod"]}, "aggregation": "last",
        "op": "gt", "threshold": 0.5});
    let (kind, payload) = post("/v1/alerts/rules", rule(json!({"condition": by}))).unwrap();
    assert_eq!(payload["projectId"], "local");
    let (status, body) = w.command(&W, kind, "10:00:10", payload.clone()).await;
    let expected = json!({"ruleId": "alr-7", "version": 1, "nextSlot": at("10:01")});
    assert_eq!((status, body), (201, expected));
    let bucket: Bucket = w.get(&names::stream_of("cpu", BUCKETS), names::BUCKET).await.unwrap().read().unwrap();
    assert_eq!((bucket.definitions[0].group_by.join(","), bucket.definitions[0].from), ("pod".to_owned(), at("10:01")));
    let (status, body) = w.command(&W, kind, "10:00:20", payload).await;
    assert_eq!((status, &body["version"], &body["nextSlot"]), (200, &json!(2), &json!(at("10:01"))));
    let root = w.get(&docs::stream(), "slots|alr-7").await.unwrap();
    assert_eq!(
        root.document.due.map(|d| (d.what.to_string(), d.at)),
        Some(("AlertEvaluationWorker".into(), at("10:01")))
    );
}

#[tokio::test]
async fn a_command_delivered_again_is_answered_from_the_marker_and_done_once_a53() {
    let mut w = World::new();
    let e = envelope(
        "SaveAlertRule",
        ids::command_id(&tenant(), "POST", "/v1/alerts/rules", "k"),
        at("10:00:10"),
        rule(json!({})),
    );
    assert_eq!(w.deliver(&W, &e).await.0, 201);
    assert_eq!(w.deliver(&W, &e).await.0, 0, "a duplicate: the shell answers from the marker");
    let stored: Value = w.get(&docs::stream(), "rule|alr-7").await.unwrap().document.body.0;
    assert_eq!(stored["version"], 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_rule_is_told_and_nothing_is_stored() {
    let mut w = World::new();
    let long = rule(json!({"annotations": {"summary": "x".repeat(1_100)}}));
    let back = json!({"type": "Change", "selector": {"metricName": "cpu"}, "offsetMs": 9 * 86_400_000_i64, "op": "gt",
        "percent": 10});
    for bad in [long, rule(json!({"condition": back})), rule(json!({"cadenceMs": 1_000}))] {
        let (status, body) = w.command(&W, "SaveAlertRule", "10:00:10", bad).await;
        assert_eq!((status, &body["errorKind"]), (400, &json!("invalid")), "{body}");
    }
    assert!(w.get(&docs::stream(), "rule|alr-7").await.is_none());
    assert!(w.get(&names::stream_of("cpu", BUCKETS), names::BUCKET).await.is_none());
    assert_eq!(post("/v1/alerts/rules", json!({"name": "no condition"})).unwrap_err().status, 400);
    assert_eq!(w.command(&S, "SaveSlo", "10:00:10", slo(json!({"objective": 2}))).await.0, 400);
    assert_eq!(post("/v1/slos", json!({"name": "no sli"})).unwrap_err().status, 400);
}

#[tokio::test]
async fn rules_are_listed_in_pages_and_a_deleted_one_is_gone() {
    let mut w = World::new();
    for n in 0..3 {
        let id = format!("alr-{n}");
        let _ = w.command(&W, "SaveAlertRule", "10:00:10", rule(json!({"ruleId": id}))).await;
    }
    let first = get(&w, "/v1/alerts/rules", &request(&[], &[("limit", "2")], Value::Null)).await.unwrap().body.0;
    let cursor = first["next"].as_str().unwrap().to_owned();
    let rest = get(&w, "/v1/alerts/rules", &request(&[], &[("cursor", &cursor)], Value::Null)).await.unwrap().body.0;
    assert_eq!((first["items"].as_array().unwrap().len(), &rest["items"][0]["ruleId"]), (2, &json!("alr-2")));
    assert_eq!(rest["next"], Value::Null);
    assert_eq!(w.command(&W, "DeleteAlertRule", "10:00:20", json!({"ruleId": "alr-1"})).await.0, 200);
    let no = get(&w, "/v1/alerts/rules/{id}", &request(&[("id", "alr-1")], &[], Value::Null)).await.unwrap_err();
    assert_eq!(no.status, 404);
    assert_eq!(w.command(&W, "DeleteAlertRule", "10:00:21", json!({"ruleId": "alr-1"})).await.0, 404);
    let _ = w.tick(&W, at("10:01")).await;
    assert!(w.get(&docs::stream(), "rule|alr-1").await.is_none(), "its last slot has passed");
    let late = w.command(&W, "SaveAlertRule", "09:59:10", rule(json!({"ruleId": "alr-1"}))).await;
    assert_eq!((late.0, &late.1["nextSlot"]), (201, &json!(at("10:02"))), "that slot is not judged again");
    assert!(get(&w, "/v1/alerts/rules/{id}", &request(&[("id", "alr-2")], &[], Value::Null)).await.is_ok());
    assert_eq!(
        get(&w, "/v1/alerts/rules", &request(&[], &[("cursor", "zz")], Value::Null)).await.unwrap_err().status,
        400
    );
}

#[tokio::test]
async fn instances_are_shown_with_rule_episode_and_last_slot() {
    let mut w = World::new();
    let _ = w.command(&W, "SaveAlertRule", "09:59:10", rule(json!({}))).await;
    let window = minute("09:58");
    w.points("cpu", window, &[gauge(window, &[("moduleId", "a")], 0.9)]).await;
    w.aggregated("cpu", at("10:00")).await;
    let _ = w.tick(&W, at("10:00")).await;
    let query = |pairs: &[(&str, &str)]| request(&[], pairs, Value::Null);
    let shown =
        get(&w, "/v1/alerts/instances", &query(&[("ruleId", "alr-7"), ("state", "firing")])).await.unwrap().body.0;
    let i = &shown["items"][0];
    assert_eq!((&i["labels"], &i["lastSlot"]), (&json!({"moduleId": "a", "team": "shop"}), &json!(at("10:00"))));
    assert_eq!((&i["ruleId"], &i["episodeId"]), (&json!("alr-7"), &json!(at("10:00").millis().to_string())));
    let none = get(&w, "/v1/alerts/instances", &query(&[("state", "pending")])).await.unwrap().body.0;
    assert_eq!(none["items"], json!([]));
}

#[tokio::test]
async fn an_slo_is_listed_with_its_status_once_it_has_one() {
    let mut w = World::new();
    let (kind, payload) = post("/v1/slos", slo(json!({}))).unwrap();
    assert_eq!(w.command(&S, kind, "10:00:10", payload).await.0, 201);
    let path = "/v1/slos/{id}/status";
    let of = |id: &str| request(&[("id", id)], &[], Value::Null);
    assert_eq!(get(&w, path, &of("slo-1")).await.unwrap_err().status, 404);
    for metric in ["bad", "total"] {
        w.aggregated(metric, at("10:01")).await;
    }
    let _ = w.tick(&S, at("10:01")).await;
    let shown = get(&w, path, &of("slo-1")).await.unwrap().body.0;
    assert_eq!(shown, serde_json::to_value(status(&w, "10:01").await).unwrap());
    assert_eq!(get(&w, path, &of("slo-2")).await.unwrap_err().status, 404);
    let listed = get(&w, "/v1/slos", &of("")).await.unwrap().body.0;
    assert_eq!(listed["items"][0]["sloId"], "slo-1");
}

#[tokio::test]
async fn a_disabled_rule_has_no_slot_until_it_is_enabled_again() {
    let mut w = World::new();
    let off = rule(json!({"enabled": false}));
    let (_, body) = w.command(&W, "SaveAlertRule", "10:00:10", off.clone()).await;
    assert_eq!(body["nextSlot"], Value::Null);
    let (_, body) = w.command(&W, "SaveAlertRule", "10:05:10", rule(json!({}))).await;
    assert_eq!(body["nextSlot"], json!(at("10:06")));
    let (_, body) = w.command(&W, "SaveAlertRule", "10:05:20", off).await;
    assert_eq!(body["nextSlot"], json!(at("10:06")), "its next slot is its last");
    let decisions = w.tick(&W, at("10:06")).await;
    assert_eq!(decisions.iter().map(|d| d.reason).collect::<Vec<_>>(), ["rule-disabled"]);
    assert!(w.tick(&W, at("10:30")).await.is_empty());
}

#[test]
fn the_rules_and_slos_of_the_demo_are_ones_that_can_be_saved() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    let named = |prefix: &str| -> Vec<String> {
        let ours = |p: &&std::path::PathBuf| p.file_name().unwrap().to_string_lossy().starts_with(prefix);
        files.iter().filter(ours).map(|p| std::fs::read_to_string(p).unwrap()).collect()
    };
    let rules: Vec<alert_evaluation::AlertRule> =
        named("alert-").iter().map(|t| serde_json::from_str(t).unwrap()).collect();
    let slos: Vec<slo_evaluation::SloDefinition> =
        named("slo-").iter().map(|t| serde_json::from_str(t).unwrap()).collect();
    assert!(!rules.is_empty() && !slos.is_empty());
    assert!(rules.iter().all(|r| r.check().is_ok()) && slos.iter().all(|s| s.check().is_ok()));
}
