//! Each invariant is broken once.

use super::super::super::testing::{at_rest, commit, document, dumped, fact, named};
use super::*;
use opsloop_kernel::{Document, Envelope};
use serde_json::json;

const T: &str = "2026-11-21T10:05:00.000Z";
const BEFORE: &str = "2026-11-21T10:04:00.000Z";

fn oracle(name: &str) -> Box<dyn Oracle> {
    named(invariants(), name)
}
fn episode(since: &str) -> String {
    since.parse::<Timestamp>().unwrap().millis().to_string()
}
fn rule(for_ms: i64, policy: &str) -> Document {
    let body = json!({"ruleId": "alr-0", "version": 1, "forMs": for_ms, "noDataPolicy": policy, "enabled": true});
    document("rule|alr-0", "rule", body)
}
fn triggered(since: &str) -> Envelope {
    fact(
        kind::ALERT_TRIGGERED,
        json!({"ruleId": "alr-0", "ruleVersion": 1, "fingerprint": "f0", "labels": {},
        "activeAt": since, "windowStart": T, "episodeId": episode(since), "repeat": false}),
    )
}
fn resolved(since: &str, reason: &str) -> Envelope {
    fact(
        kind::ALERT_RESOLVED,
        json!({"ruleId": "alr-0", "fingerprint": "f0", "episodeId": episode(since), "reason": reason}),
    )
}
fn instance(state: &str, since: &str) -> Value {
    let mut i = json!({"fingerprint": "f0", "state": state, "activeAt": since});
    if state != "pending" {
        i["firedAt"] = json!(since);
    }
    if state == "inactive" {
        i["resolvedAt"] = json!(T);
    }
    i
}
fn chunk(instances: Value) -> Document {
    document("instances|alr-0|0000", "instances", json!({"ruleId": "alr-0", "instances": instances}))
}
fn slot(before: Option<Value>, after: Value, owed: Vec<Envelope>) -> Applied {
    commit(STREAM, vec![(before.map(chunk), Some(chunk(after)))], owed)
}

#[test]
fn i1_two_triggers_without_a_clear_between_them() {
    let mut o = oracle("AEW I1");
    let turn = |e: Envelope| commit(STREAM, vec![], vec![e]);
    o.applied(&turn(triggered(T))).unwrap();
    o.applied(&turn(resolved(T, "condition_cleared"))).unwrap();
    o.applied(&turn(triggered(T))).unwrap();
    assert!(o.applied(&turn(triggered(BEFORE))).unwrap_err().contains("is not resolved"));
    let mut o = oracle("AEW I1");
    assert!(o.applied(&turn(resolved(T, "condition_cleared"))).unwrap_err().contains("raised is None"));
}

#[test]
fn i2_a_trigger_too_early_or_out_of_nothing() {
    let mut o = oracle("AEW I2");
    let early = commit(STREAM, vec![(None, Some(rule(120_000, "keep")))], vec![triggered(BEFORE)]);
    assert!(o.applied(&early).unwrap_err().contains("after 60000 ms"));
    let mut o = oracle("AEW I2");
    o.applied(&commit(STREAM, vec![(None, Some(rule(60_000, "keep")))], vec![])).unwrap();
    let after = json!([instance("firing", BEFORE)]);
    o.applied(&slot(Some(json!([instance("pending", BEFORE)])), after.clone(), vec![triggered(BEFORE)])).unwrap();
    assert!(o.applied(&slot(None, after, vec![triggered(BEFORE)])).unwrap_err().contains("was not pending"));
}

#[test]
fn i3_silence_resolves_under_ok_alone_and_stale_input_never() {
    let mut o = oracle("AEW I3");
    let saved = vec![(None, Some(rule(0, "keep")))];
    let silent = commit(STREAM, saved.clone(), vec![resolved(T, "no_data_ok")]);
    assert!(o.applied(&silent).unwrap_err().contains("noDataPolicy is keep"));
    let mut stale = resolved(T, "condition_cleared");
    let at: Timestamp = T.parse().unwrap();
    stale.freshness = Some(opsloop_kernel::Freshness { as_of: at, lag_ms: 0, stale: true, reason: None });
    assert!(o.applied(&commit(STREAM, saved.clone(), vec![stale.clone()])).unwrap_err().contains("stale input"));
    stale.freshness.as_mut().unwrap().stale = false;
    o.applied(&commit(STREAM, saved, vec![stale])).unwrap();
}

#[test]
fn i4_a_firing_instance_that_is_gone() {
    let mut o = oracle("AEW I4");
    let firing = || Some(json!([instance("firing", T)]));
    o.applied(&slot(firing(), json!([instance("recovering", T)]), vec![])).unwrap();
    o.applied(&slot(firing(), json!([]), vec![resolved(T, "rule_changed")])).unwrap();
    assert!(o.applied(&slot(firing(), json!([]), vec![])).unwrap_err().contains("no clear is owed"));
    assert!(o.applied(&slot(firing(), json!([instance("firing", BEFORE)]), vec![])).is_err());
}

#[test]
fn states_that_follow_from_none() {
    let mut o = oracle("AEW states");
    let step = |from: &str, to: &str| slot(Some(json!([instance(from, T)])), json!([instance(to, T)]), vec![]);
    for (from, to) in
        [("pending", "firing"), ("firing", "recovering"), ("recovering", "inactive"), ("firing", "pending")]
    {
        o.applied(&step(from, to)).unwrap();
    }
    for (from, to) in
        [("pending", "recovering"), ("pending", "inactive"), ("inactive", "recovering"), ("recovering", "pending")]
    {
        assert!(o.applied(&step(from, to)).is_err(), "{from} to {to}");
    }
    assert!(o.applied(&slot(None, json!([instance("inactive", T)]), vec![])).is_err());
}

#[test]
fn a_slot_that_comes_again() {
    let mut o = oracle("AEW slots");
    let root = |slot: &str| Some(document("slots|alr-0", "slots", json!({"ruleId": "alr-0", "lastSlot": slot})));
    o.applied(&commit(STREAM, vec![(root(BEFORE), root(T))], vec![triggered(T)])).unwrap();
    assert!(o.applied(&commit(STREAM, vec![(root(T), root(BEFORE))], vec![])).is_err());
    assert!(o.applied(&commit(STREAM, vec![(root(T), root(T))], vec![triggered(T)])).is_err());
}

#[test]
fn at_rest_a_deleted_rule_that_fires() {
    let mut o = oracle("AEW rest");
    let firing = dumped(STREAM, chunk(json!([instance("firing", T)])));
    assert!(at_rest(&mut *o, std::slice::from_ref(&firing)).unwrap_err().contains("goes on"));
    at_rest(&mut *o, &[firing, dumped(STREAM, rule(0, "keep"))]).unwrap();
}
