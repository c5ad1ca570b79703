//! Every fact is published under one identity (SPEC 13.1(1), 3.2): an id stands for one envelope, follows from what it
//! is about, and nothing is published that was not committed. A batch bears the hash of what was sent (A14).

use super::reading::{self, difference, plain};
use crate::{
    journal::{Applied, Oracle, Verdict},
    plan::{Offer, Plan},
};
use bytes::Bytes;
use opsloop_kernel::{Destination, Envelope, EventId, Message, TenantId, Timestamp, ids, message::property};
use opsloop_observability::otlp::receive::batch_id;
use std::collections::{BTreeMap, BTreeSet};

pub struct OneIdentity {
    /// Message ids of what others send.
    inputs: BTreeSet<String>,
    /// Ids of the batches that are sent, by tenant.
    batches: BTreeSet<(String, String)>,
    owed: BTreeMap<(TenantId, EventId), Envelope>,
    /// The bytes of the first publication, by tenant and message id.
    published: BTreeMap<(String, String), Bytes>,
}

impl OneIdentity {
    pub fn new(plan: &Plan) -> Self {
        let inputs = plan.arrivals.iter().filter_map(|a| match &a.offer {
            Offer::Event(e) => Some(e.event_id.to_string()),
            Offer::Hostile { id, .. } => Some(id.clone()),
            Offer::Otlp { .. } | Offer::Command { .. } => None,
        });
        let batches = plan.arrivals.iter().filter_map(|a| match &a.offer {
            Offer::Otlp { signal, body } => Some((a.tenant.to_string(), batch_id(&a.tenant, *signal, body))),
            Offer::Hostile { properties: p, .. } => {
                let tenant = p.get(property::TENANT).cloned().unwrap_or_default();
                Some((tenant, p.get(property::BATCH_ID)?.clone()))
            }
            Offer::Event(_) | Offer::Command { .. } => None,
        });
        let (inputs, batches) = (inputs.collect(), batches.collect());
        Self { inputs, batches, owed: BTreeMap::new(), published: BTreeMap::new() }
    }

    fn batch(&self, message: &Message) -> Verdict {
        let of = |name| reading::property(message, name).to_owned();
        let (tenant, id) = (of(property::TENANT), of(property::BATCH_ID));
        if id.is_empty() || self.batches.contains(&(tenant.clone(), id.clone())) {
            return Ok(());
        }
        Err(format!("the batch {id} of {tenant} is the hash of nothing that was sent (A14)"))
    }

    fn first(&self, message: &Message) -> Verdict {
        let id = &message.id;
        let said = Envelope::decode(&message.body).map_err(|e| format!("{id} is published, and no envelope: {e}"))?;
        let Some(owed) = self.owed.get(&(said.tenant_id.clone(), said.event_id.clone())) else {
            return Err(format!("{} {id} is published, and no commit owes it", said.event_type));
        };
        let named = [
            ("message id", id.as_str(), said.event_id.as_str()),
            ("kind", reading::property(message, property::KIND), &said.event_type),
            ("tenant", reading::property(message, property::TENANT), said.tenant_id.as_str()),
        ];
        if let Some((name, is, should)) = named.into_iter().find(|(_, is, should)| is != should) {
            return Err(format!("{} {id} is published with the {name} `{is}`, not `{should}`", said.event_type));
        }
        equal(owed, &said).map_err(|why| format!("{} {id} is published otherwise than owed: {why}", said.event_type))
    }
}

impl Oracle for OneIdentity {
    fn name(&self) -> &'static str {
        "one identity"
    }

    fn applied(&mut self, commit: &Applied) -> Verdict {
        for e in &commit.owed {
            let right = derived(e).ok_or_else(|| format!("the effect {} names no unit", e.event_id))?;
            if right != e.event_id {
                let kind = &e.event_type;
                return Err(format!("{kind} {} does not follow from its key and revision: {right} does", e.event_id));
            }
            self.owed.insert((e.tenant_id.clone(), e.event_id.clone()), e.clone());
        }
        Ok(())
    }

    fn published(&mut self, message: &Message) -> Verdict {
        self.batch(message)?;
        let ours = message.to == Destination::Topic && reading::hop(message).is_none();
        if !ours || self.inputs.contains(&message.id) {
            return Ok(());
        }
        let key = (reading::property(message, property::TENANT).to_owned(), message.id.clone());
        let Some(before) = self.published.get(&key) else {
            self.first(message)?;
            self.published.insert(key, message.body.clone());
            return Ok(());
        };
        if *before == message.body {
            return Ok(());
        }
        let read = |body: &[u8]| Envelope::decode(body).map_err(|e| format!("{}: {e}", message.id));
        equal(&read(before)?, &read(&message.body)?).map_err(|why| format!("{} has two envelopes: {why}", message.id))
    }
}

fn equal(one: &Envelope, other: &Envelope) -> Verdict {
    let (one, other) = (plain(one), plain(other));
    if one == other {
        return Ok(());
    }
    let value = |e: &Envelope| serde_json::to_value(e).unwrap_or_default();
    Err(difference(&value(&one), &value(&other)))
}

/// SPEC 3.2; of an effect from its worker, unit, name and moment (A60).
fn derived(e: &Envelope) -> Option<EventId> {
    if e.event_type != opsloop_shell::bind::KIND_EFFECT {
        return Some(ids::event_id(&e.event_type, &e.tenant_id, &e.idempotency_key, e.revision));
    }
    let of = |name: &str| e.payload.0.get(name)?.as_str();
    let at: Timestamp = of("at")?.parse().ok()?;
    Some(ids::effect_id(of("worker")?, &e.tenant_id, of("stream")?, of("key")?, of("name")?, at))
}

#[cfg(test)]
mod tests {
    use super::{super::rig::*, *};
    use serde_json::json;

    fn owing(envelope: &Envelope) -> OneIdentity {
        let mut oracle = OneIdentity::new(&Plan::default());
        oracle.applied(&commit(vec![], vec![envelope.clone()])).unwrap();
        oracle
    }

    #[test]
    fn what_is_owed_is_published_under_its_id_however_often() {
        let fact = fact("A", "1", json!({"x": 1}));
        let mut oracle = owing(&fact);
        oracle.published(&message(&fact)).unwrap();
        let again = Envelope { recorded_at: at("10:06:00"), ..fact };
        oracle.published(&message(&again)).unwrap();
    }

    #[test]
    fn two_envelopes_under_one_id_are_noticed() {
        let fact = fact("A", "1", json!({"x": 1}));
        let mut other = fact.clone();
        other.payload = opsloop_kernel::Body(json!({"x": 2}));
        let mut oracle = owing(&fact);
        oracle.published(&message(&fact)).unwrap();
        fails(oracle.published(&message(&other)), "payload.x: 1 / 2");
        fails(owing(&fact).published(&message(&other)), "otherwise than owed");
        let mut misnamed = message(&fact);
        misnamed.properties.insert("tenant".into(), "globex".into());
        fails(owing(&fact).published(&misnamed), "with the tenant `globex`, not `acme`");
    }

    #[test]
    fn what_nobody_owes_and_what_was_drawn_are_noticed() {
        let fact = fact("A", "1", json!({}));
        let mut oracle = OneIdentity::new(&Plan::default());
        fails(oracle.published(&message(&fact)), "no commit owes it");
        let drawn = Envelope { event_id: event("evt-1"), ..fact };
        fails(oracle.applied(&commit(vec![], vec![drawn])), "does not follow from its key");
    }

    #[test]
    fn inputs_and_copies_are_others_business() {
        let fact = fact("A", "1", json!({}));
        let mut plan = Plan::default();
        plan.arrivals.push(offer(Offer::Event(Box::new(fact.clone()))));
        OneIdentity::new(&plan).published(&message(&fact)).unwrap();
        OneIdentity::new(&Plan::default()).published(&copy(&message(&fact), "W", 1, 1)).unwrap();
    }
    #[test]
    fn a_batch_that_bears_another_id_than_its_hash_is_noticed() {
        let (signal, body) = (opsloop_kernel::TelemetrySignal::Logs, Bytes::from_static(b"logs"));
        let mut plan = Plan::default();
        plan.arrivals.push(offer(Offer::Otlp { signal, body: body.clone() }));
        let mut oracle = OneIdentity::new(&plan);
        let mut part = message(&fact("A", "1", json!({})));
        part.to = Destination::Queue("logs".into());
        part.properties.insert("batchId".into(), batch_id(&tenant("acme"), signal, &body));
        oracle.published(&part).unwrap();
        part.properties.insert("batchId".into(), "of-the-try".into());
        fails(oracle.published(&part), "the hash of nothing that was sent");
    }
}
