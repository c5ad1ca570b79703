//! What nobody should send, to the topic and to the queues of telemetry: each dies at once with the reason of SPEC 3.6,
//! or is of a newer world and ignored (A20). None may touch anything else.

mod batches;
mod envelopes;

use super::outside::moment;
use crate::{
    plan::{Cast, Offer, Plan},
    rng::Rng,
};
use bytes::Bytes;
use opsloop_kernel::{Destination, TenantId, message::property};
use std::collections::BTreeMap;

const SENT_MAX: i64 = 4;

/// A message as it is sent, and what must become of it.
pub struct Hostile {
    to: Destination,
    properties: BTreeMap<String, String>,
    body: Bytes,
    dies: Option<&'static str>,
}

type Case = fn(&mut Rng, &Cast, &TenantId) -> Hostile;

/// Most runs get a few of them.
pub fn hostile(rng: &mut Rng, cast: &Cast, plan: &mut Plan) {
    let cases: Vec<Case> = envelopes::CASES.iter().chain(batches::CASES).copied().collect();
    for _ in 0..rng.between(0, SENT_MAX) {
        let (case, tenant, at) = (*rng.pick(&cases), rng.pick(&cast.tenants).clone(), moment(rng, cast));
        let Hostile { to, properties, body, dies } = case(rng, cast, &tenant);
        // A batch is named by its properties, as the receiver names it; its copies are (A36).
        let batch = properties.get(property::BATCH_ID).zip(properties.get(property::PART));
        let id = batch.map_or_else(|| format!("hostile-{}", rng.hex(16)), |(batch, part)| format!("{batch}|{part}"));
        plan.offer(at, &tenant, Offer::Hostile { to, id, properties, body, dies });
    }
}

pub use envelopes::alert;

/// An event that must die of this reason in the one worker that it is sent to.
pub fn to_incidents(rng: &mut Rng, tenant: &TenantId, body: Vec<u8>, dies: &'static str) -> Offer {
    let Hostile { to, properties, body, dies } = envelopes::to_incidents(tenant.as_str(), body, Some(dies));
    Offer::Hostile { to, id: format!("hostile-{}", rng.hex(16)), properties, body, dies }
}

fn properties(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
