//! The lossless mapping to CloudEvents 1.0 in JSON (SPEC 4.4).

use crate::{
    document::Body,
    envelope::{Envelope, PayloadRef},
    fault::Refusal,
};
use serde_json::{Map, Value, json};

/// The reverse-DNS prefix of `type` by default.
pub const TYPE_PREFIX: &str = "dev.factory";
/// Envelope field ↔ attribute, where the value is the same.
const SAME: [(&str, &str); 14] = [
    ("eventId", "id"),
    ("source", "source"),
    ("subject", "subject"),
    ("occurredAt", "time"),
    ("traceparent", "traceparent"),
    ("tracestate", "tracestate"),
    ("partitionKey", "partitionkey"),
    ("recordedAt", "recordedtime"),
    ("projectId", "projectid"),
    ("moduleId", "moduleid"),
    ("environment", "environment"),
    ("causationId", "causationid"),
    ("causationDepth", "causationdepth"),
    ("revision", "revision"),
];
const SAME_REQUIRED: [(&str, &str); 4] = [
    ("tenantId", "tenantid"),
    ("traceId", "traceid"),
    ("correlationId", "correlationid"),
    ("idempotencyKey", "idempotencykey"),
];
/// Attribute names are lower case; these are the dimensions with capitals in them.
const DIMENSIONS: [&str; 7] =
    ["executionId", "agentId", "skillId", "artifactId", "workflowId", "version", "legacyTraceId"];

/// Envelope → CloudEvent.
pub fn to_cloudevent(envelope: &Envelope, prefix: &str) -> Value {
    let source = serde_json::to_value(envelope).unwrap_or(Value::Null);
    let platform = envelope.source.split(':').nth(2).unwrap_or("observability");
    let mut out = Map::new();
    for (field, attribute) in SAME.iter().chain(&SAME_REQUIRED) {
        if let Some(v) = source.get(field) {
            out.insert((*attribute).into(), v.clone());
        }
    }
    out.insert("specversion".into(), json!("1.0"));
    out.insert(
        "type".into(),
        json!(format!("{prefix}.{platform}.{}.v{}", envelope.event_type, envelope.event_version)),
    );
    out.insert("datacontenttype".into(), json!("application/json"));
    out.insert(
        "dataschema".into(),
        json!(format!("urn:factory:schema:{}:{}", envelope.event_type, envelope.event_version)),
    );
    out.insert("data".into(), envelope.payload.0.clone());
    for (name, value) in &envelope.dimensions {
        out.insert(format!("dim{}", name.to_ascii_lowercase()), json!(value));
    }
    if let Some(f) = &envelope.freshness {
        out.insert("freshness".into(), json!(serde_json::to_string(f).unwrap_or_default()));
    }
    if let Some(PayloadRef { uri, sha256, bytes }) = &envelope.payload_ref {
        out.insert("dataref".into(), json!(uri));
        out.insert("datarefsha256".into(), json!(sha256));
        out.insert("datarefbytes".into(), json!(bytes));
    }
    Value::Object(out)
}

/// CloudEvent → envelope: the inverse on all fields of SPEC 4.1.
pub fn from_cloudevent(event: &Value) -> Result<Envelope, Refusal> {
    let attributes = event.as_object().ok_or_else(|| Refusal::envelope("a CloudEvent is a JSON object"))?;
    let mut out = Map::new();
    for (field, attribute) in SAME.iter().chain(&SAME_REQUIRED) {
        if let Some(v) = attributes.get(*attribute) {
            out.insert((*field).into(), v.clone());
        }
    }
    let (kind, version) = type_of(attributes)?;
    out.insert("eventType".into(), json!(kind));
    out.insert("eventVersion".into(), json!(version));
    out.insert("payload".into(), attributes.get("data").cloned().unwrap_or_else(|| Body::default().0));
    let dimensions: Map<String, Value> = DIMENSIONS
        .iter()
        .filter_map(|name| {
            Some(((*name).into(), attributes.get(&format!("dim{}", name.to_ascii_lowercase()))?.clone()))
        })
        .collect();
    if !dimensions.is_empty() {
        out.insert("dimensions".into(), Value::Object(dimensions));
    }
    if let Some(text) = attributes.get("freshness").and_then(Value::as_str) {
        out.insert("freshness".into(), serde_json::from_str(text).map_err(Refusal::envelope)?);
    }
    if let Some(uri) = attributes.get("dataref") {
        let part = |name: &str| attributes.get(name).cloned().unwrap_or(Value::Null);
        let reference = json!({"uri": uri, "sha256": part("datarefsha256"), "bytes": part("datarefbytes")});
        out.insert("payloadRef".into(), reference);
    }
    Envelope::decode(&serde_json::to_vec(&Value::Object(out)).unwrap_or_default())
}

fn type_of(attributes: &Map<String, Value>) -> Result<(String, u16), Refusal> {
    let text = attributes.get("type").and_then(Value::as_str).unwrap_or_default();
    let mut parts = text.rsplit('.');
    let version = parts.next().and_then(|v| v.strip_prefix('v')).and_then(|v| v.parse().ok());
    match (parts.next(), version) {
        (Some(kind), Some(version)) => Ok((kind.to_owned(), version)),
        _ => Err(Refusal::envelope(format!("`{text}` is not <prefix>.<platform>.<eventType>.v<version>"))),
    }
}
