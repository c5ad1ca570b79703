//! The parts of incident analysis that need no store.

use super::{
    enrich::{self, TraceSeen},
    incident::{LastDeployment, SourceId, SourceKind},
    input::Input,
    key::Key,
    machine::Cause,
};
use crate::events::{IncidentStatus as S, LogRefs, TraceStatus};
use opsloop_kernel::{Timestamp, TraceId, Worker};

/// The table of SPEC 5.5.3, pair by pair; what is not in it does not happen.
#[test]
fn the_table_of_transitions_is_that_of_the_specification_g10_g11() {
    let table = [
        (S::Open, S::Acknowledged, vec![Cause::Acknowledge]),
        (S::Open, S::Escalated, vec![Cause::Escalate]),
        (S::Open, S::Resolved, vec![Cause::Resolve]),
        (S::Acknowledged, S::Investigating, vec![Cause::Begin]),
        (S::Investigating, S::Mitigated, vec![Cause::Mitigate]),
        (S::Investigating, S::Escalated, vec![Cause::Escalate]),
        (S::Investigating, S::Resolved, vec![Cause::Resolve]),
        (S::Escalated, S::Investigating, vec![Cause::Engage]),
        (S::Mitigated, S::Resolved, vec![Cause::Resolve]),
    ];
    let all = [S::Open, S::Acknowledged, S::Investigating, S::Mitigated, S::Escalated, S::Resolved];
    for from in all {
        for to in all {
            let leads: Vec<_> = Cause::ALL.into_iter().filter(|c| c.leads_to() == to && c.leaves(from)).collect();
            let expected = table.iter().find(|(f, t, _)| (*f, *t) == (from, to)).map(|(_, _, c)| c.clone());
            assert_eq!(leads, expected.unwrap_or_default(), "{from:?} → {to:?}");
        }
    }
}

#[test]
fn keys_print_and_parse_themselves() {
    let source = SourceId { source: SourceKind::Alert, source_id: "a|b:c/d".into() };
    let keys = [
        Key::Source(source),
        Key::Incident("inc-1".into()),
        Key::Deployed { environment: "prod".into(), module: "mod-api".into() },
    ];
    for key in keys {
        assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
    }
    assert!("nobody|x".parse::<Key>().is_err());
    assert!("evt-1".parse::<Key>().is_err());
}

fn trace(id: u8, status: TraceStatus, duration_ms: u64) -> TraceSeen {
    TraceSeen {
        trace_id: TraceId::parse(format!("{id:032x}")).unwrap(),
        root_span_name: None,
        status,
        duration_ms,
        services: vec![],
        logs: LogRefs::default(),
    }
}

#[test]
fn the_lineage_has_errors_first_then_the_longest_then_the_smallest_id() {
    let all = vec![
        trace(1, TraceStatus::Ok, 900),
        trace(5, TraceStatus::Error, 10),
        trace(4, TraceStatus::Error, 10),
        trace(3, TraceStatus::Error, 50),
        trace(2, TraceStatus::Unset, 900),
        trace(6, TraceStatus::Ok, 1_000),
        trace(7, TraceStatus::Ok, 1),
    ];
    let ids: Vec<_> = enrich::foremost(all).into_iter().map(|t| t.trace_id.as_str().ends_with('4')).collect();
    assert_eq!(ids, [false, true, false, false, false]);
    let order: Vec<_> = enrich::foremost(vec![trace(2, TraceStatus::Unset, 9), trace(1, TraceStatus::Ok, 9)]);
    assert!(order[0].trace_id.as_str().ends_with('1'));
}

#[test]
fn iaw_07_the_hour_before_counts_to_the_millisecond() {
    let active = Timestamp::from_millis(1_795_255_200_000);
    let at = |ms: i64| LastDeployment {
        completed_at: active.plus_millis(ms),
        deployment_id: "dep-1".into(),
        artifact_id: None,
    };
    for (ms, suspected) in [(0, true), (-3_600_000, true), (-3_600_001, false), (1, false)] {
        assert_eq!(enrich::suspect(Some(&at(ms)), active).is_some(), suspected, "{ms}");
    }
    assert_eq!(enrich::suspect(None, active), None);
}

/// Every kind that the subscription asks for is read, and no other touches a unit.
#[test]
fn a_kind_that_is_not_ours_is_ignored_a20() {
    let unknown = r#"{"eventId":"evt-1","eventType":"AlertTriggeredV2","eventVersion":1,"tenantId":"acme",
        "traceId":"4bf92f3577b34da6a3ce929d0e0e4736","correlationId":"corr-0d6f7a52-6c5e-4f0c-8a55-0f8a2f5f2b11",
        "causationDepth":0,"occurredAt":"2026-11-21T10:05:00.000Z","recordedAt":"2026-11-21T10:05:00.041Z","source":"urn:x",
        "subject":"X/1","partitionKey":"1","revision":0,"payload":{},
        "idempotencyKey":"c262922442a640bcb9af074f756d09ec051cec2496015cd10778443ebbb9b81c"}"#;
    let mut envelope = opsloop_kernel::Envelope::decode(unknown.as_bytes()).unwrap();
    let worker = super::IncidentAnalysisWorker::default();
    let accept = |e: &opsloop_kernel::Envelope| worker.accept(&opsloop_kernel::Incoming::Event(Box::new(e.clone())));
    assert_eq!(accept(&envelope), Ok(None::<Input>));
    for trigger in super::IncidentAnalysisWorker::SPEC.triggers {
        let kinds = match trigger.source {
            opsloop_kernel::Source::Events { kinds, .. } | opsloop_kernel::Source::Commands { kinds } => kinds,
            _ => &[],
        };
        for kind in kinds {
            envelope.event_type = (*kind).to_owned();
            assert!(accept(&envelope).is_err(), "{kind} was not read: its payload is empty");
        }
    }
}
