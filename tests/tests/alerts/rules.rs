//! AEW scenarios that need documents, ticks and catch-up.

use super::world::*;
use opsloop_kernel::{Decision, Envelope, Timestamp, Worker};
use opsloop_observability::{
    alert_evaluation::{AlertEvaluationWorker, State, documents as docs, documents::Chunk},
    events::{AlertTriggered, kind},
    metric_aggregation::{Bucket, bucket::newest_end, names},
};
use serde_json::{Value, json};

const W: AlertEvaluationWorker = AlertEvaluationWorker { buckets: BUCKETS };
const METRIC: &str = "cpu";

/// A rule on the gauge `cpu` by module, above 0.5.
fn rule(change: Value) -> Value {
    let mut text = json!({"ruleId": "alr-7", "name": "cpu", "severity": "high", "condition": {"type": "Threshold",
        "selector": {"metricName": METRIC, "groupBy": ["moduleId"]}, "aggregation": "last", "op": "gt",
        "threshold": 0.5}});
    for (name, value) in change.as_object().unwrap() {
        text[name] = value.clone();
    }
    text
}
async fn saved(now: &str, change: Value) -> World {
    let mut w = World::new();
    let (status, _) = w.command(&W, "SaveAlertRule", now, rule(change)).await;
    assert_eq!(status, 201);
    w
}
/// What the slot finds in its newest window, per module.
async fn sees(w: &World, slot: Timestamp, values: &[(&str, f64)]) {
    let end = newest_end(60_000, slot);
    let window = opsloop_kernel::Window { size_ms: 60_000, start: end.plus_millis(-60_000) };
    let groups: Vec<_> = values.iter().map(|(m, v)| gauge(window, &[("moduleId", m)], *v)).collect();
    w.points(METRIC, window, &groups).await;
}
/// Values of module `a` that the slots of each minute from `from` on will find.
async fn series(w: &World, from: &str, values: &[f64]) {
    for (n, value) in (0_i64..).zip(values) {
        sees(w, at(from).plus_millis(n * 60_000), &[("a", *value)]).await;
    }
}
/// Aggregation and evaluation each minute.
async fn minutes(w: &mut World, from: &str, until: &str) {
    let mut now = at(from);
    while now <= at(until) {
        w.aggregated(METRIC, now).await;
        let _ = w.tick(&W, now).await;
        now = now.plus_millis(60_000);
    }
}
fn payload(e: &Envelope) -> AlertTriggered {
    e.read().unwrap()
}
fn triggers(w: &World) -> Vec<(String, bool)> {
    let of = |e: &&Envelope| (e.occurred_at.to_string()[11..16].to_owned(), e.freshness.as_ref().unwrap().stale);
    w.told(kind::ALERT_TRIGGERED).iter().map(of).collect()
}
async fn states(w: &World) -> Vec<State> {
    let mut out = vec![];
    for n in 0..10 {
        let Some(stored) = w.get(&docs::stream(), &format!("instances|alr-7|{n:04}")).await else { break };
        out.extend(stored.read::<Chunk>().unwrap().instances.iter().map(|i| i.state));
    }
    out
}
fn slots(decisions: &[Decision]) -> Vec<&'static str> {
    decisions.iter().map(|d| d.reason).collect()
}

#[tokio::test]
async fn aew_01_pending_then_one_trigger_with_the_slots_own_trace() {
    let mut w = saved("09:59:10", json!({"forMs": 300_000})).await;
    series(&w, "10:00", &[0.62; 10]).await;
    minutes(&mut w, "10:00", "10:09").await;
    assert_eq!(triggers(&w), [("10:05".to_owned(), false)]);
    let e = &w.told[0];
    let p = payload(e);
    assert_eq!((p.active_at, p.fired_at, p.labels), (at("10:00"), at("10:05"), labels(&[("moduleId", "a")])));
    let trace = opsloop_kernel::ids::unit_trace("AlertEvaluationWorker", at("10:05"), &tenant(), "alr-7");
    assert_eq!((&e.trace_id, e.causation_depth, &e.causation_id), (&trace, 0, &None));
    assert_eq!((e.module_id.as_deref(), e.subject.as_str()), (Some("a"), "AlertRule/alr-7"));
    assert_eq!(e.partition_key, format!("alr-7:{}", p.fingerprint));
}

#[tokio::test]
async fn aew_05_two_replicas_and_a_manual_run_trigger_once() {
    let mut w = saved("09:59:10", json!({"forMs": 0})).await;
    series(&w, "10:00", &[0.1, 0.6]).await;
    minutes(&mut w, "10:00", "10:00").await;
    w.aggregated(METRIC, at("10:01")).await;
    let input = w.due(&W, at("10:01")).await.unwrap();
    let unit = AlertEvaluationWorker::plan(&input).remove(0).remove(0);
    let one = w.prepare(&W, &unit, &input, None, at("10:01")).await;
    let two = w.prepare(&W, &unit, &input, None, at("10:01")).await;
    assert_eq!(one.decision.facts, two.decision.facts);
    assert!(w.commit(one).await.is_some());
    assert!(w.commit(two).await.is_none(), "the other one lost the race");
    let manual = w.prepare(&W, &unit, &input, None, at("10:01")).await;
    assert_eq!((manual.decision.reason, manual.decision.is_nothing()), ("not-due", true));
    assert!(w.tick(&W, at("10:01:15")).await.is_empty());
    assert_eq!(triggers(&w), [("10:01".to_owned(), false)]);
}

#[tokio::test]
async fn fnd_10_missed_slots_are_evaluated_in_order_at_the_first_tick_a67() {
    let mut w = saved("09:59:10", json!({"forMs": 0})).await;
    series(&w, "10:00", &[0.1, 0.1, 0.6, 0.6, 0.1, 0.1, 0.6, 0.1, 0.1, 0.1, 0.1]).await;
    minutes(&mut w, "10:00", "10:00").await;
    w.aggregated(METRIC, at("10:10:20")).await;
    let decisions = w.tick(&W, at("10:10:30")).await;
    let expected = ["evaluated", "announced", "evaluated", "announced", "evaluated", "announced", "announced"];
    assert_eq!(slots(&decisions)[..7], expected);
    assert_eq!(decisions.len(), 10);
    let caught_up = w.told_ids();
    let mut calm = saved("09:59:10", json!({"forMs": 0})).await;
    series(&calm, "10:00", &[0.1, 0.1, 0.6, 0.6, 0.1, 0.1, 0.6, 0.1, 0.1, 0.1, 0.1]).await;
    minutes(&mut calm, "10:00", "10:10").await;
    assert_eq!(calm.told_ids(), caught_up);
    assert_eq!(caught_up.len(), 4);
    assert!(w.tick(&W, at("10:10:45")).await.is_empty());
}

#[tokio::test]
async fn aew_08_an_evaluator_that_was_down_catches_up_at_most_an_hour_a67() {
    let mut w = saved("09:59:10", json!({"forMs": 300_000})).await;
    series(&w, "10:00", &[0.6; 180]).await;
    minutes(&mut w, "10:00", "10:02").await;
    w.aggregated(METRIC, at("10:04:40")).await;
    assert_eq!(slots(&w.tick(&W, at("10:04:45")).await), ["evaluated", "evaluated"]);
    minutes(&mut w, "10:05", "10:05").await;
    assert_eq!(triggers(&w), [("10:05".to_owned(), false)]);
    // Another world, down for more than an hour: one pending, one firing.
    let mut w = saved("09:59:10", json!({"forMs": 300_000})).await;
    let (status, _) = w.command(&W, "SaveAlertRule", "09:59:11", rule(json!({"ruleId": "alr-8", "forMs": 0}))).await;
    assert_eq!(status, 201);
    series(&w, "10:00", &[0.6; 180]).await;
    minutes(&mut w, "10:00", "10:02").await;
    assert_eq!(triggers(&w).len(), 1);
    w.aggregated(METRIC, at("12:30:10")).await;
    let decisions = w.tick(&W, at("12:30:15")).await;
    assert_eq!(decisions.iter().filter(|d| d.reason == "slots-left-out").count(), 2);
    let new: Vec<_> =
        w.told(kind::ALERT_TRIGGERED)[1..].iter().map(|e| (payload(e).rule_id, payload(e).active_at)).collect();
    assert_eq!(new, [("alr-7".to_owned(), at("11:31"))]);
    assert_eq!(triggers(&w)[1].0, "11:36");
}

#[tokio::test]
async fn aew_13_a_late_aggregation_changes_nothing_but_the_delay_a67() {
    let values = [0.1, 0.6, 0.1, 0.6];
    let run = async |disturbed: bool| {
        let mut w = saved("10:02:10", json!({"forMs": 0})).await;
        series(&w, "10:03", &values).await;
        minutes(&mut w, "10:03", "10:03").await;
        if disturbed {
            for tick in ["10:04", "10:04:15", "10:05", "10:05:15"] {
                let decisions = w.tick(&W, at(tick)).await;
                assert!(slots(&decisions).iter().all(|r| *r == "waits-for-windows"), "{tick}");
            }
            w.aggregated(METRIC, at("10:05:20")).await;
            assert_eq!(slots(&w.tick(&W, at("10:05:30")).await), ["announced", "announced"]);
        }
        minutes(&mut w, "10:04", "10:06").await;
        w
    };
    let (calm, late) = (run(false).await, run(true).await);
    assert_eq!(calm.told_ids(), late.told_ids());
    assert_eq!(calm.told.len(), 3);
    assert!(late.told.iter().all(|e| !e.freshness.as_ref().unwrap().stale));
}

#[tokio::test]
async fn aew_13_slots_are_evaluated_as_stale_once_the_watermark_has_stood_for_210_s_a67() {
    let mut w = saved("10:02:10", json!({"forMs": 120_000})).await;
    series(&w, "10:03", &[0.6]).await;
    minutes(&mut w, "10:03", "10:03").await;
    for tick in ["10:04", "10:05", "10:06", "10:07", "10:07:30"] {
        assert!(w.tick(&W, at(tick)).await.iter().all(|d| d.reason == "waits-for-windows"));
    }
    let decisions = w.tick(&W, at("10:07:45")).await;
    assert_eq!(slots(&decisions), ["evaluated", "announced", "evaluated", "evaluated"]);
    assert_eq!(triggers(&w), [("10:05".to_owned(), true)]);
    w.aggregated(METRIC, at("10:07:50")).await;
    assert!(w.tick(&W, at("10:07:50")).await.is_empty(), "they are never evaluated again");
}

#[tokio::test]
async fn aew_14_a_thousand_triggers_in_one_batch_or_none_a64() {
    let mut w = saved("09:59:10", json!({"forMs": 0})).await;
    w.lawful = false;
    let modules: Vec<String> = (0..1000).map(|n| format!("mod-{n:04}")).collect();
    let values: Vec<_> = modules.iter().map(|m| (m.as_str(), 0.9)).collect();
    sees(&w, at("10:00"), &values).await;
    w.aggregated(METRIC, at("10:00")).await;
    let input = w.due(&W, at("10:00")).await.unwrap();
    let unit = AlertEvaluationWorker::plan(&input).remove(0).remove(0);
    let killed = w.prepare(&W, &unit, &input, None, at("10:00")).await;
    let batch = killed.bound.last.as_ref().unwrap();
    let bytes: usize = batch.writes.iter().map(opsloop_kernel::Write::size).sum();
    assert!(killed.bound.ahead.is_empty() && bytes < opsloop_kernel::document::BATCH_BYTES_MAX, "{bytes}");
    let expected: Vec<_> = killed.bound.owed.iter().flat_map(|(_, o)| &o.messages).map(|m| m.id.clone()).collect();
    drop(killed);
    assert!(states(&w).await.is_empty());
    let _ = w.tick(&W, at("10:00:15")).await;
    assert_eq!(w.told.iter().map(|e| e.event_id.to_string()).collect::<Vec<_>>(), expected);
    let unique: std::collections::BTreeSet<_> = expected.iter().collect();
    assert_eq!((unique.len(), states(&w).await.len()), (1000, 1000));
    assert!(w.tick(&W, at("10:00:30")).await.is_empty());
}

#[tokio::test]
async fn aew_16_a_selector_reads_the_series_of_one_definition_a28() {
    let by = json!(["projectId", "moduleId", "environment"]);
    let all = ["environment", "moduleId", "projectId", "status"];
    let rule = |id: &str, matchers: Value| {
        json!({"ruleId": id, "name": id, "severity": "high", "condition": {"type": "Threshold",
            "selector": {"metricName": "requests", "groupBy": by, "matchers": matchers}, "aggregation": "sum",
            "op": "ge", "threshold": 0}})
    };
    let status = |op: &str, value: &str| json!([{"label": "status", "op": op, "value": value}]);
    let mut w = World::new();
    for (id, matchers) in [("plain", json!([])), ("any", status("=~", ".+")), ("bad", status("=", "500"))] {
        assert_eq!(w.command(&W, "SaveAlertRule", "09:58:10", rule(id, matchers)).await.0, 201);
    }
    let stored = w.get(&names::stream_of("requests", BUCKETS), names::BUCKET).await.unwrap();
    let definitions = stored.read::<Bucket>().unwrap().definitions;
    assert_eq!(
        definitions.iter().map(|d| (d.group_by.clone(), d.from)).collect::<Vec<_>>(),
        [(all.map(String::from).to_vec(), at("09:59"))]
    );
    let window = minute("09:59");
    let key = [("projectId", "p"), ("moduleId", "m"), ("environment", "prod")];
    let with = |status: &'static str| [key[0], key[1], key[2], ("status", status)];
    let groups = [
        counter(window, &key, None, 60.0),
        counter(window, &with("200"), Some(&all), 50.0),
        counter(window, &with("500"), Some(&all), 10.0),
    ];
    w.points("requests", window, &groups).await;
    // Of the window before the definition began nothing is read.
    w.points("requests", minute("09:58"), &[counter(minute("09:58"), &with("500"), Some(&all), 99.0)]).await;
    w.aggregated("requests", at("09:59:30")).await;
    let _ = w.tick(&W, at("09:59:30")).await;
    w.aggregated("requests", at("10:01")).await;
    let _ = w.tick(&W, at("10:01")).await;
    let mut read: Vec<_> = w.told.iter().map(|e| (payload(e).rule_id, payload(e).value)).collect();
    read.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(read, [("any".to_owned(), 60.0), ("bad".to_owned(), 10.0), ("plain".to_owned(), 60.0)]);
}

#[tokio::test]
async fn aew_11_a_rule_of_which_nothing_was_ever_heard_raises_no_data_once() {
    let mut w = saved("09:59:10", json!({"noDataPolicy": "alert", "forMs": 600_000})).await;
    minutes(&mut w, "10:00", "10:30").await;
    let told: Vec<_> = w.told.iter().map(|e| (e.occurred_at, payload(e).labels)).collect();
    assert_eq!(told, [(at("10:15"), labels(&[("reason", "no_data")]))]);
    series(&w, "10:31", &[0.1]).await;
    minutes(&mut w, "10:31", "10:31").await;
    assert_eq!(w.told(kind::ALERT_RESOLVED).len(), 1);
}

#[tokio::test]
async fn aew_12_silences_and_inhibition_mark_what_is_told() {
    let mut w = saved("09:59:10", json!({"forMs": 0})).await;
    let more = [json!({"ruleId": "alr-8", "severity": "warning", "forMs": 0})];
    for change in more {
        assert_eq!(w.command(&W, "SaveAlertRule", "09:59:11", rule(change)).await.0, 201);
    }
    let matcher = |label: &str, value: &str| json!([{"label": label, "op": "=", "value": value}]);
    let silence = json!({"matchers": matcher("moduleId", "b"), "startsAt": at("09:00"), "endsAt": at("12:00")});
    assert_eq!(w.command(&W, "CreateSilence", "09:59:12", silence).await.0, 201);
    let inhibit = json!({"id": "severe", "sourceMatchers": matcher("severity", "high"),
        "targetMatchers": matcher("severity", "warning"), "equal": ["moduleId"]});
    assert_eq!(w.command(&W, "SaveInhibitRule", "09:59:13", inhibit).await.0, 201);
    // The source fires at 10:00; the warnings of 10:00 stand beside it, that of 10:01 comes after it.
    sees(&w, at("10:00"), &[("a", 0.6), ("b", 0.6)]).await;
    minutes(&mut w, "10:00", "10:00").await;
    sees(&w, at("10:01"), &[("a", 0.1), ("b", 0.6)]).await;
    minutes(&mut w, "10:01", "10:01").await;
    sees(&w, at("10:02"), &[("a", 0.6), ("b", 0.6)]).await;
    minutes(&mut w, "10:02", "10:02").await;
    sees(&w, at("10:03"), &[("a", 0.1), ("b", 0.1)]).await;
    minutes(&mut w, "10:03", "10:03").await;
    let marks = |slot: &str, rule: &str| -> Vec<_> {
        let told = w.told(kind::ALERT_TRIGGERED).into_iter().map(payload).filter(|p| p.rule_id == rule);
        let told = told.filter(|p| p.window_start == at(slot));
        let mut all: Vec<_> =
            told.map(|p| (p.labels.get("moduleId").to_owned(), p.suppressed_by.map(|s| s.kind))).collect();
        all.sort();
        all
    };
    let (a, b) =
        (|m: Option<&str>| ("a".to_owned(), m.map(str::to_owned)), ("b".to_owned(), Some("silence".to_owned())));
    assert_eq!(marks("10:00", "alr-7"), [a(None), b.clone()]);
    assert_eq!(marks("10:00", "alr-8"), [a(None), b]);
    // At 10:02 both fire again for `a`; the source's newest slot before, 10:01, was quiet.
    assert_eq!(marks("10:02", "alr-8"), [a(None)]);
}

#[tokio::test]
async fn aew_12_a_target_that_fires_after_its_source_is_inhibited() {
    let mut w = saved("09:59:10", json!({"forMs": 0})).await;
    let warning = json!({"ruleId": "alr-8", "severity": "warning", "forMs": 60_000});
    assert_eq!(w.command(&W, "SaveAlertRule", "09:59:11", rule(warning)).await.0, 201);
    let matcher = |label: &str, value: &str| json!([{"label": label, "op": "=", "value": value}]);
    let inhibit = json!({"id": "severe", "sourceMatchers": matcher("severity", "high"),
        "targetMatchers": matcher("severity", "warning"), "equal": ["moduleId"]});
    assert_eq!(w.command(&W, "SaveInhibitRule", "09:59:13", inhibit).await.0, 201);
    series(&w, "10:00", &[0.6; 3]).await;
    minutes(&mut w, "10:00", "10:02").await;
    let told: Vec<_> = w.told.iter().map(|e| (payload(e).rule_id, payload(e).suppressed_by.map(|s| s.id))).collect();
    assert_eq!(told, [("alr-7".to_owned(), None), ("alr-8".to_owned(), Some("severe".to_owned()))]);
}
