//! Scenarios of SPEC 5.7.8.

use super::{
    events::{
        anomaly, at, deployed, error_trace, event, index_entry, recorded, resolved, resolved_with, tenant, trace_id,
    },
    world::World,
};
use opsloop_kernel::ids;
use opsloop_observability::{
    events::{AttributionMethod, FeedbackCategory, FeedbackItem, FeedbackSource, SentimentLabel, Severity, kind},
    feedback_creation::FeedbackPolicy,
    quality_score::Zones,
};
use serde_json::json;
use std::collections::BTreeSet;

const CREATED: &str = kind::FEEDBACK_ITEM_CREATED;

#[tokio::test]
async fn fcw_01_a_root_cause_names_the_artifact_and_twice_is_once() {
    let mut world = World::at("10:29");
    let e = resolved("inc-1", "10:30", Some("art-9"));
    world.tell(&e).await;
    world.publish_as(&e, "again").await;
    // The same fact under another event id: the root absorbs it, not the marker.
    let mut replayed = e.clone();
    replayed.event_id = ids::event_id("replayed", &tenant(), "x", 0);
    world.tell(&replayed).await;
    world.run_until(at("10:40")).await;

    let items = world.items("shop").await;
    let [item] = items.as_slice() else { panic!("{items:#?}") };
    assert_eq!(item.artifact_id.as_deref(), Some("art-9"));
    assert_eq!((item.attribution.method, item.attribution.confidence), (AttributionMethod::RootCause, 1.0));
    assert_eq!((item.sentiment.score, item.sentiment.label), (-0.7, SentimentLabel::Negative));
    assert_eq!((item.source, item.source_id.as_str()), (FeedbackSource::Incident, "inc-1"));
    assert_eq!((item.category, item.severity), (FeedbackCategory::Reliability, Severity::High));
    assert_eq!(item.created_at, at("10:30"), "no waiting where the artifact is named");
    let told = world.told(CREATED);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].correlation_id.clone(), told[0].causation_id.clone()), (e.correlation_id, Some(e.event_id)));
    assert_eq!(told[0].partition_key, "art-9");
    assert_eq!(serde_json::from_value::<FeedbackItem>(told[0].payload.0.clone()).unwrap(), *item);
}

#[tokio::test]
async fn an_incident_opened_on_stale_data_counts_half_and_says_so() {
    let mut world = World::at("10:29");
    let more =
        json!({"openedOnStale": true, "traceLineage": [{"traceId": trace_id(7), "status": "error", "durationMs": 9}]});
    world.tell(&resolved_with("inc-1", "10:30", more, json!({"artifactId": "art-9", "category": "capacity"}))).await;
    let item = &world.items("shop").await[0];
    assert_eq!((item.sentiment.score, item.category), (-0.35, FeedbackCategory::Performance));
    assert_eq!(item.evidence[0].kind, "stale_input");
    assert_eq!(item.trace_id, trace_id(7), "the trace of the incident, not that of the event");
}

#[tokio::test]
async fn fcw_03_the_tenth_error_trace_of_a_day_makes_one_item() {
    let mut world = World::at("09:59");
    for n in 0..9 {
        world.tell(&recorded(n, 1, at("10:00").plus_millis(n as i64 * 1_000))).await;
    }
    world.run_until(at("11:10")).await;
    assert!(world.items("shop").await.is_empty(), "nine, and an hour without fifty traces");

    world.tell(&error_trace(9, "12:00")).await;
    world.run_until(at("12:03")).await;
    let items = world.items("shop").await;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].source_id, "signal:f00dfeed12345678:2026-11-21");
    assert_eq!(items[0].created_at, at("12:00"), "the instant of the tenth");
    assert_eq!(items[0].trace_id, trace_id(0), "the earliest speaks for all");
    assert_eq!((items[0].severity, items[0].sentiment.score), (Severity::High, -0.5));
    assert_eq!(items[0].attribution.method, AttributionMethod::None);

    for n in 10..500 {
        world.publish(&recorded(n, 1, at("12:03").plus_millis(n as i64 * 100))).await;
    }
    world.run_until(at("13:06")).await;
    assert_eq!(world.items("shop").await.len(), 1, "at the 500th still one");

    world.jump("2026-11-22T07:59:00Z");
    for n in 500..510 {
        world.publish(&recorded(n, 1, at("2026-11-22T08:00:00Z").plus_millis(n as i64))).await;
    }
    world.run_until(at("2026-11-22T09:00:00Z")).await;
    let items = world.items("shop").await;
    assert_eq!(items.len(), 2, "the next UTC day may have its own");
    assert_eq!(items[1].source_id, "signal:f00dfeed12345678:2026-11-22");
    let ids: BTreeSet<_> = items.iter().map(|i| &i.feedback_item_id).collect();
    assert_eq!(ids.len(), 2);
}

#[tokio::test]
async fn fcw_03_a_trace_counts_once_whatever_its_revisions_and_their_order() {
    let mut world = World::at("10:00");
    for n in 0..9 {
        // The second revision comes first, in the next hour; the first one moves what was counted back to its own.
        world.publish(&recorded(n, 2, at("11:00:05"))).await;
        world.publish(&recorded(n, 1, at("10:59:50"))).await;
        world.publish(&recorded(n, 3, at("11:00:30"))).await;
    }
    world.run_until(at("11:04")).await;
    assert!(world.items("shop").await.is_empty(), "nine traces, 27 revisions");
    world.publish(&recorded(9, 1, at("11:03"))).await;
    world.run_until(at("11:06")).await;
    let items = world.items("shop").await;
    assert_eq!((items.len(), items[0].created_at), (1, at("11:03")));
    assert_eq!(items[0].trace_id, trace_id(0));
}

#[tokio::test]
async fn fcw_04_one_error_in_sixty_traces_of_a_closed_hour() {
    let mut world = World::at("09:59");
    for n in 0..60 {
        let (stream, entry) = index_entry(n, "10:00");
        world.put(stream, entry).await;
    }
    world.tell(&error_trace(17, "10:20")).await;
    world.run_until(at("11:04:59")).await;
    assert!(world.items("shop").await.is_empty());
    world.run_until(at("11:06")).await;
    let items = world.items("shop").await;
    assert_eq!(items.len(), 1);
    assert_eq!((items[0].created_at, items[0].trace_id.clone()), (at("11:05"), trace_id(17)));
    // The closed hour is judged under the trace of its slot.
    let told = world.told(CREATED)[0];
    let hour = at("10:00");
    assert_eq!(told.trace_id, ids::unit_trace("FeedbackCreationWorker", hour, &tenant(), "f00dfeed12345678"));
    assert_eq!((told.causation_depth, told.causation_id.clone()), (0, None));
}

#[tokio::test]
async fn fcw_04_below_one_percent_or_fifty_traces_makes_none() {
    for (traces, errors, expected) in [(49, 9, 0), (101, 1, 0), (100, 1, 1), (50, 1, 1), (201, 2, 0)] {
        let mut world = World::at("09:59");
        for n in 0..traces {
            let (stream, entry) = index_entry(n * 4, "10:00");
            world.put(stream, entry).await;
        }
        for n in 0..errors {
            world.tell(&recorded(n * 4, 1, at("10:20").plus_millis(n as i64))).await;
        }
        world.run_until(at("11:07")).await;
        assert_eq!(world.items("shop").await.len(), expected, "{errors} of {traces}");
    }
}

#[tokio::test]
async fn fcw_04_a_late_occurrence_has_its_hour_judged_again() {
    let mut world = World::at("09:59");
    for n in 0..150 {
        let (stream, entry) = index_entry(n, "10:00");
        world.put(stream, entry).await;
    }
    world.tell(&error_trace(1, "10:20")).await;
    world.run_until(at("11:30")).await;
    assert!(world.items("shop").await.is_empty(), "one of 150 is below one percent");
    world.publish(&error_trace(2, "10:40")).await;
    world.run_until(at("11:32")).await;
    let items = world.items("shop").await;
    assert_eq!((items.len(), items[0].created_at), (1, at("11:05")), "as if it had come in time");
}

#[tokio::test]
async fn e2e_01_a_setting_disables_items_from_signals_and_only_those() {
    let off = FeedbackPolicy { signal_items: false };
    let mut world = World::with("09:59", off, Zones::default());
    for n in 0..60 {
        let (stream, entry) = index_entry(n, "10:00");
        world.put(stream, entry).await;
        world.publish(&recorded(n, 1, at("10:20").plus_millis(n as i64))).await;
    }
    world.tell(&resolved("inc-1", "10:30", Some("art-9"))).await;
    world.run_until(at("12:00")).await;
    let sources: Vec<_> = world.items("shop").await.iter().map(|i| i.source).collect();
    assert_eq!(sources, [FeedbackSource::Incident]);
}

#[tokio::test]
async fn fcw_05_a_cost_anomaly() {
    let mut world = World::at("10:00");
    world.tell(&anomaly("10:01", "warning", 0, false)).await;
    world.run_until(at("10:04")).await;
    let items = world.items("shop").await;
    let [item] = items.as_slice() else { panic!("{items:#?}") };
    assert_eq!((item.source, item.category), (FeedbackSource::CostAnomaly, FeedbackCategory::Cost));
    assert_eq!((item.severity, item.sentiment.score), (Severity::Warning, -0.4));
    assert!(item.withdrawn.is_none());
}

#[tokio::test]
async fn fcw_05_a_drop_is_praise() {
    let mut world = World::at("10:00");
    let mut e = anomaly("10:01", "warning", 0, false);
    e.payload.0["direction"] = json!("drop");
    world.tell(&e).await;
    world.run_until(at("10:04")).await;
    let item = &world.items("shop").await[0];
    assert_eq!((item.severity, item.sentiment.score), (Severity::Info, 0.3));
    assert_eq!(item.sentiment.label, SentimentLabel::Positive);
}

#[tokio::test]
async fn caw_08_a_retracted_anomaly_withdraws_its_item_whatever_comes_first() {
    for order in [[0, 1], [1, 0]] {
        let mut world = World::at("10:00");
        for revision in order {
            world.publish(&anomaly("10:01", "warning", revision, revision == 1)).await;
            world.run_until(world.now().plus_millis(300_000)).await;
        }
        let items = world.items("shop").await;
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].withdrawn.as_ref().unwrap().reason, "cost_anomaly_retracted");
        assert_eq!(items[0].created_at, at("10:01"));
        let revisions: Vec<u32> = world.told(CREATED).iter().map(|e| e.revision).collect();
        let announced = if order == [0, 1] { vec![0, 1] } else { vec![1] };
        assert_eq!(revisions, announced, "what comes late changes nothing");

        world.publish(&anomaly("10:20", "warning", 2, false)).await;
        world.run_until(at("10:30")).await;
        assert!(world.items("shop").await[0].withdrawn.is_none(), "retracted was taken back");
        assert_eq!(world.told(CREATED).last().unwrap().revision, 2);
    }
}

#[tokio::test]
async fn fcw_06_without_a_view_the_wait_ends_after_two_minutes() {
    let mut world = World::at("10:29");
    let e = resolved("inc-1", "10:30", None);
    world.tell(&e).await;
    world.run_until(at("10:31:59")).await;
    assert!(world.items("shop").await.is_empty());
    world.run_until(at("10:32")).await;
    let items = world.items("shop").await;
    assert_eq!(items[0].attribution.method, AttributionMethod::None);
    assert_eq!((items[0].attribution.confidence, items[0].artifact_id.clone()), (0.0, None));
    assert_eq!(items[0].created_at, at("10:30"), "the moment of the first try");
    assert_eq!(world.attempts(), [1; 8], "waiting uses no attempt");
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn fcw_06_then_the_suspected_deployment_answers_or_the_module() {
    for (suspected, method, confidence) in
        [(Some("dep-1"), AttributionMethod::Deployment, 0.5), (None, AttributionMethod::Module, 0.25)]
    {
        let mut world = World::at("09:59");
        world.tell(&deployed("dep-1", "10:00", "art-4")).await;
        let e = resolved_with("inc-1", "10:30", json!({"suspectedDeploymentId": suspected}), json!({}));
        world.tell(&e).await;
        world.run_until(at("10:33")).await;
        let item = &world.items("shop").await[0];
        assert_eq!((item.attribution.method, item.attribution.confidence), (method, confidence));
        assert_eq!(item.artifact_id.as_deref(), Some("art-4"));
    }
}

#[tokio::test]
async fn fcw_07_an_outage_of_those_who_read_holds_up_nothing() {
    let mut world = World::at("09:59");
    world.knowledge_down = true;
    for (n, when) in ["10:05", "11:05", "12:05"].into_iter().enumerate() {
        world.tell(&resolved(&format!("inc-{n}"), when, Some("art-9"))).await;
        assert_eq!(world.items("shop").await.len(), n + 1, "items are made meanwhile");
    }
    world.run_until(at("13:00")).await;
    assert!(world.told(CREATED).is_empty());
    world.knowledge_down = false;
    world.run_until(at("13:01")).await;
    delivered_once(&world, 3).await;
}

#[tokio::test]
async fn fcw_07_nor_does_an_outage_of_the_broker() {
    let mut world = World::at("09:59");
    for (n, when) in ["10:05", "11:05", "12:05"].into_iter().enumerate() {
        // In the subscription already when the broker stops taking anything.
        world.broker_down(false);
        world.run_until(at(when)).await;
        world.publish(&resolved(&format!("inc-{n}"), when, Some("art-9"))).await;
        world.broker_down(true);
        world.run_until(at(when).plus_millis(1)).await;
        assert_eq!(world.items("shop").await.len(), n + 1);
    }
    world.run_until(at("13:00")).await;
    world.broker_down(false);
    world.run_until(at("13:01")).await;
    delivered_once(&world, 3).await;
}

async fn delivered_once(world: &World, expected: usize) {
    let told: Vec<_> = world.told(CREATED).iter().map(|e| e.event_id.clone()).collect();
    assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), expected);
    assert_eq!(told.len(), expected);
    let of = |e: &opsloop_kernel::Envelope| e.payload.0["feedbackItemId"].as_str().unwrap().to_owned();
    let items: BTreeSet<_> = world.items("shop").await.into_iter().map(|i| i.feedback_item_id).collect();
    assert_eq!(world.told(CREATED).into_iter().map(of).collect::<BTreeSet<_>>(), items);
}

#[tokio::test]
async fn fcw_08_a_dead_letter_replayed_makes_the_same_item() {
    let e = resolved("inc-1", "10:30", Some("art-9"));
    let mut calm = World::at("10:29");
    calm.tell(&e).await;
    let expected = calm.items("shop").await;

    let mut world = World::at("10:29");
    world.run_until(at("10:30")).await;
    world.store_down(true);
    world.publish(&e).await;
    world.run_until(at("10:40")).await;
    assert_eq!(world.attempts().iter().max(), Some(&5));
    world.store_down(false);
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1);
    assert!(world.items("shop").await.is_empty());

    for _ in 0..2 {
        let _ = opsloop_shell::dead_letters::replay(&world.inner.shell, &tenant(), &dead[0].id).await.unwrap();
        world.run_until(world.now().plus_millis(60_000)).await;
    }
    assert_eq!(world.items("shop").await, expected);
    assert_eq!(world.told(CREATED).len(), 1);
    assert_eq!(world.told(CREATED)[0].event_id, calm.told(CREATED)[0].event_id);
}

#[tokio::test]
async fn i2_every_item_has_a_trace_and_items_without_a_project_have_a_place() {
    let mut world = World::at("10:29");
    let mut e = resolved("inc-1", "10:30", Some("art-9"));
    e.project_id = None;
    world.tell(&e).await;
    let stream = opsloop_observability::feedback_creation::item::stream(None);
    assert_eq!(stream.name, "feedback/-");
    assert_eq!(world.told(CREATED)[0].payload.0["traceId"], json!(e.trace_id));
}

#[tokio::test]
async fn a_trace_of_many_signals_is_counted_for_each() {
    let mut world = World::at("10:00");
    for n in 0..10 {
        let mut e = recorded(n, 1, at("10:01").plus_millis(n as i64));
        let mut slow = e.payload.0["signals"][0].clone();
        slow["kind"] = json!("latency_outlier");
        slow["fingerprint"] = json!("0000feed12345678");
        e.payload.0["signals"].as_array_mut().unwrap().push(slow);
        world.publish(&e).await;
    }
    world.run_until(at("10:05")).await;
    let mut categories: Vec<_> = world.items("shop").await.iter().map(|i| (i.category, i.sentiment.score)).collect();
    categories.sort_by_key(|c| c.0);
    assert_eq!(categories, [(FeedbackCategory::Correctness, -0.5), (FeedbackCategory::Performance, -0.3)]);
}

#[tokio::test]
async fn a_trace_without_signals_and_a_foreign_kind_are_ignored() {
    let mut world = World::at("10:00");
    let mut e = error_trace(1, "10:01");
    e.payload.0["signals"] = json!([]);
    world.tell(&e).await;
    world.tell(&event("SloBreached", "shop", at("10:02"), json!({}))).await;
    assert!(world.items("shop").await.is_empty());
}
