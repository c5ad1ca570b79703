//! The operator surface (SPEC 14.2): commands are checked before they are one, queries page and never write.

use super::{events::*, world::*};
use opsloop_kernel::{
    Answer, Body, Scope,
    http::{Does, Endpoint, Method, Problem, Request},
};
use opsloop_observability::{
    events::IncidentStatus as S,
    incident_analysis::{endpoints, open_incidents},
};
use serde_json::{Value, json};

fn endpoint(method: Method, path: &str) -> Endpoint {
    endpoints().into_iter().find(|e| e.method == method && e.path == path).unwrap()
}

fn request(params: &[(&str, &str)], query: &[(&str, &str)], body: Value) -> Request {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Request {
        params: map(params),
        query: map(query),
        body: Body(body),
        now: at("12:00"),
        project: Some("local".into()),
        metric_buckets: 8,
    }
}

async fn get(w: &World, path: &str, r: &Request) -> Result<Answer, Problem> {
    let tenant = tenant();
    let scope = Scope::admit(&tenant, &tenant, &*w.store).unwrap();
    let Does::Query(query) = endpoint(Method::Get, path).does else { panic!("a command") };
    query(r, &scope).await
}

/// What the route makes of a request: the command's kind and payload.
fn post(path: &str, r: &Request) -> Result<(&'static str, Value), Problem> {
    let Does::Command { kind, payload, .. } = endpoint(Method::Post, path).does else { panic!("a query") };
    Ok((kind, payload(r)?.0))
}

#[tokio::test]
async fn an_incident_opened_by_hand_is_answered_with_itself() {
    let mut w = World::new();
    let body = json!({"title": "checkout is slow", "severity": "critical", "moduleId": "mod-api", "environment": "prod",
        "projectId": "proj-booking", "actor": "ann"});
    let (kind, payload) = post("/v1/incidents", &request(&[], &[], body)).unwrap();
    let open = command(kind, "10:00", payload);
    let decision = w.deliver(&open).await.unwrap();
    let (status, body) = answer(&decision);
    let i = w.incident().await;
    assert_eq!((status, &body["incidentId"], &body["status"]), (201, &json!(i.incident_id), &json!("Escalated")));
    assert_eq!((&body["version"], body.get("plan")), (&json!(i.version), None));
    assert_eq!((i.sources[0].source_id.as_str(), i.sources[0].active), (open.event_id.as_str(), false));
    assert_eq!(w.log(&i.incident_id).await[0].actor, "ann");
    // The same command again is the same incident (A53): the marker keeps its answer.
    w.deliver(&open).await;
    assert_eq!(w.reasons[1], "duplicate");
    // One that belongs to it joins it, and is told so.
    let second = json!({"title": "also slow", "severity": "high", "moduleId": "mod-api", "environment": "prod",
        "projectId": "proj-booking"});
    let joined = w.deliver(&command("OpenIncident", "10:05", second)).await.unwrap();
    assert_eq!((answer(&joined).0, answer(&joined).1["incidentId"].clone()), (200, json!(i.incident_id)));
    assert_eq!(w.incident().await.sources.len(), 2);
}

#[test]
fn what_is_wrong_is_said_before_it_is_a_command() {
    let no = |path: &str, id: &str, body: Value| post(path, &request(&[("id", id)], &[], body)).unwrap_err().status;
    assert_eq!(no("/v1/incidents", "", json!({"title": "", "severity": "high"})), 400);
    assert_eq!(no("/v1/incidents", "", json!({"title": "x", "severity": "info"})), 400);
    assert_eq!(no("/v1/incidents", "", json!({"title": "x", "severity": "high", "environment": "qa"})), 400);
    assert_eq!(no("/v1/incidents", "", json!({"title": "x", "severity": "high", "moduleId": "Mod A"})), 400);
    assert_eq!(no("/v1/incidents", "", json!([1])), 400);
    assert_eq!(no("/v1/incidents/{id}/acknowledge", "42", json!({})), 404);
    assert_eq!(no("/v1/incidents/{id}/notes", "inc-1", json!({})), 400);
    assert_eq!(no("/v1/incidents/{id}/notes", "inc-1", json!({"text": "x".repeat(4_097)})), 400);
    let bad = json!({"rootCause": {"category": "gremlins", "summary": "?"}});
    assert_eq!(no("/v1/incidents/{id}/resolve", "inc-1", bad), 400);
    let bad = json!({"rootCause": {"category": "data", "summary": "?", "artifactId": "a b"}});
    assert_eq!(no("/v1/incidents/{id}/resolve", "inc-1", bad), 400);
}

#[test]
fn the_incident_is_the_one_of_the_path() {
    let r = request(&[("id", "inc-1")], &[], json!({"incidentId": "inc-2", "actor": "ann"}));
    assert_eq!(
        post("/v1/incidents/{id}/engage", &r).unwrap(),
        ("EngageOnCall", json!({"incidentId": "inc-1", "actor": "ann"}))
    );
    let r = request(&[("id", "inc-1")], &[], Value::Null);
    assert_eq!(post("/v1/incidents/{id}/acknowledge", &r).unwrap().1, json!({"incidentId": "inc-1"}));
}

#[tokio::test]
async fn an_incident_that_is_not_there_is_404_also_for_another_tenant_api_01() {
    let mut w = World::new();
    let no = w.deliver(&ask("AcknowledgeIncident", "10:00", "inc-nobody")).await.unwrap();
    assert_eq!((answer(&no).0, answer(&no).1["errorKind"].clone()), (404, json!("not_found")));
    w.deliver(&alert("alr-7", "10:00").fires()).await;
    let id = w.incident().await.incident_id;
    let globex = opsloop_kernel::TenantId::parse("globex").unwrap();
    let scope = Scope::admit(&globex, &globex, &*w.store).unwrap();
    let Does::Query(query) = endpoint(Method::Get, "/v1/incidents/{id}").does else { panic!() };
    assert_eq!(query(&request(&[("id", &id)], &[], Value::Null), &scope).await.unwrap_err().status, 404);
}

#[tokio::test]
async fn api_02_resolving_what_is_escalated_names_both_states() {
    let mut w = World::new();
    w.deliver(&alert("alr-7", "10:00").severity("critical").fires()).await;
    let id = w.incident().await.incident_id;
    let (status, body) = answer(&w.deliver(&resolve("10:01", &id)).await.unwrap());
    let named = (&body["errorKind"], &body["from"], &body["to"]);
    assert_eq!((status, named), (409, (&json!("invalid_transition"), &json!("Escalated"), &json!("Resolved"))));
    assert!(body["detail"].as_str().unwrap().contains("Escalated"));
}

#[tokio::test]
async fn a_list_is_filtered_and_paged() {
    let mut w = World::new();
    for n in 0..7 {
        let mut e = alert("alr-1", "10:00").fires();
        e.payload.0["ruleId"] = json!(format!("alr-{n}"));
        e.module_id = Some(format!("mod-{n}"));
        w.deliver(&again(e, n)).await;
    }
    let first = w.incidents().await[0].incident_id.clone();
    w.deliver(&resolve("10:10", &first)).await;
    let mut ids = vec![];
    let mut cursor: Option<String> = None;
    for expected in [3, 3, 0] {
        let mut query = vec![("status", "Open"), ("limit", "3")];
        if let Some(c) = &cursor {
            query.push(("cursor", c));
        }
        let body = get(&w, "/v1/incidents", &request(&[], &query, Value::Null)).await.unwrap().body.0;
        let items = body["items"].as_array().unwrap();
        assert_eq!(items.len(), expected);
        ids.extend(items.iter().map(|i| i["incidentId"].as_str().unwrap().to_owned()));
        cursor = body["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 6);
    assert!(!ids.contains(&first));
    let all = get(&w, "/v1/incidents", &request(&[], &[], Value::Null)).await.unwrap().body.0;
    assert_eq!((all["items"].as_array().unwrap().len(), all.get("cursor")), (7, None));
    for (name, value) in [("status", "open"), ("limit", "0"), ("limit", "201"), ("cursor", "???")] {
        let no = get(&w, "/v1/incidents", &request(&[], &[(name, value)], Value::Null)).await.unwrap_err();
        assert_eq!(no.status, 400, "{name}={value}");
    }
}

#[tokio::test]
async fn an_incident_is_shown_with_its_log() {
    let mut w = World::new();
    let a = alert("alr-7", "10:00");
    w.deliver(&a.fires()).await;
    w.deliver(&a.clears_at("10:05")).await;
    let id = w.incident().await.incident_id;
    let body = get(&w, "/v1/incidents/{id}", &request(&[("id", &id)], &[], Value::Null)).await.unwrap().body.0;
    let log = body["log"].as_array().unwrap();
    assert_eq!(log.iter().map(|e| e["kind"].as_str().unwrap()).collect::<Vec<_>>(), ["opened", "trigger", "cleared"]);
    assert_eq!(log[2]["ref"], json!({"kind": "alert", "id": a.source_id()}));
    let rest = get(&w, "/v1/incidents/{id}", &request(&[("id", &id)], &[("after", "2")], Value::Null)).await.unwrap();
    assert_eq!(rest.body.0["log"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn readers_see_what_is_not_resolved_of_a_project() {
    let mut w = World::new();
    w.deliver(&alert("alr-1", "10:00").fires()).await;
    let mut other = alert("alr-2", "10:00").fires();
    other.project_id = Some("proj-web".into());
    w.deliver(&other).await;
    let tenant = tenant();
    let scope = Scope::admit(&tenant, &tenant, &*w.store).unwrap();
    assert_eq!(open_incidents(&scope, None).await.unwrap().len(), 2);
    let of_booking = open_incidents(&scope, Some("proj-booking")).await.unwrap();
    assert_eq!((of_booking.len(), of_booking[0].status), (1, S::Open));
    let id = of_booking[0].incident_id.clone();
    w.deliver(&resolve("10:10", &id)).await;
    let scope = Scope::admit(&tenant, &tenant, &*w.store).unwrap();
    assert!(open_incidents(&scope, Some("proj-booking")).await.unwrap().is_empty());
}
