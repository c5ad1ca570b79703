//! What the receiver makes of one request (SPEC 5.1.1): a function of its bytes, its channel and its instant of receipt.

use super::{
    Accepted, ContentType, Part, decode, normalise, parts,
    response::{self, Response},
    validate,
};
use opsloop_kernel::{Mutant, Refusal, TelemetrySignal as Signal, TenantId, Timestamp, json::sha256_hex, mutant};

/// Decompressed; what is larger gets 413.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A request that was understood; to be answered once its parts are durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    pub batch_id: String,
    /// None where nothing is left to keep. Their message ids are `batchId|0`, `batchId|1`, …
    pub parts: Vec<Part>,
    pub items: u64,
    pub rejected: u64,
    pub tenant_violations: u64,
    pub message: String,
}

impl Received {
    /// The answer 200, with a partial success where something was rejected.
    pub fn response(&self, signal: Signal, content_type: ContentType) -> Response {
        response::success(signal, content_type, self.rejected, &self.message)
    }
}

/// `body` is decompressed. `part_bytes_max` is what a message of the queue holds.
pub fn receive(
    signal: Signal,
    content_type: ContentType,
    body: &[u8],
    tenant: &TenantId,
    received_at: Timestamp,
    part_bytes_max: usize,
) -> Result<Received, Refusal> {
    if body.len() > REQUEST_BYTES_MAX {
        return Err(Refusal::TooLarge { what: "the request", size: body.len(), limit: REQUEST_BYTES_MAX });
    }
    let request = decode(signal, content_type, body)?;
    let Accepted { mut request, items, rejected, tenant_violations, message } = validate(request, tenant, received_at);
    normalise::redact(&mut request);
    let parts = parts(request, part_bytes_max)?;
    let of_the_try = mutant::is(Mutant::BatchIdOfTheTry).then(|| sha256_hex(received_at.to_string().as_bytes()));
    let batch_id = of_the_try.unwrap_or_else(|| batch_id(tenant, signal, body));
    Ok(Received { batch_id, parts, items, rejected, tenant_violations, message })
}

/// `lower_hex(SHA-256(tenant ␟ signal ␟ decompressed body))`: a client's retry is one batch (A14).
pub fn batch_id(tenant: &TenantId, signal: Signal, body: &[u8]) -> String {
    let head = format!("{tenant}\u{1f}{}\u{1f}", signal.name());
    sha256_hex(&[head.as_bytes(), body].concat())
}
