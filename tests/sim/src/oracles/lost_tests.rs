//! Things that get lost, or die when they should not.

use super::{super::rig::*, *};
use crate::plan::Plan;
use bytes::Bytes;
use opsloop_kernel::{Document, http::Method};
use serde_json::json;

const WORKER: &str = "IncidentAnalysisWorker";

fn alert() -> Envelope {
    fact("AlertTriggered", "1", json!({"severity": "high"}))
}
fn planned(arrivals: Vec<Arrival>) -> Ended {
    Ended { plan: Plan { arrivals, ..Plan::default() }, ..Ended::default() }
}

#[test]
fn an_event_without_its_marker_is_lost() {
    let ended = planned(vec![offer(Offer::Event(Box::new(alert())))]);
    let mut oracle = NothingLost::default();
    assert!(ended.judged(&mut oracle).contains("has decided 0 of 1 units"));
    oracle.applied(&about(WORKER, alert().event_id.as_str(), commit(vec![], vec![]))).unwrap();
    assert_eq!(ended.judged(&mut oracle), "");
}

#[test]
fn a_fact_of_our_own_without_its_marker_is_lost_unless_it_is_stuck() {
    let mut oracle = NothingLost::default();
    oracle.applied(&commit(vec![], vec![alert()])).unwrap();
    assert!(Ended::default().judged(&mut oracle).contains("AlertTriggered evt-"));
    let stuck = Document::new("stuck|1", "stuck", &json!({"messages": [{"id": alert().event_id}]}));
    let ended = Ended { documents: vec![dumped(stuck)], ..Ended::default() };
    assert!(ended.judged(&mut oracle).contains("is stuck otherwise than owed"));
    let messages = json!({"messages": [{"id": alert().event_id, "envelope": alert()}]});
    let stuck = Document::new("stuck|1", "stuck", &messages);
    let ended = Ended { documents: vec![dumped(stuck)], ..Ended::default() };
    assert_eq!(ended.judged(&mut oracle), "");
}

#[test]
fn what_its_worker_has_put_off_is_not_lost_and_of_another_worker_it_is() {
    let mut oracle = NothingLost::default();
    oracle.applied(&commit(vec![], vec![alert()])).unwrap();
    let put_off = |worker: &str| {
        let copy = format!("{}:{worker}:h1", alert().event_id);
        Ended { scheduled: BTreeSet::from([copy]), ..Ended::default() }
    };
    assert_eq!(put_off(WORKER).judged(&mut oracle), "");
    assert!(put_off("QualityScoreWorker").judged(&mut oracle).contains("has decided 0 of 1 units"));
}

#[test]
fn a_command_without_its_marker_is_lost() {
    let (method, key, body) = (Method::Post, "k".to_owned(), json!({}));
    let post = Offer::Command { method, path: "/v1/incidents".into(), body, key, expect: vec![201] };
    let ended = planned(vec![offer(post)]);
    let mut oracle = NothingLost::default();
    assert!(ended.judged(&mut oracle).contains("POST /v1/incidents (k, evt-"));
    let id = command(&tenant("acme"), "POST", "/v1/incidents", "k");
    oracle.applied(&about(WORKER, id.as_str(), commit(vec![], vec![]))).unwrap();
    assert_eq!(ended.judged(&mut oracle), "");
}

#[test]
fn a_batch_without_a_chunk_is_lost() {
    for (queue, chunk) in [
        (QUEUE_LOGS, format!("chunk|{}", &digest(["ab|0", "0"])[..16])),
        (QUEUE_METRICS, "raw|1795255200000|ab|0".to_owned()),
    ] {
        let mut batch = message(&alert());
        (batch.id, batch.to) = ("ab|0".into(), Destination::Queue(queue.into()));
        batch.properties.extend([("batchId".into(), "ab".into()), ("part".into(), "0".into())]);
        let mut oracle = NothingLost::default();
        oracle.published(&batch).unwrap();
        assert!(Ended::default().judged(&mut oracle).contains("the batch ab|0 of acme"));
        oracle.applied(&commit(vec![saved(Document::new(chunk, "chunk", &json!({})))], vec![])).unwrap();
        assert_eq!(Ended::default().judged(&mut oracle), "");
    }
}

fn poison() -> Message {
    Message { id: "bad-1".into(), body: Bytes::from_static(b"no json"), ..message(&alert()) }
}
fn buried(dies: Option<&'static str>, message: Message, said: &str) -> String {
    let mut ended = planned(vec![hostile("bad-1", b"no json", dies)]);
    let record = json!({"messageId": message.id, "reason": said});
    ended.documents.push(dumped(Document::new("1", "dead-letter", &record)));
    ended.dead.insert(WORKER.into(), vec![dead(WORKER, &message, "422")]);
    ended.judged(&mut NothingLost::default())
}

#[test]
fn what_must_die_dies_with_its_reason_and_its_bytes() {
    assert_eq!(buried(Some("invalid_envelope"), poison(), "invalid_envelope"), "");
    assert_eq!(buried(Some("invalid_envelope"), copy(&poison(), "W", 1, 2), "invalid_envelope"), "");
    assert!(buried(Some("invalid_envelope"), poison(), "poison").contains("died as poison, not as invalid_envelope"));
    let changed = Message { body: Bytes::from_static(b"{}"), ..poison() };
    assert!(buried(Some("invalid_envelope"), changed, "invalid_envelope").contains("or not with its bytes"));
    let alive = planned(vec![hostile("bad-1", b"no json", Some("too_large"))]);
    assert!(alive.judged(&mut NothingLost::default()).contains("bad-1 must die as too_large"));
}

#[test]
fn nothing_else_is_dead() {
    assert!(buried(None, poison(), "invalid_envelope").contains("bad-1 is dead in IncidentAnalysisWorker"));
    let other = Message { id: "evt-1".into(), ..poison() };
    let mut ended = planned(vec![]);
    ended.dead.insert(WORKER.into(), vec![dead(WORKER, &other, "max_attempts_exceeded")]);
    assert!(ended.judged(&mut NothingLost::default()).contains("AlertTriggered evt-1 is dead in"));
}
