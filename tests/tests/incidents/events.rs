//! Envelopes as the producers make them.

use opsloop_kernel::{Body, Envelope, Freshness, Timestamp, ids};
use opsloop_observability::events::kind;
use serde_json::{Value, json};

pub fn at(text: &str) -> Timestamp {
    let text = if text.len() <= 8 { format!("2026-11-21T{text}Z") } else { text.to_owned() };
    let text = if text.len() == 17 { text.replace('Z', ":00Z") } else { text };
    text.parse().unwrap()
}

pub fn tenant() -> opsloop_kernel::TenantId {
    opsloop_kernel::TenantId::parse("acme").unwrap()
}

/// An event of `kind` whose identity follows from its content, like that of a real producer.
pub fn event(kind: &str, when: Timestamp, payload: Value) -> Envelope {
    let key = ids::key(kind, &tenant(), [payload.to_string(), when.to_string()]);
    let event_id = ids::event_id(kind, &tenant(), &key, 0);
    let correlation_id = ids::command_correlation(&tenant(), &event_id);
    Envelope {
        event_type: kind.into(),
        event_version: 1,
        tenant_id: tenant(),
        project_id: Some("proj-booking".into()),
        module_id: Some("mod-api".into()),
        environment: Some("prod".into()),
        trace_id: ids::correlation_trace(&correlation_id),
        correlation_id,
        causation_id: None,
        causation_depth: 0,
        occurred_at: when,
        recorded_at: when,
        source: "urn:factory:observability:test".into(),
        subject: "Test/1".into(),
        partition_key: "1".into(),
        idempotency_key: key,
        revision: 0,
        traceparent: None,
        tracestate: None,
        dimensions: Default::default(),
        freshness: None,
        payload: Body(payload),
        payload_ref: None,
        event_id,
    }
}

/// One alert of one rule.
#[derive(Clone)]
pub struct Alert {
    pub rule: &'static str,
    pub severity: &'static str,
    pub active: Timestamp,
    pub repeat: bool,
}

pub fn alert(rule: &'static str, active: &str) -> Alert {
    Alert { rule, severity: "high", active: at(active), repeat: false }
}

impl Alert {
    pub fn severity(mut self, severity: &'static str) -> Self {
        self.severity = severity;
        self
    }
    pub fn source_id(&self) -> String {
        format!("{}:f00dfeed12345678", self.rule)
    }
    pub fn episode(&self) -> String {
        self.active.millis().to_string()
    }
    pub fn fires(&self) -> Envelope {
        self.fires_at(self.active)
    }
    pub fn fires_at(&self, when: Timestamp) -> Envelope {
        let payload = json!({
            "ruleId": self.rule, "ruleVersion": 3, "name": format!("rule {}", self.rule),
            "fingerprint": "f00dfeed12345678", "severity": self.severity,
            "labels": {"environment": "prod", "moduleId": "mod-api"}, "annotations": {},
            "value": 0.62, "threshold": 0.5, "operator": "gt",
            "activeAt": self.active, "firedAt": self.active, "windowStart": self.active,
            "episodeId": self.episode(), "repeat": self.repeat,
        });
        event(kind::ALERT_TRIGGERED, when, payload)
    }
    pub fn repeats_at(&self, when: &str) -> Envelope {
        Self { repeat: true, ..self.clone() }.fires_at(at(when))
    }
    pub fn clears_at(&self, when: &str) -> Envelope {
        self.clears_because(when, "condition_cleared")
    }
    pub fn clears_because(&self, when: &str, reason: &str) -> Envelope {
        let payload = json!({
            "ruleId": self.rule, "fingerprint": "f00dfeed12345678", "labels": {},
            "episodeId": self.episode(), "activeAt": self.active, "firedAt": self.active,
            "resolvedAt": at(when), "reason": reason,
        });
        event(kind::ALERT_RESOLVED, at(when), payload)
    }
}

pub fn slo_burns(rule: &str, severity: &str, since: &str) -> Envelope {
    event(kind::SLO_BREACHED, at(since), slo(json!({"kind": "burn", "rule": rule, "severity": severity}), since))
}
pub fn slo_exhausted(since: &str) -> Envelope {
    event(kind::SLO_BREACHED, at(since), slo(json!({"kind": "budget_exhausted", "severity": "high"}), since))
}
fn slo(mut of: Value, since: &str) -> Value {
    let rest = json!({
        "sloId": "slo-1", "name": "booking", "objective": 0.999, "periodDays": 30, "badEvents": 100.0,
        "totalEvents": 5000.0, "budgetRemaining": 0.4, "episodeId": at(since).millis().to_string(), "since": at(since),
    });
    of.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    of
}
pub fn slo_recovers(rule: Option<&str>, since: &str, when: &str) -> Envelope {
    let kind_of = if rule.is_some() { "burn" } else { "budget_exhausted" };
    let payload = json!({
        "sloId": "slo-1", "kind": kind_of, "rule": rule, "episodeId": at(since).millis().to_string(),
        "since": at(since), "recoveredAt": at(when), "budgetRemaining": 0.5, "reason": "condition_cleared",
    });
    event(kind::SLO_RECOVERED, at(when), payload)
}

pub fn deployed(id: &str, completed: &str) -> Envelope {
    let payload = json!({
        "deploymentId": id, "environmentId": "env-1", "kind": "release", "completedAt": at(completed), "noop": false,
        "services": [{"serviceId": "svc-1", "moduleId": "mod-api", "image": "x", "version": "2", "replicas": 2}],
    });
    event(kind::RUNTIME_DEPLOYMENT_COMPLETED, at(completed), payload)
}

/// A command as the operator surface makes it: a root of its own.
pub fn command(kind: &str, when: &str, payload: Value) -> Envelope {
    event(kind, at(when), payload)
}

pub fn ask(kind: &str, when: &str, incident: &str) -> Envelope {
    command(kind, when, json!({"incidentId": incident, "actor": "ann"}))
}

pub fn resolve(when: &str, incident: &str) -> Envelope {
    let root_cause = json!({"category": "code_defect", "summary": "a bug", "artifactId": "art-9"});
    command("ResolveIncident", when, json!({"incidentId": incident, "actor": "ann", "rootCause": root_cause}))
}

pub fn stale(mut e: Envelope) -> Envelope {
    e.freshness = Some(Freshness { as_of: e.occurred_at, lag_ms: 0, stale: true, reason: None });
    e
}

/// Another occurrence of the same content: of another event id.
pub fn again(mut e: Envelope, n: u32) -> Envelope {
    e.event_id = ids::event_id(&e.event_type, &tenant(), &e.idempotency_key, n);
    e
}
