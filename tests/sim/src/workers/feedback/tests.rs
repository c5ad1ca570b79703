//! Each invariant is broken once.

use super::super::super::testing::{commit, document, fact, named, tenant};
use super::*;
use opsloop_kernel::Document;
use serde_json::json;

const STREAM: &str = "feedback/shop";

fn oracle(name: &str) -> Box<dyn Oracle> {
    named(invariants(), name)
}
fn item(id: &str, change: Value) -> Document {
    let mut body = json!({"feedbackItemId": feedback_item_id(&tenant("acme"), FeedbackSource::Human, "evt-1"),
        "source": "human", "sourceId": "evt-1", "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "evidence": [],
        "attribution": {"confidence": 1.0, "contributors": [{"artifactId": "a", "share": 1.0}]}});
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    document(id, ITEM, body)
}
fn creates(id: &str, change: Value) -> Applied {
    let item = item(id, change);
    let owed = vec![fact(kind::FEEDBACK_ITEM_CREATED, item.body.0.clone())];
    commit(STREAM, vec![(None, Some(item))], owed)
}

#[test]
fn i1_two_items_of_one_source() {
    let mut o = oracle("FCW I1");
    o.applied(&creates("item|1|fb", json!({}))).unwrap();
    assert!(o.applied(&creates("item|2|fb", json!({}))).unwrap_err().contains("item|1|fb"));
}

#[test]
fn i2_no_trace() {
    let mut o = oracle("FCW I2");
    o.applied(&creates("item|1|fb", json!({}))).unwrap();
    assert!(o.applied(&creates("item|1|fb", json!({"traceId": ""}))).is_err());
}

#[test]
fn i3_shares_that_are_no_whole() {
    let mut o = oracle("FCW I3");
    o.applied(&creates("item|1|fb", json!({"attribution": {"confidence": 0.0, "contributors": []}}))).unwrap();
    let half = json!({"confidence": 0.5, "contributors": [{"artifactId": "a", "share": 0.5}]});
    assert!(o.applied(&creates("item|1|fb", json!({"attribution": half}))).unwrap_err().contains("sum to 0.5"));
    let sure = json!({"confidence": 1.5, "contributors": []});
    assert!(o.applied(&creates("item|1|fb", json!({"attribution": sure}))).is_err());
}

#[test]
fn i4_an_incident_of_another_tenant() {
    let mut o = oracle("FCW I4");
    o.applied(&creates("item|1|fb", json!({}))).unwrap();
    let named = json!({"evidence": [{"kind": "incident", "id": "inc-1"}]});
    let incident = document("incident|inc-1", "incident", json!({"incidentId": "inc-1"}));
    let mut theirs = commit("incidents", vec![(None, Some(incident))], vec![]);
    theirs.tenant = tenant("globex");
    o.applied(&theirs).unwrap();
    assert!(o.applied(&creates("item|1|fb", named.clone())).unwrap_err().contains("inc-1"));
    theirs.tenant = tenant("acme");
    o.applied(&theirs).unwrap();
    o.applied(&creates("item|1|fb", named)).unwrap();
    let mut foreign = creates("item|1|fb", json!({}));
    foreign.tenant = tenant("globex");
    assert!(o.applied(&foreign).unwrap_err().contains("not derived"));
}

#[test]
fn an_item_that_changes_and_one_that_is_untold() {
    let mut o = oracle("FCW items");
    o.applied(&creates("item|1|fb", json!({}))).unwrap();
    let revised = |change: Value| {
        let mut c = creates("item|1|fb", change);
        c.changes[0].before = Some(item("item|1|fb", json!({})));
        c
    };
    o.applied(&revised(json!({"withdrawn": {"at": "x", "reason": "y"}}))).unwrap();
    assert!(o.applied(&revised(json!({"title": "other"}))).unwrap_err().contains("title"));
    let mut untold = creates("item|1|fb", json!({}));
    untold.owed.clear();
    assert!(o.applied(&untold).unwrap_err().contains("told 0 times"));
}
