//! What is told of an incident (SPEC 5.5.5, 9.1), always under the correlation of the incident (SPEC 3.9, A47).

use super::incident::{Incident, SourceId};
use crate::events::{
    IncidentOpened, IncidentResolved, IncidentStatus, IncidentTransitioned, RootCause, SourceCount, kind,
};
use opsloop_kernel::{About, Bears, Body, Context, Fact, TenantId, Timestamp, ids::KeyParts};

/// Tells in whose trace: that of the event or command in hand, or, of what is due, that of the opening trigger.
#[derive(Clone, Copy)]
pub(super) struct Teller<'a> {
    pub tenant: &'a TenantId,
    pub due: bool,
}

impl Teller<'_> {
    pub fn opened(self, i: &Incident, by: &SourceId) -> Fact {
        let payload = IncidentOpened {
            incident_id: i.incident_id.clone(),
            title: i.title.clone(),
            severity: i.severity,
            status: i.status,
            source: by.source.to_string(),
            source_id: by.source_id.clone(),
            group_key: i.group_key.clone(),
            impacted_services: i.impacted_services.clone(),
            trace_lineage: i.trace_lineage.clone(),
            suspected_deployment_id: i.suspected_deployment_id.clone(),
            opened_at: i.opened_at,
            previous_incident_id: i.previous_incident_id.clone(),
        };
        let key = KeyParts::new("incident-opened", self.tenant, [i.incident_id.clone()]);
        self.fact(i, kind::INCIDENT_OPENED, key, i.opened_at, Body::of(&payload))
    }

    /// The key has the number of transitions so far, for one pair of states may come again.
    pub fn transitioned(
        self,
        i: &Incident,
        from: Option<IncidentStatus>,
        at: Timestamp,
        actor: &str,
        reason: Option<String>,
    ) -> Fact {
        let payload = IncidentTransitioned {
            incident_id: i.incident_id.clone(),
            seq: i.last_seq,
            from,
            to: i.status,
            actor: actor.to_owned(),
            reason,
            at,
            severity: i.severity,
        };
        let from = from.map(|s| format!("{s:?}")).unwrap_or_default();
        let parts = [i.incident_id.clone(), from, format!("{:?}", i.status), i.transitions.to_string()];
        let key = KeyParts::new("incident-transitioned", self.tenant, parts);
        self.fact(i, kind::INCIDENT_TRANSITIONED, key, at, Body::of(&payload))
    }

    pub fn resolved(self, i: &Incident, root_cause: RootCause) -> Fact {
        let at = i.resolved_at.unwrap_or(i.entered_at);
        let since_opening = |t: Timestamp| t.millis_since(i.opened_at).max(0).unsigned_abs();
        let payload = IncidentResolved {
            incident_id: i.incident_id.clone(),
            severity: i.severity,
            sources: i.sources.iter().map(count_of).collect(),
            root_cause,
            opened_at: i.opened_at,
            acknowledged_at: i.acknowledged_at,
            mitigated_at: i.mitigated_at,
            resolved_at: at,
            time_to_acknowledge_ms: i.acknowledged_at.map(since_opening),
            time_to_resolve_ms: since_opening(at),
            impacted_services: i.impacted_services.clone(),
            trace_lineage: i.trace_lineage.clone(),
            suspected_deployment_id: i.suspected_deployment_id.clone(),
            escalations: i.escalations,
            opened_on_stale: i.opened_on_stale,
        };
        let key = KeyParts::new("incident-resolved", self.tenant, [i.incident_id.clone()]);
        self.fact(i, kind::INCIDENT_RESOLVED, key, at, Body::of(&payload))
    }

    fn fact(self, i: &Incident, kind: &'static str, key: KeyParts, at: Timestamp, payload: Body) -> Fact {
        let about = About {
            subject: format!("Incident/{}", i.incident_id),
            project: i.project_id.clone(),
            module: i.module_id.clone(),
            environment: i.environment.clone(),
            ..About::default()
        };
        Fact { kind, key, revision: 0, occurred_at: at, context: self.context(i), about, payload }
    }

    fn context(self, i: &Incident) -> Bears {
        let correlation_id = i.correlation_id.clone();
        if self.due {
            return Bears::Of(Context { trace_id: i.opened_by_trace.clone(), correlation_id });
        }
        Bears::Inherit { correlation: Some(correlation_id) }
    }
}

fn count_of(s: &super::incident::Source) -> SourceCount {
    SourceCount { source: s.source.to_string(), source_id: s.source_id.clone(), count: s.count }
}
