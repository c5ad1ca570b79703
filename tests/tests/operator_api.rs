//! The operator surface (SPEC 14): API-03, -05, -06 and -07 with the workers there are, and problem documents.

use opsloop_kernel::ids;
use opsloop_shell::access::Access;
use opsloop_tests::{
    World,
    faults::DOWN,
    http::{Answered, call, router_of},
    probe::{self, NAME, Probe, Seen},
    world::{START, at, tenant},
};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

fn world() -> World {
    World::new(opsloop_app::workers::catalogue(&Default::default()))
}
async fn open(world: &World, key: &str, body: &Value) -> Answered {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    call(&router_of(world, Access::Local), "POST", "/v1/incidents", &headers, body.to_string()).await
}
fn incident(title: &str) -> Value {
    json!({"title": title, "severity": "high", "projectId": "shop"})
}
async fn incidents(world: &World) -> usize {
    let got = call(&router_of(world, Access::Local), "GET", "/v1/incidents", &[], "").await;
    got.json()["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn api_03_one_key_is_one_command_a53() {
    let world = world();
    let (first, second) = (open(&world, "k1", &incident("a")).await, open(&world, "k1", &incident("a")).await);
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(first.json(), second.json(), "equal answers, status and body");
    let other = open(&world, "k1", &incident("b")).await;
    assert_eq!((other.status, other.content_type.as_str()), (422, "application/problem+json"));
    assert_eq!(incidents(&world).await, 1);
}

#[tokio::test]
async fn a_command_without_any_key_is_not_guessed_at() {
    let world = world();
    let router = router_of(&world, Access::Local);
    let body = incident("a").to_string();
    assert_eq!(call(&router, "POST", "/v1/incidents", &[], body.clone()).await.status, 400);
    // The host's invocation id stands in for the header: all attempts of one call have it.
    for _ in 0..2 {
        let host = [("x-azure-functions-invocationid", "i-1")];
        assert_eq!(call(&router, "POST", "/v1/incidents", &host, body.clone()).await.status, 201);
    }
    assert_eq!(incidents(&world).await, 1);
}

#[tokio::test]
async fn api_07_a_crash_after_the_commit_is_answered_from_the_marker_a53() {
    let world = world();
    world.faults().lose_replies.store(1, Ordering::SeqCst);
    let lost = open(&world, "k1", &incident("a")).await;
    assert_eq!((lost.status, lost.json()["errorKind"].as_str()), (503, Some("transient")));
    assert_eq!(incidents(&world).await, 1, "the effect is there");
    let again = open(&world, "k1", &incident("a")).await;
    assert_eq!((again.status, incidents(&world).await), (201, 1), "{}", again.json());
}

#[tokio::test]
async fn api_05_a_dead_letter_is_listed_and_replayed_over_http() {
    let probe = Probe::default();
    let world = World::new(opsloop_shell::Catalogue::default().worker(probe.clone()));
    *probe.down.lock().unwrap() = Some(DOWN);
    let seen = Seen { thing: "a".into(), amount: 1, ..Seen::default() };
    world.send(&probe::seen("1", "local", at(START), &seen)).await;
    world.advance(std::time::Duration::from_secs(200)).await;
    *probe.down.lock().unwrap() = None;
    let router = router_of(&world, Access::Local);
    let list = call(&router, "GET", "/v1/dead-letters", &[], "").await.json();
    let letter = &list["items"][0];
    assert_eq!((letter["handler"].as_str(), letter["reason"].as_str()), (Some(NAME), Some("max_attempts_exceeded")));
    let path = format!("/v1/dead-letters/{}/replay", letter["id"].as_str().unwrap());
    let other = call(&router, "POST", &path, &[("x-opsloop-tenant", "globex")], "").await;
    assert_eq!(other.status, 404, "another tenant's dead letter is not to be seen");
    assert_eq!(call(&router, "POST", &path, &[], "").await.status, 202);
    world.drain().await;
    assert_eq!(world.events(probe::COUNTED).len(), 1);
    let list = call(&router, "GET", "/v1/dead-letters", &[], "").await.json();
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn api_06_health_readiness_and_metrics() {
    let mut world = world();
    let router = router_of(&world, Access::Local);
    for path in ["/healthz", "/v1/healthz", "/readyz", "/v1/readyz", "/metrics", "/v1/metrics"] {
        assert_eq!(call(&router, "GET", path, &[], "").await.status, 200, "{path}");
    }
    world.faults().down.store(true, Ordering::SeqCst);
    assert_eq!(call(&router, "GET", "/readyz", &[], "").await.status, 503, "the store is away");
    world.faults().down.store(false, Ordering::SeqCst);
    world.shell.ports.backlog = std::sync::Arc::new(Away);
    let router = router_of(&world, Access::Local);
    for (path, status) in [("/v1/readyz", 503), ("/v1/healthz", 200), ("/v1/metrics", 200), ("/readyz", 503)] {
        assert_eq!(call(&router, "GET", path, &[], "").await.status, status, "{path}");
    }
}

/// A broker that does not answer.
struct Away;
impl opsloop_kernel::ports::Backlog for Away {
    fn waiting<'a>(&'a self, _: &'a str) -> opsloop_kernel::BoxFuture<'a, Result<u64, opsloop_kernel::Fault>> {
        Box::pin(async { Err(opsloop_kernel::Fault::Unavailable { dependency: opsloop_kernel::Fault::BROKER }) })
    }
}

#[tokio::test]
async fn errors_are_problem_documents() {
    let world = world();
    let router = router_of(&world, Access::Local);
    for (method, path, body, status) in [
        ("GET", "/v1/nowhere", "", 404),
        ("GET", "/elsewhere", "", 404),
        ("DELETE", "/v1/incidents", "", 405),
        ("PATCH", "/v1/incidents", "", 405),
        ("POST", "/v1/incidents", "{", 400),
        ("GET", "/v1/incidents/inc-none", "", 404),
        ("POST", "/v1/slos", r#"{"objective": 2}"#, 400),
    ] {
        let got = call(&router, method, path, &[], body).await;
        let problem = got.json();
        assert_eq!(
            (got.status, got.content_type.as_str()),
            (status, "application/problem+json"),
            "{method} {path}: {problem}"
        );
        for field in ["type", "title", "status", "detail", "errorKind"] {
            assert!(!problem[field].is_null(), "{method} {path}: {field}");
        }
    }
}

#[tokio::test]
async fn api_01_another_tenants_incident_is_not_found() {
    let world = world();
    let opened = open(&world, "k1", &incident("a")).await.json();
    let id = opened["incidentId"].as_str().or(opened["incident"]["incidentId"].as_str()).unwrap().to_owned();
    let router = router_of(&world, Access::Local);
    let path = format!("/v1/incidents/{id}");
    assert_eq!(call(&router, "GET", &path, &[], "").await.status, 200);
    assert_eq!(call(&router, "GET", &path, &[("x-opsloop-tenant", "globex")], "").await.status, 404);
    let command = ids::command_id(&tenant("local"), "POST", "/v1/incidents", "k1");
    assert_ne!(command, ids::command_id(&tenant("globex"), "POST", "/v1/incidents", "k1"));
}
