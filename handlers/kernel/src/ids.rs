//! Keys and ids derived from their cause, never drawn (SPEC 3.2). Every formula of the platform stands here.

use crate::{
    ident::{CorrelationId, EventId, TenantId, TraceId},
    incoming::Stream,
    json::sha256_hex,
    mutant::{self, Mutant},
    time::Timestamp,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

const NAMESPACE: Uuid = Uuid::from_u128(0x5b0c1f6e_7d0a_5f43_9a51_3c7f2f0f9a11);
const SEPARATOR: char = '\u{1f}';
/// Pages of a tick, and shards of the directory (SPEC 3.8).
pub const SHARDS: u8 = 64;

fn joined<S: AsRef<str>>(parts: impl IntoIterator<Item = S>) -> String {
    let mut out = String::new();
    for (n, part) in parts.into_iter().enumerate() {
        if n > 0 {
            out.push(SEPARATOR);
        }
        out.push_str(part.as_ref());
    }
    out
}

/// Lower-case hex SHA-256 of the parts joined by U+001F.
pub fn digest<S: AsRef<str>>(parts: impl IntoIterator<Item = S>) -> String {
    sha256_hex(joined(parts).as_bytes())
}

/// UUIDv5 in the platform's namespace of the parts joined by U+001F.
pub fn uuid5<S: AsRef<str>>(parts: impl IntoIterator<Item = S>) -> Uuid {
    Uuid::new_v5(&NAMESPACE, joined(parts).as_bytes())
}

/// What a tenant is in what is derived for it: no two share an id.
fn part_of(tenant: &TenantId) -> &str {
    if mutant::is(Mutant::TenantLeftOutOfIds) { "" } else { tenant.as_str() }
}

/// The parts of an idempotency key: component tag, formula version, tenant, then what the section says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct KeyParts(Vec<String>);

impl KeyParts {
    pub fn new<S: Into<String>>(component: &str, tenant: &TenantId, parts: impl IntoIterator<Item = S>) -> Self {
        let head = [component.to_owned(), "1".to_owned(), part_of(tenant).to_owned()];
        Self(head.into_iter().chain(parts.into_iter().map(Into::into)).collect())
    }
    pub fn key(&self) -> String {
        digest(&self.0)
    }
}

/// `key(component, "1", tenant, parts…)`, 64 hex digits.
pub fn key<S: Into<String>>(component: &str, tenant: &TenantId, parts: impl IntoIterator<Item = S>) -> String {
    KeyParts::new(component, tenant, parts).key()
}

/// `<prefix>-UUIDv5(kind, tenant, parts…)`.
pub fn derived_id<S: AsRef<str>>(
    prefix: &str,
    kind: &str,
    tenant: &TenantId,
    parts: impl IntoIterator<Item = S>,
) -> String {
    let rest: Vec<String> = parts.into_iter().map(|p| p.as_ref().to_owned()).collect();
    let head = [kind.to_owned(), part_of(tenant).to_owned()];
    format!("{prefix}-{}", uuid5(head.into_iter().chain(rest)))
}

/// The id of an event that a worker makes.
pub fn event_id(kind: &str, tenant: &TenantId, idempotency_key: &str, revision: u32) -> EventId {
    EventId::derived(uuid5(["event", kind, part_of(tenant), idempotency_key, &revision.to_string()]))
}

/// A tick of the timer function (A50).
pub fn tick_id(function: &str, due: Timestamp) -> EventId {
    EventId::derived(uuid5(["tick", function, &due.millis().to_string()]))
}

/// One of the 64 pages of a tick.
pub fn page_id(function: &str, due: Timestamp, shard: u8) -> EventId {
    EventId::derived(uuid5(["tick", function, &due.millis().to_string(), &shard.to_string()]))
}

/// What is to be done outside, decided by a unit at a moment (A60).
pub fn effect_id(worker: &str, tenant: &TenantId, stream: &str, unit_key: &str, name: &str, at: Timestamp) -> EventId {
    EventId::derived(uuid5(["effect", worker, tenant.as_str(), stream, unit_key, name, &at.millis().to_string()]))
}

/// A command over HTTP (A53): `idempotency` is the header's, without one the invocation id.
pub fn command_id(tenant: &TenantId, method: &str, path: &str, idempotency: &str) -> EventId {
    EventId::derived(uuid5(["command", tenant.as_str(), &format!("{method} {path}"), idempotency]))
}

/// The trace of a time-driven unit, its own so that alerts of one tick do not meet (A25).
pub fn unit_trace(worker: &str, slot: Timestamp, tenant: &TenantId, scope: &str) -> TraceId {
    TraceId::of_digest(&digest([worker, &slot.millis().to_string(), tenant.as_str(), scope]))
}

/// The correlation of a time-driven unit; of a tick with tenant `platform` and an empty scope.
pub fn run_correlation(tenant: &TenantId, worker: &str, scope: &str, slot: Timestamp) -> CorrelationId {
    CorrelationId::derived(uuid5(["run", tenant.as_str(), worker, scope, &slot.millis().to_string()]))
}

/// The trace of a tick or page.
pub fn tick_trace(id: &EventId) -> TraceId {
    TraceId::of_digest(&digest([id.as_str()]))
}

/// The correlation of what is recorded of one trace.
pub fn trace_correlation(tenant: &TenantId, trace: &TraceId) -> CorrelationId {
    CorrelationId::derived(uuid5(["trace", tenant.as_str(), trace.as_str()]))
}

/// The correlation of a command without an aggregate that has one.
pub fn command_correlation(tenant: &TenantId, event: &EventId) -> CorrelationId {
    CorrelationId::derived(uuid5(["command", tenant.as_str(), event.as_str()]))
}

/// The trace of a command without `traceparent`.
pub fn correlation_trace(correlation: &CorrelationId) -> TraceId {
    TraceId::of_digest(&digest([correlation.as_str()]))
}

/// The broker's id of a copy, whatever it is for (A3, A36).
pub fn copy_id(original: &str, worker: &str, hop: u32) -> String {
    format!("{original}:{worker}:h{hop}")
}

/// An outbox document is named by the messages that it owes (A51).
pub fn owed_id<S: AsRef<str>>(message_ids: impl IntoIterator<Item = S>) -> String {
    format!("owed|{}", digest(message_ids))
}

/// The first byte of SHA-256(tenant, stream) mod 64: all due documents of a stream are in one shard.
pub fn shard(tenant: &TenantId, stream: &Stream) -> u8 {
    Sha256::digest(joined([tenant.as_str(), &stream.name]).as_bytes())[0] % SHARDS
}

/// The bucket of a metric: the first byte of SHA-256(name) mod `buckets` (SPEC 5.2.4).
pub fn bucket(metric: &str, buckets: u16) -> u16 {
    u16::from(Sha256::digest(metric.as_bytes())[0]) % buckets.max(1)
}

/// User text in a document id or in the name of a stream: every byte outside `A–Z a–z 0–9 . _ ~ : -` (A51).
pub fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b':' | b'-') {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// Instants in document ids sort as text: 13 digits.
pub fn padded(at: Timestamp) -> String {
    format!("{:013}", at.millis())
}

/// `{id}` of a dead or stuck message in a path: a message id from outside may contain `/` (SPEC 14.4).
pub fn handle_of<S: AsRef<str>>(parts: impl IntoIterator<Item = S>) -> String {
    digest(parts).chars().take(32).collect()
}

#[cfg(test)]
#[path = "ids_tests.rs"]
mod tests;
