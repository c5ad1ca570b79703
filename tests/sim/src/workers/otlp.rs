//! OTLP as exporters send it, in few words, and what of it was accepted in the end.

use crate::{
    journal::End,
    plan::{Arrival, Cast, Offer, Plan},
    rng::Rng,
};
use opsloop_kernel::{TelemetrySignal, TenantId, Timestamp};
use opsloop_observability::otlp::{
    ContentType, Request, decode,
    proto::{
        common::v1::{AnyValue, KeyValue, any_value::Value},
        resource::v1::Resource,
    },
    receive::batch_id,
};
use std::collections::{BTreeMap, BTreeSet};

pub fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}
pub fn integer(key: &str, value: i64) -> KeyValue {
    let value = AnyValue { value: Some(Value::IntValue(value)) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// A service of a project, as unmodified SDKs name them.
pub fn service(project: &str, module: &str) -> Resource {
    let attributes = vec![
        text("service.namespace", project),
        text("service.name", module),
        text("deployment.environment.name", "production"),
    ];
    Resource { attributes, ..Resource::default() }
}

/// Never before the cast's start, never at its end.
pub fn inside(cast: &Cast, at: Timestamp) -> Timestamp {
    at.max(cast.start).min(cast.end.plus_millis(-1))
}

pub fn nanos(at: Timestamp) -> u64 {
    at.nanos().unsigned_abs()
}

/// A request of one of the three signals, at an instant of its own: of two batches with the same spans the second brings
/// nothing, so which chunks there are would depend on which of them is first.
pub fn offer(plan: &mut Plan, cast: &Cast, at: Timestamp, tenant: &TenantId, request: &Request) {
    let (signal, body) = (request.signal(), request.encode().into());
    let mut at = inside(cast, at);
    while plan.arrivals.iter().any(|a| a.at == at && a.tenant == *tenant) {
        at = at.plus_millis(-1);
    }
    plan.offer(at, tenant, Offer::Otlp { signal, body });
}

/// A stream of chance for each tenant: twins draw the same.
pub fn of_each_tenant(rng: &mut Rng, cast: &Cast, mut draw: impl FnMut(&mut Rng, &TenantId)) {
    let seed = rng.next();
    for (n, tenant) in (0..).zip(&cast.tenants) {
        let own = if cast.twins { seed } else { seed.wrapping_add(n) };
        draw(&mut Rng::new(own, "tenant"), tenant);
    }
}

/// A batch that was accepted: however often it was sent, it is one.
pub struct Sent {
    pub tenant: TenantId,
    pub request: Request,
    /// It lies in the dead-letter subqueue with its bytes: nothing of it needs to be stored.
    pub dead: bool,
}

/// The accepted batches of a signal, by batch id.
pub fn sent(end: &End<'_>, signal: TelemetrySignal, worker: &str) -> Result<BTreeMap<String, Sent>, String> {
    let dead: BTreeSet<&str> =
        end.dead.get(worker).into_iter().flatten().map(|l| batch_of(&l.delivered.message.id)).collect();
    let (mut all, mut doubted) = (BTreeMap::new(), BTreeSet::new());
    for (arrival, accepted) in end.plan.arrivals.iter().zip(end.accepted) {
        let Arrival { tenant, offer: Offer::Otlp { signal: of, body }, .. } = arrival else { continue };
        if *of != signal {
            continue;
        }
        let id = batch_id(tenant, signal, body);
        if !accepted {
            // What was refused of it is not asked for when it comes again: the batch is known by then.
            doubted.insert(id);
            continue;
        }
        let request = decode(signal, ContentType::Protobuf, body).map_err(|e| format!("the plan's own bytes: {e}"))?;
        let dead = dead.contains(id.as_str());
        all.insert(id, Sent { tenant: tenant.clone(), request, dead });
    }
    all.retain(|id, _| !doubted.contains(id));
    Ok(all)
}

/// Of the message id of a part, or of a copy of one.
fn batch_of(message_id: &str) -> &str {
    message_id.split('|').next().unwrap_or_default()
}
