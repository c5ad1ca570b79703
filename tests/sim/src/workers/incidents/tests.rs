//! Each invariant is broken once.

use super::super::super::testing::{at_rest, commit, document, dumped, fact, named};
use super::*;
use opsloop_kernel::{Document, Envelope};
use serde_json::json;

const T: &str = "2026-11-21T10:05:00.000Z";
const LATER: &str = "2026-11-21T10:06:00.000Z";

fn oracle(name: &str) -> Box<dyn Oracle> {
    named(invariants(), name)
}
fn incident(id: &str, change: Value) -> Document {
    let mut body = json!({"incidentId": id, "severity": "high", "status": "Open", "openedAt": T, "lastSeq": 2,
        "sources": [{"source": "alert", "sourceId": "r:f", "episodes": [{"episodeId": "1", "at": T}]}]});
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    document(&format!("incident|{id}"), "incident", body)
}
fn entry(seq: u64, kind: &str, from: &str, to: &str) -> (Option<Document>, Option<Document>) {
    let body = json!({"seq": seq, "kind": kind, "from": from, "to": to});
    (None, Some(document(&format!("log|inc-1|{seq:010}"), "log", body)))
}
fn root(id: &str) -> (Option<Document>, Option<Document>) {
    (None, Some(document("open|alert|r:f", "open", json!({"incidentId": id, "n": 1}))))
}
fn told(kind: &'static str, n: u64) -> Envelope {
    fact(kind, json!({"incidentId": "inc-1", "n": n}))
}
fn opening() -> Vec<(Option<Document>, Option<Document>)> {
    vec![
        (None, Some(incident("inc-1", json!({})))),
        entry(1, "opened", "", ""),
        entry(2, "trigger", "", ""),
        root("inc-1"),
    ]
}
/// From `before` to `after` by one entry.
fn step(before: Value, after: Value, kind: &str, from: &str, to: &str) -> Applied {
    let mut after = after;
    after["lastSeq"] = json!(3);
    let pair = (Some(incident("inc-1", before)), Some(incident("inc-1", after)));
    commit(STREAM, vec![pair, entry(3, kind, from, to)], vec![])
}

#[test]
fn i1_resolved_without_a_cause() {
    let mut o = oracle("IAW I1");
    let caused = json!({"status": "Resolved", "rootCause": {"category": "data"}, "resolvedAt": LATER});
    o.applied(&step(json!({}), caused, "transition", "Open", "Resolved")).unwrap();
    let uncaused = json!({"status": "Resolved", "resolvedAt": LATER});
    assert!(o.applied(&step(json!({}), uncaused, "transition", "Open", "Resolved")).unwrap_err().contains("rootCause"));
}

#[test]
fn i2_a_log_with_a_gap_and_one_that_is_written_over() {
    let mut o = oracle("IAW I2");
    o.applied(&commit(STREAM, opening(), vec![])).unwrap();
    let mut gap = opening();
    gap.remove(1);
    assert!(o.applied(&commit(STREAM, gap, vec![])).unwrap_err().contains("gets [2]"));
    let (_, old) = entry(1, "opened", "", "");
    assert!(o.applied(&commit(STREAM, vec![(old.clone(), old)], vec![])).unwrap_err().contains("written again"));
}

#[test]
fn i3_severity_that_falls() {
    let mut o = oracle("IAW I3");
    let moved = |from: &str, to: &str| step(json!({"severity": from}), json!({"severity": to}), "trigger", "", "");
    o.applied(&moved("warning", "high")).unwrap();
    assert!(o.applied(&moved("critical", "high")).unwrap_err().contains("severity high after"));
}

#[test]
fn i4_two_incidents_of_one_source() {
    let mut o = oracle("IAW I4");
    o.applied(&commit(STREAM, opening(), vec![])).unwrap();
    let second = vec![(None, Some(incident("inc-2", json!({})))), root("inc-2")];
    assert!(o.applied(&commit(STREAM, second.clone(), vec![])).unwrap_err().contains("none of them resolved"));
    let mut o = oracle("IAW I4");
    o.applied(&commit(STREAM, opening(), vec![])).unwrap();
    o.applied(&step(json!({}), json!({"status": "Resolved"}), "transition", "Open", "Resolved")).unwrap();
    o.applied(&commit(STREAM, second, vec![])).unwrap();
    let unrooted = vec![(None, Some(incident("inc-1", json!({}))))];
    assert!(oracle("IAW I4").applied(&commit(STREAM, unrooted, vec![])).unwrap_err().contains("its root names None"));
}

#[test]
fn i5_acknowledged_before_it_opened() {
    let mut o = oracle("IAW I5");
    let at = |when: &str| step(json!({}), json!({"openedAt": T, "acknowledgedAt": when}), "note", "", "");
    o.applied(&at(LATER)).unwrap();
    assert!(o.applied(&at("2026-11-21T10:04:00.000Z")).is_err());
}

#[test]
fn i6_resolved_twice_or_untold() {
    let mut o = oracle("IAW I6");
    let owed = vec![told(kind::INCIDENT_OPENED, 0), told(kind::INCIDENT_TRANSITIONED, 0)];
    o.applied(&commit(STREAM, opening(), owed)).unwrap();
    let mut done = step(json!({}), json!({"status": "Resolved"}), "transition", "Open", "Resolved");
    assert!(oracle("IAW I6").applied(&done).unwrap_err().contains("told [0, 0, 0]"));
    done.owed = vec![told(kind::INCIDENT_RESOLVED, 0), told(kind::INCIDENT_TRANSITIONED, 1)];
    o.applied(&done).unwrap();
    assert!(o.applied(&done).unwrap_err().contains("a second time"));
}

#[test]
fn states_that_do_not_follow() {
    let mut o = oracle("IAW states");
    let moved = |from: &str, to: &str| step(json!({"status": from}), json!({"status": to}), "transition", from, to);
    o.applied(&commit(STREAM, opening(), vec![])).unwrap();
    o.applied(&moved("Escalated", "Investigating")).unwrap();
    for (from, to) in [("Escalated", "Resolved"), ("Open", "Mitigated"), ("Resolved", "Open"), ("Mitigated", "Open")] {
        assert!(o.applied(&moved(from, to)).is_err(), "{from} to {to}");
    }
    let unlogged = step(json!({"status": "Open"}), json!({"status": "Acknowledged"}), "note", "", "");
    assert!(o.applied(&unlogged).unwrap_err().contains("leads to Open"));
    assert!(o.applied(&step(json!({}), json!({"severity": "critical"}), "trigger", "", "")).is_err());
}

#[test]
fn a_resolved_incident_that_changes() {
    let mut o = oracle("IAW end");
    let resolved = json!({"status": "Resolved"});
    o.applied(&step(resolved.clone(), resolved.clone(), "note", "", "")).unwrap();
    assert!(o.applied(&step(resolved.clone(), resolved.clone(), "trigger", "", "")).is_err());
    let retitled = json!({"status": "Resolved", "title": "other"});
    assert!(o.applied(&step(resolved, retitled, "note", "", "")).unwrap_err().contains("title"));
}

#[test]
fn a7_an_incident_that_holds_what_is_over() {
    let mut o = oracle("IAW A7");
    let open = dumped(STREAM, incident("inc-1", json!({})));
    at_rest(&mut *o, std::slice::from_ref(&open)).unwrap();
    for id in ["cleared|alert|r:f||1", "cleared|alert|r:f||"] {
        let mark = dumped(STREAM, document(id, "cleared", json!({"at": LATER, "logged": true})));
        assert!(at_rest(&mut *o, &[open.clone(), mark]).unwrap_err().contains("which is over"));
    }
}

#[test]
fn a37_a_clear_that_left_no_mark() {
    let mut o = oracle("IAW A37");
    let clear = fact(kind::ALERT_RESOLVED, json!({"ruleId": "r", "fingerprint": "f", "episodeId": "1"}));
    o.applied(&commit("rules", vec![], vec![clear])).unwrap();
    assert!(at_rest(&mut *o, &[]).unwrap_err().contains("left no mark"));
    let mark = dumped(STREAM, document("cleared|alert|r:f||1", "cleared", json!({"at": LATER, "logged": true})));
    at_rest(&mut *o, &[mark]).unwrap();
}
