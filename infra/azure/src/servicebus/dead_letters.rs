//! The dead-letter subqueues: looked at by `$management`, completed by receiving.
//!
//! The service has no operation that takes one message by its number, deferred ones aside. So the subqueue is received
//! from under locks, oldest first, until the message is found; the others are released. Release counts as a delivery, which
//! harms nobody: a dead letter cannot die once more.

use super::{
    bus::Bus,
    error::{BusError, Scope},
    management,
    message::{self, Incoming},
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
const PAGE: u32 = 100;
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
    let there = management::peek(bus, &entity, sequence, 1).await?;
    if there.first().and_then(message::sequence) != Some(sequence) {
        return Ok(());
    }
    let mut receiver = bus.receiver(&entity).await?;
    let mut held = Vec::new();
    let found = bus.answering("find a dead letter", Scope::Link, find(&mut receiver, sequence, &mut held)).await;
    let settle = async {
        if let Ok(delivery) = &found {
            receiver.accept(delivery).await.map_err(BusError::connection)?;
        }
        for delivery in &held {
            receiver.release(delivery).await.map_err(BusError::connection)?;
        }
        // Settled before the link goes: closing waits for the service to have read it all.
        receiver.close().await.map_err(BusError::connection)
    };
    let settled = bus.answering("settle dead letters", Scope::Link, settle).await;
    found.and(settled)
}

type Held = Delivery<Body<Value>>;

async fn find(receiver: &mut Receiver, sequence: i64, held: &mut Vec<Held>) -> Result<Held, BusError> {
    while held.len() < HELD_MAX {
        receiver.set_credit(PAGE).await.map_err(BusError::connection)?;
        for _ in 0..PAGE {
            let Ok(delivery) = tokio::time::timeout(QUIET, receiver.recv::<Body<Value>>()).await else {
                return Err(elsewhere(sequence));
            };
            let delivery: Held = delivery.map_err(BusError::connection)?;
            let message: &Incoming = delivery.message();
            if message::sequence(message) == Some(sequence) {
                return Ok(delivery);
            }
            held.push(delivery);
        }
    }
    Err(elsewhere(sequence))
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
