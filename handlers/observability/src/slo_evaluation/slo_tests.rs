//! Definitions and their rules (SPEC 5.4.2).

use super::*;
use serde_json::{Value, json};

pub fn slo(change: Value) -> SloDefinition {
    let mut text = json!({"sloId": "slo-1", "projectId": "booking", "moduleId": "mod-api", "name": "API answers",
        "objective": 0.999, "period": {"type": "Rolling", "days": 30}, "sli": {"type": "RequestRatio",
            "bad": {"metricName": "bad"}, "total": {"metricName": "total"}}});
    for (name, value) in change.as_object().unwrap() {
        text[name] = value.clone();
    }
    serde_json::from_value(text).unwrap()
}
fn factors(slo: &SloDefinition, days: i64) -> Vec<f64> {
    slo.factored(days * DAY_MS).iter().map(|f| f.factor).collect()
}

#[test]
fn slo_05_factors_follow_from_the_share_of_the_budget_and_the_period() {
    assert_eq!(factors(&slo(json!({})), 30), [14.4, 6.0, 1.0]);
    assert_eq!(factors(&slo(json!({})), 28), [13.44, 5.6, 0.933_333_333]);
}

#[test]
fn a35_a_default_rule_that_can_never_be_met_is_left_out_and_an_explicit_one_refused() {
    let lax = slo(json!({"objective": 0.9}));
    let omitted: Vec<_> = lax.factored(30 * DAY_MS).into_iter().filter(|f| f.omitted).map(|f| f.rule.name).collect();
    assert_eq!((omitted, lax.check()), (vec!["fast".to_owned()], Ok(())));
    let rule = |factor: f64| {
        json!({"name": "own", "longMs": 3_600_000, "shortMs": 300_000, "factor": factor,
        "severity": "high"})
    };
    let with = |factor: f64| slo(json!({"objective": 0.9, "rules": [rule(factor)]}));
    assert_eq!(with(9.99).check(), Ok(()));
    // 1/(1 − 0.9) is 10.000000000000002 as a double: rounded, it is 10.
    assert!(with(10.0).check().is_err());
    let month = json!({"type": "CalendarMonth"});
    let share = json!({"name": "own", "longMs": 3_600_000, "shortMs": 300_000, "budgetFraction": 0.0135,
        "severity": "high"});
    // 0.0135 · 30 d / 1 h is 9.72, but in a month of 31 days 10.044.
    assert!(slo(json!({"objective": 0.9, "rules": [share], "period": month})).check().is_err());
}

#[test]
fn rules_have_names_and_windows_of_their_own() {
    let rule = |name: &str, long: i64, short: i64| {
        json!({"name": name, "longMs": long, "shortMs": short,
        "factor": 2, "severity": "high"})
    };
    let with = |rules: Vec<Value>| slo(json!({"rules": rules})).check().is_ok();
    assert!(with(vec![rule("a", 3_600_000, 60_000), rule("b", 3_600_000, 60_000)]));
    assert!(!with(vec![rule("a", 3_600_000, 60_000), rule("a", 7_200_000, 60_000)]));
    assert!(!with(vec![rule(BUDGET, 3_600_000, 60_000)]));
    assert!(!with(vec![rule("a", 60_000, 3_600_000)]));
    assert!(!with(vec![rule("a", 3_600_000, 90_000)]));
    assert!(!with(vec![rule("a", 31 * DAY_MS, 60_000)]));
}

#[test]
fn an_slo_that_means_nothing_is_refused() {
    assert!(slo(json!({})).check().is_ok());
    assert!(slo(json!({"objective": 1.0})).check().is_err());
    assert!(slo(json!({"period": {"type": "Rolling", "days": 14}})).check().is_err());
    assert!(slo(json!({"sli": {"type": "RequestRatio", "total": {"metricName": "t"}}})).check().is_err());
    let absence = json!({"type": "Absence", "selector": {"metricName": "m"}, "forMs": 0});
    assert!(slo(json!({"sli": {"type": "WindowRatio", "condition": absence}})).check().is_err());
    let hourly = json!({"type": "Threshold", "selector": {"metricName": "m"}, "aggregation": "p99", "op": "lt",
        "threshold": 1, "windowMs": 3_600_000});
    assert!(slo(json!({"sli": {"type": "WindowRatio", "condition": hourly}})).check().is_err());
    assert!(slo(json!({"sli": {"type": "WindowRatio", "condition": hourly, "windowMs": 3_600_000}})).check().is_ok());
}

#[test]
fn only_objective_sli_and_period_restart_an_slo() {
    let hash = |change: Value| slo(change).definition_hash();
    assert_eq!(hash(json!({})), hash(json!({"name": "other", "minEvents": 5, "rules": []})));
    assert_ne!(hash(json!({})), hash(json!({"objective": 0.99})));
    assert_ne!(hash(json!({})), hash(json!({"period": {"type": "CalendarMonth"}})));
}
