//! What a decision does with a view that has something of everything: the golden case of a revised window, altered.

use super::*;
use crate::quality_score::QualityScoreWorker;
use opsloop_kernel::{Stream, TenantId, Worker};
use serde_json::{Value, json};

/// The window of 10:00 with a late item.
fn revised() -> Value {
    serde_json::from_str(include_str!("golden/QSW-08-revised.json")).unwrap()
}

fn decided(case: &Value) -> Decision {
    let unit = Unit {
        tenant: TenantId::parse("acme").unwrap(),
        stream: serde_json::from_value::<Stream>(case["unit"]["stream"].clone()).unwrap(),
        key: case["unit"]["key"].as_str().unwrap().parse().unwrap(),
        due: None,
    };
    let input: Input = serde_json::from_value(case["input"].clone()).unwrap();
    let view: View = serde_json::from_value(case["view"].clone()).unwrap();
    let at = serde_json::from_value(case["at"].clone()).unwrap();
    QualityScoreWorker::decide(&unit, &input, &view, at).unwrap()
}

#[test]
fn a_window_that_was_skipped_is_not_revised() {
    let mut case = revised();
    assert_eq!(decided(&case).reason, "computed");
    case["view"]["Project"]["window"]["current"]["body"] = json!({"status": "skipped"});
    let decision = decided(&case);
    assert_eq!(decision.reason, "skipped-before");
    assert!(decision.facts.is_empty());
}

#[test]
fn qsw_08_a_window_that_had_no_input_has_a_score_by_a_late_item() {
    let mut case = revised();
    case["view"]["Project"]["window"]["current"] = Value::Null;
    let decision = decided(&case);
    assert_eq!((decision.reason, decision.facts[0].revision), ("computed", 1));
}

#[test]
fn a62_a_root_whose_due_is_not_the_moment_gives_nothing() {
    let mut case = revised();
    case["at"] = json!("2026-11-21T11:07:00.000Z");
    assert!(decided(&case).is_nothing());
}

#[test]
fn more_items_than_are_read_make_a_score_partial() {
    let mut case = revised();
    case["view"]["Project"]["window"]["partial"] = json!(true);
    let decision = decided(&case);
    let freshness = decision.facts[0].about.freshness.clone().unwrap();
    assert_eq!((freshness.stale, freshness.reason), (true, Some(StaleReason::Partial)));
    assert_eq!(decision.notes.len(), 1);
}
