//! A message on its way into the broker.

use bytes::Bytes;
use opsloop_kernel::Message;
use std::time::Duration;

/// What the platform reads of a message, and beside it what a client of the AMQP front sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub message: Message,
    /// The message's own bytes, which are handed out as they came. None: it was published in process.
    pub wire: Option<Bytes>,
    /// None: for ever.
    pub time_to_live: Option<Duration>,
}

impl From<Message> for Sent {
    fn from(message: Message) -> Self {
        Self { message, wire: None, time_to_live: None }
    }
}

impl Sent {
    pub(super) fn size(&self) -> usize {
        if let Some(wire) = &self.wire {
            return wire.len();
        }
        let message = &self.message;
        let properties: usize = message.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        message.body.len() + properties + message.id.len() + message.content_type.len()
    }
}
