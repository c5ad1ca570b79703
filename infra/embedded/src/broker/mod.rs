//! The broker of one machine: what of Service Bus the platform uses (DESIGN 6 and 12), durable in `broker.sqlite3`.
//!
//! One topic with a subscription per worker, queues, peek-lock, scheduled messages, the duplicate window, dead letters.
//! All time comes from a clock that is given. When a publish returns, the messages survive the process. A lock is lost in
//! two ways: it runs out, or the broker is opened again, for its owner is its only consumer: whoever held a lock died with
//! it, and waiting for the lock would only be waiting. That delivery has counted.
//! The easily broken rule: within the duplicate window an id is taken once *per entity that it is sent to*, and an
//! accepted duplicate is dropped without a word. Who copies a message gives the copy an id of its own (A3, A36).
//! Left out on purpose: sessions, transactions.

mod boxes;
mod clients;
mod core;
mod filter;
mod lock;
mod ports;
mod rules;
mod schema;
mod sent;
mod source;
mod statements;
mod topology;

pub use filter::{Fact, Filter, System};
pub use lock::Lock;
pub use rules::{DEFAULT as DEFAULT_RULE, Rule, RuleError};
pub use sent::Sent;
pub use topology::{Narrowed, Subscription, Topology};

use crate::{
    host::Entity,
    sqlite::{self, Shared},
};
use boxes::Boxes;
use bytes::Bytes;
use core::Core;
use opsloop_kernel::{Clock, Delivered, Fault, Message, Outcome, Timestamp, message::MESSAGE_BYTES_MAX};
use std::{fmt, io, ops::AddAssign, path::Path, sync::Arc, time::Duration};

/// What Azure lets one set on an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub lock: Duration,
    pub duplicate_window: Duration,
    pub message_bytes_max: usize,
}
impl Default for Settings {
    fn default() -> Self {
        Self {
            lock: Duration::from_secs(60),
            duplicate_window: Duration::from_secs(600),
            message_bytes_max: MESSAGE_BYTES_MAX,
        }
    }
}

/// A delivery under a lock, or a copy that was peeked at (then the lock is nobody's).
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub lock: Lock,
    pub locked_until: Timestamp,
    pub sequence: i64,
    pub delivered: Delivered,
    pub died: Option<Died>,
    /// As a client of the AMQP front sent it, if one did.
    pub wire: Option<Bytes>,
    /// What clients changed of its properties since: encoded maps, one after another.
    pub modified: Bytes,
    /// Before this delivery.
    pub state: State,
    /// None: never.
    pub expires_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Active,
    Scheduled,
    Locked,
    /// Put aside: delivered only to who asks for it by its sequence number.
    Deferred,
}

/// How a delivery ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    Complete,
    /// Available again at once; after its last delivery a dead letter.
    Abandon,
    Defer,
    DeadLetter {
        reason: String,
        description: String,
    },
}

/// Of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Died {
    pub reason: String,
    pub description: String,
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Available now.
    pub active: u64,
    /// Delivered and not yet settled.
    pub locked: u64,
    pub scheduled: u64,
    pub dead: u64,
}
impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.active += other.active;
        self.locked += other.locked;
        self.scheduled += other.scheduled;
        self.dead += other.dead;
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerError {
    /// The lock ran out, or the message is settled.
    LockLost,
    NoSuchEntity,
    Fault(Fault),
}
impl From<Fault> for BrokerError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LockLost => f.write_str("lock lost"),
            Self::NoSuchEntity => f.write_str("no such entity"),
            Self::Fault(fault) => write!(f, "{}", fault.kind()),
        }
    }
}
impl std::error::Error for BrokerError {}

pub struct Broker {
    core: Shared<Core>,
    boxes: Arc<Boxes>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    tap: Option<Tap>,
}

/// Sees every message that was accepted.
pub type Tap = Arc<dyn Fn(&Message) + Send + Sync>;

impl Broker {
    /// Opens `broker.sqlite3` in the data folder. Entities that the topology does not name keep what they have.
    pub fn open(folder: &Path, topology: &Topology, settings: Settings, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let connection = sqlite::open(&folder.join(schema::FILE), schema::CREATE, schema::VERSION)?;
        let core = Core::new(connection, topology, settings, clock.now()).map_err(io::Error::other)?;
        let boxes = core.boxes();
        Ok(Self { core: Shared::in_file(core, Fault::BROKER), boxes, settings, clock, tap: None })
    }

    /// The same without a file, for the simulator: a call is done when its future is first polled, on any executor.
    pub fn in_memory(topology: &Topology, settings: Settings, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let connection = sqlite::in_memory(schema::CREATE, schema::VERSION)?;
        let core = Core::new(connection, topology, settings, clock.now()).map_err(io::Error::other)?;
        let boxes = core.boxes();
        Ok(Self { core: Shared::in_memory(core, Fault::BROKER), boxes, settings, clock, tap: None })
    }

    pub fn tapped(mut self, tap: Option<Tap>) -> Self {
        self.tap = tap;
        self
    }

    /// An outcome per message; accepted is durable.
    pub async fn send(&self, messages: &[Message]) -> Result<Vec<Outcome>, Fault> {
        self.send_all(messages.iter().cloned().map(Sent::from).collect()).await
    }

    /// Up to `max` messages, locked. Waits up to `wait`, on the broker's clock, for the first.
    pub async fn receive(&self, from: &Entity, max: usize, wait: Duration) -> Result<Vec<Held>, BrokerError> {
        self.receive_unless(from, max, true, wait, std::future::pending()).await
    }

    /// The same, locked or gone; waiting ends early with `stop`, so that nothing is locked for who does not listen any more.
    pub(crate) async fn receive_unless(
        &self,
        from: &Entity,
        max: usize,
        keep: bool,
        wait: Duration,
        stop: impl Future<Output = ()>,
    ) -> Result<Vec<Held>, BrokerError> {
        let the_box = self.boxes.of(from).ok_or(BrokerError::NoSuchEntity)?;
        let gate = self.boxes.gate(the_box).ok_or(BrokerError::NoSuchEntity)?;
        let deadline = self.clock.now().plus(wait);
        let mut stop = std::pin::pin!(stop);
        loop {
            // Made before looking: what comes in between wakes it.
            let filled = gate.notify.notified();
            let now = self.clock.now();
            if gate.quiet_until() <= now {
                let found = self.core.run(move |core| core.receive(the_box, max, keep, now)).await?;
                if !found.is_empty() {
                    return Ok(found);
                }
            }
            if now >= deadline {
                return Ok(Vec::new());
            }
            let pause = gate.quiet_until().min(deadline).millis_since(now).max(1);
            tokio::select! {
                () = filled => {}
                () = self.clock.sleep(pause.unsigned_abs()) => {}
                () = &mut stop => return Ok(Vec::new()),
            }
        }
    }

    pub async fn complete(&self, lock: Lock) -> Result<(), BrokerError> {
        self.settle(lock, Settlement::Complete, Bytes::new()).await
    }

    pub async fn abandon(&self, lock: Lock) -> Result<(), BrokerError> {
        self.settle(lock, Settlement::Abandon, Bytes::new()).await
    }

    pub async fn dead_letter(&self, lock: Lock, reason: &str, description: &str) -> Result<(), BrokerError> {
        let how = Settlement::DeadLetter { reason: reason.to_owned(), description: description.to_owned() };
        self.settle(lock, how, Bytes::new()).await
    }

    /// The new end of the lock.
    pub async fn renew(&self, lock: Lock) -> Result<Timestamp, BrokerError> {
        let now = self.clock.now();
        self.core.run(move |core| core.renew(lock, now)).await?
    }

    /// Copies after a sequence number, locked and scheduled ones too, without locking them.
    pub async fn peek(&self, from: &Entity, after: i64, max: usize) -> Result<Vec<Held>, BrokerError> {
        let boxes = vec![self.boxes.of(from).ok_or(BrokerError::NoSuchEntity)?];
        let now = self.clock.now();
        Ok(self.core.run(move |core| core.peek(&boxes, after, max, now)).await?)
    }

    /// Of one queue or subscription.
    pub async fn counts(&self, of: &Entity) -> Result<Counts, BrokerError> {
        let boxes = vec![self.boxes.of(of).ok_or(BrokerError::NoSuchEntity)? & !1];
        let now = self.clock.now();
        Ok(self.core.run(move |core| core.counts(&boxes, now)).await?)
    }

    /// Of everything: quiet is when nothing is active or locked (A24).
    pub async fn totals(&self) -> Result<Counts, Fault> {
        let (boxes, now) = (self.boxes.all(), self.clock.now());
        self.core.run(move |core| core.counts(&boxes, now)).await
    }

    /// The earliest instant at which a scheduled message is enqueued or a lock runs out.
    pub async fn next_wake(&self) -> Result<Option<Timestamp>, Fault> {
        self.core.run(|core| core.next_wake()).await
    }
}
