//! The invariants of SPEC 5.3.7 and 5.4.7 over random histories, with slots run twice and replicas that race.

use super::world::*;
use opsloop_kernel::{Timestamp, Window, Worker};
use opsloop_observability::{
    alert_evaluation::AlertEvaluationWorker,
    events::{AlertResolved, AlertTriggered, ClearReason, kind},
    metric_aggregation::bucket::newest_end,
    slo_evaluation::{SloEvaluation, SloStatus, documents as slo_docs},
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// What happens in a minute: a value or none, and whether aggregation comes along.
#[derive(Clone, Copy, Debug)]
struct Minute {
    value: Option<f64>,
    aggregated: bool,
    ticked: bool,
}

fn history(len: usize) -> impl Strategy<Value = Vec<Minute>> {
    let value = prop_oneof![4 => Just(Some(0.9)), 4 => Just(Some(0.1)), 2 => Just(None)];
    let minute = (value, prop::bool::weighted(0.85), prop::bool::weighted(0.9));
    prop::collection::vec(minute.prop_map(|(value, aggregated, ticked)| Minute { value, aggregated, ticked }), len)
}

fn start() -> Timestamp {
    at("10:00")
}
fn slot_of(n: usize) -> Timestamp {
    start().plus_millis(i64::try_from(n).unwrap() * 60_000)
}

/// Every decided slot is prepared twice; the second replica must lose, or find nothing to do.
async fn tick_twice<W: Worker>(w: &mut World, worker: &W, now: Timestamp) {
    if let Some(input) = w.due(worker, now).await {
        for unit in W::plan(&input).into_iter().flatten() {
            let moment = unit.due.unwrap();
            let one = w.prepare(worker, &unit, &input, None, moment).await;
            let two = w.prepare(worker, &unit, &input, None, moment).await;
            let changes = !one.decision.is_nothing();
            assert!(w.commit(one).await.is_some());
            assert_eq!(w.commit(two).await.is_none(), changes);
        }
    }
    let _ = w.tick(worker, now).await;
}

async fn alerts(policy: &str, for_ms: i64, keep_ms: i64, minutes: &[Minute]) -> World {
    let worker = AlertEvaluationWorker { buckets: BUCKETS };
    let mut w = World::new();
    w.lawful = false;
    let rule = json!({"ruleId": "alr-7", "name": "cpu", "severity": "high", "forMs": for_ms, "keepFiringMs": keep_ms,
        "noDataPolicy": policy, "repeatIntervalMs": 600_000, "noDataAfterMs": 300_000,
        "condition": {"type": "Threshold", "selector": {"metricName": "cpu", "groupBy": ["moduleId"]},
            "aggregation": "last", "op": "gt", "threshold": 0.5}});
    assert_eq!(w.command(&worker, "SaveAlertRule", "09:59:10", rule).await.0, 201);
    for (n, minute) in minutes.iter().enumerate() {
        let now = slot_of(n);
        if let Some(value) = minute.value {
            let end = newest_end(60_000, now);
            let window = Window { size_ms: 60_000, start: end.plus_millis(-60_000) };
            w.points("cpu", window, &[gauge(window, &[("moduleId", "a")], value)]).await;
        }
        if minute.aggregated {
            w.aggregated("cpu", now).await;
        }
        if minute.ticked {
            tick_twice(&mut w, &worker, now).await;
        }
    }
    w
}

/// Triggers (without repeats) and clears of the label set `a`, in order.
fn told(w: &World) -> Vec<(Timestamp, Option<ClearReason>, Timestamp)> {
    let mut out = vec![];
    for e in &w.told {
        if e.event_type == kind::ALERT_TRIGGERED {
            let p: AlertTriggered = e.read().unwrap();
            if !p.repeat && p.labels.get("reason").is_empty() {
                out.push((e.occurred_at, None, p.active_at));
            }
        } else {
            let p: AlertResolved = e.read().unwrap();
            if p.labels.get("reason").is_empty() {
                out.push((e.occurred_at, Some(p.reason), p.active_at));
            }
        }
    }
    out
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn triggers_and_clears_alternate_and_no_event_comes_twice(
        minutes in history(50), for_minutes in 0..4_i64, keep_minutes in 0..4_i64, policy in 0..3_usize,
    ) {
        let policy = ["keep", "alert", "ok"][policy];
        let w = block_on(alerts(policy, for_minutes * 60_000, keep_minutes * 60_000, &minutes));
        let told = told(&w);
        for (n, (_, clear, _)) in told.iter().enumerate() {
            prop_assert_eq!(clear.is_some(), n % 2 == 1, "{:?}", &told);
        }
        for pair in told.windows(2) {
            prop_assert_eq!(pair[0].2 == pair[1].2, pair[1].1.is_some(), "a clear names the episode before it");
        }
        let mut ids: Vec<_> = w.told.iter().map(|e| e.event_id.to_string()).collect();
        ids.sort();
        let count = ids.len();
        ids.dedup();
        prop_assert_eq!(ids.len(), count);
    }

    #[test]
    fn no_trigger_before_for_of_continuous_truth(minutes in history(40), for_minutes in 1..5_i64) {
        let w = block_on(alerts("keep", for_minutes * 60_000, 0, &minutes));
        for (at, clear, active_at) in told(&w).into_iter().filter(|t| t.1.is_none()) {
            prop_assert!(clear.is_none() && at.millis_since(active_at) >= for_minutes * 60_000);
            let known = |n: usize| minutes.get(n).and_then(|m| m.value);
            let within = |n: &usize| slot_of(*n) >= active_at && slot_of(*n) <= at;
            prop_assert!((0..minutes.len()).filter(within).all(|n| known(n) != Some(0.1)), "false in between");
        }
    }

    #[test]
    fn absence_never_resolves_under_keep(before in history(10), silent in 1..60_usize) {
        let nothing = Minute { value: None, aggregated: true, ticked: true };
        let mut minutes = before;
        minutes.push(Minute { value: Some(0.9), aggregated: true, ticked: true });
        let from = slot_of(minutes.len());
        minutes.extend(std::iter::repeat_n(nothing, silent));
        for policy in ["keep", "alert"] {
            let w = block_on(alerts(policy, 0, 0, &minutes));
            prop_assert!(told(&w).iter().all(|t| t.0 < from || t.1.is_none()), "{:?}", told(&w));
        }
    }

    #[test]
    fn a_late_evaluator_tells_what_a_calm_one_does_a67(values in history(40), gap in 2..30_usize) {
        let calm: Vec<_> = values.iter().map(|m| Minute { aggregated: true, ticked: true, ..*m }).collect();
        let mut late = calm.clone();
        late[5..5 + gap].iter_mut().for_each(|m| m.ticked = false);
        let run = |minutes: &[Minute]| block_on(alerts("keep", 120_000, 60_000, minutes)).told_ids();
        prop_assert_eq!(run(&calm), run(&late));
    }

    #[test]
    fn breaches_and_recoveries_alternate_and_the_budget_stays_below_one(
        minutes in prop::collection::vec((0..3_usize, prop::bool::weighted(0.85)), 60),
    ) {
        let w = block_on(slo(&minutes));
        for rule in ["severe", "lesser", "budget"] {
            let of_rule = w.told.iter().filter(|e| e.payload.0["rule"].as_str().unwrap_or("budget") == rule);
            let kinds: Vec<_> = of_rule.map(|e| e.event_type.as_str()).filter(|k| k.starts_with("Slo")).collect();
            for (n, k) in kinds.iter().enumerate() {
                prop_assert_eq!(*k, if n % 2 == 0 { kind::SLO_BREACHED } else { kind::SLO_RECOVERED });
            }
        }
        for status in block_on(statuses(&w)) {
            prop_assert!(status.budget_remaining <= 1.0 && status.budget_consumed <= status.total_events);
            prop_assert!(status.total_events > 0.0 || status.budget_remaining == 1.0);
        }
    }
}

/// Minutes that are good, bad or silent, on an SLO with two rules of a few minutes.
async fn slo(minutes: &[(usize, bool)]) -> World {
    let worker = SloEvaluation { buckets: BUCKETS };
    let mut w = World::new();
    w.lawful = false;
    let rule = |name: &str, severity: &str| {
        json!({"name": name, "longMs": 300_000, "shortMs": 60_000,
        "factor": if name == "severe" { 400 } else { 50 }, "severity": severity})
    };
    let text: Value = json!({"sloId": "slo-1", "projectId": "p", "name": "s", "objective": 0.999,
        "period": {"type": "Rolling", "days": 30}, "rules": [rule("severe", "critical"), rule("lesser", "high")],
        "sli": {"type": "RequestRatio", "bad": {"metricName": "bad"}, "total": {"metricName": "total"}}});
    assert_eq!(w.command(&worker, "SaveSlo", "09:59:10", text).await.0, 201);
    for (n, (traffic, aggregated)) in minutes.iter().enumerate() {
        let now = slot_of(n);
        let window = Window { size_ms: 60_000, start: newest_end(60_000, now).plus_millis(-60_000) };
        if *traffic < 2 {
            w.count("total", window, 1_000.0).await;
            w.count("bad", window, if *traffic == 0 { 0.0 } else { 600.0 }).await;
        }
        if *aggregated {
            w.aggregated("bad", now).await;
            w.aggregated("total", now).await;
        }
        tick_twice(&mut w, &worker, now).await;
    }
    w
}

async fn statuses(w: &World) -> Vec<SloStatus> {
    let mut out = vec![];
    for n in 0..60 {
        let id = slo_docs::status_id("slo-1", slot_of(n));
        if let Some(stored) = w.get(&slo_docs::stream(), &id.0).await {
            out.push(stored.read().unwrap());
        }
    }
    assert!(!out.is_empty());
    out
}
