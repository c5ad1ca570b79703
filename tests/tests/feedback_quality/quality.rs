//! Scenarios of SPEC 5.8.7, and when what is computed (SPEC 5.8.1, 3.4, 3.8).

use super::{
    events::{anomaly, at, deployed, event, recorded, resolved, resolved_with, slo, status, tenant},
    world::World,
};
use opsloop_kernel::{
    Container, Envelope, Stream,
    http::Method,
    ids,
    window::{DAY_MS, HOUR_MS},
};
use opsloop_observability::{
    events::{FeedbackCategory, kind},
    feedback_creation::FeedbackPolicy,
    quality_score::{
        Zones, notice,
        score::{QualityScore, Status},
    },
};
use serde_json::json;

const COMPUTED: &str = kind::QUALITY_SCORE_COMPUTED;

fn reliability(score: &QualityScore) -> f64 {
    score.announced.dimensions[&FeedbackCategory::Reliability].score
}
async fn hour(world: &World, start: &str) -> QualityScore {
    world.score("shop", HOUR_MS, start).await.expect("a score of that hour")
}
fn of_hour<'a>(world: &'a World, start: &str) -> Vec<&'a Envelope> {
    let start = json!(at(start));
    let is = |e: &&Envelope| e.payload.0["windowStart"] == start && e.payload.0["windowSizeMs"] == HOUR_MS;
    world.told(COMPUTED).into_iter().filter(is).collect()
}

/// A project with an SLO that evaluation finds so at each of these minutes.
async fn with_slo(start: &str, minutes: &[(&str, f64, bool)]) -> World {
    let world = World::at(start);
    let answer = world.call(Method::Post, "/v1/slos", slo("slo-cart")).await.unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    for (minute, remaining, stale) in minutes {
        let (stream, document) = status("slo-cart", minute, *remaining, *stale);
        world.put(stream, document).await;
    }
    world
}

#[tokio::test]
async fn qsw_01_an_slo_with_its_whole_budget_is_scored_without_any_item() {
    let mut world = with_slo("10:20", &[("10:59", 1.0, false), ("11:00", 1.0, false), ("11:01", 0.5, false)]).await;
    world.run_until(at("11:05")).await;
    let score = hour(&world, "10:00").await;
    assert_eq!(score.announced.overall, 100.0);
    assert_eq!(score.announced.inputs.slos, 1);
    assert_eq!((score.freshness.stale, score.freshness.as_of), (false, at("10:59")));
    assert_eq!(of_hour(&world, "10:00").len(), 1);
    assert!(world.items("shop").await.is_empty());
}

#[tokio::test]
async fn qsw_04_an_slo_with_a_quarter_of_its_budget() {
    let mut world = with_slo("10:20", &[("10:30", 0.25, false), ("10:31", 0.9, false)]).await;
    world.tell(&resolved("inc-1", "10:30", Some("art-9"))).await;
    world.run_until(at("10:31")).await;
    let score = hour(&world, "10:00").await;
    assert_eq!((reliability(&score), score.announced.overall), (60.37, 88.11));
    assert_eq!(score.announced.dimensions[&FeedbackCategory::Reliability].evidence, 2);
}

#[tokio::test]
async fn a_stale_slo_gives_its_last_fresh_value_and_the_score_says_so() {
    let mut world = with_slo("10:20", &[("10:59", 0.25, false), ("11:00", 0.0, true)]).await;
    world.run_until(at("11:05")).await;
    let score = hour(&world, "10:00").await;
    assert_eq!(reliability(&score), 70.0);
    assert_eq!((score.freshness.stale, score.freshness.as_of), (true, at("10:58")));
    assert!(of_hour(&world, "10:00")[0].freshness.as_ref().unwrap().stale);
    assert_eq!(world.inner.recorded.sum(&["worker_stale_results_total"]), 1.0);
    // An hour later nothing newer has come: the same value, still stale.
    world.run_until(at("12:05")).await;
    assert!(hour(&world, "11:00").await.freshness.stale);
}

#[tokio::test]
async fn an_slo_that_was_never_evaluated_is_no_input_and_keeps_its_project_awake() {
    let mut world = with_slo("10:20", &[]).await;
    world.run_until(at("11:06")).await;
    assert!(world.ledgers("shop", HOUR_MS).await.is_empty());
    let (stream, document) = status("slo-cart", "12:00", 0.5, false);
    world.put(stream, document).await;
    world.run_until(at("12:06")).await;
    assert_eq!(reliability(&hour(&world, "11:00").await), 80.0);
}

#[tokio::test]
async fn qsw_02_an_item_is_scored_at_the_next_full_minute() {
    let mut world = World::at("10:29");
    world.tell(&resolved("inc-1", "10:30:10", Some("art-9"))).await;
    assert!(world.told(COMPUTED).is_empty());
    world.run_until(at("10:31")).await;
    let score = hour(&world, "10:00").await;
    assert_eq!((reliability(&score), score.announced.overall), (83.95, 95.18));
    assert_eq!((score.announced.revision, score.computed_at), (1, at("10:31")));
    assert_eq!(score.announced.confidence, 0.1);
    let told = of_hour(&world, "10:00");
    assert_eq!(told.len(), 1);
    let scope = format!("shop|{HOUR_MS}");
    assert_eq!(told[0].trace_id, ids::unit_trace("QualityScoreWorker", at("10:00"), &tenant(), &scope));
    assert_eq!(told[0].correlation_id, ids::run_correlation(&tenant(), "QualityScoreWorker", &scope, at("10:00")));
    assert_eq!((told[0].occurred_at, told[0].partition_key.as_str()), (at("10:31"), "shop"));
    assert_eq!(told[0].payload.0["qualityScoreId"], json!(score.announced.quality_score_id));
    assert!(told[0].payload.0.get("contentHash").is_none());
}

#[tokio::test]
async fn qsw_03_seven_days_later_it_weighs_half() {
    let mut world = World::at("2026-11-14T10:29:00Z");
    world.tell(&resolved("inc-1", "2026-11-14T10:30:00Z", Some("art-9"))).await;
    world.jump("2026-11-21T10:59:30Z");
    world.run_until(at("11:06")).await;
    let score = hour(&world, "10:00").await;
    assert_eq!((reliability(&score), score.announced.overall), (91.62, 97.49));
}

#[tokio::test]
async fn qsw_05_an_artifact_of_a_suspected_deployment() {
    let mut world = World::at("09:59");
    world.tell(&deployed("dep-1", "10:00", "art-9")).await;
    let e = resolved_with("inc-1", "10:30", json!({"suspectedDeploymentId": "dep-1"}), json!({}));
    world.tell(&e).await;
    world.run_until(at("10:35")).await;
    let score = hour(&world, "10:00").await;
    let [artifact] = score.announced.artifact_scores.as_slice() else { panic!("one artifact") };
    assert_eq!((artifact.artifact_id.as_str(), artifact.score, artifact.evidence), ("art-9", 97.49, 1));
    assert_eq!(score.announced.overall, 95.18);
}

fn alert(when: &str) -> Envelope {
    let payload = json!({
        "ruleId": "alr-7", "ruleVersion": 3, "name": "slow", "fingerprint": "f00dfeed12345678", "severity": "high",
        "labels": {}, "annotations": {}, "value": 0.62, "activeAt": at(when), "firedAt": at(when),
        "windowStart": at(when), "episodeId": "1", "repeat": false,
    });
    event(kind::ALERT_TRIGGERED, "shop", at(when), payload)
}

#[tokio::test]
async fn qsw_06_an_open_incident_weighs_until_it_is_resolved() {
    let mut world = World::at("10:19");
    world.tell(&alert("10:20")).await;
    world.tell(&resolved("inc-1", "10:30", Some("art-9"))).await;
    world.run_until(at("10:31")).await;
    let score = hour(&world, "10:00").await;
    assert_eq!((reliability(&score), score.announced.overall), (65.38, 89.61));
    assert_eq!(score.announced.inputs.open_incidents, 1);

    world.run_until(at("11:02")).await;
    let open = world.told(kind::INCIDENT_OPENED);
    assert!(open.is_empty(), "it goes to others than the knowledge platform");
    let id = incident_id(&world).await;
    let cause = json!({"category": "unknown", "summary": "?", "artifactId": "art-9"});
    let body = json!({"actor": "ann", "rootCause": cause});
    let path = format!("/v1/incidents/{id}/resolve");
    let answer = world.call(Method::Post, &path, body).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    world.run_until(at("11:06")).await;
    let closed = hour(&world, "10:00").await;
    assert_eq!(closed.announced.inputs.open_incidents, 1, "it was open when the hour ended");
    assert_eq!(closed.announced.revision, 1);
    let next = hour(&world, "11:00").await;
    assert_eq!(next.announced.inputs.open_incidents, 0);
    assert_eq!(next.announced.inputs.feedback, 2);
}

async fn incident_id(world: &World) -> String {
    let answer = world.call(Method::Get, "/v1/incidents", json!({})).await.unwrap();
    answer.body.0["items"][0]["incidentId"].as_str().expect("an incident").to_owned()
}

#[tokio::test]
async fn an_incident_alone_is_input_enough() {
    let mut world = World::at("10:19");
    world.tell(&alert("10:20")).await;
    world.run_until(at("11:05")).await;
    let score = hour(&world, "10:00").await;
    assert_eq!(score.announced.inputs.open_incidents, 1);
    assert_eq!(reliability(&score), 77.88);
    assert_eq!(score.announced.confidence, 0.0, "incidents make nothing surer");
}

#[tokio::test]
async fn qsw_07_forty_items_in_half_a_minute_are_one_computation() {
    let mut world = World::at("10:29");
    for n in 0..40 {
        let mut e = resolved(&format!("inc-{n}"), "10:30", Some("art-9"));
        e.occurred_at = at("10:30:10").plus_millis(n * 700);
        world.tell(&e).await;
    }
    world.run_until(at("11:04")).await;
    let told = of_hour(&world, "10:00");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].payload.0["inputs"]["feedback"], 40);
    assert_eq!(hour(&world, "10:00").await.announced.revision, 1);
}

#[tokio::test]
async fn qsw_08_unchanged_inputs_change_nothing_and_a_new_item_does() {
    let mut world = World::at("09:29");
    world.tell(&resolved("inc-0", "09:30", Some("art-9"))).await;
    world.tell(&resolved("inc-1", "10:30", Some("art-9"))).await;
    world.run_until(at("10:39")).await;
    let first = hour(&world, "10:00").await;
    assert_eq!(first.announced.revision, 1);
    assert_eq!(first.announced.previous_overall, Some(95.18));
    assert_eq!(first.announced.delta, Some(-4.04));

    world.tell(&resolved("inc-2", "10:40", Some("art-9"))).await;
    world.run_until(at("10:41")).await;
    let second = hour(&world, "10:00").await;
    assert_eq!((second.announced.revision, second.announced.delta), (2, Some(-7.43)));
    assert_eq!(second.announced.artifact_scores[0].delta, Some(-7.43));

    world.run_until(at("11:10")).await;
    assert_eq!(hour(&world, "10:00").await, second, "computed again at its close, unchanged");
    assert_eq!(of_hour(&world, "10:00").len(), 2);
}

#[tokio::test]
async fn qsw_08_a_late_item_revises_its_window_and_those_after_it() {
    let mut world = World::at("09:29");
    world.tell(&resolved("inc-0", "09:30", Some("art-9"))).await;
    world.run_until(at("12:20")).await;
    let before = [hour(&world, "09:00").await, hour(&world, "10:00").await, hour(&world, "11:00").await];
    world.publish(&resolved("inc-1", "10:30", Some("art-9"))).await;
    world.run_until(at("12:22")).await;

    assert_eq!(hour(&world, "09:00").await, before[0], "it ended before the item came to be");
    for (start, old) in [("10:00", &before[1]), ("11:00", &before[2])] {
        let new = hour(&world, start).await;
        assert_eq!(new.announced.revision, old.announced.revision + 1);
        assert_eq!(new.announced.inputs.feedback, 2);
        let told = of_hour(&world, start);
        assert_eq!(told.len(), 2);
        assert_eq!((&told[0].trace_id, &told[0].correlation_id), (&told[1].trace_id, &told[1].correlation_id));
        assert_ne!(told[0].event_id, told[1].event_id);
        assert_eq!(told[0].idempotency_key, told[1].idempotency_key);
    }
    // Oldest first: the window after it took its delta from the revised one.
    let (ten, eleven) = (hour(&world, "10:00").await, hour(&world, "11:00").await);
    assert_eq!(eleven.announced.previous_overall, Some(ten.announced.overall));
    assert_eq!(hour(&world, "12:00").await.announced.inputs.feedback, 2, "the hour at hand too");
}

#[tokio::test]
async fn qsw_08_two_days_later_the_window_stays_as_it_is() {
    let mut world = World::at("09:29");
    world.tell(&resolved("inc-0", "09:30", Some("art-9"))).await;
    world.run_until(at("11:10")).await;
    world.jump("2026-11-23T09:19:00Z");
    world.run_until(at("2026-11-23T11:20:00Z")).await;
    let old = hour(&world, "10:00").await;
    let sealed = hour(&world, "2026-11-22T09:00:00Z").await;
    let edge = hour(&world, "2026-11-22T10:00:00Z").await;
    world.publish(&resolved("inc-1", "10:30", Some("art-9"))).await;
    world.run_until(at("2026-11-23T11:22:00Z")).await;
    assert_eq!(hour(&world, "10:00").await, old);
    assert_eq!(hour(&world, "2026-11-22T09:00:00Z").await, sealed);
    let edge_now = hour(&world, "2026-11-22T10:00:00Z").await;
    assert_eq!(edge_now.announced.revision, edge.announced.revision + 1, "its end lies 24 h before the newest");
    assert_eq!(edge_now.announced.inputs.feedback, 2);
}

#[tokio::test]
async fn a_withdrawn_item_leaves_every_score_it_was_part_of() {
    let mut world = World::at("09:59");
    world.tell(&anomaly("10:01", "high", 0, false)).await;
    world.run_until(at("11:10")).await;
    assert!(hour(&world, "10:00").await.announced.overall < 100.0);
    world.tell(&anomaly("11:20", "high", 1, true)).await;
    world.run_until(at("11:22")).await;
    let revised = hour(&world, "10:00").await;
    assert_eq!((revised.announced.overall, revised.announced.revision), (100.0, 2));
    assert_eq!(revised.announced.inputs.feedback, 0);
}

#[tokio::test]
async fn tiw_15_ten_error_traces_make_the_score_of_their_hour() {
    let mut world = World::at("09:59");
    for n in 0..10 {
        world.tell(&recorded(n, 1, at("10:10").plus_millis(n as i64 * 2_000))).await;
    }
    world.run_until(at("11:06")).await;
    let score = hour(&world, "10:00").await;
    assert_eq!(score.announced.dimensions[&FeedbackCategory::Correctness].score, 88.25);
    assert_eq!(score.announced.overall, 97.06);
    assert_eq!(of_hour(&world, "10:00").len(), 1);
    assert_eq!(world.items("shop").await.len(), 1);
}

#[tokio::test]
async fn days_are_those_of_the_tenants_time_zone() {
    let zones = Zones([("acme".to_owned(), "Europe/Berlin".to_owned())].into());
    let mut world = World::with("2026-10-25T10:00:00Z", FeedbackPolicy::default(), zones);
    world.tell(&resolved("inc-1", "2026-10-25T10:30:00Z", Some("art-9"))).await;
    world.jump("2026-10-25T23:04:00Z");
    world.run_until(at("2026-10-25T23:04:30Z")).await;
    assert!(world.ledgers("shop", DAY_MS).await.is_empty());
    world.run_until(at("2026-10-25T23:06:00Z")).await;
    let day = world.score("shop", DAY_MS, "2026-10-24T22:00:00Z").await.unwrap();
    assert_eq!((day.announced.window_size_ms, day.announced.overall), (DAY_MS, 95.18));
    assert_eq!(day.computed_at, at("2026-10-25T23:05:00Z"), "the day had 25 hours");
    world.jump("2026-10-26T23:04:00Z");
    world.run_until(at("2026-10-26T23:06:00Z")).await;
    let next = world.score("shop", DAY_MS, "2026-10-25T23:00:00Z").await.unwrap();
    assert_eq!(next.announced.previous_overall, Some(95.18));
}

#[tokio::test]
async fn a_late_item_revises_its_day_too() {
    let mut world = World::at("09:29");
    world.tell(&resolved("inc-0", "09:30", Some("art-9"))).await;
    world.jump("2026-11-22T00:19:00Z");
    world.run_until(at("2026-11-22T00:20:00Z")).await;
    let before = world.score("shop", DAY_MS, "2026-11-21T00:00:00Z").await.unwrap();
    world.publish(&resolved("inc-1", "23:30", Some("art-9"))).await;
    world.run_until(at("2026-11-22T00:22:00Z")).await;
    let after = world.score("shop", DAY_MS, "2026-11-21T00:00:00Z").await.unwrap();
    assert_eq!((before.announced.revision, after.announced.revision), (1, 2));
    assert_eq!(hour(&world, "23:00").await.announced.revision, 2);
}

#[tokio::test]
async fn fnd_10_what_was_missed_is_computed_in_order_and_not_beyond_a_day() {
    let mut world = World::at("09:29");
    world.tell(&resolved("inc-0", "09:30", Some("art-9"))).await;
    world.run_until(at("11:10")).await;
    world.jump("2026-11-22T14:59:30Z");
    world.run_until(at("2026-11-22T15:00:00Z")).await;
    let ledgers = world.ledgers("shop", HOUR_MS).await;
    let skipped = ledgers.iter().filter(|l| l.status == Status::Skipped).count();
    assert_eq!(skipped, 3, "11:00 to 14:00: their closes lie more than 24 h before the tick");
    assert_eq!(world.inner.recorded.sum(&["slots_skipped_total"]), 3.0);
    assert_eq!(hour(&world, "14:00").await.computed_at, at("15:05"), "the moment is that of the close");
    let told = world.told(COMPUTED).into_iter().filter(|e| e.payload.0["windowSizeMs"] == HOUR_MS);
    let starts: Vec<_> = told.map(|e| e.payload.0["windowStart"].clone()).collect();
    assert_eq!(starts.len(), 26);
    let mut sorted = starts.clone();
    sorted.sort_by_key(|s| s.as_str().map(str::to_owned));
    assert_eq!(starts, sorted, "oldest first");
    assert_eq!(world.score("shop", HOUR_MS, "2026-11-22T13:00:00Z").await.unwrap().announced.inputs.feedback, 1);
}

#[tokio::test]
async fn a_skipped_hour_that_was_brought_forward_keeps_its_score() {
    let mut world = World::at("09:29");
    world.tell(&resolved("inc-0", "09:30", Some("art-9"))).await;
    world.run_until(at("09:40")).await;
    world.jump("2026-11-22T14:59:30Z");
    world.run_until(at("2026-11-22T15:00:00Z")).await;
    let score = hour(&world, "09:00").await;
    assert_eq!((score.announced.revision, score.computed_at), (1, at("09:31")));
}

#[tokio::test]
async fn a_project_without_input_in_thirty_days_sleeps_until_something_comes() {
    let mut world = World::at("09:29");
    world.tell(&resolved("inc-0", "09:30", Some("art-9"))).await;
    world.run_until(at("09:40")).await;
    world.jump("2026-12-21T08:00:00Z");
    world.run_until(at("2026-12-21T12:00:00Z")).await;
    let last = hour(&world, "2026-12-21T08:00:00Z").await;
    assert_eq!(last.announced.inputs.feedback, 1);
    assert!(world.score("shop", HOUR_MS, "2026-12-21T09:00:00Z").await.is_none(), "thirty days are exact");
    let found = world.ledgers("shop", HOUR_MS).await.len();
    world.run_until(at("2026-12-21T15:00:00Z")).await;
    assert_eq!(world.ledgers("shop", HOUR_MS).await.len(), found, "it sleeps");

    world.jump("2026-12-24T10:29:00Z");
    world.tell(&resolved("inc-1", "2026-12-24T10:30:00Z", Some("art-9"))).await;
    world.run_until(at("2026-12-24T11:06:00Z")).await;
    assert_eq!(world.score("shop", HOUR_MS, "2026-12-24T10:00:00Z").await.unwrap().announced.overall, 95.18);
    assert_eq!(world.ledgers("shop", HOUR_MS).await.len(), found + 1, "what it slept through is left out");
}

#[tokio::test]
async fn a_notice_of_another_stream_starts_the_schedule_once() {
    let mut world = World::at("10:00");
    let slos = Stream::new(Container::State, "slos");
    let opsloop_kernel::Write::Put(document) = notice("shop", at("10:00")) else { panic!("a blind write") };
    world.put(slos.clone(), document).await;
    world.run_until(at("10:02")).await;
    let root = opsloop_observability::quality_score::project::stream("shop");
    let stored = world.get(&root, "project").await.unwrap();
    assert_eq!(stored.document.due.unwrap().at, at("11:05"));
    let id = opsloop_observability::quality_score::decide::notice_id("shop");
    assert!(world.get(&slos, &id.0).await.is_none(), "taken down");
}

#[tokio::test]
async fn items_of_two_tenants_never_meet() {
    let mut world = World::at("10:29");
    let mut e = resolved("inc-1", "10:30", Some("art-9"));
    e.tenant_id = opsloop_kernel::TenantId::parse("globex").unwrap();
    world.tell(&e).await;
    world.run_until(at("10:32")).await;
    assert!(world.items("shop").await.is_empty());
    assert!(world.ledgers("shop", HOUR_MS).await.is_empty());
    assert_eq!(world.told(COMPUTED)[0].tenant_id.as_str(), "globex");
}
