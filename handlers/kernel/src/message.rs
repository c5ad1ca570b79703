//! What goes through the broker (SPEC 4.3).

use crate::time::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The topic of events; each consuming worker has a subscription of its name.
pub const TOPIC: &str = "events";
pub const QUEUE_PAGES: &str = "pages";
pub const QUEUE_TRACES: &str = "otlp-traces";
pub const QUEUE_METRICS: &str = "otlp-metrics";
pub const QUEUE_LOGS: &str = "otlp-logs";
/// Deliveries before the broker dead-letters by itself.
pub const MAX_DELIVERIES: u32 = 5;
/// Standard tier; a setting (DESIGN 6).
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// Broker properties (SPEC 4.3).
pub mod property {
    pub const KIND: &str = "kind";
    pub const VERSION: &str = "version";
    pub const TENANT: &str = "tenant";
    pub const CORRELATION_ID: &str = "correlationId";
    pub const TRACEPARENT: &str = "traceparent";
    pub const AUDIENCE: &str = "audience";
    pub const ATTEMPT: &str = "attempt";
    pub const HOP: &str = "hop";
    pub const MOMENT: &str = "moment";
    pub const RACES: &str = "races";
    pub const AFTER: &str = "after";
    pub const REPLAY_OF: &str = "replayOf";
    pub const PROJECT: &str = "project";
    pub const RECEIVED_AT: &str = "receivedAt";
    pub const CONTENT_TYPE: &str = "contentType";
    pub const ENCODING: &str = "encoding";
    pub const BATCH_ID: &str = "batchId";
    pub const PART: &str = "part";
    pub const PAYLOAD_REF: &str = "payloadRef";
    /// The first delivery's instant, from which the 24 h of deferral count (SPEC 3.7).
    pub const FIRST_AT: &str = "firstAt";
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Destination {
    Topic,
    Queue(String),
}

/// A message to be sent. Within the duplicate window the broker takes one id once per entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub id: String,
    pub to: Destination,
    pub properties: BTreeMap<String, String>,
    pub content_type: String,
    #[serde(with = "hex_bytes")]
    pub body: Bytes,
    /// Scheduled: not visible before.
    pub not_before: Option<Timestamp>,
}

/// A message as it was received: what was sent, and what the broker knows of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivered {
    pub message: Message,
    /// 1 at the first delivery.
    pub deliveries: u32,
    pub enqueued_at: Option<Timestamp>,
}

/// What the broker said of one message. A rejected message is refused for good (A16).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Accepted,
    Rejected { why: String },
}

/// A message in a dead-letter subqueue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The worker whose subscription or queue it died in.
    pub handler: String,
    pub sequence: i64,
    pub delivered: Delivered,
    pub reason: String,
    pub description: String,
    pub dead_at: Timestamp,
}

/// JSON carries bytes in hex: an array of numbers would be four times as large.
pub(crate) mod hex_bytes {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(b: &Bytes, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(b))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Bytes, D::Error> {
        hex::decode(String::deserialize(d)?).map(Bytes::from).map_err(D::Error::custom)
    }
}
