//! The broker as the embedded host's source of messages.

use super::{Broker, BrokerError, Held, Lock};
use crate::amqp;
use crate::host::{BoxFuture, Delivered, Entity, LockToken, Source, SourceError, Value};
use opsloop_kernel::{Timestamp, message::property};
use std::time::Duration;

impl Source for Broker {
    fn receive<'a>(
        &'a self,
        entity: &'a Entity,
        max: usize,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Vec<Delivered>, SourceError>> {
        Box::pin(async move {
            let found = Self::receive(self, entity, max, wait).await.map_err(told)?;
            Ok(found.into_iter().map(|held| delivered(entity, held)).collect())
        })
    }

    fn complete<'a>(&'a self, _: &'a Entity, lock: &'a LockToken) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move { Self::complete(self, parsed(lock)?).await.map_err(told) })
    }

    fn abandon<'a>(&'a self, _: &'a Entity, lock: &'a LockToken) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move { Self::abandon(self, parsed(lock)?).await.map_err(told) })
    }

    fn renew<'a>(&'a self, _: &'a Entity, lock: &'a LockToken) -> BoxFuture<'a, Result<jiff::Timestamp, SourceError>> {
        Box::pin(async move { Self::renew(self, parsed(lock)?).await.map(instant).map_err(told) })
    }
}

/// A token that is not one of ours locks nothing.
fn parsed(lock: &LockToken) -> Result<Lock, SourceError> {
    lock.0.parse().map_err(|()| SourceError::LockLost)
}

fn told(error: BrokerError) -> SourceError {
    match error {
        BrokerError::LockLost => SourceError::LockLost,
        BrokerError::NoSuchEntity => SourceError::NoSuchEntity,
        BrokerError::Fault(fault) => SourceError::Unavailable(fault.kind().to_owned()),
    }
}

fn instant(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.millis()).unwrap_or_default()
}

/// What a client sent over the wire is shown with the types it was sent with.
fn delivered(entity: &Entity, held: Held) -> Delivered {
    let wire = held.wire.is_some().then(|| held.clone());
    let mut delivered = published(entity, held);
    if let Some(held) = wire {
        amqp::hosted::complete(&mut delivered, &held);
    }
    delivered
}

fn published(entity: &Entity, held: Held) -> Delivered {
    let message = held.delivered.message;
    let correlation_id = message.properties.get(property::CORRELATION_ID).cloned();
    let mut properties: Vec<_> =
        message.properties.into_iter().map(|(name, value)| (name, Value::text(value))).collect();
    let mut dead_letter_source = None;
    if let Some(died) = held.died {
        properties.push(("DeadLetterReason".to_owned(), Value::text(died.reason)));
        properties.push(("DeadLetterErrorDescription".to_owned(), Value::text(died.description)));
        dead_letter_source = Some(Entity { dead_letters: false, ..entity.clone() }.to_string());
    }
    Delivered {
        lock: Some(LockToken(held.lock.to_string())),
        message_id: Some(message.id).filter(|id| !id.is_empty()),
        body: message.body,
        content_type: Some(message.content_type).filter(|text| !text.is_empty()),
        correlation_id,
        properties,
        delivery_count: held.delivered.deliveries,
        sequence_number: held.sequence,
        enqueued_at: held.delivered.enqueued_at.map(instant).unwrap_or_default(),
        locked_until: Some(instant(held.locked_until)),
        dead_letter_source,
        ..Delivered::default()
    }
}
