//! Causal closure (SPEC 13.1(5), 3.9): what is not a root names the event in hand, which was published or received, and
//! is one deeper than it.

use super::reading;
use crate::{
    journal::{Applied, Oracle, Verdict},
    plan::{Offer, Plan},
};
use opsloop_kernel::{Destination, Envelope, EventId, Message, TenantId, envelope::CAUSATION_DEPTH_MAX, ids};
use std::collections::BTreeMap;

type Key = (TenantId, String);

pub struct CausalClosure {
    /// Depths of what was published or received.
    known: BTreeMap<Key, u8>,
    /// Depths of what is owed, until the broker has it.
    owed: BTreeMap<Key, u8>,
}

impl CausalClosure {
    pub fn new(plan: &Plan) -> Self {
        let mut known = BTreeMap::new();
        for a in &plan.arrivals {
            let (id, depth) = match &a.offer {
                Offer::Event(e) => (e.event_id.clone(), e.causation_depth),
                Offer::Command { method, path, key, .. } => (command(&a.tenant, method.name(), path, key), 0),
                Offer::Hostile { body, .. } => match Envelope::decode(body) {
                    Ok(e) => (e.event_id, e.causation_depth),
                    Err(_) => continue,
                },
                Offer::Otlp { .. } => continue,
            };
            known.entry((a.tenant.clone(), id.to_string())).or_insert(depth);
        }
        Self { known, owed: BTreeMap::new() }
    }

    fn check(&self, commit: &Applied, e: &Envelope) -> Verdict {
        let what = format!("{} {}", e.event_type, e.event_id);
        let depth = e.causation_depth;
        let Some(cause) = &e.causation_id else {
            return if depth == 0 { Ok(()) } else { Err(format!("{what} has depth {depth} and no cause")) };
        };
        let in_hand = commit.marker.as_ref().and_then(reading::marker).map(|(_, event, _)| event);
        if in_hand != Some(cause.as_str()) {
            return Err(format!("{what} names the cause {cause}, while {} was in hand", in_hand.unwrap_or("no event")));
        }
        let Some(of_cause) = self.known.get(&(e.tenant_id.clone(), cause.to_string())) else {
            return Err(format!("{what} names the cause {cause}, which was neither published nor received"));
        };
        if depth != of_cause.saturating_add(1) || depth > CAUSATION_DEPTH_MAX {
            return Err(format!("{what} has depth {depth}, its cause {cause} {of_cause}"));
        }
        Ok(())
    }
}

/// The id of a command in the plan (A53).
pub fn command(tenant: &TenantId, method: &str, path: &str, key: &str) -> EventId {
    let path = path.split('?').next().unwrap_or(path);
    ids::command_id(tenant, method, path, key)
}

impl Oracle for CausalClosure {
    fn name(&self) -> &'static str {
        "causal closure"
    }

    fn applied(&mut self, commit: &Applied) -> Verdict {
        commit.owed.iter().try_for_each(|e| self.check(commit, e))?;
        let owed = commit.owed.iter();
        self.owed.extend(owed.map(|e| ((e.tenant_id.clone(), e.event_id.to_string()), e.causation_depth)));
        Ok(())
    }

    fn published(&mut self, message: &Message) -> Verdict {
        if message.to != Destination::Topic || reading::hop(message).is_some() {
            return Ok(());
        }
        let tenant = TenantId::parse(reading::property(message, opsloop_kernel::message::property::TENANT));
        if let Ok(tenant) = tenant
            && let Some((key, depth)) = self.owed.remove_entry(&(tenant, message.id.clone()))
        {
            self.known.insert(key, depth);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rig::*, *};
    use serde_json::json;

    fn knowing(cause: &Envelope) -> CausalClosure {
        let mut oracle = CausalClosure::new(&Plan::default());
        oracle.applied(&commit(vec![], vec![cause.clone()])).unwrap();
        oracle.published(&message(cause)).unwrap();
        oracle
    }
    fn of(cause: &Envelope, effect: Envelope) -> Applied {
        about("W", cause.event_id.as_str(), commit(vec![], vec![effect]))
    }

    #[test]
    fn a_chain_of_published_facts_and_a_command_are_right() {
        let cause = fact("A", "1", json!({}));
        knowing(&cause).applied(&of(&cause, caused(fact("B", "1", json!({})), &cause))).unwrap();
        let (method, key) = (opsloop_kernel::http::Method::Post, "k".to_owned());
        let (path, body) = ("/v1/incidents?x=1".to_owned(), json!({}));
        let mut plan = Plan::default();
        plan.arrivals.push(offer(Offer::Command { method, path, body, key, expect: vec![201] }));
        let id = command(&tenant("acme"), "POST", "/v1/incidents", "k");
        let command = Envelope { event_id: id, ..fact("C", "1", json!({})) };
        CausalClosure::new(&plan).applied(&of(&command, caused(fact("B", "1", json!({})), &command))).unwrap();
    }

    #[test]
    fn a_cause_that_nobody_published_is_noticed() {
        let cause = fact("A", "1", json!({}));
        let mut oracle = CausalClosure::new(&Plan::default());
        oracle.applied(&commit(vec![], vec![cause.clone()])).unwrap();
        fails(oracle.applied(&of(&cause, caused(fact("B", "1", json!({})), &cause))), "neither published nor received");
    }

    #[test]
    fn a_wrong_depth_or_cause_is_noticed() {
        let (cause, effect) = (fact("A", "1", json!({})), fact("B", "1", json!({})));
        let deep = Envelope { causation_depth: 3, ..caused(effect.clone(), &cause) };
        fails(knowing(&cause).applied(&of(&cause, deep)), "has depth 3, its cause");
        let other = fact("A", "2", json!({}));
        fails(knowing(&cause).applied(&of(&other, caused(effect.clone(), &cause))), "was in hand");
        fails(knowing(&cause).applied(&commit(vec![], vec![caused(effect.clone(), &cause)])), "while no event");
        let orphan = Envelope { causation_depth: 1, ..effect };
        fails(knowing(&cause).applied(&commit(vec![], vec![orphan])), "has depth 1 and no cause");
    }
}
