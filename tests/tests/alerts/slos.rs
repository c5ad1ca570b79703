//! SLO scenarios on burn rates: minutes of series, ticks and catch-up.

use super::world::*;
use opsloop_kernel::{Decision, Envelope, Scope, Timestamp, Window};
use opsloop_observability::{
    events::{SloBreached, SloRecovered, kind},
    slo_evaluation::{SloEvaluation, SloStatus, documents as docs, last_fresh_status, list_slos},
};
use serde_json::{Value, json};

pub const S: SloEvaluation = SloEvaluation { buckets: BUCKETS };

/// Objective 0.999, 30 days, over the counters `bad` and `total`.
pub fn slo(change: Value) -> Value {
    let mut text = json!({"sloId": "slo-1", "projectId": "booking", "moduleId": "mod-api", "environment": "prod",
        "name": "API answers", "objective": 0.999, "period": {"type": "Rolling", "days": 30},
        "sli": {"type": "RequestRatio", "bad": {"metricName": "bad"}, "total": {"metricName": "total"}}});
    for (name, value) in change.as_object().unwrap() {
        text[name] = value.clone();
    }
    text
}
pub async fn saved(now: &str, change: Value) -> World {
    let mut w = World::new();
    assert_eq!(w.command(&S, "SaveSlo", now, slo(change)).await.0, 201);
    w
}
/// `count` minutes that end at `until`, each with so much bad and in total.
pub async fn traffic(w: &World, until: Timestamp, count: i64, bad: f64, total: f64) {
    for n in 1..=count {
        let window = Window { size_ms: 60_000, start: until.plus_millis(-n * 60_000) };
        w.count("bad", window, bad).await;
        w.count("total", window, total).await;
    }
}
pub async fn slot(w: &mut World, now: Timestamp) -> Vec<Decision> {
    w.aggregated("bad", now).await;
    w.aggregated("total", now).await;
    w.tick(&S, now).await
}
pub async fn slots(w: &mut World, from: &str, until: &str) {
    let mut now = at(from);
    while now <= at(until) {
        let _ = slot(w, now).await;
        now = now.plus_millis(60_000);
    }
}
pub async fn status(w: &World, minute: &str) -> SloStatus {
    let id = docs::status_id("slo-1", at(minute));
    w.get(&docs::stream(), &id.0).await.unwrap().read().unwrap()
}
pub fn breached(e: &Envelope) -> SloBreached {
    e.read().unwrap()
}
pub fn recovered(e: &Envelope) -> SloRecovered {
    e.read().unwrap()
}
/// Instant, kind and rule of all that was told.
pub fn told(w: &World) -> Vec<(String, &str, String)> {
    let rule = |e: &Envelope| e.payload.0["rule"].as_str().unwrap_or("budget").to_owned();
    w.told.iter().map(|e| (e.occurred_at.to_string()[11..16].to_owned(), e.event_type.as_str(), rule(e))).collect()
}

#[tokio::test]
async fn slo_01_both_windows_burning_is_one_critical_breach() {
    let mut w = saved("09:59:10", json!({})).await;
    // The hour: 60 000 and 1 000 bad; its last five minutes: 5 000 and 100.
    traffic(&w, at("10:59"), 5, 20.0, 1_000.0).await;
    traffic(&w, at("10:54"), 54, 16.0, 1_000.0).await;
    traffic(&w, at("10:00"), 1, 36.0, 1_000.0).await;
    let now = at("11:00");
    w.aggregated("bad", now).await;
    w.aggregated("total", now).await;
    let decisions = w.tick(&S, now).await;
    assert_eq!(decisions.len(), 61, "missed slots are evaluated in order, back to 10:00");
    let last: Vec<_> = w.told.iter().filter(|e| e.event_type == kind::SLO_BREACHED).collect();
    let fast: Vec<_> = last.iter().map(|e| breached(e)).collect();
    assert_eq!(fast.len(), 1, "{:?}", told(&w));
    assert_eq!((fast[0].rule.as_deref(), fast[0].factor), (Some("fast"), Some(14.4)));
    let s = status(&w, "11:00").await;
    let rates = &s.burn_rates["fast"];
    assert_eq!((rates.long, rates.short), (Some(16.666_666_667), Some(20.0)));
    assert_eq!((w.told[0].module_id.as_deref(), w.told[0].environment.as_deref()), (Some("mod-api"), Some("prod")));
    assert_eq!(serde_json::to_value(fast[0].severity).unwrap(), "critical");
}

#[tokio::test]
async fn slo_02_a_short_window_that_does_not_burn_is_no_breach() {
    let mut w = saved("10:59:10", json!({})).await;
    traffic(&w, at("10:59"), 5, 1.0, 1_000.0).await;
    traffic(&w, at("10:54"), 55, 18.0, 1_000.0).await;
    let _ = slot(&mut w, at("11:00")).await;
    let s = status(&w, "11:00").await;
    assert_eq!((s.burn_rates["fast"].short, s.burn_rates["fast"].long), (Some(1.0), Some(16.583_333_333)));
    assert!(told(&w).iter().all(|t| t.2 != "fast"));
    assert!(s.active_rules.iter().all(|r| r.name != "fast"));
}

#[tokio::test]
async fn slo_03_only_the_slow_rule_is_told() {
    let mut w = saved("10:59:10", json!({})).await;
    // 6 h: 2 340 of 360 000; 1 h: 420 of 60 000; 30 min: 210 of 30 000.
    traffic(&w, at("10:59"), 60, 7.0, 1_000.0).await;
    traffic(&w, at("09:59"), 300, 6.4, 1_000.0).await;
    let hours = [("04:00", 60.0 * 6.4 + 0.6), ("05:00", 384.0), ("06:00", 384.0), ("07:00", 384.0), ("08:00", 384.0)];
    for (start, bad) in hours {
        w.count("bad", hour(start), bad).await;
        w.count("total", hour(start), 60_000.0).await;
    }
    let _ = slot(&mut w, at("11:00")).await;
    let s = status(&w, "11:00").await;
    let slow = &s.burn_rates["slow"];
    assert_eq!((slow.long, slow.short, s.burn_rates["fast"].long), (Some(6.5), Some(7.0), Some(7.0)));
    assert_eq!(told(&w), [("11:00".to_owned(), kind::SLO_BREACHED, "slow".to_owned())]);
    assert_eq!(serde_json::to_value(breached(&w.told[0]).severity).unwrap(), "high");
    // The rule `ticket` is met too, recorded, and inhibited.
    assert_eq!(s.active_rules.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["slow", "ticket"]);
}

#[tokio::test]
async fn slo_04_too_few_events_are_insufficient_data() {
    let mut w = saved("10:59:10", json!({})).await;
    traffic(&w, at("10:59"), 1, 1.0, 20.0).await;
    let _ = slot(&mut w, at("11:00")).await;
    let s = status(&w, "11:00").await;
    assert_eq!((s.burn_rates["fast"].long, s.insufficient_data), (Some(50.0), true));
    assert!(w.told.is_empty());
}

#[tokio::test]
async fn slo_07_a_rule_recovers_on_fresh_data_only() {
    let mut w = saved("10:09:10", json!({})).await;
    traffic(&w, at("10:18"), 20, 20.0, 1_000.0).await;
    slots(&mut w, "10:10", "10:19").await;
    assert_eq!(told(&w), [("10:10".to_owned(), kind::SLO_BREACHED, "fast".to_owned())]);
    let breach = w.told.len();
    let mut calm = w;
    // From 10:20 on the short burn is 2: what slot 10:20 finds replaces the whole short window.
    traffic(&calm, at("10:19"), 5, 2.0, 1_000.0).await;
    traffic(&calm, at("10:40"), 21, 2.0, 1_000.0).await;
    slots(&mut calm, "10:20", "10:25").await;
    let s = status(&calm, "10:20").await;
    assert_eq!(s.burn_rates["fast"].short, Some(2.0));
    let recovery = &told(&calm)[breach];
    assert_eq!((recovery.0.as_str(), recovery.1, recovery.2.as_str()), ("10:25", kind::SLO_RECOVERED, "fast"));
    let payload = recovered(&calm.told[breach]);
    assert_eq!((payload.since, payload.episode_id), (at("10:10"), breached(&calm.told[0]).episode_id));
}

#[tokio::test]
async fn slo_07_without_new_windows_the_rule_stays_active_and_the_status_is_stale() {
    let mut w = saved("10:09:10", json!({})).await;
    traffic(&w, at("10:19"), 20, 20.0, 1_000.0).await;
    slots(&mut w, "10:10", "11:00").await;
    let s = status(&w, "11:00").await;
    assert!(s.freshness.stale && s.active_rules.iter().any(|r| r.name == "fast"), "{s:?}");
    assert_eq!((w.told(kind::SLO_RECOVERED).len(), s.as_of), (0, at("10:19")));
    // Quality asks for the last fresh status: that of 10:22, 180 s after the newest window.
    let tenant = tenant();
    let scope = Scope::admit(&tenant, &tenant, &*w.store).unwrap();
    let last = last_fresh_status(&scope, "slo-1", at("11:00:30")).await.unwrap().unwrap();
    assert_eq!((last.stale, last.status.minute), (true, at("10:22")));
    let fresh = last_fresh_status(&scope, "slo-1", at("10:15:30")).await.unwrap().unwrap();
    assert_eq!((fresh.stale, fresh.status.minute), (false, at("10:15")));
    assert_eq!(last_fresh_status(&scope, "slo-1", at("10:09")).await.unwrap(), None);
    assert_eq!(list_slos(&scope, Some("booking")).await.unwrap().len(), 1);
    assert!(list_slos(&scope, Some("other")).await.unwrap().is_empty());
}

#[tokio::test]
async fn slo_10_a_slot_run_again_and_slots_run_late_tell_the_same_a67() {
    // Met at 10:05 … 10:09 by a rule of its own, and not after.
    let rules = json!([{"name": "own", "longMs": 300_000, "shortMs": 60_000, "factor": 5, "severity": "high"}]);
    let run = async |late: bool| {
        let mut w = saved("09:59:10", json!({"rules": rules})).await;
        traffic(&w, at("10:03"), 20, 0.0, 1_000.0).await;
        traffic(&w, at("10:08"), 5, 100.0, 1_000.0).await;
        traffic(&w, at("10:30"), 22, 0.0, 1_000.0).await;
        slots(&mut w, "10:00", "10:02").await;
        if late {
            assert_eq!(slot(&mut w, at("10:21")).await.len(), 19);
            assert!(w.tick(&S, at("10:21")).await.is_empty());
        } else {
            slots(&mut w, "10:03", "10:21").await;
        }
        w
    };
    let (calm, late) = (run(false).await, run(true).await);
    assert_eq!(calm.told_ids(), late.told_ids());
    let expected = [("10:05", kind::SLO_BREACHED), ("10:15", kind::SLO_RECOVERED)];
    let found: Vec<_> = told(&late).into_iter().map(|t| (t.0, t.1)).collect();
    assert_eq!(found, expected.map(|(when, what)| (when.to_owned(), what)));
}

#[tokio::test]
async fn slo_11_both_selectors_are_read_up_to_the_same_instant_a67() {
    let rules = json!([{"name": "own", "longMs": 300_000, "shortMs": 60_000, "factor": 5, "severity": "high"}]);
    let world = async || {
        let w = saved("10:05:10", json!({"rules": rules})).await;
        traffic(&w, at("10:05"), 10, 0.0, 1_000.0).await;
        traffic(&w, at("10:06"), 1, 100.0, 1_000.0).await;
        w
    };
    // The two metrics lie in different buckets.
    assert_ne!(opsloop_kernel::ids::bucket("bad", BUCKETS), opsloop_kernel::ids::bucket("total", BUCKETS));
    let mut w = world().await;
    let _ = slot(&mut w, at("10:06")).await;
    w.aggregated("bad", at("10:06:30")).await;
    w.aggregated("total", at("10:04:30")).await;
    assert_eq!(w.tick(&S, at("10:07")).await.iter().map(|d| d.reason).collect::<Vec<_>>(), ["waits-for-windows"; 2]);
    w.aggregated("total", at("10:06:30")).await;
    let _ = w.tick(&S, at("10:07:15")).await;
    assert_eq!(told(&w), [("10:07".to_owned(), kind::SLO_BREACHED, "own".to_owned())]);

    // Given up: all slots due, up to 10:04, the smaller watermark; nothing has failed by then.
    let mut w = world().await;
    w.aggregated("bad", at("10:06:30")).await;
    w.aggregated("total", at("10:04:30")).await;
    for tick in ["10:06", "10:07", "10:08", "10:09"] {
        assert!(w.tick(&S, at(tick)).await.iter().all(|d| d.reason == "waits-for-windows"), "{tick}");
    }
    let decisions = w.tick(&S, at("10:10")).await;
    assert_eq!(decisions.iter().map(|d| d.reason).collect::<Vec<_>>(), ["evaluated"; 5]);
    let s = status(&w, "10:10").await;
    assert_eq!((s.as_of, s.freshness.stale, w.told.len()), (at("10:04"), true, 0));
}

#[tokio::test]
async fn slo_11_a_silent_numerator_does_not_hold_anything_up() {
    let mut w = saved("10:05:10", json!({})).await;
    for n in 0..10 {
        let window = Window { size_ms: 60_000, start: at("10:05").plus_millis(-n * 60_000) };
        w.count("total", window, 1_000.0).await;
    }
    let _ = slot(&mut w, at("10:06")).await;
    let _ = slot(&mut w, at("10:07")).await;
    let s = status(&w, "10:07").await;
    assert_eq!((s.as_of, s.freshness.stale, s.burn_rates["fast"].short), (at("10:06"), false, Some(0.0)));
}

#[tokio::test]
async fn slo_12_a_request_ratio_over_a_histogram_counts_its_values() {
    let metric = "http.server.request.duration";
    let bad = json!({"metricName": metric, "matchers": [{"label": "status", "op": "=", "value": "500"}]});
    let sli = json!({"type": "RequestRatio", "bad": bad, "total": {"metricName": metric}});
    let mut w = saved("09:58:10", json!({"sli": sli})).await;
    let window = minute("10:00");
    let of = |counts: &'static [u64], sum: f64| Buckets { unit: "s", bounds: &[0.5, 1.0], counts, sum };
    let (all, ok, failed) = (of(&[50, 8, 2], 19.53), of(&[50, 0, 0], 4.927), of(&[0, 8, 2], 14.603));
    let groups = [
        histogram(window, &[], None, &all),
        histogram(window, &[("status", "200")], Some(&["status"]), &ok),
        histogram(window, &[("status", "500")], Some(&["status"]), &failed),
    ];
    w.points(metric, window, &groups).await;
    w.aggregated(metric, at("10:02")).await;
    let _ = w.tick(&S, at("10:02")).await;
    let s = status(&w, "10:02").await;
    assert_eq!(s.burn_rates["fast"].short, Some(166.666_666_667));
    assert_eq!((s.total_events, s.good_events), (60.0, 50.0));
}

#[tokio::test]
async fn slo_13_a_latency_ratio_takes_the_threshold_in_the_unit_of_the_metric() {
    let metric = "http.server.request.duration";
    let sli = |threshold: f64| {
        json!({"type": "LatencyRatio", "thresholdMs": threshold,
        "histogram": {"metricName": metric, "groupBy": ["moduleId"]}})
    };
    let run = async |unit: &'static str, threshold: f64| {
        let mut w = saved("09:58:10", json!({"sli": sli(threshold)})).await;
        let window = minute("10:00");
        // Two groups, which the SLO adds up.
        let of = |counts: &'static [u64]| Buckets { unit, bounds: &[0.5, 1.0, 2.5], counts, sum: 1.0 };
        let (a, b) = (of(&[40, 8, 0, 0]), of(&[5, 0, 5, 2]));
        let groups =
            [histogram(window, &[("moduleId", "a")], None, &a), histogram(window, &[("moduleId", "b")], None, &b)];
        w.points(metric, window, &groups).await;
        w.aggregated(metric, at("10:02")).await;
        let decisions = w.tick(&S, at("10:02")).await;
        (w, decisions)
    };
    let (w, _) = run("s", 1_000.0).await;
    let s = status(&w, "10:02").await;
    assert_eq!((s.good_events, s.total_events, s.budget_consumed), (53.0, 60.0, 7.0));
    // Inside a bucket it is linear: 45 + 8 · 0.5.
    let (w, _) = run("s", 750.0).await;
    assert_eq!(status(&w, "10:02").await.good_events, 49.0);
    let (w, decisions) = run("By", 1_000.0).await;
    let last = decisions.last().unwrap();
    assert_eq!((last.reason, last.facts.len(), last.notes[0].signal.name), ("rule-error", 0, "rule_error_total"));
    assert!(w.get(&docs::stream(), &docs::status_id("slo-1", at("10:02")).0).await.is_none());
}

#[tokio::test]
async fn slo_08_latency_counts_are_linear_inside_the_bucket() {
    let metric = "latency";
    let sli = json!({"type": "LatencyRatio", "thresholdMs": 300, "histogram": {"metricName": metric}});
    let mut w = saved("09:58:10", json!({"sli": sli})).await;
    let window = minute("10:00");
    let of = Buckets { unit: "ms", bounds: &[100.0, 250.0, 500.0], counts: &[800, 100, 80, 20], sum: 1.0 };
    w.points(metric, window, &[histogram(window, &[], None, &of)]).await;
    w.aggregated(metric, at("10:02")).await;
    let _ = w.tick(&S, at("10:02")).await;
    let s = status(&w, "10:02").await;
    assert_eq!((s.good_events, s.total_events), (916.0, 1_000.0));
}

#[tokio::test]
async fn a_window_ratio_counts_good_minutes() {
    let condition = json!({"type": "Threshold", "selector": {"metricName": "cpu"}, "aggregation": "last", "op": "lt",
        "threshold": 0.8});
    let mut w =
        saved("08:58:10", json!({"objective": 0.9, "sli": {"type": "WindowRatio", "condition": condition}})).await;
    for n in 0..100 {
        let window = Window { size_ms: 60_000, start: at("09:00").plus_millis(n * 60_000) };
        let value = if n % 10 == 0 { 0.9 } else { 0.1 };
        if n != 55 {
            w.points("cpu", window, &[gauge(window, &[], value)]).await;
        }
    }
    w.aggregated("cpu", at("10:41")).await;
    let _ = w.tick(&S, at("10:41")).await;
    let s = status(&w, "10:41").await;
    assert_eq!((s.total_events, s.budget_consumed, s.budget_remaining), (99.0, 10.0, -0.010_101_010));
}
