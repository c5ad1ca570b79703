//! The dead-letter subqueues: looked at by `$management`, completed by receiving.
//!
//! The service has no operation that takes one message by its number, deferred ones aside. So the subqueue is received
//! from under locks, until the message is found; the others are released. Release counts as a delivery, which
//! harms nobody: a dead letter cannot die once more.

use super::{
    bus::Bus,
    error::{BusError, Scope},
    management::{self, PEEK_MAX},
    message,
};
use fe2o3_amqp::{
    Delivery, Receiver,
    types::{messaging::Body, primitives::Value},
};
use opsloop_kernel::{
    Destination,
    message::{DeadLetter, TOPIC},
};
use std::time::Duration;

/// Received under locks while looking for one: as many as an operator is shown of one handler.
const HELD_MAX: usize = 1_000;
/// Credit at a time.
const PAGE: usize = 100;
/// After this nothing more comes: what is left is in somebody else's hands.
const QUIET: Duration = Duration::from_secs(2);

pub(super) async fn peek(bus: &Bus, handler: &str, after: i64, limit: usize) -> Result<Vec<DeadLetter>, BusError> {
    let (to, entity) = subqueue(bus, handler)?;
    let found = management::peek(bus, &entity, after.saturating_add(1), limit).await?;
    Ok(found.iter().filter_map(|m| message::dead_letter(handler, to.clone(), m)).collect())
}

/// One that is gone is completed already.
pub(super) async fn complete(bus: &Bus, handler: &str, sequence: i64) -> Result<(), BusError> {
    let (_, entity) = subqueue(bus, handler)?;
    let Some(position) = position(bus, &entity, sequence).await? else { return Ok(()) };
    let mut receiver = bus.receiver(&entity).await?;
    let mut held = Vec::new();
    let searched = find(&mut receiver, sequence, position, &mut held);
    let searched = bus.answering("find a dead letter", Scope::Link, searched).await;
    let mut found = false;
    let settle = async {
        for delivery in &held {
            if message::sequence(delivery.message()) == Some(sequence) {
                receiver.accept(delivery).await.map_err(BusError::connection)?;
                found = true;
            } else {
                receiver.release(delivery).await.map_err(BusError::connection)?;
            }
        }
        // Closing waits for an answer, before which the service has read all that was settled.
        receiver.close().await.map_err(BusError::connection)
    };
    bus.answering("settle dead letters", Scope::Link, settle).await?;
    if found { Ok(()) } else { searched.and(Err(elsewhere(sequence))) }
}

/// How many dead letters there are up to this one, itself included. `None`: it is not there.
async fn position(bus: &Bus, entity: &str, sequence: i64) -> Result<Option<usize>, BusError> {
    let (mut before, mut from) = (0, 0);
    while before < HELD_MAX {
        let page = management::peek(bus, entity, from, PEEK_MAX).await?;
        let sequences: Vec<i64> = page.iter().filter_map(message::sequence).collect();
        if let Some(at) = sequences.iter().position(|s| *s >= sequence) {
            return Ok((sequences[at] == sequence).then_some(before + at + 1));
        }
        let Some(last) = sequences.last() else { return Ok(None) };
        (before, from) = (before + page.len(), last.saturating_add(1));
    }
    Err(elsewhere(sequence))
}

type Held = Delivery<Body<Value>>;

/// Receives until the message is among what is held. Credit is for what is expected, and all of it is waited for: whatever
/// came and was not settled would stay locked until its lock runs out.
async fn find(
    receiver: &mut Receiver,
    sequence: i64,
    mut expected: usize,
    held: &mut Vec<Held>,
) -> Result<(), BusError> {
    while held.len() < HELD_MAX {
        // Beyond what was expected: others hold some, or the order is another one. Then there may be one more.
        let credit = expected.clamp(1, PAGE);
        expected = expected.saturating_sub(credit);
        receiver.set_credit(u32::try_from(credit).unwrap_or(1)).await.map_err(BusError::connection)?;
        for _ in 0..credit {
            let Ok(delivery) = tokio::time::timeout(QUIET, receiver.recv::<Body<Value>>()).await else {
                return Ok(());
            };
            held.push(delivery.map_err(BusError::connection)?);
        }
        if held.iter().any(|delivery| message::sequence(delivery.message()) == Some(sequence)) {
            return Ok(());
        }
    }
    Ok(())
}

fn elsewhere(sequence: i64) -> BusError {
    let why = format!("dead letter {sequence} is locked by somebody else, or too many are before it");
    BusError::Refused { condition: "not received".to_owned(), why }
}

/// Where the handler's messages were sent, and where they lie now.
fn subqueue(bus: &Bus, handler: &str) -> Result<(Destination, String), BusError> {
    let Some(to) = bus.options.handlers.get(handler) else {
        let why = "the catalogue does not know it".to_owned();
        return Err(BusError::NoSuchEntity { entity: handler.to_owned(), why });
    };
    let path = match to {
        Destination::Topic => format!("{TOPIC}/Subscriptions/{handler}/$DeadLetterQueue"),
        Destination::Queue(name) => format!("{name}/$DeadLetterQueue"),
    };
    Ok((to.clone(), path))
}
