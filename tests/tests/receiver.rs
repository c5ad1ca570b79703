//! The OTLP receiver over HTTP (SPEC 5.1.1, A14, A32, P10): what it accepts, what it refuses, and that it answers only
//! after the batch is durable.

use flate2::{Compression, write::GzEncoder};
use opsloop_kernel::{BoxFuture, Fault, message::QUEUE_TRACES, ports::Backlog};
use opsloop_shell::access::Access;
use opsloop_tests::{
    World,
    http::{Answered, call, router_of},
};
use serde_json::json;
use std::{io::Write, path::Path, sync::atomic::Ordering};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

/// So many batches wait.
struct Backlogged(u64);
impl Backlog for Backlogged {
    fn waiting<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<u64, Fault>> {
        Box::pin(async { Ok(self.0) })
    }
}

fn world() -> World {
    World::new(opsloop_app::workers::catalogue(&Default::default()))
}
async fn post(world: &World, signal: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answered {
    call(&router_of(world, Access::Local), "POST", &format!("/v1/{signal}"), headers, body).await
}
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
/// A span of now, in JSON.
fn span(world: &World, trace_id: &str) -> serde_json::Value {
    let now = world.now().nanos();
    json!({"traceId": trace_id, "spanId": "eee19b7ec3c1b174", "name": "op", "kind": 2,
        "startTimeUnixNano": now.to_string(), "endTimeUnixNano": (now + 1).to_string()})
}
fn spans(spans: Vec<serde_json::Value>) -> Vec<u8> {
    json!({"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": spans}]}]})
        .to_string()
        .into_bytes()
}
async fn waiting(world: &World) -> u64 {
    Backlog::waiting(&*world.bus.broker, QUEUE_TRACES).await.unwrap()
}

#[tokio::test]
async fn what_is_accepted_is_in_the_queue_when_the_answer_comes_a14() {
    let world = world();
    let body = spans(vec![span(&world, "5b8efff798038103d269b633813fc60c")]);
    let answered = post(&world, "traces", &[JSON], body.clone()).await;
    assert_eq!((answered.status, answered.content_type.as_str()), (200, "application/json"));
    assert_eq!(waiting(&world).await, 1);
    // A client's retry is one batch: the broker has its id.
    assert_eq!(post(&world, "traces", &[JSON], body).await.status, 200);
    assert_eq!(waiting(&world).await, 1);
}

#[tokio::test]
async fn the_official_examples_are_taken_in_json_and_gzip() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/otlp/official");
    for (signal, name) in [("traces", "trace.json"), ("metrics", "metrics.json"), ("logs", "logs.json")] {
        let body = std::fs::read(folder.join(name)).unwrap();
        let plain = post(&world(), signal, &[JSON], body.clone()).await;
        assert_eq!(plain.status, 200, "{name}: {}", plain.json());
        let zipped = post(&world(), signal, &[JSON, ("content-encoding", "gzip")], gzip(&body)).await;
        assert_eq!((zipped.status, zipped.body), (200, plain.body), "{name}");
    }
}

#[tokio::test]
async fn tiw_05_a_zero_id_is_a_partial_success() {
    let world = world();
    let mut all: Vec<_> = (0..9).map(|n| span(&world, &format!("5b8efff798038103d269b633813fc6{n:02x}"))).collect();
    all.push(span(&world, &"0".repeat(32)));
    let answered = post(&world, "traces", &[JSON], spans(all)).await;
    let partial = &answered.json()["partialSuccess"];
    assert_eq!((answered.status, partial["rejectedSpans"].as_str()), (200, Some("1")), "{partial}");
    assert!(!partial["errorMessage"].as_str().unwrap_or_default().is_empty());
}

#[tokio::test]
async fn an_empty_request_succeeds_and_sends_nothing() {
    let world = world();
    for signal in ["traces", "metrics", "logs"] {
        assert_eq!(post(&world, signal, &[PROTOBUF], vec![]).await.status, 200);
    }
    assert_eq!(waiting(&world).await, 0);
}

#[tokio::test]
async fn what_cannot_be_decoded_is_400_in_the_form_of_the_request() {
    let world = world();
    let bad = post(&world, "traces", &[PROTOBUF], vec![0xff; 64]).await;
    assert_eq!((bad.status, bad.content_type.as_str()), (400, "application/x-protobuf"));
    let bad = post(&world, "metrics", &[JSON], b"{\"resourceMetrics\": 7}".to_vec()).await;
    assert_eq!((bad.status, bad.content_type.as_str()), (400, "application/json"));
    assert!(bad.json()["message"].is_string());
    let bad = post(&world, "traces", &[JSON, ("content-encoding", "gzip")], b"no gzip".to_vec()).await;
    assert_eq!(bad.status, 400);
}

#[tokio::test]
async fn an_unknown_form_or_encoding_is_415() {
    let world = world();
    for headers in [&[("content-type", "text/plain")][..], &[], &[PROTOBUF, ("content-encoding", "br")]] {
        assert_eq!(post(&world, "traces", headers, vec![]).await.status, 415, "{headers:?}");
    }
}

#[tokio::test]
async fn five_mebibytes_and_a_bomb_are_413() {
    let world = world();
    let large = vec![0u8; 5 * 1024 * 1024];
    assert_eq!(post(&world, "traces", &[PROTOBUF], large).await.status, 413);
    let beyond_the_drain = vec![0u8; 17 * 1024 * 1024];
    assert_eq!(post(&world, "traces", &[PROTOBUF], beyond_the_drain).await.status, 413);
    let bomb = gzip(&vec![0u8; 200 * 1024 * 1024]);
    assert!(bomb.len() < 1024 * 1024);
    assert_eq!(post(&world, "traces", &[PROTOBUF, ("content-encoding", "gzip")], bomb).await.status, 413);
}

#[tokio::test]
async fn a_broker_that_is_away_is_503_with_retry_after_and_nothing_is_said_to_be_kept() {
    let world = world();
    world.bus.down.store(true, Ordering::SeqCst);
    let answered = post(&world, "traces", &[JSON], spans(vec![span(&world, "5b8efff798038103d269b633813fc60c")])).await;
    assert_eq!((answered.status, answered.retry_after.as_deref()), (503, Some("5")));
}

#[tokio::test]
async fn a_backlog_above_the_watermark_is_503_a32() {
    let mut world = world();
    world.shell.ports.backlog = std::sync::Arc::new(Backlogged(10_001));
    let answered = post(&world, "traces", &[PROTOBUF], vec![]).await;
    assert_eq!((answered.status, answered.retry_after.as_deref()), (503, Some("5")));
    world.shell.ports.backlog = std::sync::Arc::new(Backlogged(10_000));
    assert_eq!(post(&world, "traces", &[PROTOBUF], vec![]).await.status, 200);
}

#[tokio::test]
async fn outside_local_mode_nobody_is_admitted() {
    let world = world();
    let router = router_of(&world, Access::Closed);
    let answered = call(&router, "POST", "/v1/traces", &[PROTOBUF], vec![]).await;
    assert_eq!(answered.status, 401);
    assert_eq!(call(&router, "GET", "/v1/incidents", &[], vec![]).await.status, 401);
    assert_eq!(call(&router, "GET", "/v1/healthz", &[], vec![]).await.status, 200);
}

#[tokio::test]
async fn a10_the_tenant_platform_is_refused() {
    let world = world();
    let headers = [PROTOBUF, ("x-opsloop-tenant", "platform")];
    assert_eq!(post(&world, "traces", &headers, vec![]).await.status, 403);
}
