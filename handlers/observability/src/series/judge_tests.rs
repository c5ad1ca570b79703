//! The algebra of conditions over given windows (SPEC 5.3.2, 5.3.4).

use super::*;
use serde_json::{Value, json};

fn t(text: &str) -> Timestamp {
    format!("2026-11-21T{text}Z").parse().unwrap()
}
fn minute(n: i64) -> Timestamp {
    t("10:00:00").plus_millis(n * 60_000)
}
/// One selector whose windows end at 10:01, 10:02, …; `None`: no value.
fn series(values: &[Option<f64>]) -> Selected {
    let values: Vec<_> = (1..).zip(values).filter_map(|(n, v)| v.map(|v| (minute(n), v))).collect();
    let up_to = minute(5);
    let sets = if values.is_empty() { vec![] } else { vec![SetValues { labels: LabelSet::default(), values }] };
    Selected { size_ms: 60_000, up_to, sets, error: None }
}
fn condition(text: Value) -> Condition {
    let c: Condition = serde_json::from_value(text).unwrap();
    c.check().unwrap();
    c
}
fn judged(c: &Condition, data: &[Selected]) -> Option<Verdict> {
    let (cut, slot, seen) = (Timestamp::MAX, t("10:06:00"), vec![]);
    Evidence { data, cut, first_slot: t("10:00:00"), slot, seen: &seen }.judge(c, &LabelSet::default(), false)
}
fn threshold(more: Value) -> Condition {
    let mut text = json!({"type": "Threshold", "selector": {"metricName": "m"}, "aggregation": "sum", "op": "ge",
        "threshold": 0, "windowMs": 60_000, "rangeMs": 180_000});
    for (name, value) in more.as_object().unwrap() {
        text[name] = value.clone();
    }
    condition(text)
}

#[test]
fn reducers_take_the_range_that_ends_at_the_newest_value() {
    let data = [series(&[Some(100.0), Some(1.0), None, Some(4.0), None])];
    let value = |reducer: &str| judged(&threshold(json!({"reducer": reducer})), &data).unwrap().value;
    let all = ["last", "avg", "min", "max", "sum", "rate"].map(value);
    assert_eq!(all, [4.0, 2.5, 1.0, 4.0, 5.0, 5.0 / 180.0]);
    assert_eq!(judged(&threshold(json!({})), &data).unwrap().as_of, minute(4));
}

#[test]
fn a_range_shorter_than_a_window_is_the_newest_window() {
    let data = [series(&[Some(7.0), None, None, None, Some(9.0)])];
    let c = threshold(json!({"rangeMs": 1_000, "reducer": "sum"}));
    assert_eq!(judged(&c, &data).unwrap().value, 9.0);
}

#[test]
fn a_ratio_takes_a_missing_numerator_as_zero_and_too_little_as_not_bad() {
    let ratio = |least: f64| {
        condition(json!({"type": "Ratio", "numerator": {"metricName": "bad"}, "denominator": {"metricName": "all"},
            "minDenominator": least, "op": "gt", "threshold": 0.05}))
    };
    let all = series(&[Some(10.0), Some(100.0)]);
    let none = judged(&ratio(50.0), &[series(&[]), all.clone()]).unwrap();
    assert_eq!((none.truth, none.value, none.as_of), (false, 0.0, minute(2)));
    let bad = [series(&[Some(10.0), Some(6.0)]), all.clone()];
    let verdict = judged(&ratio(50.0), &bad).unwrap();
    assert_eq!((verdict.truth, verdict.value, verdict.threshold), (true, 0.06, Some(0.05)));
    assert!(!judged(&ratio(101.0), &bad).unwrap().truth);
    assert_eq!(judged(&ratio(0.0), &[series(&[Some(1.0)]), series(&[])]), None);
}

#[test]
fn a_change_compares_the_same_range_so_much_earlier() {
    let change = |op: &str, percent: f64| {
        condition(json!({"type": "Change", "selector": {"metricName": "m"}, "offsetMs": 180_000, "op": op,
            "percent": percent}))
    };
    let data = [series(&[Some(40.0), Some(50.0), None, None, Some(75.0)])];
    assert_eq!(judged(&change("gt", 49.0), &data).map(|v| (v.truth, v.value)), Some((true, 50.0)));
    assert!(!judged(&change("gt", 50.0), &data).unwrap().truth);
    let zero = [series(&[None, Some(0.0), None, None, Some(75.0)])];
    assert!(!judged(&change("gt", 0.0), &zero).unwrap().truth);
    assert_eq!(judged(&change("gt", 0.0), &[series(&[None, None, None, None, Some(75.0)])]), None);
}

#[test]
fn an_absence_is_counted_in_closed_windows_without_a_value() {
    let absence = |for_ms: i64| condition(json!({"type": "Absence", "selector": {"metricName": "m"}, "forMs": for_ms}));
    let data = [series(&[Some(1.0), Some(1.0)])];
    let verdict = judged(&absence(180_000), &data).unwrap();
    assert_eq!((verdict.truth, verdict.value, verdict.as_of, verdict.evidence), (true, 0.0, minute(2), minute(5)));
    assert!(!judged(&absence(180_001), &data).unwrap().truth);
    assert!(!judged(&absence(0), &[series(&[None, None, None, None, Some(0.0)])]).unwrap().truth);
    // One that never had a value is absent from the first slot on, 10:00.
    assert!(judged(&absence(360_000), &[series(&[])]).unwrap().truth);
    assert!(!judged(&absence(360_001), &[series(&[])]).unwrap().truth);
}

#[test]
fn an_absence_remembers_label_sets_that_left_the_windows() {
    let labels: LabelSet = [("moduleId", "a")].into_iter().collect();
    let c = condition(json!({"type": "Absence", "selector": {"metricName": "m", "groupBy": ["moduleId"]},
        "forMs": 600_000}));
    let seen = vec![(0, labels.clone(), t("09:50:00"))];
    let data = [series(&[])];
    let evidence =
        Evidence { data: &data, cut: Timestamp::MAX, first_slot: t("09:00:00"), slot: t("10:06:00"), seen: &seen };
    assert!(evidence.judge(&c, &labels, false).unwrap().truth);
    assert_eq!(evidence.label_sets(&c, t("10:05:00")).len(), 1);
    assert_eq!(evidence.judge(&c, &[("moduleId", "b")].into_iter().collect(), false), None);
    assert_eq!(remembered(&c, &evidence, t("09:50:00"), |_| false), seen);
    assert!(remembered(&c, &evidence, t("09:51:00"), |_| false).is_empty());
    assert_eq!(remembered(&c, &evidence, t("09:51:00"), |_| true), seen);
}

#[test]
fn all_and_any_follow_from_what_is_known() {
    let part = |op: &str| {
        json!({"type": "Threshold", "selector": {"metricName": "m"}, "aggregation": "sum", "op": op,
        "threshold": 5})
    };
    let both = |sort: &str| condition(json!({"type": sort, "conditions": [part("gt"), part("lt")]}));
    let (yes, no, unknown) = (Some(true), Some(false), None);
    // Each part reads its own selector: 9 is above 5, 1 below, nothing is unknown.
    let data = |a: Option<f64>, b: Option<f64>| [series(&[a]), series(&[b])];
    let of = |sort: &str, a, b| judged(&both(sort), &data(a, b)).map(|v| v.truth);
    let (t1, f1, t2, f2) = (Some(9.0), Some(1.0), Some(1.0), Some(9.0));
    assert_eq!([of("All", t1, t2), of("All", t1, f2), of("All", f1, t2)], [yes, no, no]);
    assert_eq!([of("All", t1, None), of("All", f1, None), of("All", None, f2)], [unknown, no, no]);
    assert_eq!([of("Any", f1, f2), of("Any", t1, f2), of("Any", f1, t2)], [no, yes, yes]);
    assert_eq!([of("Any", f1, None), of("Any", t1, None), of("Any", None, None)], [unknown, yes, unknown]);
    // What is shown is the first part that decides.
    assert_eq!(judged(&both("All"), &data(t1, f2)).unwrap().op, Some(Op::Lt));
    assert_eq!(judged(&both("Any"), &data(t1, t2)).unwrap().op, Some(Op::Gt));
}

#[test]
fn all_is_as_old_as_its_oldest_part_and_any_as_fresh_as_what_decides() {
    let part = json!({"type": "Threshold", "selector": {"metricName": "m"}, "aggregation": "sum", "op": "gt",
        "threshold": 5});
    let both = |sort: &str| condition(json!({"type": sort, "conditions": [part, part]}));
    let data = [series(&[Some(9.0)]), series(&[None, None, Some(9.0)])];
    assert_eq!(judged(&both("All"), &data).unwrap().as_of, minute(1));
    assert_eq!(judged(&both("Any"), &data).unwrap().as_of, minute(3));
}

#[test]
fn windows_after_the_cut_are_not_there() {
    let data = [series(&[Some(1.0), Some(2.0), Some(3.0)])];
    let (slot, seen) = (t("10:06:00"), vec![]);
    let evidence = Evidence { data: &data, cut: minute(2), first_slot: slot, slot, seen: &seen };
    let verdict = evidence.judge(&threshold(json!({"reducer": "sum"})), &LabelSet::default(), false).unwrap();
    assert_eq!((verdict.value, verdict.as_of), (3.0, minute(2)));
}
