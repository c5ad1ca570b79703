//! A delivery: what a trigger brought, once, with what its copies carry (SPEC 3.6, 4.3).

use crate::invocation::Received;
use bytes::Bytes;
use opsloop_kernel::{
    Envelope, Incoming, Mutant, Refusal, Stop, TelemetryBatch, TelemetrySignal, TenantId, Timestamp,
    envelope::PayloadRef,
    json::sha256_hex,
    message::{QUEUE_LOGS, QUEUE_METRICS, QUEUE_TRACES, property},
    mutant,
    ports::Blobs,
};
use std::{collections::BTreeMap, io::Read, time::Duration};

/// Decompressed telemetry of one message (DESIGN 6, P20).
const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Beyond a size that any request may have, what swells more than this is a bomb, not telemetry.
const BATCH_RATIO_MAX: usize = 200;
const BATCH_BYTES_FREE: usize = 8 * 1024 * 1024;
/// A message received longer ago than this is not taken again (A15).
const REPLAY_HORIZON: Duration = Duration::from_secs(30 * 24 * 3600);
const METRICS_EXPIRE: Duration = Duration::from_secs(3 * 24 * 3600);
const TRACES_EXPIRE: Duration = Duration::from_secs(5 * 24 * 3600);

/// What stands in the properties of a copy, and nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyState {
    /// From 1.
    pub attempt: u32,
    pub hop: u32,
    pub races: u32,
    /// The moment that a deferral set; every later copy keeps it.
    pub moment: Option<Timestamp>,
    pub after: Option<String>,
    /// The first delivery, from which the 24 h of deferral count.
    pub first_at: Option<Timestamp>,
}

impl CopyState {
    pub fn of(properties: &BTreeMap<String, String>) -> Self {
        let number = |name: &str| properties.get(name).and_then(|v| v.parse::<u32>().ok());
        let instant = |name: &str| properties.get(name).and_then(|v| v.parse::<Timestamp>().ok());
        Self {
            attempt: number(property::ATTEMPT).unwrap_or(1).max(1),
            hop: number(property::HOP).unwrap_or(0),
            races: number(property::RACES).unwrap_or(0),
            moment: instant(property::MOMENT),
            after: properties.get(property::AFTER).cloned(),
            first_at: instant(property::FIRST_AT),
        }
    }
}

/// Decodes a message of the bus: size, JSON, fields, properties, claim check (SPEC 4.6).
pub async fn event_of(received: &Received, blobs: &dyn Blobs, now: Timestamp) -> Result<Envelope, Stop> {
    let mut envelope = Envelope::decode(&received.body)?;
    agrees(&received.properties, property::KIND, &envelope.event_type)?;
    if !mutant::is(Mutant::TenantGuardOff) {
        agrees(&received.properties, property::TENANT, envelope.tenant_id.as_str())?;
    }
    if now.minus(REPLAY_HORIZON) > envelope.recorded_at && !mutant::is(Mutant::ExpiredMessageTaken) {
        return Err(Refusal::Expired { received_at: envelope.recorded_at }.into());
    }
    if let Some(reference) = envelope.payload_ref.clone() {
        let bytes = fetch(&reference, blobs).await?;
        envelope.payload = serde_json::from_slice(&bytes).map_err(Refusal::payload)?;
    }
    Ok(envelope)
}

/// A consumer trusts the envelope; a property that says otherwise is `invalid_envelope` (SPEC 4.3).
fn agrees(properties: &BTreeMap<String, String>, name: &str, said: &str) -> Result<(), Refusal> {
    match properties.get(name) {
        Some(p) if p != said => Err(Refusal::envelope(format!("the property `{name}` differs from the envelope"))),
        _ => Ok(()),
    }
}

async fn fetch(reference: &PayloadRef, blobs: &dyn Blobs) -> Result<Bytes, Stop> {
    let missing = || Refusal::PayloadMissing { uri: reference.uri.clone() };
    let bytes = blobs.get(&reference.uri).await?.ok_or_else(missing)?;
    if sha256_hex(&bytes) != reference.sha256 {
        return Err(Refusal::payload(format!("{} is not what was stored: its SHA-256 differs", reference.uri)).into());
    }
    Ok(bytes)
}

/// Decodes a telemetry batch: its properties are what counts (A42), the body is OTLP protobuf, zstd-compressed.
pub async fn batch_of(queue: &str, received: &Received, blobs: &dyn Blobs, now: Timestamp) -> Result<Incoming, Stop> {
    let p = &received.properties;
    let signal = signal_of(queue).ok_or_else(|| Refusal::envelope(format!("{queue} is no telemetry queue")))?;
    let batch = TelemetryBatch {
        signal,
        tenant: required(p, property::TENANT)?,
        project: p.get(property::PROJECT).cloned(),
        received_at: required(p, property::RECEIVED_AT)?,
        batch_id: required::<String>(p, property::BATCH_ID)?,
        part: required(p, property::PART)?,
        body: Bytes::new(),
    };
    if batch.tenant.is_platform() {
        let (envelope, target) = (batch.tenant.clone(), batch.tenant);
        return Err(Refusal::TenantViolation { envelope, target }.into());
    }
    let horizon = if signal == TelemetrySignal::Metrics { METRICS_EXPIRE } else { TRACES_EXPIRE };
    if now.minus(horizon) > batch.received_at && !mutant::is(Mutant::ExpiredMessageTaken) {
        return Err(Refusal::Expired { received_at: batch.received_at }.into()); // A68
    }
    let raw = match p.get(property::PAYLOAD_REF) {
        Some(text) => fetch(&serde_json::from_str(text).map_err(Refusal::envelope)?, blobs).await?,
        None => received.body.clone(),
    };
    let body = match p.get(property::ENCODING).map(String::as_str) {
        Some("zstd") => unzstd(&raw)?,
        None | Some("identity") => raw,
        Some(other) => return Err(Refusal::envelope(format!("the encoding `{other}` is not known")).into()),
    };
    Ok(Incoming::Batch(TelemetryBatch { body, ..batch }))
}

fn signal_of(queue: &str) -> Option<TelemetrySignal> {
    match queue {
        QUEUE_TRACES => Some(TelemetrySignal::Traces),
        QUEUE_METRICS => Some(TelemetrySignal::Metrics),
        QUEUE_LOGS => Some(TelemetrySignal::Logs),
        _ => None,
    }
}

pub fn queue_of(signal: TelemetrySignal) -> &'static str {
    match signal {
        TelemetrySignal::Traces => QUEUE_TRACES,
        TelemetrySignal::Metrics => QUEUE_METRICS,
        TelemetrySignal::Logs => QUEUE_LOGS,
    }
}

fn required<T: std::str::FromStr>(properties: &BTreeMap<String, String>, name: &str) -> Result<T, Refusal> {
    let text = properties.get(name).ok_or_else(|| Refusal::envelope(format!("the property `{name}` is missing")))?;
    text.parse().map_err(|_| Refusal::envelope(format!("the property `{name}` is malformed")))
}

fn unzstd(raw: &[u8]) -> Result<Bytes, Refusal> {
    let decoder = zstd::stream::read::Decoder::new(raw).map_err(|e| Refusal::payload(format!("zstd: {e}")))?;
    let limit = (raw.len() * BATCH_RATIO_MAX).clamp(BATCH_BYTES_FREE, BATCH_BYTES_MAX);
    let mut out = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut out).map_err(|e| Refusal::payload(format!("zstd: {e}")))?;
    if out.len() > limit {
        return Err(Refusal::TooLarge { what: "the decompressed batch", size: out.len(), limit });
    }
    Ok(out.into())
}

/// Whose message it is, as far as it can be told: for the record of a refusal (A31).
pub fn tenant_of(received: &Received) -> TenantId {
    let named = received.properties.get(property::TENANT).and_then(|t| TenantId::parse(t.clone()).ok());
    named.unwrap_or_else(TenantId::platform)
}

/// The id of the original message, which all its copies carry (A36).
pub fn original_id(received: &Received) -> String {
    let p = &received.properties;
    match (p.get(property::BATCH_ID), p.get(property::PART)) {
        (Some(batch), Some(part)) => format!("{batch}|{part}"),
        _ => received.message_id.split(':').next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p20_a_bomb_ends_at_its_limit_and_honest_telemetry_passes() {
        let packed = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).unwrap();
        let honest = vec![7u8; 4 * 1024 * 1024];
        assert_eq!(unzstd(&packed(&honest)).unwrap().len(), honest.len());
        let bomb = packed(&vec![0u8; 60 * 1024 * 1024]);
        assert!(bomb.len() < 100_000);
        assert_eq!(unzstd(&bomb).unwrap_err().code(), "too_large");
        assert_eq!(unzstd(b"no zstd").unwrap_err().code(), "invalid_payload");
    }
}
