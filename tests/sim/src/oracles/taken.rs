//! Who must take an event, read off what the workers say of themselves and what SPEC 5 says may be ignored. A worker
//! that subscribes to events is one line in `SUBSCRIBERS`.

use super::reading::text;
use opsloop_kernel::{Envelope, Source, Spec, Worker};
use opsloop_observability::{
    events::kind, feedback_creation::FeedbackCreationWorker, incident_analysis::IncidentAnalysisWorker,
    quality_score::QualityScoreWorker,
};
use serde_json::Value;
use std::collections::BTreeSet;

const SUBSCRIBERS: [&Spec; 3] =
    [&IncidentAnalysisWorker::SPEC, &FeedbackCreationWorker::SPEC, &QualityScoreWorker::SPEC];
/// Of one trace so many fingerprints are counted (SPEC 5.7.3).
const SIGNALS_MAX: usize = 50;

/// Workers that must take this event, each with the number of units that it makes there: so many markers there are.
pub fn by(e: &Envelope) -> Vec<(&'static str, usize)> {
    let subscribed = |spec: &&&'static Spec| {
        let takes = |s: &Source| matches!(s, Source::Events { kinds, .. } if kinds.contains(&e.event_type.as_str()));
        spec.triggers.iter().any(|t| takes(&t.source))
    };
    let units = SUBSCRIBERS.iter().filter(subscribed).map(|spec| (spec.name, units(spec.name, e)));
    units.filter(|(_, n)| *n > 0).collect()
}

fn units(worker: &str, e: &Envelope) -> usize {
    let p = &e.payload.0;
    if e.payload_ref.is_some() {
        return 0; // what it says lies elsewhere
    }
    if worker == QualityScoreWorker::SPEC.name {
        return usize::from(e.project_id.is_some());
    }
    match e.event_type.as_str() {
        kind::TRACE_RECORDED => distinct(p, "signals", "fingerprint").min(SIGNALS_MAX),
        _ if worker == FeedbackCreationWorker::SPEC.name => 1,
        kind::ALERT_TRIGGERED => usize::from(p.get("suppressedBy").is_none_or(Value::is_null) && tells(p)),
        kind::SLO_BREACHED | kind::SECRET_ROTATION_FAILED => usize::from(tells(p)),
        kind::COST_ANOMALY_DETECTED => {
            usize::from(e.revision > 0 || p.get("retracted") == Some(&true.into()) || tells(p))
        }
        kind::RUNTIME_DRIFT_DETECTED => usize::from(tells(p)) + usize::from(supersedes(p)),
        kind::RUNTIME_DEPLOYMENT_COMPLETED => {
            let counts = e.environment.is_some() && p.get("noop") != Some(&true.into());
            if counts { distinct(p, "services", "moduleId") } else { 0 }
        }
        _ => 1,
    }
}

/// Mere information opens nothing (SPEC 5.5.4(1)).
fn tells(payload: &Value) -> bool {
    text(payload, "severity") != "info"
}

fn supersedes(payload: &Value) -> bool {
    let older = text(payload, "supersedes");
    !older.is_empty() && older != text(payload, "findingHash")
}

fn distinct(payload: &Value, list: &str, name: &str) -> usize {
    let all = payload.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    all.iter().map(|v| text(v, name)).collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::{super::rig::fact, *};
    use serde_json::json;

    #[test]
    fn what_may_be_ignored_and_what_may_not() {
        let taken = |kind: &str, payload: Value| by(&fact(kind, "1", payload));
        assert_eq!(taken("AlertTriggered", json!({"severity": "high"})), [("IncidentAnalysisWorker", 1)]);
        assert_eq!(taken("AlertTriggered", json!({"severity": "info"})), []);
        assert_eq!(taken("AlertTriggered", json!({"severity": "high", "suppressedBy": {}})), []);
        assert_eq!(taken("MetricAggregated", json!({})), []);
        assert_eq!(taken("FeedbackItemCreated", json!({})), []);
        let signals = json!({"signals": [{"fingerprint": "a"}, {"fingerprint": "b"}, {"fingerprint": "a"}]});
        assert_eq!(taken("TraceRecorded", signals), [("FeedbackCreationWorker", 2)]);
        let mut opened = fact("IncidentOpened", "1", json!({}));
        opened.project_id = Some("booking".into());
        assert_eq!(by(&opened), [("QualityScoreWorker", 1)]);
    }
}
