//! Envelopes as the producers make them.

use opsloop_kernel::{Body, Document, Envelope, Stream, TenantId, Timestamp, TraceId, ids};
use opsloop_observability::{
    events::{TraceStatus, kind},
    slo_evaluation::{self, SloStatus},
    trace_ingestion::{Entry, index, root_prefix},
};
use serde_json::{Value, json};

/// `10:30`, `10:30:15`, or an instant whole; the day is the 21st of November 2026.
pub fn at(text: &str) -> Timestamp {
    let text = match text.len() {
        5 => format!("2026-11-21T{text}:00Z"),
        8 => format!("2026-11-21T{text}Z"),
        _ => text.to_owned(),
    };
    text.parse().unwrap()
}

pub fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

/// An event whose identity follows from its content, like that of a real producer.
pub fn event(kind: &str, project: &str, when: Timestamp, payload: Value) -> Envelope {
    let key = ids::key(kind, &tenant(), [payload.to_string(), when.to_string()]);
    let event_id = ids::event_id(kind, &tenant(), &key, 0);
    let correlation_id = ids::command_correlation(&tenant(), &event_id);
    Envelope {
        event_type: kind.into(),
        event_version: 1,
        tenant_id: tenant(),
        project_id: (!project.is_empty()).then(|| project.to_owned()),
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

/// `IncidentResolved` of an incident of severity high, with a root cause that names an artifact or not.
pub fn resolved(id: &str, when: &str, artifact: Option<&str>) -> Envelope {
    resolved_with(id, when, json!({"severity": "high"}), json!({"artifactId": artifact}))
}
pub fn resolved_with(id: &str, when: &str, more: Value, cause: Value) -> Envelope {
    let mut payload = json!({
        "incidentId": id, "severity": "high", "sources": [{"source": "alert", "sourceId": "alr-7:f0", "count": 2}],
        "rootCause": {"category": "dependency", "summary": "the broker was slow", "evidence": [], "recordedBy": "ann"},
        "openedAt": at("10:00"), "resolvedAt": at(when), "timeToResolveMs": 60_000, "impactedServices": [],
        "traceLineage": [], "escalations": 0, "openedOnStale": false,
    });
    merge(&mut payload, more);
    merge(&mut payload["rootCause"], cause);
    event(kind::INCIDENT_RESOLVED, "shop", at(when), payload)
}
fn merge(into: &mut Value, more: Value) {
    for (name, value) in more.as_object().unwrap() {
        into[name] = value.clone();
    }
}

pub fn anomaly(when: &str, severity: &str, revision: u32, retracted: bool) -> Envelope {
    let money = json!({"amountMicros": 80_000_000, "currency": "EUR"});
    let payload = json!({
        "anomalyId": "anm-1", "category": "compute", "day": "2026-11-20", "direction": "spike", "actual": money,
        "expected": money, "impact": money, "score": 16.0, "severity": severity, "provisional": false,
        "retracted": retracted, "levelShift": false, "baseline": {},
        "contributors": [{"ref": {"kind": "module", "id": "mod-api"}, "impact": money}],
    });
    let mut e = event(kind::COST_ANOMALY_DETECTED, "shop", at(when), payload);
    e.event_id = ids::event_id(kind::COST_ANOMALY_DETECTED, &tenant(), "anm-1", revision);
    e.revision = revision;
    e
}

/// A release of `mod-api` in prod that names its artifact.
pub fn deployed(id: &str, when: &str, artifact: &str) -> Envelope {
    let service = json!({
        "serviceId": "svc-1", "moduleId": "mod-api", "image": "x", "version": "2", "replicas": 2, "artifactId": artifact,
    });
    let payload = json!({
        "deploymentId": id, "environmentId": "env-1", "kind": "release", "completedAt": at(when), "noop": false,
        "services": [service],
    });
    event(kind::RUNTIME_DEPLOYMENT_COMPLETED, "shop", at(when), payload)
}

pub fn trace_id(n: usize) -> TraceId {
    TraceId::parse(format!("{:032x}", n + 1)).unwrap()
}

/// `TraceRecorded` of an error trace of module `cart`, root `GET /cart`, as the ingestion emits it.
pub fn error_trace(n: usize, when: &str) -> Envelope {
    recorded(n, 1, at(when))
}
pub fn recorded(n: usize, revision: u32, when: Timestamp) -> Envelope {
    let trace_id = trace_id(n);
    let payload = json!({
        "traceId": trace_id, "revision": revision, "rootSpanName": "GET /cart", "moduleId": "cart",
        "services": ["cart"], "startedAt": when, "endedAt": when, "durationMs": 5, "status": "error", "spanCount": 1,
        "errorSpanCount": 1, "completeness": "complete", "anomalies": [], "artifacts": [], "dimensions": {},
        "signals": [{"kind": "error_trace", "fingerprint": "f00dfeed12345678", "moduleId": "cart",
            "spanName": "GET /cart", "originSpanId": "00f067aa0ba902b7"}],
    });
    let mut e = event(kind::TRACE_RECORDED, "shop", when, payload);
    let key = ids::key("trace-recorded", &tenant(), [trace_id.as_str()]);
    e.event_id = ids::event_id(kind::TRACE_RECORDED, &tenant(), &key, revision);
    e.correlation_id = ids::trace_correlation(&tenant(), &trace_id);
    e.module_id = Some("cart".into());
    e.trace_id = trace_id;
    e.revision = revision;
    e
}

/// The entry of a trace in the index of its hour (SPEC 5.1.5).
pub fn index_entry(n: usize, hour: &str) -> (Stream, Document) {
    let (trace_id, at) = (trace_id(n), at(hour));
    let entry = Entry {
        trace_id: trace_id.clone(),
        revision: 1,
        status: TraceStatus::Ok,
        duration_ms: 5,
        services: vec!["cart".into()],
        module_id: Some("cart".into()),
        root_span_name: "GET /cart".into(),
        at,
    };
    let id = format!("{}{trace_id}", root_prefix(Some("cart"), "GET /cart"));
    (index::stream_of(&trace_id, at), Document::new(id, index::KIND, &entry))
}

/// The command that saves an SLO of the project `shop`.
pub fn slo(id: &str) -> Value {
    let total = json!({"metricName": "http.server.requests"});
    let bad =
        json!({"metricName": "http.server.requests", "matchers": [{"label": "status", "op": "=~", "value": "5.."}]});
    json!({
        "sloId": id, "projectId": "shop", "name": "cart", "objective": 0.999, "period": {"type": "Rolling", "days": 30},
        "sli": {"type": "RequestRatio", "total": total, "bad": bad},
    })
}

/// What SLO evaluation stores of a minute.
pub fn status(id: &str, minute: &str, remaining: f64, stale: bool) -> (Stream, Document) {
    let minute = at(minute);
    let status: SloStatus = serde_json::from_value(json!({
        "sloId": id, "asOf": minute.plus_millis(-60_000), "minute": minute, "goodEvents": 990.0, "totalEvents": 1000.0,
        "budgetTotal": 1.0, "budgetConsumed": 1.0 - remaining, "budgetRemaining": remaining, "burnRates": {},
        "activeRules": [], "omittedRules": [], "exhausted": false, "insufficientData": false,
        "firstEvaluatedAt": minute, "revision": 1,
        "freshness": {"asOf": minute.plus_millis(-60_000), "lagMs": 60_000, "stale": stale},
        "lastFreshAt": if stale { minute.plus_millis(-60_000) } else { minute },
    }))
    .unwrap();
    (slo_evaluation::documents::stream(), status.document())
}
