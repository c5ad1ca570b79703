//! To the queues of telemetry: batches without what they must bear, and bytes that are none.

use super::{Case, Hostile, properties};
use crate::{plan::Cast, rng::Rng};
use bytes::Bytes;
use opsloop_kernel::{
    Destination, TenantId, Timestamp,
    message::{QUEUE_LOGS, QUEUE_METRICS, QUEUE_TRACES, property},
};

pub const CASES: &[Case] =
    &[bare, no_tenant, malformed_tenant, platform, no_zstd, unknown_encoding, no_otlp, gone, no_reference, too_old];

const WEEK_MS: i64 = 7 * 24 * 3_600_000;
const NOT_OTLP: &[u8] = &[0xff; 24];

fn batch(rng: &mut Rng, tenant: &str, at: Timestamp, dies: &'static str) -> Hostile {
    let queue = *rng.pick(&[QUEUE_TRACES, QUEUE_METRICS, QUEUE_LOGS]);
    let (at, id) = (at.to_string(), format!("hostile-{}", rng.hex(16)));
    let properties = properties(&[
        (property::TENANT, tenant),
        (property::RECEIVED_AT, &at),
        (property::BATCH_ID, &id),
        (property::PART, "0"),
        (property::ENCODING, "identity"),
    ]);
    Hostile {
        to: Destination::Queue(queue.to_owned()),
        properties,
        body: Bytes::from_static(NOT_OTLP),
        dies: Some(dies),
    }
}

fn with(mut hostile: Hostile, name: &str, value: &str) -> Hostile {
    hostile.properties.insert(name.to_owned(), value.to_owned());
    hostile
}

fn bare(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    let mut hostile = batch(rng, tenant.as_str(), cast.start, "invalid_envelope");
    hostile.properties.clear();
    hostile
}

fn no_tenant(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    let mut hostile = batch(rng, tenant.as_str(), cast.start, "invalid_envelope");
    hostile.properties.remove(property::TENANT);
    hostile
}

fn malformed_tenant(rng: &mut Rng, cast: &Cast, _: &TenantId) -> Hostile {
    batch(rng, "No Such/Tenant", cast.start, "invalid_envelope")
}

fn platform(rng: &mut Rng, cast: &Cast, _: &TenantId) -> Hostile {
    batch(rng, TenantId::platform().as_str(), cast.start, "tenant_violation")
}

fn no_zstd(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    with(batch(rng, tenant.as_str(), cast.start, "invalid_payload"), property::ENCODING, "zstd")
}

fn unknown_encoding(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    with(batch(rng, tenant.as_str(), cast.start, "invalid_envelope"), property::ENCODING, "brotli")
}

fn no_otlp(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    batch(rng, tenant.as_str(), cast.start, "invalid_payload")
}

fn gone(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    let reference = format!(r#"{{"uri":"payload/nowhere","sha256":"{}","bytes":1}}"#, rng.hex(64));
    with(batch(rng, tenant.as_str(), cast.start, "payload_missing"), property::PAYLOAD_REF, &reference)
}

fn no_reference(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    with(batch(rng, tenant.as_str(), cast.start, "invalid_envelope"), property::PAYLOAD_REF, "nowhere")
}

fn too_old(rng: &mut Rng, cast: &Cast, tenant: &TenantId) -> Hostile {
    batch(rng, tenant.as_str(), cast.start.plus_millis(-WEEK_MS), "expired")
}
