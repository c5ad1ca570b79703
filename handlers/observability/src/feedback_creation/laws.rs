//! Promises of feedback (SPEC 5.7.7) over histories in any order, decided on a store that is a map of documents.

use super::{
    FeedbackCreationWorker, Input, Key, View,
    decide::{HourView, SignalView, SourceView},
    evidence::{self, Before, Counted, Day, Hour},
    input::{Origin, Traced},
    item::{self, Held, doc},
    policy::FeedbackPolicy,
};
use crate::events::{FeedbackItem, FeedbackSource, IncidentResolved, RuntimeSignal, SignalKind};
use opsloop_kernel::{
    Decision, DocId, Document, ETag, Halt, Moment, SpanId, TenantId, Timestamp, TraceId, Unit, Worker, Write,
    incoming::DueUnits, law, laws,
};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const FINGERPRINT: &str = "f00dfeed12345678";

#[derive(Default)]
struct Stream(BTreeMap<DocId, Document>);

impl Stream {
    fn held<T: DeserializeOwned>(&self, id: &DocId) -> Option<Held<T>> {
        let d = self.0.get(id)?;
        Some(Held { body: d.body.read().unwrap(), etag: ETag(String::new()), due: d.due.as_ref().map(|d| d.at) })
    }
    fn apply(&mut self, decision: &Decision) {
        for write in decision.ahead.iter().chain(&decision.writes) {
            match write {
                Write::Save(d, etag) => {
                    assert_eq!(etag.is_some(), self.0.contains_key(&d.id), "{}", d.id);
                    self.0.insert(d.id.clone(), d.clone());
                }
                other => panic!("feedback saves by version only: {other:?}"),
            }
        }
    }
    fn items(&self) -> Vec<FeedbackItem> {
        let items = self.0.iter().filter(|(id, _)| id.0.starts_with(doc::ITEMS));
        items.map(|(_, d)| d.body.read().unwrap()).collect()
    }
    fn decide(&mut self, unit: &Unit<Key>, input: &Input, view: &View, at: Timestamp) -> &'static str {
        law::all::<FeedbackCreationWorker>(unit, input, view, Moment(at)).unwrap();
        match FeedbackCreationWorker::decide(unit, input, view, Moment(at)) {
            Ok(decision) => {
                self.apply(&decision);
                decision.reason
            }
            Err(Halt::Again { reason, .. }) => reason,
            Err(Halt::Refused(refusal)) => panic!("{refusal}"),
        }
    }
}

fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}
fn noon() -> Timestamp {
    "2026-11-21T23:00:00Z".parse().unwrap()
}
fn unit(key: Key) -> Unit<Key> {
    Unit { tenant: tenant(), stream: item::stream(Some("shop")), key, due: None }
}
fn origin(at: Timestamp, trace_id: &TraceId, revision: u32) -> Origin {
    Origin {
        tenant: tenant(),
        event_id: "evt-1".into(),
        project: Some("shop".into()),
        module: Some("cart".into()),
        environment: Some("prod".into()),
        trace_id: trace_id.clone(),
        occurred_at: at,
        revision,
        dimensions: BTreeMap::new(),
    }
}

/// A revision of a trace, told two minutes after it happened, so that nothing waits for a correlation view.
fn tell(stream: &mut Stream, n: u8, revision: u32, at: Timestamp) -> &'static str {
    let trace_id = TraceId::parse(format!("{:032x}", u32::from(n) + 1)).unwrap();
    let signal = RuntimeSignal {
        kind: SignalKind::ErrorTrace,
        fingerprint: FINGERPRINT.into(),
        module_id: Some("cart".into()),
        span_name: "GET /cart".into(),
        error_type: None,
        observed_ms: None,
        threshold_ms: None,
        origin_span_id: SpanId::parse("00f067aa0ba902b7").unwrap(),
    };
    let trace = Traced {
        trace_id: trace_id.clone(),
        revision,
        module_id: Some("cart".into()),
        root_span_name: Some("GET /cart".into()),
        signals: [(FINGERPRINT.to_owned(), signal)].into(),
    };
    let view = View::Signal(SignalView { before: before(stream, &trace_id, revision, at), ..SignalView::default() });
    let input = Input::Traced { origin: origin(at, &trace_id, revision), trace };
    let key = Key::Signal { fingerprint: FINGERPRINT.into() };
    stream.decide(&unit(key), &input, &view, at.plus_millis(120_000))
}

/// As `observe` reads it.
fn before(stream: &Stream, trace: &TraceId, revision: u32, at: Timestamp) -> Before {
    let counted: Option<Held<Counted>> = stream.held(&evidence::counted_id(FINGERPRINT, trace));
    let was = counted.as_ref().filter(|c| c.body.revision > revision).map(|c| c.body.at);
    let hour = |at| evidence::hour_id(FINGERPRINT, evidence::hour_of(at));
    let other_hour = was.filter(|w| evidence::hour_of(*w) != evidence::hour_of(at));
    let other_day = was.filter(|w| evidence::day_of(*w) != evidence::day_of(at));
    Before {
        day: stream.held(&day_root(at)),
        hour: stream.held(&hour(at)),
        left_hour: other_hour.and_then(|w| stream.held(&hour(w))),
        left_day: other_day.and_then(|w| stream.held(&day_root(w))),
        counted,
    }
}
fn day_root(at: Timestamp) -> DocId {
    doc::root(FeedbackSource::RuntimeSignal, &evidence::source_id(FINGERPRINT, &evidence::day_of(at)))
}

/// Each trace has its revisions at instants that grow, across the midnight between two days.
fn history() -> impl Strategy<Value = Vec<(u8, u32, Timestamp)>> {
    let trace = (0_i64..5_400, proptest::collection::vec(1_i64..3_000, 1..4));
    proptest::collection::vec(trace, 1..16).prop_map(|traces| {
        let mut told = vec![];
        for (n, (start, gaps)) in (0_u8..).zip(traces) {
            let mut at = noon().plus_millis(start * 1_000);
            for (revision, gap) in (1_u32..).zip(gaps) {
                told.push((n, revision, at));
                at = at.plus_millis(gap * 1_000);
            }
        }
        told
    })
}

/// What is counted, which no order may change; items aside, for the tenth to come decides when there is one.
fn counted(stream: &Stream) -> Vec<(DocId, u64)> {
    let days = [noon(), noon().plus_millis(86_400_000)];
    let mut all: Vec<(DocId, u64)> = vec![];
    for at in days {
        all.extend(
            stream.held::<Day>(&day_root(at)).filter(|d| d.body.total > 0).map(|d| (day_root(at), d.body.total)),
        );
    }
    let hours = stream.0.iter().filter(|(id, _)| id.0.starts_with("signal|"));
    let hours = hours.map(|(id, d)| (id.clone(), d.body.read::<Hour>().unwrap().count));
    all.extend(hours.filter(|(_, count)| *count > 0));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_trace_counts_once_at_its_first_revision_in_any_order(told in history(), seed in any::<u64>()) {
        let mut calm = Stream::default();
        for (n, revision, at) in &told {
            tell(&mut calm, *n, *revision, *at);
        }
        let mut order = told.clone();
        order.sort_by_key(|(n, r, _)| (u64::from(*n) * 31 + u64::from(*r) * 17).wrapping_mul(seed | 1));
        let mut disturbed = Stream::default();
        for (n, revision, at) in order.iter().chain(&told) {
            tell(&mut disturbed, *n, *revision, *at);
        }
        prop_assert_eq!(counted(&calm), counted(&disturbed));
        let traces = told.iter().map(|(n, ..)| n).collect::<BTreeSet<_>>().len() as u64;
        let days: u64 = counted(&disturbed).iter().filter(|(id, _)| id.0.starts_with("source|")).map(|(_, c)| c).sum();
        prop_assert_eq!(days, traces);
    }

    #[test]
    fn i1_one_item_per_source_however_often_it_is_told(told in history(), again in 0_usize..40) {
        let mut stream = Stream::default();
        for (n, revision, at) in told.iter().chain(told.iter().cycle().take(again)) {
            tell(&mut stream, *n, *revision, *at);
        }
        let items = stream.items();
        let sources: BTreeSet<_> = items.iter().map(|i| &i.source_id).collect();
        prop_assert_eq!(sources.len(), items.len());
        for item in &items {
            prop_assert!(item.source_id.starts_with("signal:"));
            prop_assert!(item.evidence.len() <= item::EVIDENCE_MAX);
            prop_assert!(stream.held::<Day>(&day_root(item.created_at)).unwrap().body.total >= 10);
        }
    }
}

fn incident(artifact: Option<&str>) -> IncidentResolved {
    serde_json::from_value(json!({
        "incidentId": "inc-1", "severity": "critical", "sources": [], "openedAt": noon(), "resolvedAt": noon(),
        "rootCause": {"category": "code_defect", "summary": "a bug", "artifactId": artifact, "recordedBy": "ann"},
        "timeToResolveMs": 1, "impactedServices": [], "traceLineage": [], "escalations": 0, "openedOnStale": false,
    }))
    .unwrap()
}

laws!(FeedbackCreationWorker {
    fcw_06_an_incident_without_an_artifact_waits_in_steps_and_then_no_more {
        let trace = TraceId::parse("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        let input = Input::Resolved { origin: origin(noon(), &trace, 0), incident: Box::new(incident(None)) };
        let units = FeedbackCreationWorker::plan(&input);
        let view = View::Source(SourceView::default());
        let mut at = noon();
        let mut looks = 0;
        while let Err(Halt::Again { at: next, .. }) =
            FeedbackCreationWorker::decide(&units[0][0], &input, &view, Moment(at))
        {
            assert!(next > at);
            at = next;
            looks += 1;
        }
        assert_eq!((looks, at), (8, noon().plus_millis(120_000)));
    }
    fcw_06_a_view_that_appears_answers_at_once {
        let trace = TraceId::parse("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        let input = Input::Resolved { origin: origin(noon(), &trace, 0), incident: Box::new(incident(None)) };
        let artifacts = json!([
            {"artifactId": "a", "errorOrigins": 2, "errorSpans": 0, "selfTimeShare": 0.3},
            {"artifactId": "b", "errorOrigins": 0, "errorSpans": 1, "selfTimeShare": 0.7},
        ]);
        let view: View = serde_json::from_value(json!({"Source": {
            "root": null, "item": null, "cause": {"correlated": {"there": {"artifacts": artifacts}}, "deployed": null},
        }})).unwrap();
        let unit = &FeedbackCreationWorker::plan(&input)[0][0];
        let mut stream = Stream::default();
        assert_eq!(stream.decide(unit, &input, &view, noon().plus_millis(40_000)), "created");
        let item = &stream.items()[0];
        assert_eq!(item.artifact_id.as_deref(), Some("a"));
        assert_eq!(serde_json::to_value(item.attribution.method).unwrap(), "trace");
        assert_eq!(item.created_at, noon());
    }
    a_revision_told_under_another_event_changes_nothing {
        let mut stream = Stream::default();
        assert_eq!(tell(&mut stream, 1, 2, noon()), "counted");
        assert_eq!(tell(&mut stream, 1, 2, noon()), "already-counted");
        assert_eq!(tell(&mut stream, 1, 3, noon().plus_millis(1)), "already-counted");
    }
    only_a_larger_revision_of_an_anomaly_acts {
        let case: serde_json::Value = serde_json::from_str(include_str!("golden/withdrawn.json")).unwrap();
        let reason = |revision: u32| {
            let mut input = case["input"].clone();
            input["Anomaly"]["origin"]["revision"] = json!(revision);
            let (input, view) = (serde_json::from_value(input).unwrap(), case["view"].clone());
            let view: View = serde_json::from_value(view).unwrap();
            let unit = &FeedbackCreationWorker::plan(&input)[0][0];
            FeedbackCreationWorker::decide(unit, &input, &view, Moment(noon())).unwrap().reason
        };
        assert_eq!([reason(0), reason(1)], ["duplicate", "withdrawn"]);
    }
    an_hour_that_is_no_longer_due_gives_nothing {
        let hour = Hour { fingerprint: FINGERPRINT.into(), hour: evidence::hour_of(noon()), count: 5 };
        let held = Held { body: hour.clone(), etag: ETag("1".into()), due: Some(hour.judged_at()) };
        let view = View::Hour(HourView { policy: FeedbackPolicy::default(), hour: Some(held), ..HourView::default() });
        let due = DueUnits { tick: noon(), tenant: tenant(), stream: item::stream(Some("shop")), found: vec![] };
        let key = Key::Hour { fingerprint: FINGERPRINT.into(), hour: hour.hour };
        let other = Moment(hour.judged_at().plus_millis(1));
        let decision = FeedbackCreationWorker::decide(&unit(key), &Input::Due(due), &view, other).unwrap();
        assert!(decision.is_nothing());
    }
    keys_print_and_parse {
        for text in ["incident|inc-1", "cost_anomaly|anm-1", "human|evt-1", "agent|evt-1", "signal|f00d", "hour|f00d|0"] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        assert!("runtime|x".parse::<Key>().is_err());
        assert!("hour|x".parse::<Key>().is_err());
    }
});
