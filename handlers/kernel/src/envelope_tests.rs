//! ENV-01, -02, -03 (the kernel's part), -05 and -06, FND-09.
use super::*;
use crate::{
    cloudevents::{TYPE_PREFIX, from_cloudevent, to_cloudevent},
    json::canonical,
};
use serde_json::{Value, json};

fn example() -> Value {
    json!({
      "eventId": "evt-8ce07d4b-4ec2-5c28-b4c4-064f4cb5f8a2",
      "eventType": "AlertTriggered", "eventVersion": 1, "tenantId": "acme", "projectId": "proj-booking",
      "moduleId": "mod-api", "environment": "prod", "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
      "correlationId": "corr-0d6f7a52-6c5e-4f0c-8a55-0f8a2f5f2b11", "causationDepth": 0,
      "occurredAt": "2026-11-21T10:05:00.000Z", "recordedAt": "2026-11-21T10:05:00.041Z",
      "source": "urn:factory:observability:alert-evaluation", "subject": "AlertRule/alr-7",
      "partitionKey": "alr-7:f00dfeed12345678",
      "idempotencyKey": "c262922442a640bcb9af074f756d09ec051cec2496015cd10778443ebbb9b81c", "revision": 0,
      "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
      "freshness": { "asOf": "2026-11-21T10:04:00.000Z", "lagMs": 60000, "stale": false },
      "payload": {
        "ruleId": "alr-7", "ruleVersion": 3, "name": "API p99 latency", "fingerprint": "f00dfeed12345678",
        "severity": "high", "labels": { "environment": "prod", "moduleId": "mod-api" }, "annotations": {},
        "value": 0.62, "threshold": 0.5, "operator": "gt",
        "activeAt": "2026-11-21T10:00:00.000Z", "firedAt": "2026-11-21T10:05:00.000Z",
        "windowStart": "2026-11-21T10:05:00.000Z", "episodeId": "1795255200000", "repeat": false
      }
    })
}
fn with(field: &str, value: Value) -> Result<Envelope, Refusal> {
    let mut e = example();
    e[field] = value;
    Envelope::decode(e.to_string().as_bytes())
}
fn code(r: Result<Envelope, Refusal>) -> &'static str {
    r.unwrap_err().code()
}

#[test]
fn env_01_the_cloudevents_mapping_is_the_identity() {
    let envelope = Envelope::decode(example().to_string().as_bytes()).unwrap();
    let event = to_cloudevent(&envelope, TYPE_PREFIX);
    assert_eq!(event["type"], "dev.factory.observability.AlertTriggered.v1");
    let back = serde_json::to_value(from_cloudevent(&event).unwrap()).unwrap();
    assert_eq!(canonical(&back), canonical(&example()));
}

#[test]
fn env_01_every_field_survives_the_mapping() {
    let mut full = example();
    full["causationId"] = json!("evt-a");
    full["causationDepth"] = json!(2);
    full["tracestate"] = json!("a=b");
    full["dimensions"] = json!({"agentId": "a", "executionId": "e", "legacyTraceId": "t", "version": "1"});
    full["payloadRef"] = json!({"uri": "blob://x", "sha256": "00", "bytes": 7});
    let envelope = Envelope::decode(full.to_string().as_bytes()).unwrap();
    let back = from_cloudevent(&to_cloudevent(&envelope, "com.example")).unwrap();
    assert_eq!(back, envelope);
}

#[test]
fn env_02_a_traceparent_of_another_trace_is_refused() {
    let other = "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-01";
    assert_eq!(code(with("traceparent", json!(other))), "invalid_envelope");
    assert!(with("traceparent", json!("ff-garbage")).is_ok(), "a bad header is ignored");
}

#[test]
fn env_03_a_newer_version_only_adds() {
    let mut newer = example();
    newer["eventVersion"] = json!(2);
    newer["addedLater"] = json!({"x": 1});
    assert_eq!(Envelope::decode(newer.to_string().as_bytes()).unwrap().event_version, 2);
}

#[test]
fn env_05_bad_ids_and_missing_causes_are_refused() {
    assert_eq!(code(with("traceId", json!("4BF92F3577B34DA6A3CE929D0E0E4736"))), "invalid_envelope");
    assert_eq!(code(with("causationDepth", json!(3))), "invalid_envelope");
    assert_eq!(code(with("tenantId", json!("Acme"))), "invalid_envelope");
    assert_eq!(code(with("environment", json!("qa"))), "invalid_envelope");
    assert_eq!(code(Envelope::decode(b"{")), "invalid_envelope");
    assert_eq!(code(Envelope::decode(&vec![b' '; ENVELOPE_BYTES_MAX + 1])), "too_large");
}

#[test]
fn env_06_a_legacy_trace_id_is_hashed() {
    let a = TraceId::of_legacy("trace-9f1c2b7d");
    assert_eq!(a, TraceId::of_legacy("trace-9f1c2b7d"));
    assert!(crate::json::sha256_hex(b"trace-9f1c2b7d").starts_with(a.as_str()));
}

#[test]
fn fnd_09_depth_17_is_a_loop() {
    let mut deep = example();
    deep["causationId"] = json!("evt-a");
    deep["causationDepth"] = json!(17);
    assert_eq!(code(Envelope::decode(deep.to_string().as_bytes())), "causation_loop");
}
