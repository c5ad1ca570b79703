//! What the oracles read off messages and document ids.

use opsloop_kernel::{DocId, Envelope, Message, message::property};
use serde_json::Value;

/// The number of a copy; none of an original.
pub fn hop(message: &Message) -> Option<u32> {
    message.properties.get(property::HOP)?.parse().ok()
}

pub fn property<'a>(message: &'a Message, name: &str) -> &'a str {
    message.properties.get(name).map_or("", String::as_str)
}

/// Original, worker and hop of `<id>:<worker>:h<hop>` (A36).
pub fn copy_id(id: &str) -> Option<(&str, &str, u32)> {
    let (rest, hop) = id.rsplit_once(":h")?;
    let (original, worker) = rest.rsplit_once(':')?;
    Some((original, worker, hop.parse().ok()?))
}

/// Worker, event and unit of `seen|worker|eventId|unit`.
pub fn marker(id: &DocId) -> Option<(&str, &str, &str)> {
    let (worker, rest) = id.0.strip_prefix("seen|")?.split_once('|')?;
    let (event, unit) = rest.split_once('|')?;
    Some((worker, event, unit))
}

pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Without what is no part of equality: `recordedAt`, and the span of `traceparent`, whose trace is `traceId` anyway.
pub fn plain(envelope: &Envelope) -> Envelope {
    let mut plain = envelope.clone();
    plain.recorded_at = opsloop_kernel::Timestamp::EPOCH;
    plain.traceparent = None;
    plain
}

/// The values at the first places where two values differ, each cut to a line.
pub fn difference(one: &Value, other: &Value) -> String {
    let mut found = vec![];
    walk(one, other, &mut String::new(), &mut found);
    found.join("; ")
}

const PLACES_MAX: usize = 3;
const SHOWN_MAX: usize = 160;

fn walk(one: &Value, other: &Value, path: &mut String, found: &mut Vec<String>) {
    if one == other || found.len() >= PLACES_MAX {
        return;
    }
    let length = path.len();
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                path.push_str(&format!(".{name}"));
                let side = |of: &serde_json::Map<String, Value>| of.get(name).cloned().unwrap_or(Value::Null);
                walk(&side(a), &side(b), path, found);
                path.truncate(length);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (n, (x, y)) in a.iter().zip(b).enumerate() {
                path.push_str(&format!("[{n}]"));
                walk(x, y, path, found);
                path.truncate(length);
            }
        }
        _ => found.push(format!("{path}: {} / {}", shown(one), shown(other))),
    }
}

pub fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_are_taken_apart() {
        assert_eq!(copy_id("ab|0:W:h12"), Some(("ab|0", "W", 12)));
        assert_eq!(copy_id("evt-1"), None);
        let id = DocId::from("seen|W|evt-1|alert|a%7Cb");
        assert_eq!(marker(&id), Some(("W", "evt-1", "alert|a%7Cb")));
    }

    #[test]
    fn a_difference_names_its_place() {
        let (a, b) = (json!({"x": [1, {"y": 2}], "z": 1}), json!({"x": [1, {"y": 3}]}));
        assert_eq!(difference(&a, &b), ".x[1].y: 2 / 3; .z: 1 / null");
    }
}
