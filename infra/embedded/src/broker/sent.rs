//! A message on its way into the broker.

use super::filter::{Fact, System};
use bytes::Bytes;
use opsloop_kernel::{Message, message::property};
use std::{collections::BTreeMap, time::Duration};

/// What the platform reads of a message, and beside it what a client of the AMQP front sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub message: Message,
    /// The message's own bytes, which are handed out as they came. None: it was published in process.
    pub wire: Option<Bytes>,
    /// None: for ever.
    pub time_to_live: Option<Duration>,
    /// Properties that are no text, for filters.
    pub typed: BTreeMap<String, Fact>,
    /// Of Service Bus itself, besides what the message has.
    pub system: BTreeMap<System, String>,
}

impl From<Message> for Sent {
    fn from(message: Message) -> Self {
        Self { message, wire: None, time_to_live: None, typed: BTreeMap::new(), system: BTreeMap::new() }
    }
}

impl Sent {
    /// As a filter sees an application property.
    pub(super) fn user(&self, name: &str) -> Option<Fact> {
        let text = || self.message.properties.get(name).cloned().map(Fact::Text);
        self.typed.get(name).cloned().or_else(text)
    }

    /// As a filter sees a property of Service Bus.
    pub(super) fn system(&self, name: System) -> Option<String> {
        let message = &self.message;
        let of_message = match name {
            System::MessageId => Some(&message.id),
            System::ContentType => Some(&message.content_type),
            System::CorrelationId => message.properties.get(property::CORRELATION_ID),
            _ => None,
        };
        self.system.get(&name).or(of_message).filter(|text| !text.is_empty()).cloned()
    }

    pub(super) fn size(&self) -> usize {
        if let Some(wire) = &self.wire {
            return wire.len();
        }
        let message = &self.message;
        let properties: usize = message.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        message.body.len() + properties + message.id.len() + message.content_type.len()
    }
}
