//! Payloads that lie elsewhere (claim check, SPEC 3.13): events of others whose payload is a stored object, one that is
//! not what was stored, and telemetry that fits no single message.

use super::{hostile, otlp, outside::moment};
use crate::{
    plan::{Cast, Offer, Plan},
    rng::Rng,
};
use bytes::Bytes;
use opsloop_kernel::{
    Body, Envelope, TenantId, Timestamp,
    envelope::{ENVELOPE_BYTES_MAX, PayloadRef, blob_uri},
    json::sha256_hex,
    message::MESSAGE_BYTES_MAX,
};
use opsloop_observability::otlp::{
    Request,
    proto::{
        collector::logs::v1::ExportLogsServiceRequest,
        common::v1::{AnyValue, any_value::Value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    },
};
use serde_json::json;

/// Digits of a record, of four bits each, so that no compression makes it smaller than half; longer texts are cut.
const DIGITS: usize = 4_000;
const RECORDS: usize = MESSAGE_BYTES_MAX * 5 / 2 / DIGITS;

/// After all other parts: it turns some of their events into claims.
pub fn claims(rng: &mut Rng, cast: &Cast, plan: &mut Plan) {
    if rng.hit(0.25) {
        some_by_reference(rng, plan);
    }
    if rng.hit(0.1) {
        exchanged(rng, cast, plan);
    }
    if rng.hit(0.02) {
        too_large_for_a_message(rng, cast, plan);
    }
}

/// The same payload as ever, now and then one that no envelope holds.
fn some_by_reference(rng: &mut Rng, plan: &mut Plan) {
    let mut large = rng.hit(0.1);
    let Plan { arrivals, claims, blobs, .. } = plan;
    for arrival in arrivals {
        let Offer::Event(event) = &mut arrival.offer else { continue };
        if claims.contains_key(&event.event_id) || !rng.hit(0.2) {
            continue;
        }
        // One that is sent twice is the same both times: only what is drawn first may grow.
        if std::mem::take(&mut large) {
            event.payload.0["addedLater"] = json!("x".repeat(ENVELOPE_BYTES_MAX));
        }
        let bytes = Bytes::from(event.payload.0.to_string());
        claims.insert(event.event_id.clone(), stored(blobs, bytes));
    }
}

fn stored(blobs: &mut Vec<(String, Bytes)>, bytes: Bytes) -> PayloadRef {
    let (sha256, length) = (sha256_hex(&bytes), bytes.len() as u64);
    let name = format!("payload/outside/{sha256}");
    blobs.push((name.clone(), bytes));
    PayloadRef { uri: blob_uri(&name), sha256, bytes: length }
}

/// As it is sent where its payload is a claim.
pub fn by_reference(event: &Envelope, reference: &PayloadRef) -> Envelope {
    Envelope { payload: Body(json!({})), payload_ref: Some(reference.clone()), ..event.clone() }
}

/// What lies there is not what the envelope speaks of: it dies, and nobody acts on it.
fn exchanged(rng: &mut Rng, cast: &Cast, plan: &mut Plan) {
    let (tenant, at) = (rng.pick(&cast.tenants).clone(), moment(rng, cast));
    let mut event = hostile::alert(rng, cast, &tenant);
    let reference = stored(&mut plan.blobs, Bytes::from(event.payload.0.to_string()));
    let other = PayloadRef { sha256: sha256_hex(rng.hex(16).as_bytes()), ..reference };
    event = by_reference(&event, &other);
    let offer = hostile::to_incidents(rng, &tenant, event.encode(), "invalid_payload");
    plan.offer(at, &tenant, offer);
}

/// Records that need several messages.
fn too_large_for_a_message(rng: &mut Rng, cast: &Cast, plan: &mut Plan) {
    let (tenant, at) = (rng.pick(&cast.tenants).clone(), moment(rng, cast));
    let records: Vec<_> = (0..RECORDS).map(|_| record(rng, at, DIGITS)).collect();
    send(plan, cast, at, &tenant, records);
}

fn record(rng: &mut Rng, at: Timestamp, size: usize) -> LogRecord {
    let body = Some(AnyValue { value: Some(Value::StringValue(rng.hex(size))) });
    LogRecord { time_unix_nano: otlp::nanos(at.plus_millis(-1_000)), severity_number: 9, body, ..LogRecord::default() }
}

fn send(plan: &mut Plan, cast: &Cast, at: Timestamp, tenant: &TenantId, log_records: Vec<LogRecord>) {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource = Some(otlp::service(cast.projects[0], cast.modules[0]));
    let logs = ResourceLogs { resource, scope_logs, ..ResourceLogs::default() };
    let request = Request::Logs(ExportLogsServiceRequest { resource_logs: vec![logs] });
    otlp::offer(plan, cast, at, tenant, &request);
}

#[cfg(test)]
mod tests {
    use super::{
        super::{incidents, testing::plans},
        *,
    };

    fn with_claims(rng: &mut Rng, cast: &Cast, plan: &mut Plan) {
        incidents::generate(rng, cast, plan);
        claims(rng, cast, plan);
    }

    #[test]
    fn what_is_claimed_is_stored_as_it_is_said() {
        let plans = plans(with_claims, false);
        let mut claimed = 0;
        for plan in &plans {
            for offer in plan.arrivals.iter().map(|a| &a.offer) {
                let Offer::Event(event) = offer else { continue };
                let Some(reference) = plan.claims.get(&event.event_id) else { continue };
                let stored = plan.blobs.iter().find(|(name, _)| blob_uri(name) == reference.uri);
                assert_eq!(stored.unwrap().1, event.payload.0.to_string());
                assert_eq!(reference.sha256, sha256_hex(&stored.unwrap().1));
                claimed += 1;
            }
        }
        assert!(claimed > 8, "{claimed}");
    }

    #[test]
    fn telemetry_of_this_size_comes_in_parts() {
        let cast = super::super::testing::cast(false);
        for seed in 0..4 {
            let mut plan = Plan::default();
            too_large_for_a_message(&mut Rng::new(seed, "large"), &cast, &mut plan);
            let Offer::Otlp { signal, body } = &plan.arrivals[0].offer else { panic!("not OTLP") };
            let tenant = &plan.arrivals[0].tenant;
            let (kind, limit) = (opsloop_observability::otlp::ContentType::Protobuf, MESSAGE_BYTES_MAX);
            let taken = opsloop_observability::otlp::receive(*signal, kind, body, tenant, cast.start, limit).unwrap();
            assert!(taken.parts.len() > 1, "one part of {} bytes", taken.parts[0].bytes.len());
        }
    }
}
