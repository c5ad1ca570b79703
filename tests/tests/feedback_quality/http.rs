//! The surface of SPEC 14.2 that belongs to feedback and quality.

use super::{
    events::{at, resolved},
    world::World,
};
use opsloop_kernel::http::Method;
use opsloop_observability::{
    events::{AttributionMethod, FeedbackSource, kind},
    quality_score::score::QualityScore,
};
use serde_json::json;

#[tokio::test]
async fn scores_are_listed_newest_first_with_a_cursor() {
    let mut world = World::at("09:29");
    world.tell(&resolved("inc-0", "09:30", Some("art-9"))).await;
    world.run_until(at("12:10")).await;
    let path = "/v1/quality/projects/shop?window=1h&limit=2";
    let first = world.call(Method::Get, path, json!({})).await.unwrap().body.0;
    let starts = |page: &serde_json::Value| -> Vec<String> {
        let scores: Vec<QualityScore> = serde_json::from_value(page["items"].clone()).unwrap();
        scores.iter().map(|s| s.announced.window_start.to_string()).collect()
    };
    assert_eq!(starts(&first), ["2026-11-21T11:00:00.000Z", "2026-11-21T10:00:00.000Z"]);
    let next = format!("{path}&cursor={}", first["nextCursor"].as_str().unwrap());
    let second = world.call(Method::Get, &next, json!({})).await.unwrap().body.0;
    assert_eq!(starts(&second), ["2026-11-21T09:00:00.000Z"]);
    assert!(second.get("nextCursor").is_none());
    assert_eq!(
        world.call(Method::Get, "/v1/quality/projects/shop?window=2h", json!({})).await.unwrap_err().status,
        400
    );
    let forged = "/v1/quality/projects/shop?cursor=70726f6a656374";
    assert_eq!(world.call(Method::Get, forged, json!({})).await.unwrap_err().status, 400);
    let none = world.call(Method::Get, "/v1/quality/projects/other", json!({})).await.unwrap();
    assert_eq!(none.body.0["items"], json!([]));
}

#[tokio::test]
async fn a_person_gives_feedback_once() {
    let mut world = World::at("10:30");
    let body = json!({
        "title": "Checkout is confusing", "sentiment": -0.6, "severity": "high", "category": "maintainability",
        "projectId": "shop", "artifactId": "art-9", "agentId": "agent-1",
    });
    let answer = world.call(Method::Post, "/v1/feedback-items", body.clone()).await.unwrap();
    assert_eq!(answer.status, 201);
    let again = world.call(Method::Post, "/v1/feedback-items", body).await.unwrap();
    assert_eq!(again, answer, "the same Idempotency-Key, the same answer");
    world.run_until(at("10:35")).await;
    let items = world.items("shop").await;
    let [item] = items.as_slice() else { panic!("{items:#?}") };
    assert_eq!(answer.body.0, json!(item));
    assert_eq!(item.source, FeedbackSource::Human);
    assert_eq!((item.attribution.method, item.attribution.confidence), (AttributionMethod::RootCause, 1.0));
    assert_eq!(world.told(kind::FEEDBACK_ITEM_CREATED).len(), 1);
    assert_eq!(world.told(kind::QUALITY_SCORE_COMPUTED).len(), 1, "it is scored like any other");

    let listed = world.call(Method::Get, "/v1/feedback-items?project=shop", json!({})).await.unwrap();
    assert_eq!(listed.body.0["items"], json!(items));
}

#[tokio::test]
async fn what_is_wrong_with_feedback_is_said() {
    let world = World::at("10:30");
    for (body, word) in [
        (json!({"title": "", "sentiment": 0}), "title"),
        (json!({"title": "x", "sentiment": -2}), "sentiment"),
        (json!({"title": "x", "sentiment": 0, "source": "incident"}), "source"),
        (json!({"title": "x", "sentiment": 0, "projectId": "No Slug"}), "projectId"),
        (json!({"title": "x"}), "sentiment"),
    ] {
        let problem = world.call(Method::Post, "/v1/feedback-items", body).await.unwrap_err();
        assert_eq!(problem.status, 400);
        assert!(problem.detail.contains(word), "{}", problem.detail);
    }
}
