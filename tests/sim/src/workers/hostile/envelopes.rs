//! To the topic: what is no envelope, one that lies, and payloads of the wrong shape.

use super::{
    super::outside::{Place, Said, envelope},
    Case, Hostile, properties,
};
use crate::{plan::Cast, rng::Rng};
use bytes::Bytes;
use opsloop_kernel::{
    Destination, Envelope, TenantId,
    envelope::{CAUSATION_DEPTH_MAX, ENVELOPE_BYTES_MAX},
    message::property,
};
use opsloop_observability::events::kind;
use serde_json::{Value, json};

pub const CASES: &[Case] = &[
    broken_json,
    no_text,
    nothing,
    newer_version,
    unknown_kind,
    other_tenant,
    platform,
    looped,
    uncaused,
    too_large,
    payload_gone,
    too_old,
    other_trace,
    shouted_trace,
    kind_that_lies,
    poison_alert,
    poison_incident,
    poison_item,
    poison_command,
];

const INCIDENTS: &str = "IncidentAnalysisWorker";
const QUALITY: &str = "QualityScoreWorker";
const FEEDBACK: &str = "FeedbackCreationWorker";
const MONTH_MS: i64 = 31 * 24 * 3_600_000;

/// A correct alert of `info`, which opens nothing: what is wrong with it comes after.
pub fn alert(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Envelope {
    let place = Place::draw(rng, cast);
    let payload = json!({
        "ruleId": "hostile", "ruleVersion": 1, "name": rng.hex(8), "fingerprint": "f00dfeed12345678", "severity": "info",
        "labels": {}, "annotations": {}, "value": 1.0, "activeAt": cast.start, "firedAt": cast.start,
        "windowStart": cast.start, "episodeId": cast.start.millis().to_string(), "repeat": false,
    });
    envelope(tenant, &Said::new(kind::ALERT_TRIGGERED, place, cast.start, payload))
}

fn correct(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Value {
    serde_json::to_value(alert(rng, cast, tenant)).unwrap_or(Value::Null)
}

pub fn to_incidents(tenant: &str, body: impl Into<Bytes>, dies: Option<&'static str>) -> Hostile {
    sent(INCIDENTS, tenant, body, dies)
}

/// To one worker alone, so that it dies once.
fn sent(worker: &str, tenant: &str, body: impl Into<Bytes>, dies: Option<&'static str>) -> Hostile {
    let properties = properties(&[(property::AUDIENCE, worker), (property::TENANT, tenant)]);
    Hostile { to: Destination::Topic, properties, body: body.into(), dies }
}

fn changed(
    rng: &mut Rng,
    cast: &Cast,
    tenant: &TenantId,
    dies: Option<&'static str>,
    change: impl FnOnce(&mut Value),
) -> Hostile {
    let mut body = correct(rng, cast, tenant);
    change(&mut body);
    sent(INCIDENTS, tenant.as_str(), body.to_string(), dies)
}

const ENVELOPE: Option<&str> = Some("invalid_envelope");
const PAYLOAD: Option<&str> = Some("invalid_payload");

fn broken_json(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    let mut body = correct(rng, cast, tenant).to_string();
    body.truncate(body.len() / 2);
    sent(INCIDENTS, tenant.as_str(), body, ENVELOPE)
}

fn no_text(rng: &mut Rng, _: &Cast, tenant: &TenantId) -> Hostile {
    let mut body = vec![0xff, 0xfe, 0x00];
    body.extend(rng.next().to_be_bytes());
    sent(INCIDENTS, tenant.as_str(), body, ENVELOPE)
}

fn nothing(_: &mut Rng, _: &Cast, tenant: &TenantId) -> Hostile {
    sent(INCIDENTS, tenant.as_str(), Bytes::new(), ENVELOPE)
}

/// Versions only add: it is read as what is known of it.
fn newer_version(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    changed(rng, cast, tenant, None, |e| {
        e["eventVersion"] = json!(7);
        e["addedLater"] = json!({"a": 1});
        e["payload"]["addedLater"] = json!(true);
    })
}

fn unknown_kind(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    changed(rng, cast, tenant, None, |e| e["eventType"] = json!("AlertTriggeredV2"))
}

/// A consumer trusts the envelope; a property that says otherwise is wrong.
fn other_tenant(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    sent(INCIDENTS, "somebody-else", correct(rng, cast, tenant).to_string(), ENVELOPE)
}

fn platform(rng: &mut Rng, cast: &Cast, _: &TenantId) -> Hostile {
    let platform = TenantId::platform();
    sent(INCIDENTS, platform.as_str(), correct(rng, cast, &platform).to_string(), Some("tenant_violation"))
}

fn looped(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    changed(rng, cast, tenant, Some("causation_loop"), |e| {
        e["causationDepth"] = json!(CAUSATION_DEPTH_MAX + 1);
        e["causationId"] = json!("evt-before");
    })
}

fn uncaused(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    changed(rng, cast, tenant, ENVELOPE, |e| e["causationDepth"] = json!(3))
}

fn too_large(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    changed(rng, cast, tenant, Some("too_large"), |e| e["payload"]["name"] = json!("x".repeat(ENVELOPE_BYTES_MAX)))
}

fn payload_gone(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    let sha256 = format!("{}{}", rng.hex(32), rng.hex(32));
    changed(rng, cast, tenant, Some("payload_missing"), |e| {
        e["payload"] = json!({});
        e["payloadRef"] = json!({"uri": "payload/nowhere", "sha256": sha256, "bytes": 1});
    })
}

fn too_old(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    let long_ago = cast.start.plus_millis(-MONTH_MS);
    changed(rng, cast, tenant, Some("expired"), |e| e["recordedAt"] = json!(long_ago))
}

fn other_trace(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    let other = format!("00-{}1-00f067aa0ba902b7-01", rng.hex(31));
    changed(rng, cast, tenant, ENVELOPE, |e| e["traceparent"] = json!(other))
}

fn shouted_trace(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    changed(rng, cast, tenant, ENVELOPE, |e| e["traceId"] = json!("4BF92F3577B34DA6A3CE929D0E0E4736"))
}

fn kind_that_lies(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    let mut hostile = sent(INCIDENTS, tenant.as_str(), correct(rng, cast, tenant).to_string(), ENVELOPE);
    hostile.properties.insert(property::KIND.to_owned(), kind::ALERT_RESOLVED.to_owned());
    hostile
}

fn poison_alert(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    let wrong = [json!(null), json!([]), json!({"ruleId": 7}), json!({"ruleId": "r", "severity": "worst"})];
    let wrong = rng.pick(&wrong).clone();
    changed(rng, cast, tenant, PAYLOAD, |e| e["payload"] = wrong)
}

fn poison_incident(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    let mut body = correct(rng, cast, tenant);
    body["eventType"] = json!(kind::INCIDENT_RESOLVED);
    body["payload"] = json!({"incidentId": "inc-1", "severity": "high", "sources": "none"});
    sent(FEEDBACK, tenant.as_str(), body.to_string(), PAYLOAD)
}

fn poison_item(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    let mut body = correct(rng, cast, tenant);
    body["eventType"] = json!(kind::FEEDBACK_ITEM_CREATED);
    body["payload"] = json!({"feedbackItemId": "fb-1", "createdAt": "yesterday"});
    sent(QUALITY, tenant.as_str(), body.to_string(), PAYLOAD)
}

/// A command over the topic, naming what is no incident.
fn poison_command(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    changed(rng, cast, tenant, PAYLOAD, |e| {
        e["eventType"] = json!("ResolveIncident");
        e["payload"] = json!({"incidentId": "../globex/inc-1", "rootCause": {"category": "data", "summary": ""}});
    })
}
