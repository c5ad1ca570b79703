//! Where messages come from: what the host needs of a Service Bus namespace.
//!
//! The embedded broker implements this. Everything is peek-lock: a message that is received stays in the entity under a lock
//! until it is completed, abandoned or its lock runs out. Dead-lettering after the maximum of deliveries is the broker's
//! business: the host only abandons.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::clock::BoxFuture;
use super::value::Value;

/// A queue or a subscription, or the dead-letter sub-queue of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entity {
    /// `None` for a queue.
    pub topic: Option<String>,
    /// The queue's name, or the subscription's.
    pub name: String,
    pub dead_letters: bool,
}

impl Entity {
    pub fn queue(name: impl Into<String>) -> Self {
        Self { topic: None, name: name.into(), dead_letters: false }.without_suffix()
    }

    pub fn subscription(topic: impl Into<String>, name: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), name: name.into(), dead_letters: false }.without_suffix()
    }

    /// function.json names a dead-letter queue as `<entity>/$DeadLetterQueue`, in any case.
    fn without_suffix(mut self) -> Self {
        const SUFFIX: &str = "/$deadletterqueue";
        if self.name.to_ascii_lowercase().ends_with(SUFFIX) {
            self.name.truncate(self.name.len() - SUFFIX.len());
            self.dead_letters = true;
        }
        self
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(topic) = &self.topic {
            write!(f, "{topic}/subscriptions/")?;
        }
        f.write_str(&self.name)?;
        if self.dead_letters { f.write_str("/$deadletterqueue") } else { Ok(()) }
    }
}

/// The lock on one delivery, a GUID on the real bus.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockToken(pub String);

/// One delivery under a lock. `None` means that the sender did not set it.
#[derive(Debug, Clone, Default)]
pub struct Delivered {
    pub lock: Option<LockToken>,
    pub message_id: Option<String>,
    pub body: Bytes,
    pub content_type: Option<String>,
    pub subject: Option<String>,
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    pub to: Option<String>,
    pub session_id: Option<String>,
    pub reply_to_session_id: Option<String>,
    pub partition_key: Option<String>,
    /// In the order in which they are to be shown to the handler.
    pub properties: Vec<(String, Value)>,
    /// 1 at the first delivery.
    pub delivery_count: u32,
    pub sequence_number: i64,
    pub enqueued_at: Timestamp,
    /// `None`: never.
    pub expires_at: Option<Timestamp>,
    pub locked_until: Option<Timestamp>,
    /// Set on what was dead-lettered: the entity it came from. Reason and description are application properties
    /// (`DeadLetterReason`, `DeadLetterErrorDescription`), as they are on the real bus.
    pub dead_letter_source: Option<String>,
}

/// Why the source did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceError {
    /// The lock ran out or the message is settled: it will be, or was, delivered again.
    LockLost,
    /// Nothing of that name.
    NoSuchEntity,
    Unavailable(String),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LockLost => f.write_str("lock lost"),
            Self::NoSuchEntity => f.write_str("no such entity"),
            Self::Unavailable(why) => write!(f, "unavailable: {why}"),
        }
    }
}

impl std::error::Error for SourceError {}

pub trait Source: Send + Sync {
    /// Up to `max` messages, locked. Waits up to `wait` for the first one and then returns what there is: `wait` zero asks
    /// for what is available now. Dropping the future must not leave messages locked for longer than their lock lasts.
    fn receive<'a>(
        &'a self,
        entity: &'a Entity,
        max: usize,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Vec<Delivered>, SourceError>>;

    fn complete<'a>(&'a self, entity: &'a Entity, lock: &'a LockToken) -> BoxFuture<'a, Result<(), SourceError>>;

    /// The message is available again at once, with one delivery more; at the maximum it becomes a dead letter.
    fn abandon<'a>(&'a self, entity: &'a Entity, lock: &'a LockToken) -> BoxFuture<'a, Result<(), SourceError>>;

    /// Returns the new end of the lock.
    fn renew<'a>(&'a self, entity: &'a Entity, lock: &'a LockToken) -> BoxFuture<'a, Result<Timestamp, SourceError>>;
}

/// A host without a bus: message functions wait for ever.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoSource;

impl Source for NoSource {
    fn receive<'a>(
        &'a self,
        _: &'a Entity,
        _: usize,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Vec<Delivered>, SourceError>> {
        Box::pin(async move {
            tokio::time::sleep(wait).await;
            Ok(Vec::new())
        })
    }

    fn complete<'a>(&'a self, _: &'a Entity, _: &'a LockToken) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async { Err(SourceError::LockLost) })
    }

    fn abandon<'a>(&'a self, _: &'a Entity, _: &'a LockToken) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async { Err(SourceError::LockLost) })
    }

    fn renew<'a>(&'a self, _: &'a Entity, _: &'a LockToken) -> BoxFuture<'a, Result<Timestamp, SourceError>> {
        Box::pin(async { Err(SourceError::LockLost) })
    }
}
