//! No secret is persisted or emitted (SPEC 13.1(8)). The batches on the telemetry queues are exempt: they are the
//! sender's own bytes on their way, as is a dead letter of them. What is stored of them is unpacked and searched.

use super::reading::property;
use crate::{
    journal::{Applied, Oracle, Verdict},
    plan::Plan,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use opsloop_kernel::{
    Destination, Document, Envelope, Message,
    message::{QUEUE_LOGS, QUEUE_METRICS, QUEUE_TRACES},
};
use serde_json::Value;

pub struct Secrecy {
    secrets: Vec<String>,
    /// What others send to the topic is theirs; what we make of it is not.
    inputs: std::collections::BTreeSet<String>,
}

impl Secrecy {
    pub fn new(plan: &Plan) -> Self {
        use crate::plan::Offer;
        let inputs = plan.arrivals.iter().filter_map(|a| match &a.offer {
            Offer::Event(e) => Some(e.event_id.to_string()),
            Offer::Hostile { id, .. } => Some(id.clone()),
            Offer::Otlp { .. } | Offer::Command { .. } => None,
        });
        Self { secrets: plan.secrets.clone(), inputs: inputs.collect() }
    }

    fn in_text(&self, text: &str) -> Option<&str> {
        self.secrets.iter().find(|s| text.contains(s.as_str())).map(String::as_str)
    }

    fn in_bytes(&self, bytes: &[u8]) -> Option<&str> {
        let within = |secret: &&String| bytes.windows(secret.len().max(1)).any(|w| w == secret.as_bytes());
        self.secrets.iter().find(within).map(String::as_str)
    }

    fn in_value(&self, value: &Value) -> Option<&str> {
        match value {
            Value::String(text) => self.in_text(text),
            Value::Array(all) => all.iter().find_map(|v| self.in_value(v)),
            Value::Object(all) => all.iter().find_map(|(k, v)| self.in_text(k).or_else(|| self.in_value(v))),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }

    fn in_document(&self, document: &Document) -> Option<&str> {
        let plainly = self.in_text(&document.id.0).or_else(|| self.in_value(&document.body.0));
        plainly.or_else(|| self.in_bytes(&unpacked(document)?))
    }

    fn in_envelope(&self, e: &Envelope) -> Option<&str> {
        let texts = [&e.subject, &e.partition_key].into_iter().chain(e.dimensions.values());
        texts.into_iter().find_map(|t| self.in_text(t)).or_else(|| self.in_value(&e.payload.0))
    }
}

/// Chunks of spans, records and points, and the states between windows, are zstd in base64. One that is laid out in
/// several documents cannot be read alone and is skipped.
fn unpacked(document: &Document) -> Option<Vec<u8>> {
    if !matches!(document.kind.as_ref(), "chunk" | "log-chunk" | "carry") {
        return None;
    }
    let packed = BASE64_STANDARD.decode(document.body.0.get("data")?.as_str()?).ok()?;
    zstd::stream::decode_all(packed.as_slice()).ok()
}

impl Oracle for Secrecy {
    fn name(&self) -> &'static str {
        "secrecy"
    }

    fn applied(&mut self, commit: &Applied) -> Verdict {
        if self.secrets.is_empty() {
            return Ok(());
        }
        for document in commit.changes.iter().filter_map(|c| c.after.as_ref()) {
            if let Some(secret) = self.in_document(document) {
                return Err(format!("`{secret}` is stored in {} {}", document.kind, document.id));
            }
        }
        for e in &commit.owed {
            if let Some(secret) = self.in_envelope(e) {
                return Err(format!("`{secret}` is owed in {} {}", e.event_type, e.event_id));
            }
        }
        Ok(())
    }

    fn published(&mut self, message: &Message) -> Verdict {
        let transport = matches!(&message.to, Destination::Queue(q)
            if matches!(q.as_str(), QUEUE_TRACES | QUEUE_METRICS | QUEUE_LOGS));
        let original = message.id.split(':').next().unwrap_or_default();
        if transport || self.secrets.is_empty() || self.inputs.contains(original) {
            return Ok(());
        }
        let body = std::str::from_utf8(&message.body).ok();
        let in_body = || body.map_or_else(|| self.in_bytes(&message.body), |text| self.in_text(text));
        match message.properties.values().find_map(|v| self.in_text(v)).or_else(in_body) {
            Some(secret) => Err(format!("`{secret}` is published in {} {}", property(message, "kind"), message.id)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rig::*, *};
    use serde_json::json;

    fn oracle() -> Secrecy {
        Secrecy { secrets: vec!["hunter2".into()], inputs: Default::default() }
    }
    fn stored(kind: &'static str, body: &Value) -> Verdict {
        oracle().applied(&commit(vec![saved(Document::new("1", kind, body))], vec![]))
    }

    #[test]
    fn a_secret_in_a_document_is_noticed_packed_or_not() {
        stored("open", &json!({"a": "hunter"})).unwrap();
        fails(stored("open", &json!({"a": [{"b": "my hunter2."}]})), "`hunter2` is stored in open 1");
        fails(stored("open", &json!({"hunter2": 1})), "is stored");
        let packed = zstd::bulk::compress(b"authorization: hunter2", 1).unwrap();
        fails(stored("chunk", &json!({"data": BASE64_STANDARD.encode(packed)})), "is stored in chunk 1");
    }

    #[test]
    fn a_secret_in_a_fact_or_a_message_is_noticed() {
        let fact = fact("A", "1", json!({"x": "hunter2"}));
        fails(oracle().applied(&commit(vec![], vec![fact.clone()])), "is owed in A");
        fails(oracle().published(&message(&fact)), "is published in A");
        let batch = Message { to: Destination::Queue("otlp-traces".into()), ..message(&fact) };
        oracle().published(&batch).unwrap();
    }
}
