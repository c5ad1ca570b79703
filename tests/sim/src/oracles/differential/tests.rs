//! Two runs that differ by one thing each: in what may differ, and in what may not.

use super::{super::rig::*, *};
use crate::journal::Applied;
use opsloop_embedded::store::Dumped;
use opsloop_kernel::{Container, Document, Envelope, Stream, Timestamp};
use serde_json::{Value, json};

fn run(documents: Vec<Dumped>, owed: Vec<Envelope>) -> Outcome {
    Ended { documents, ..Ended::default() }.with(|end| Outcome::of(end, owed))
}
fn stored(kind: &'static str, id: &str, body: Value) -> Dumped {
    dumped(Document::new(id, kind, &body))
}
/// What is said of two runs with one document each.
#[track_caller]
fn judge(calm: Dumped, disturbed: Dumped, sense: Sense) -> String {
    same(&run(vec![calm], vec![]), &run(vec![disturbed], vec![]), sense).err().unwrap_or_default()
}
fn told(calm: Envelope, disturbed: Envelope, sense: Sense) -> String {
    same(&run(vec![], vec![calm]), &run(vec![], vec![disturbed]), sense).err().unwrap_or_default()
}

#[test]
fn strict_a_document_that_differs_or_is_missing_is_noticed() {
    let rule = |x: u32| stored("rule", "rule|1", json!({"x": x}));
    assert_eq!(judge(rule(1), rule(1), Sense::Strict), "");
    assert_eq!(judge(rule(1), rule(2), Sense::Strict), "rule rule|1 in incidents of acme differs: .body.x: 1 / 2");
    assert_eq!(judge(rule(1), rule(2), Sense::InvariantsOnly), "");
    let missing = same(&run(vec![rule(1)], vec![]), &run(vec![], vec![]), Sense::Strict);
    fails(missing, "is there in the calm run only");
    fails(same(&run(vec![], vec![]), &run(vec![rule(1)], vec![]), Sense::Strict), "in the disturbed run only");
    let mut due = rule(1);
    due.document = due.document.due("W", at("10:00:00"));
    assert!(judge(rule(1), due, Sense::Strict).contains(".due: null / {"));
}

#[test]
fn strict_an_event_that_differs_or_is_missing_is_noticed() {
    let e = fact("AlertTriggered", "1", json!({"value": 1}));
    let recorded = Envelope { recorded_at: at("10:09:00"), traceparent: Some("other".into()), ..e.clone() };
    assert_eq!(told(e.clone(), recorded, Sense::Strict), "");
    let mut other = e.clone();
    other.payload.0 = json!({"value": 2});
    assert!(told(e.clone(), other, Sense::Strict).contains(".payload.value: 1 / 2"));
    fails(same(&run(vec![], vec![e.clone()]), &run(vec![], vec![]), Sense::Strict), "owed in the calm run only");
    fails(same(&run(vec![], vec![]), &run(vec![], vec![e]), Sense::Strict), "owed in the disturbed run only");
}

#[test]
fn strict_a_revision_more_may_only_repeat() {
    let revision = |n: u32, sum: u32| {
        let mut e = fact("MetricAggregated", "1", json!({"groups": [{"sum": sum, "revision": n}]}));
        e.revision = n;
        e.event_id = event(&format!("evt-{n}"));
        e
    };
    let calm = run(vec![], vec![revision(1, 5)]);
    same(&calm, &run(vec![], vec![revision(1, 5), revision(2, 5)]), Sense::Strict).unwrap();
    let other = run(vec![], vec![revision(1, 5), revision(2, 6)]);
    fails(same(&calm, &other, Sense::Strict), "owed in the disturbed run only");
    let points = |n: u32, sum: u32| stored("points", "points|m", json!({"point": {"revision": n, "sum": sum}}));
    assert_eq!(judge(points(1, 5), points(2, 5), Sense::Strict), "");
    assert!(judge(points(1, 5), points(2, 6), Sense::Strict).contains(".body.point.sum: 5 / 6"));
}

#[test]
fn strict_what_never_counts_may_differ() {
    let marker = |time: &str| {
        let mut marker = stored("seen", "seen|W|evt-1|u", json!({}));
        marker.document.expires = Some(at(time));
        marker
    };
    assert_eq!(judge(marker("10:00:00"), marker("10:00:01"), Sense::Strict), "");
    let head = |time: &str| {
        let mut head =
            Dumped { stream: Stream::new(Container::Telemetry, "trace/ab"), ..stored("head", "head", json!({})) };
        head.document.expires = Some(at(time));
        head
    };
    assert_eq!(judge(head("10:00:00"), head("10:00:01"), Sense::Strict), "");
    let item = |time: &str, severity: &str| {
        let body = json!({"source": "runtime_signal", "sourceId": "s", "severity": severity, "createdAt": time});
        stored("feedback-item", &format!("item|{time}|fb-1"), body)
    };
    assert_eq!(judge(item("1", "high"), item("2", "high"), Sense::Strict), "");
    assert!(judge(item("1", "high"), item("2", "info"), Sense::Strict).contains("severity"));
    let nothing = run(vec![], vec![]);
    let owed = run(vec![stored("owed", "owed|1", json!({})), stored("dead-letter", "1", json!({}))], vec![]);
    same(&nothing, &owed, Sense::Strict).unwrap();
}

#[test]
fn strict_quality_counts_where_nothing_may_move_it() {
    let score = |n: u32| stored("quality-score", "score|1", json!({"score": n}));
    assert!(judge(score(1), score(2), Sense::Strict).contains(".body.score: 1 / 2"));
    let incident = || stored("incident", "incident|1", json!({}));
    let (calm, disturbed) = (run(vec![score(1), incident()], vec![]), run(vec![score(2)], vec![]));
    same(&calm, &disturbed, Sense::Strict).unwrap();
}

#[test]
fn tolerant_records_and_points_count_and_nothing_else_stored() {
    let head = |span_count: u32, revision: u32| {
        let record = json!({"spanCount": span_count, "revision": revision, "lastArrivalAt": revision});
        stored("head", "head", json!({"record": record, "revision": revision}))
    };
    assert_eq!(judge(head(3, 1), head(3, 2), Sense::Tolerant), "");
    assert_eq!(judge(head(3, 1), head(4, 1), Sense::Tolerant), "head in incidents of acme differs: .spanCount: 3 / 4");
    let rule = |x: u32| stored("rule", "rule|1", json!({"x": x}));
    assert_eq!(judge(rule(1), rule(2), Sense::Tolerant), "");
    let lost = same(&run(vec![head(3, 1)], vec![]), &run(vec![], vec![]), Sense::Tolerant);
    fails(lost, "head in incidents of acme is there in the calm run only");
}

#[test]
fn tolerant_alerts_and_objectives_have_equal_slots() {
    let alert = |time: &str, value: u32| {
        let e = fact("AlertTriggered", "1", json!({"ruleId": "alr-1", "fingerprint": "f", "value": value}));
        Envelope { occurred_at: at(time), ..e }
    };
    assert_eq!(told(alert("10:05:00", 1), alert("10:05:00", 2), Sense::Tolerant), "");
    let moved = told(alert("10:05:00", 1), alert("10:06:00", 1), Sense::Tolerant);
    assert!(
        moved.contains("the alert f of rule alr-1 of acme: AlertTriggered at 2026-11-21T10:05:00.000Z calm"),
        "{moved}"
    );
    let slo = fact("SloBreached", "1", json!({"sloId": "slo-1", "kind": "burn", "rule": "fast"}));
    let more = same(&run(vec![], vec![]), &run(vec![], vec![slo]), Sense::Tolerant);
    fails(more, "the SLO slo-1 (burn fast) of acme: nothing calm");
}

#[test]
fn tolerant_sequences_differ_where_data_or_a_command_came_too_late() {
    let alert = || vec![fact("AlertTriggered", "1", json!({"ruleId": "alr-1", "fingerprint": "f"}))];
    let act = |slot: &str| {
        let marker = stored("seen", "seen|AlertEvaluationWorker|evt-1|rule%7Calr-1", json!({"lastSlot": slot}));
        Dumped { stream: Stream::new(Container::State, "rules"), ..marker }
    };
    let judge = |calm: Outcome, disturbed: Outcome| same(&calm, &disturbed, Sense::Tolerant).is_ok();
    assert!(!judge(run(vec![act("1")], vec![]), run(vec![act("1")], alert())));
    assert!(judge(run(vec![act("1")], vec![]), run(vec![act("2")], alert())), "a rule that ended at another slot");
    let late = run(vec![], alert()).with_late([tenant("acme")].into());
    assert!(judge(run(vec![], vec![]), late), "a batch beyond the lateness");
    let others = run(vec![], alert()).with_late([tenant("globex")].into());
    assert!(!judge(run(vec![], vec![]), others));
    assert!(judge(run(vec![], vec![]), Outcome { stale: 1.0, ..run(vec![], alert()) }), "a slot given up as stale");
}

#[test]
fn a_batch_is_late_from_the_closing_of_its_window_on() {
    let stored = |at: Timestamp| {
        let chunk = Document::new("raw|1795255200000|b|0", "chunk", &json!({}));
        let stream = Stream::new(Container::Metrics, "metrics/0");
        Applied { at, stream, ..commit(vec![saved(chunk)], vec![]) }
    };
    assert!(!is_late(&stored(at("10:01:29.999"))));
    assert!(is_late(&stored(at("10:01:30"))));
}

#[test]
fn incidents_are_sets_of_what_was_told() {
    let log = |seq: u32, kind: &str| {
        let entry = json!({"seq": seq, "kind": kind, "ref": {"kind": "alert", "id": "a:f"}, "episodeId": "1"});
        stored("log", &format!("log|inc-{seq}|1"), entry)
    };
    for sense in [Sense::Strict, Sense::Tolerant] {
        assert_eq!(judge(log(1, "trigger"), log(2, "attached"), sense), "");
        let cleared = judge(log(1, "trigger"), log(1, "cleared"), sense);
        assert!(
            cleared.contains("`trigger` of alert a:f (rule ``, episode `1`) of acme was told in the calm run only")
        );
        fails(same(&run(vec![], vec![]), &run(vec![log(1, "cleared")], vec![]), sense), "in the disturbed run only");
        same(&run(vec![], vec![]), &run(vec![stored("log", "log|inc-1|1", json!({"kind": "opened"}))], vec![]), sense)
            .unwrap();
    }
}

#[test]
fn what_was_announced_in_one_run_only_is_told_in_one_run_only() {
    let entry = json!({"kind": "trigger", "ref": {"kind": "alert", "id": "alr-1:f"}, "episodeId": "1"});
    let log = || vec![stored("log", "log|inc-1|1", entry.clone())];
    let about = |rule: &str| fact("AlertTriggered", "1", json!({"ruleId": rule, "fingerprint": "f", "episodeId": "1"}));
    let judge = |disturbed: Envelope| {
        let disturbed = run(log(), vec![disturbed]).with_late([tenant("acme")].into());
        same(&run(vec![], vec![]), &disturbed, Sense::Tolerant)
    };
    judge(about("alr-1")).unwrap();
    fails(judge(about("alr-2")), "in the disturbed run only");
}

#[test]
fn what_operators_contest_is_a_matter_of_order() {
    let told = |kind: &str, contested: bool| {
        let entry = json!({"kind": kind, "ref": {"kind": "alert", "id": "a:f"}, "episodeId": "1"});
        let mut ended = Ended { documents: vec![stored("log", "log|inc-1|1", entry)], ..Ended::default() };
        if contested {
            ended.plan.contested.insert(opsloop_kernel::TenantId::parse("acme").unwrap());
        }
        let outcome = ended.with(|end| Outcome::of(end, vec![]));
        same(&run(vec![], vec![]), &outcome, Sense::Tolerant).is_ok()
    };
    assert!(told("cleared", true) && !told("cleared", false) && !told("trigger", true));
    assert!(told("note", false), "a retraction that was taken back before its anomaly came");
}

#[test]
fn what_follows_from_incidents_is_left_out() {
    let opened = fact("IncidentOpened", "1", json!({}));
    let mark = stored("seen", &format!("seen|QualityScoreWorker|{}|project", opened.event_id), json!({}));
    let item = stored("feedback-item", "item|1|fb-1", json!({"source": "incident"}));
    let root = stored("feedback-root", "source|incident|inc-1", json!({}));
    same(&run(vec![], vec![]), &run(vec![mark, item, root], vec![opened]), Sense::Strict).unwrap();
}
