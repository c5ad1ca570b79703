//! Attributes as they are kept (SPEC 5.1.4(3)): trimmed, limited, renamed, redacted; and as typed JSON.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Kind};
use opsloop_kernel::{Mutant, json::canonical, mutant};
use serde_json::{Map, Number, Value};

/// Attributes of one span, event, link, point, record, scope or resource.
pub const ATTRIBUTES_MAX: usize = 128;
/// Strings, names and messages are cut here, on a character boundary.
pub const TEXT_BYTES_MAX: usize = 4096;
pub const REDACTED: &str = "[REDACTED]";

/// Names that the semantic conventions have given up, and those that took their place.
const RENAMED: [(&str, &str); 5] = [
    ("http.method", "http.request.method"),
    ("http.status_code", "http.response.status_code"),
    ("http.url", "url.full"),
    ("net.peer.name", "server.address"),
    ("deployment.environment", "deployment.environment.name"),
];

/// Brings attributes to the form in which they are kept; how many were dropped. Doing it again changes nothing.
pub fn normalise_attributes(attributes: &mut Vec<KeyValue>) -> u32 {
    let dropped = truncate(attributes, ATTRIBUTES_MAX);
    for attribute in attributes.iter_mut() {
        trim(&mut attribute.key);
        cut(&mut attribute.key);
        if let Some(value) = &mut attribute.value {
            clean(value, is_secret(&attribute.key));
        }
    }
    rename(attributes);
    dropped
}

/// Redacts alone: what the receiver does before anything is stored.
pub fn redact_attributes(attributes: &mut [KeyValue]) {
    for attribute in attributes {
        if let Some(value) = &mut attribute.value {
            redact(value, is_secret(attribute.key.trim()));
        }
    }
}

/// Redacts the strings that stand under a secret's name inside a value that has none, such as the body of a log.
pub fn redact_value(value: &mut AnyValue) {
    redact(value, false);
}

/// Redacts and cuts inside a value.
pub fn clean_value(value: &mut AnyValue) {
    clean(value, false);
}

/// Keeps the first `max`; how many were dropped.
pub fn truncate<T>(items: &mut Vec<T>, max: usize) -> u32 {
    let dropped = items.len().saturating_sub(max);
    items.truncate(max);
    u32::try_from(dropped).unwrap_or(u32::MAX)
}

/// Cuts text to its limit.
pub fn cut(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    }
}

/// Whether values under this key are secret (case-insensitive):
/// `password|passwd|secret|authorization|api[-_]?key|cookie|connection[-_]?string|(^|[._-])token$`.
pub fn is_secret(key: &str) -> bool {
    const ANYWHERE: [&str; 11] = [
        "password",
        "passwd",
        "secret",
        "authorization",
        "apikey",
        "api-key",
        "api_key",
        "cookie",
        "connectionstring",
        "connection-string",
        "connection_string",
    ];
    let key = key.as_bytes();
    if mutant::is(Mutant::RedactionOff) {
        return false;
    }
    ANYWHERE.iter().any(|word| contains(key, word.as_bytes())) || ends_in_token(key)
}

/// Attributes by key, as typed JSON; of two with one key the first counts.
pub fn json_map(attributes: &[KeyValue]) -> Map<String, Value> {
    let mut map = Map::new();
    for KeyValue { key, value, .. } in attributes {
        if !map.contains_key(key) {
            map.insert(key.clone(), value.as_ref().map_or(Value::Null, json_value));
        }
    }
    map
}

/// A value with the type it has: `5` and `"5"` differ. Bytes are base64; a double that JSON cannot say is its name.
pub fn json_value(value: &AnyValue) -> Value {
    match &value.value {
        None => Value::Null,
        Some(Kind::StringValue(s)) => Value::String(s.clone()),
        Some(Kind::BoolValue(b)) => Value::Bool(*b),
        Some(Kind::IntValue(n)) => Value::Number((*n).into()),
        Some(Kind::DoubleValue(d)) => json_double(*d),
        Some(Kind::ArrayValue(a)) => Value::Array(a.values.iter().map(json_value).collect()),
        Some(Kind::KvlistValue(l)) => Value::Object(json_map(&l.values)),
        Some(Kind::BytesValue(b)) => Value::String(base64::Engine::encode(&base64::prelude::BASE64_STANDARD, b)),
        // Refers to a table that only profiles have.
        Some(Kind::StringValueStrindex(_)) => Value::Null,
    }
}

/// A label's text: numbers in shortest decimal, arrays and maps as canonical JSON (SPEC 5.2.2). Empty is absent.
pub fn label_text(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(s) => s.clone(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) if n.is_i64() || n.is_u64() => n.to_string(),
        other => canonical(other),
    };
    (!text.is_empty()).then_some(text)
}

/// The text of an attribute: a string, or an integer as decimal; not empty, and of no other type (SPEC 5.1.2).
pub fn text_of(value: &AnyValue) -> Option<std::borrow::Cow<'_, str>> {
    match &value.value {
        Some(Kind::StringValue(s)) if !s.is_empty() => Some(s.as_str().into()),
        Some(Kind::IntValue(n)) => Some(n.to_string().into()),
        _ => None,
    }
}

fn json_double(d: f64) -> Value {
    let name = || {
        if d.is_nan() {
            "NaN"
        } else if d > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
    };
    Number::from_f64(d).map_or_else(|| Value::String(name().to_owned()), Value::Number)
}

fn trim(key: &mut String) {
    if key.trim().len() != key.len() {
        *key = key.trim().to_owned();
    }
}

fn rename(attributes: &mut Vec<KeyValue>) {
    for (old, current) in RENAMED {
        if !attributes.iter().any(|a| a.key == old) {
            continue;
        }
        if attributes.iter().any(|a| a.key == current) {
            attributes.retain(|a| a.key != old);
        } else {
            attributes.iter_mut().filter(|a| a.key == old).for_each(|a| a.key = current.to_owned());
        }
    }
}

fn clean(value: &mut AnyValue, secret: bool) {
    match &mut value.value {
        Some(Kind::StringValue(s)) if !secret => cut(s),
        Some(Kind::ArrayValue(a)) => a.values.iter_mut().for_each(|v| clean(v, secret)),
        Some(Kind::KvlistValue(l)) => {
            for KeyValue { key, value, .. } in &mut l.values {
                cut(key);
                if let Some(value) = value {
                    clean(value, secret || is_secret(key.trim()));
                }
            }
        }
        _ => redact(value, secret),
    }
}

fn redact(value: &mut AnyValue, secret: bool) {
    match &mut value.value {
        // Bytes under a secret's name may be the secret, too.
        Some(Kind::StringValue(_) | Kind::BytesValue(_)) if secret => {
            value.value = Some(Kind::StringValue(REDACTED.to_owned()));
        }
        Some(Kind::ArrayValue(a)) => a.values.iter_mut().for_each(|v| redact(v, secret)),
        Some(Kind::KvlistValue(l)) => {
            for KeyValue { key, value, .. } in &mut l.values {
                if let Some(value) = value {
                    redact(value, secret || is_secret(key.trim()));
                }
            }
        }
        _ => {}
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.len() >= word.len() && text.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word))
}

fn ends_in_token(key: &[u8]) -> bool {
    const TOKEN: &[u8] = b"token";
    let Some(start) = key.len().checked_sub(TOKEN.len()) else { return false };
    key[start..].eq_ignore_ascii_case(TOKEN) && (start == 0 || matches!(key[start - 1], b'.' | b'_' | b'-'))
}
