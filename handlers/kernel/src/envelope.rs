//! The canonical event envelope (SPEC 4.1) and its validation (SPEC 4.6).

use crate::{
    document::Body,
    fault::Refusal,
    freshness::Freshness,
    ident::{self, CorrelationId, EventId, TenantId, TraceId},
    time::Timestamp,
    traceparent::Traceparent,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// Recommended; above it a payload moves to the object store.
pub const ENVELOPE_BYTES_RECOMMENDED: usize = 64 * 1024;
/// Hard: an envelope beyond it is `too_large`.
pub const ENVELOPE_BYTES_MAX: usize = 192 * 1024;
/// Deeper is a loop (SPEC 3.9).
pub const CAUSATION_DEPTH_MAX: u8 = 16;
const TRACESTATE_MAX: usize = 512;

/// Fields in the order of SPEC 4.1, in which producers write them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    pub event_id: EventId,
    pub event_type: String,
    pub event_version: u16,
    pub tenant_id: TenantId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    pub trace_id: TraceId,
    pub correlation_id: CorrelationId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub causation_id: Option<EventId>,
    pub causation_depth: u8,
    pub occurred_at: Timestamp,
    pub recorded_at: Timestamp,
    pub source: String,
    pub subject: String,
    pub partition_key: String,
    pub idempotency_key: String,
    pub revision: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tracestate: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub dimensions: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub freshness: Option<Freshness>,
    pub payload: Body,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payload_ref: Option<PayloadRef>,
}

/// Where an oversized payload lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadRef {
    pub uri: String,
    pub sha256: String,
    pub bytes: u64,
}

/// What a reference to a stored object begins with. It names the object, not an account: where objects lie is known to
/// the adapter, so a reference is there before the object is (bind) and outlives a move.
pub const BLOB_SCHEME: &str = "opsloop-blob:";

/// The reference to the object of this name.
pub fn blob_uri(name: &str) -> String {
    format!("{BLOB_SCHEME}{name}")
}

impl Envelope {
    /// SPEC 4.6 up to loop depth: size, JSON, fields, syntax, traceparent, depth. The tenant guard stands in `Scope`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(Refusal::TooLarge { what: "the envelope", size: bytes.len(), limit: ENVELOPE_BYTES_MAX });
        }
        let envelope: Self = serde_json::from_slice(bytes).map_err(Refusal::envelope)?;
        envelope.check()?;
        Ok(envelope)
    }

    fn check(&self) -> Result<(), Refusal> {
        self.check_ids()?;
        if let Some(text) = &self.traceparent
            && let Some(parsed) = Traceparent::parse(text)
            && parsed.trace_id != self.trace_id
        {
            return Err(Refusal::envelope("the trace id of `traceparent` is not `traceId`"));
        }
        if self.causation_depth > CAUSATION_DEPTH_MAX {
            return Err(Refusal::CausationLoop { depth: self.causation_depth });
        }
        Ok(())
    }

    fn check_ids(&self) -> Result<(), Refusal> {
        let slugs = [("projectId", &self.project_id), ("moduleId", &self.module_id)];
        for (name, value) in slugs {
            if let Some(v) = value
                && !ident::is_slug(v)
            {
                return Err(Refusal::envelope(format!("`{name}` is not an id")));
            }
        }
        if let Some(e) = &self.environment
            && !matches!(e.as_str(), "dev" | "test" | "staging" | "prod")
        {
            return Err(Refusal::envelope("`environment` is none of dev, test, staging, prod"));
        }
        if self.event_type.is_empty() || !self.event_type.bytes().all(|c| c.is_ascii_alphanumeric()) {
            return Err(Refusal::envelope("`eventType` is not PascalCase"));
        }
        if self.event_version == 0 {
            return Err(Refusal::envelope("`eventVersion` starts at 1"));
        }
        if (self.causation_depth > 0) != self.causation_id.is_some() {
            return Err(Refusal::envelope("`causationId` stands where `causationDepth` is above 0, and only there"));
        }
        if self.idempotency_key.len() != 64 || !self.idempotency_key.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(Refusal::envelope("`idempotencyKey` is not 64 hex digits"));
        }
        if self.tracestate.as_ref().is_some_and(|t| t.len() > TRACESTATE_MAX) {
            return Err(Refusal::envelope("`tracestate` is beyond 512 bytes"));
        }
        Ok(())
    }

    /// The payload as the consumer's type; fields that a newer version added are ignored (A20).
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        self.payload.read()
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
