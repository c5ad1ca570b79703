//! Each invariant is broken once.

use super::super::super::testing::{at_rest, commit, document, dumped, fact, named};
use super::*;
use opsloop_kernel::{Document, Envelope};
use serde_json::json;

const SLOT: &str = "2026-11-21T10:05:00.000Z";
const EARLIER: &str = "2026-11-21T10:03:00.000Z";

fn oracle(name: &str) -> Box<dyn Oracle> {
    named(invariants(), name)
}
fn status(change: Value) -> Document {
    let mut body = json!({"sloId": "slo-0", "minute": SLOT, "asOf": EARLIER, "goodEvents": 8.0, "totalEvents": 10.0,
        "budgetConsumed": 2.0, "budgetRemaining": -1.0, "burnRates": {}, "freshness": {"stale": false}});
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    document("status|slo-0|1", "status", body)
}
fn writes(change: Value) -> Applied {
    commit(STREAM, vec![(None, Some(status(change)))], vec![])
}
fn says(kind: &'static str, episode: &str) -> Envelope {
    fact(kind, json!({"sloId": "slo-0", "rule": "fast", "episodeId": episode}))
}
fn root(active: Value, last: &str) -> Document {
    document("slots|slo-0", "slots", json!({"sloId": "slo-0", "active": active, "lastSlot": last}))
}

#[test]
fn i1_an_open_window() {
    let mut o = oracle("SLO I1");
    o.applied(&writes(json!({}))).unwrap();
    assert!(o.applied(&writes(json!({"asOf": SLOT}))).unwrap_err().contains("has read up to"));
}

#[test]
fn i2_more_than_the_whole_budget() {
    let mut o = oracle("SLO I2");
    o.applied(&writes(json!({"budgetRemaining": 1.0}))).unwrap();
    assert!(o.applied(&writes(json!({"budgetRemaining": 1.01}))).is_err());
}

#[test]
fn i3_two_breaches_without_a_recovery() {
    let mut o = oracle("SLO I3");
    let turn = |e: Envelope| commit(STREAM, vec![], vec![e]);
    o.applied(&turn(says(kind::SLO_BREACHED, "1"))).unwrap();
    o.applied(&turn(says(kind::SLO_RECOVERED, "1"))).unwrap();
    o.applied(&turn(says(kind::SLO_BREACHED, "2"))).unwrap();
    assert!(o.applied(&turn(says(kind::SLO_BREACHED, "3"))).unwrap_err().contains("goes on"));
    assert!(oracle("SLO I3").applied(&turn(says(kind::SLO_RECOVERED, "1"))).is_err());
}

#[test]
fn i4_silence_that_costs() {
    let mut o = oracle("SLO I4");
    let silent = json!({"goodEvents": 0.0, "totalEvents": 0.0, "budgetConsumed": 0.0, "budgetRemaining": 1.0});
    o.applied(&writes(silent.clone())).unwrap();
    let mut costs = silent;
    costs["budgetRemaining"] = json!(0.9);
    assert!(o.applied(&writes(costs)).is_err());
    assert!(o.applied(&writes(json!({"goodEvents": 9.0}))).unwrap_err().contains("are not 10"));
}

#[test]
fn a_stale_slot_that_recovers() {
    let mut o = oracle("SLO stale");
    let slot = |stale: bool, after: Value| {
        let roots = (Some(root(json!([{"name": "fast", "since": EARLIER}]), EARLIER)), Some(root(after, SLOT)));
        let status = (None, Some(status(json!({"freshness": {"stale": stale}}))));
        commit(STREAM, vec![roots, status], vec![])
    };
    o.applied(&slot(false, json!([]))).unwrap();
    o.applied(&slot(true, json!([{"name": "fast", "since": EARLIER, "notMetSince": SLOT}]))).unwrap();
    assert!(o.applied(&slot(true, json!([]))).unwrap_err().contains("is stale"));
}

#[test]
fn a_slot_that_comes_again() {
    let mut o = oracle("SLO slots");
    let moved =
        |from: &str, to: &str| commit(STREAM, vec![(Some(root(json!([]), from)), Some(root(json!([]), to)))], vec![]);
    o.applied(&moved(EARLIER, SLOT)).unwrap();
    assert!(o.applied(&moved(SLOT, EARLIER)).is_err());
}

#[test]
fn at_rest_a_deleted_slo_that_burns() {
    let mut o = oracle("SLO rest");
    let burning = dumped(STREAM, root(json!([{"name": "fast", "since": EARLIER}]), SLOT));
    assert!(at_rest(&mut *o, std::slice::from_ref(&burning)).unwrap_err().contains("disabled or gone"));
    let slo = document("slo|slo-0", "slo", json!({"sloId": "slo-0", "enabled": true}));
    at_rest(&mut *o, &[burning, dumped(STREAM, slo)]).unwrap();
}

#[test]
fn a_lesser_breach_beside_a_severe_one() {
    let breach = |severity: &str| {
        fact(kind::SLO_BREACHED, json!({"sloId": "slo-0", "rule": "x", "severity": severity, "episodeId": "1"}))
    };
    let active = json!([{"name": "fast", "severity": "high", "since": EARLIER}]);
    let turn = |severity: &str| commit(STREAM, vec![(None, Some(root(active.clone(), SLOT)))], vec![breach(severity)]);
    oracle("SLO inhibition").applied(&turn("high")).unwrap();
    assert!(oracle("SLO inhibition").applied(&turn("warning")).unwrap_err().contains("which inhibits it"));
}
