//! Canonical JSON (RFC 8785) and the content hash of SPEC 3.2.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Fields that a content hash leaves out, at the top level of the value.
const UNHASHED: [&str; 7] =
    ["revision", "version", "computedAt", "recordedAt", "lastArrivalAt", "freshness", "contentHash"];

/// RFC 8785 text; integers beyond ±2^53 as decimal strings, for JSON numbers are doubles there.
pub fn canonical(value: &Value) -> String {
    let safe = without_big_integers(value);
    serde_json_canonicalizer::to_string(&safe).unwrap_or_default()
}

fn without_big_integers(value: &Value) -> Value {
    const SAFE: u64 = 1 << 53;
    match value {
        Value::Number(n) => match (n.as_u64(), n.as_i64()) {
            (Some(u), _) if u > SAFE => Value::String(u.to_string()),
            (None, Some(i)) if i.unsigned_abs() > SAFE => Value::String(i.to_string()),
            _ => value.clone(),
        },
        Value::Array(items) => Value::Array(items.iter().map(without_big_integers).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(k, v)| (k.clone(), without_big_integers(v))).collect())
        }
        _ => value.clone(),
    }
}

/// Lower-case hex SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// SPEC 3.2: SHA-256 of the canonical JSON without revision, version and instants of computation.
pub fn content_hash(value: &impl Serialize) -> String {
    let mut value = serde_json::to_value(value).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut value {
        for name in UNHASHED {
            fields.remove(name);
        }
    }
    sha256_hex(canonical(&value).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn canonical_sorts_keys_and_spells_big_integers() {
        assert_eq!(canonical(&json!({"b": 1.0, "a": u64::MAX})), r#"{"a":"18446744073709551615","b":1}"#);
    }

    #[test]
    fn the_content_hash_ignores_revision_and_freshness() {
        assert_eq!(content_hash(&json!({"a": 1, "revision": 4})), content_hash(&json!({"a": 1, "freshness": {}})));
        assert_ne!(content_hash(&json!({"a": 1})), content_hash(&json!({"a": 2})));
    }
}
