//! Copies of a delivery (SPEC 3.6, A3, A36): the same bytes, a new broker message with an id of its own, for the same
//! worker only.

use crate::{
    delivery::{CopyState, original_id},
    invocation::Received,
};
use opsloop_kernel::{
    Destination, Fault, Message, Mutant, Outcome, Timestamp, ids, message::property, mutant, ports::Publisher,
};
use std::collections::BTreeMap;

/// Where the copies of a trigger's messages go: back to the queue, or to the worker's subscription by audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    Subscription,
    Queue(&'static str),
}

/// The next copy of what was received. `state` is that of the copy but for `hop`, which grows here.
pub fn copy_of(received: &Received, worker: &str, home: Home, state: &CopyState, at: Option<Timestamp>) -> Message {
    let hop = if mutant::is(Mutant::HopNotGrown) { 1 } else { state.hop + 1 };
    let mut p: BTreeMap<String, String> = received.properties.clone();
    p.insert(property::HOP.into(), hop.to_string());
    if !mutant::is(Mutant::AttemptCounterNotCarried) {
        p.insert(property::ATTEMPT.into(), state.attempt.to_string());
    }
    p.insert(property::RACES.into(), state.races.to_string());
    set(&mut p, property::MOMENT, state.moment.map(|t| t.to_string()));
    set(&mut p, property::AFTER, state.after.clone());
    set(&mut p, property::FIRST_AT, state.first_at.map(|t| t.to_string()));
    let to = match home {
        Home::Subscription => {
            p.insert(property::AUDIENCE.into(), worker.to_owned());
            Destination::Topic
        }
        Home::Queue(name) => Destination::Queue(name.to_owned()),
    };
    let original = original_id(received);
    let its_own = !mutant::is(Mutant::CopyWithTheOriginalsMessageId);
    Message {
        id: if its_own { ids::copy_id(&original, worker, hop) } else { original },
        to,
        properties: p,
        content_type: received.content_type.clone().unwrap_or_else(|| "application/json".into()),
        body: received.body.clone(),
        not_before: at,
    }
}

fn set(properties: &mut BTreeMap<String, String>, name: &str, value: Option<String>) {
    match value {
        Some(v) => properties.insert(name.into(), v),
        None => properties.remove(name),
    };
}

/// Publishes one message; a rejection is a fault here, for the original is still in hand.
pub async fn publish(message: Message, publisher: &dyn Publisher) -> Result<(), Fault> {
    match publisher.publish(std::slice::from_ref(&message)).await?.first() {
        Some(Outcome::Accepted) => Ok(()),
        Some(Outcome::Rejected { .. }) | None => Err(Fault::Unavailable { dependency: Fault::BROKER }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn received(properties: &[(&str, &str)], id: &str) -> Received {
        Received {
            body: Bytes::from_static(b"x"),
            message_id: id.into(),
            content_type: None,
            deliveries: 1,
            enqueued_at: None,
            properties: properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }
    }

    #[test]
    fn a36_a_copy_of_a_copy_has_the_next_hop_of_the_original() {
        let first = received(&[], "evt-1");
        let one = copy_of(&first, "W", Home::Subscription, &CopyState::of(&first.properties), None);
        assert_eq!(one.id, "evt-1:W:h1");
        let second = Received { properties: one.properties, ..received(&[], &one.id) };
        let two = copy_of(&second, "W", Home::Subscription, &CopyState::of(&second.properties), None);
        assert_eq!((two.id.as_str(), two.properties["audience"].as_str()), ("evt-1:W:h2", "W"));
    }

    #[test]
    fn env_07_a_copy_of_a_batch_keeps_its_properties_and_its_queue() {
        let p = [("batchId", "ab"), ("part", "0"), ("tenant", "acme"), ("receivedAt", "2026-11-21T10:00:00.000Z")];
        let batch = received(&p, "ab|0");
        let copy = copy_of(&batch, "T", Home::Queue("otlp-traces"), &CopyState::of(&batch.properties), None);
        assert_eq!((copy.id.as_str(), copy.to.clone()), ("ab|0:T:h1", Destination::Queue("otlp-traces".into())));
        for (k, v) in p {
            assert_eq!(copy.properties[k], v);
        }
        assert_eq!(copy.body, batch.body);
        assert!(!copy.properties.contains_key("audience"));
    }
}
