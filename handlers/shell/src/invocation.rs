//! What the Functions host posts (P1, P5, P6): `{"Data":{…},"Metadata":{…}}`, read leniently. Scalars in Metadata are
//! JSON text inside strings; documentation shows them bare; both are taken.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use opsloop_kernel::{Refusal, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The name of the one trigger binding of every rendered function.
pub const BINDING: &str = "msg";

#[derive(Debug, PartialEq)]
pub enum Invocation {
    Message(Received),
    Timer(Timer),
}

/// A message of a queue or subscription as the host hands it over.
#[derive(Debug, PartialEq)]
pub struct Received {
    pub body: Bytes,
    pub message_id: String,
    pub content_type: Option<String>,
    /// 1 at the first delivery.
    pub deliveries: u32,
    pub enqueued_at: Option<Timestamp>,
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// The planned instant of this run; of a run on startup or by the admin API the coming one (P19).
    pub next: Option<Timestamp>,
    pub past_due: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    data: Map<String, Value>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

pub fn decode(bytes: &[u8]) -> Result<Invocation, Refusal> {
    let raw: Raw =
        serde_json::from_slice(bytes).map_err(|e| Refusal::envelope(format!("not a host invocation: {e}")))?;
    let (_, value) = raw.data.iter().next().ok_or_else(|| Refusal::envelope("the invocation has no Data"))?;
    if let Value::Object(timer) = value
        && timer.contains_key("IsPastDue")
    {
        return Ok(Invocation::Timer(decode_timer(timer)));
    }
    decode_message(value, &raw.metadata).map(Invocation::Message)
}

fn decode_timer(timer: &Map<String, Value>) -> Timer {
    let next = timer.get("ScheduleStatus").and_then(|s| s.get("Next")).and_then(Value::as_str).and_then(instant);
    Timer { next, past_due: timer.get("IsPastDue") == Some(&Value::Bool(true)) }
}

fn decode_message(value: &Value, metadata: &Map<String, Value>) -> Result<Received, Refusal> {
    let text = value.as_str().ok_or_else(|| Refusal::envelope("Data is neither base64 text nor a timer"))?;
    let body = STANDARD.decode(text).map_err(|e| Refusal::envelope(format!("Data is not base64: {e}")))?;
    let properties = match member(metadata, "ApplicationProperties") {
        Some(Value::Object(map)) => map.iter().filter_map(|(k, v)| Some((k.clone(), bare(v)?))).collect(),
        _ => BTreeMap::new(),
    };
    Ok(Received {
        body: body.into(),
        message_id: member(metadata, "MessageId").and_then(scalar).unwrap_or_default(),
        content_type: member(metadata, "ContentType").and_then(scalar),
        deliveries: member(metadata, "DeliveryCount").and_then(scalar).and_then(|t| t.parse().ok()).unwrap_or(1),
        enqueued_at: member(metadata, "EnqueuedTimeUtc").and_then(scalar).as_deref().and_then(instant),
        properties,
    })
}

/// Metadata keys are case-insensitive.
fn member<'a>(metadata: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    metadata.get(name).or_else(|| metadata.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v))
}

/// A scalar, bare or as JSON text inside a string.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => match serde_json::from_str::<Value>(s) {
            Ok(Value::String(inner)) => Some(inner),
            _ => Some(s.clone()),
        },
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

/// A value inside an object, which is never quoted twice (P5).
fn bare(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        other => scalar(other),
    }
}

/// .NET writes UTC without a zone, with one, or with `+00:00`; `0001-01-01` means never.
fn instant(text: &str) -> Option<Timestamp> {
    let bare = text.strip_suffix("+00:00").or_else(|| text.strip_suffix('Z')).unwrap_or(text);
    let at: Timestamp = format!("{bare}Z").parse().ok()?;
    (at > Timestamp::EPOCH).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn p5_scalars_are_taken_bare_and_quoted() {
        for count in [json!("4"), json!(4)] {
            let body = json!({"Data": {"msg": STANDARD.encode([0u8, 255])}, "Metadata": {
                "DeliveryCount": count, "MessageId": "\"a/b\"", "EnqueuedTimeUtc": "2026-11-21T05:06:07",
                "ApplicationProperties": {"kind": "X", "hop": 3, "deep": {"a": 1}}}});
            let Ok(Invocation::Message(m)) = decode(body.to_string().as_bytes()) else { panic!() };
            assert_eq!((m.deliveries, m.message_id.as_str(), &m.body[..]), (4, "a/b", &[0u8, 255][..]));
            assert_eq!(m.properties.get("hop").map(String::as_str), Some("3"));
            assert_eq!(m.enqueued_at.unwrap().to_string(), "2026-11-21T05:06:07.000Z");
        }
    }

    #[test]
    fn a_timer_that_never_ran_has_no_next() {
        let body = json!({"Data": {"timer": {"Schedule": {"AdjustForDST": true}, "ScheduleStatus": null,
            "IsPastDue": false}}, "Metadata": {}});
        assert_eq!(decode(body.to_string().as_bytes()), Ok(Invocation::Timer(Timer { next: None, past_due: false })));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "{}", "[]", r#"{"Data":{}}"#, r#"{"Data":{"m":1}}"#, r#"{"Data":{"m":"~"}}"#] {
            assert_eq!(decode(bad.as_bytes()).unwrap_err().code(), "invalid_envelope", "{bad}");
        }
    }
}
