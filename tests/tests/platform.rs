//! The whole catalogue on real telemetry: a quarter of an hour in which the recorded shop goes bad, calm and with every
//! message delivered twice in reverse order (SPEC 13.1(1) and (7), A19).

use opsloop_app::demo::recording::{self, Frame};
use opsloop_kernel::Timestamp;
use opsloop_shell::access::Access;
use opsloop_tests::{
    World,
    http::{call, router_of},
    world::at,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

const FROM: &str = "2026-11-21T10:36:00Z";
const UNTIL: &str = "2026-11-21T10:51:00Z";
/// Kinds whose facts are equal while every message is handled before its unit is next due; incidents aside.
const EQUAL: [&str; 6] =
    ["TraceRecorded", "MetricAggregated", "AlertTriggered", "AlertResolved", "SloBreached", "SloRecovered"];

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo")
}

fn frames() -> Vec<Frame> {
    let bytes = std::fs::read(demo().join("recording.otlp")).unwrap();
    let all = recording::read(bytes.into()).unwrap();
    all.into_iter().filter(|f| f.header.at >= at(FROM) && f.header.at < at(UNTIL)).collect()
}

async fn run(twice: bool) -> World {
    let mut world = World::new(opsloop_app::workers::catalogue(&Default::default()));
    world.twice = twice;
    world.clock.advance_to(at(FROM));
    let router = router_of(&world, Access::Local);
    for (file, path) in [
        ("alert-checkout-errors.json", "/v1/alerts/rules"),
        ("slo-checkout-availability.json", "/v1/slos"),
        ("slo-checkout-latency.json", "/v1/slos"),
    ] {
        let body = std::fs::read_to_string(demo().join(file)).unwrap();
        let saved =
            call(&router, "POST", path, &[("content-type", "application/json"), ("idempotency-key", file)], body).await;
        assert!(saved.status < 300, "{file}: {}", saved.json());
    }
    for frame in frames() {
        advance_to(&world, frame.header.at).await;
        let mut headers = vec![("content-type", frame.header.content_type.as_str())];
        headers.extend(frame.header.content_encoding.as_deref().map(|e| ("content-encoding", e)));
        let sent = call(&router, "POST", &frame.header.path, &headers, frame.body.clone()).await;
        assert_eq!(sent.status, 200);
    }
    world.advance(Duration::from_secs(300)).await;
    world
}

async fn advance_to(world: &World, instant: Timestamp) {
    let by = instant.millis_since(world.now());
    world.advance(Duration::from_millis(by.max(0).unsigned_abs())).await;
}

fn facts(world: &World, kind: &str) -> BTreeSet<String> {
    world.events(kind).iter().map(|e| e.event_id.to_string()).collect()
}

/// Records and points by where they lie.
fn documents(world: &World) -> BTreeMap<String, serde_json::Value> {
    let kinds = ["head", "points", "window", "chunk", "raw"];
    let all = world.dump().into_iter().filter(|d| kinds.contains(&d.document.kind.as_ref()));
    all.map(|d| (format!("{}|{}", d.stream.name, d.document.id), d.document.body.0)).collect()
}

#[tokio::test]
async fn every_message_twice_and_shuffled_gives_the_same_a19() {
    let (calm, twice) = (run(false).await, run(true).await);
    for kind in EQUAL {
        assert_eq!(facts(&calm, kind), facts(&twice, kind), "{kind}");
    }
    for kind in ["TraceRecorded", "MetricAggregated", "AlertTriggered", "SloBreached"] {
        assert!(!facts(&calm, kind).is_empty(), "{kind} happened");
    }
    let (a, b) = (documents(&calm), documents(&twice));
    let differing: Vec<_> = a.iter().filter(|(k, v)| b.get(*k) != Some(*v)).map(|(k, _)| k).take(5).collect();
    assert!(differing.is_empty() && a.len() == b.len(), "{differing:?}, {} and {}", a.len(), b.len());
    assert!(a.len() > 500, "{}", a.len());
    for world in [&calm, &twice] {
        assert_eq!(world.owed(), 0, "nothing is owed at rest");
        assert!(world.listed("local").await.is_empty(), "nothing died");
        assert_eq!(world.recorded.sum(&["unit_stuck_total"]), 0.0);
    }
}

/// The gateway's spans carry an authorization header (demo/README.md), which must never be seen again (I6).
#[tokio::test]
async fn no_secret_of_the_recording_is_stored_or_emitted() {
    let world = run(false).await;
    let emitted: String = {
        let published = world.bus.published.lock().unwrap();
        published.iter().map(|m| String::from_utf8_lossy(&m.body).into_owned()).collect()
    };
    assert!(!emitted.contains("Bearer "));
    let roots = world.events("TraceRecorded");
    let gateway = roots.iter().find(|e| e.module_id.as_deref() == Some("gateway")).unwrap();
    let path = format!("/v1/traces/{}", gateway.trace_id);
    let shown = call(&router_of(&world, Access::Local), "GET", &path, &[], "").await.json().to_string();
    assert!(shown.contains("[REDACTED]") && !shown.contains("Bearer "), "{shown}");
}
