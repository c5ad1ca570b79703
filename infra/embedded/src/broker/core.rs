//! What the broker does, one transaction at a time.

use super::{
    BrokerError, Counts, Held, Settings,
    lock::Lock,
    statements::{self as sql, Locked},
    topology::{Subscription, Topology},
};
use crate::host::Entity;
use opsloop_kernel::{Destination, Message, Outcome, Timestamp, message::TOPIC};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};
use tokio::sync::Notify;

/// What the duplicate window calls the topic; entities count from 1.
const THE_TOPIC: i64 = 0;
/// Service Bus: a message id has at most 128 characters.
const MESSAGE_ID_MAX: usize = 128;
const MAYBE_NOW: i64 = i64::MIN;
const NEVER: i64 = i64::MAX;

/// The boxes that the topology names. Others in the file keep what they have until they are named again.
pub(super) struct Boxes {
    queues: BTreeMap<String, i64>,
    subscriptions: BTreeMap<String, i64>,
    gates: BTreeMap<i64, Gate>,
}

/// Tells receivers of a box when to look.
pub(super) struct Gate {
    /// Nothing is available before. Written under the lock of the connection only.
    quiet_until: AtomicI64,
    pub notify: Notify,
}

pub(super) struct Core {
    connection: Connection,
    subscriptions: Vec<(i64, Subscription)>,
    max_deliveries: u32,
    settings: Settings,
    boxes: Arc<Boxes>,
}

impl Core {
    pub fn new(
        mut connection: Connection,
        topology: &Topology,
        settings: Settings,
        now: Timestamp,
    ) -> rusqlite::Result<Self> {
        let transaction = begin(&mut connection)?;
        let mut boxes = Boxes { queues: BTreeMap::new(), subscriptions: BTreeMap::new(), gates: BTreeMap::new() };
        for name in &topology.queues {
            boxes.add(&transaction, true, name)?;
        }
        let mut subscriptions = Vec::new();
        for subscription in &topology.subscriptions {
            subscriptions.push((boxes.add(&transaction, false, &subscription.name)?, subscription.clone()));
        }
        sql::end_locks(&transaction, now.millis())?;
        transaction.commit()?;
        let max_deliveries = topology.max_delivery_count;
        Ok(Self { connection, subscriptions, max_deliveries, settings, boxes: Arc::new(boxes) })
    }

    pub fn boxes(&self) -> Arc<Boxes> {
        self.boxes.clone()
    }

    /// All of them in one transaction; an outcome for each.
    pub fn publish(&mut self, messages: &[Message], now: Timestamp) -> rusqlite::Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut filled = Vec::new();
        let transaction = begin(&mut self.connection)?;
        sql::forget(&transaction, now.millis())?;
        let window = now.plus(self.settings.duplicate_window).millis();
        for message in messages {
            if let Some(why) = refused(message, &self.boxes, self.settings.message_bytes_max) {
                outcomes.push(Outcome::Rejected { why });
                continue;
            }
            outcomes.push(Outcome::Accepted);
            let sent_to = self.boxes.sent_to(&message.to);
            if !message.id.is_empty() && !sql::is_new(&transaction, sent_to, &message.id, now.millis(), window)? {
                tracing::debug!(message_id = %message.id, "dropped: the duplicate window knows it");
                continue;
            }
            let takers = takers(message, sent_to, &self.subscriptions);
            if takers.is_empty() {
                continue;
            }
            let stored = sql::insert_message(&transaction, message)?;
            let scheduled = message.not_before.map(Timestamp::millis).filter(|at| *at > now.millis());
            for the_box in takers {
                sql::insert_copy(&transaction, the_box, stored, scheduled, now.millis())?;
                filled.push(the_box);
            }
        }
        transaction.commit()?;
        self.boxes.open(filled);
        Ok(outcomes)
    }

    /// Up to `max` copies, locked. Without any, the gate of the box is closed until something can be there.
    pub fn receive(&mut self, the_box: i64, max: usize, now: Timestamp) -> rusqlite::Result<Vec<Held>> {
        let until = now.plus(self.settings.lock).floor_millis();
        let transaction = begin(&mut self.connection)?;
        // What dies dies in the living box: dead letters are there when that has been brought to this instant.
        let living = the_box & !1;
        let mut buried = wake(&transaction, living, self.max_deliveries, now.millis())?;
        if the_box != living {
            buried = buried.or(wake(&transaction, the_box, self.max_deliveries, now.millis())?);
        }
        let mut found = sql::active(&transaction, the_box, max)?;
        for held in &mut found {
            held.delivered.deliveries += 1;
            held.lock.delivery = held.delivered.deliveries;
            held.locked_until = until;
            sql::lock(&transaction, held.lock, until.millis())?;
        }
        if found.is_empty() {
            let next = sql::next_wake(&transaction, the_box)?.into_iter().chain(sql::next_wake(&transaction, living)?);
            self.boxes.close(the_box, next.min().unwrap_or(NEVER));
        }
        transaction.commit()?;
        self.boxes.open(buried);
        if !found.is_empty() {
            // What is locked now may be dead when the lock ends: who waits for dead letters looks again then.
            self.boxes.open([living + 1]);
        }
        Ok(found)
    }

    pub fn complete(&mut self, lock: Lock, now: Timestamp) -> Settled {
        self.settle(lock, now, |transaction, copy| {
            sql::delete(transaction, copy.lock.sequence, copy.message)?;
            Ok(None)
        })
    }

    /// Available again at once; after its last delivery a dead letter.
    pub fn abandon(&mut self, lock: Lock, now: Timestamp) -> Settled {
        let max = self.max_deliveries;
        self.settle(lock, now, |transaction, copy| {
            if is_dead_letters(copy.the_box) || copy.lock.delivery < max {
                sql::unlock(transaction, copy.lock.sequence)?;
                return Ok(Some(copy.the_box));
            }
            let why = (sql::REASON_DELIVERIES, &*sql::exhausted(max));
            sql::bury(transaction, copy.lock.sequence, why, now.millis())?;
            Ok(Some(copy.the_box + 1))
        })
    }

    /// A dead letter cannot die once more: it stays one.
    pub fn dead_letter(&mut self, lock: Lock, reason: &str, description: &str, now: Timestamp) -> Settled {
        self.settle(lock, now, |transaction, copy| {
            if is_dead_letters(copy.the_box) {
                sql::unlock(transaction, copy.lock.sequence)?;
                return Ok(Some(copy.the_box));
            }
            sql::bury(transaction, copy.lock.sequence, (reason, description), now.millis())?;
            Ok(Some(copy.the_box + 1))
        })
    }

    /// The new end of the lock.
    pub fn renew(&mut self, lock: Lock, now: Timestamp) -> rusqlite::Result<Result<Timestamp, BrokerError>> {
        let until = now.plus(self.settings.lock).floor_millis();
        let renewed = self.settle(lock, now, |transaction, copy| {
            sql::relock(transaction, copy.lock.sequence, until.millis())?;
            Ok(None)
        })?;
        Ok(renewed.map(|()| until))
    }

    /// `change` says which box it filled.
    fn settle(
        &mut self,
        lock: Lock,
        now: Timestamp,
        change: impl FnOnce(&Transaction<'_>, &Locked) -> rusqlite::Result<Option<i64>>,
    ) -> Settled {
        let transaction = begin(&mut self.connection)?;
        let Some(copy) = sql::locked(&transaction, lock, now.millis())? else { return Ok(Err(BrokerError::LockLost)) };
        let filled = change(&transaction, &copy)?;
        transaction.commit()?;
        self.boxes.open(filled);
        Ok(Ok(()))
    }

    pub fn peek(&mut self, boxes: &[i64], after: i64, max: usize, now: Timestamp) -> rusqlite::Result<Vec<Held>> {
        self.wake_all(boxes.iter().map(|b| b & !1), now)?;
        let mut found = Vec::new();
        for the_box in boxes {
            found.extend(sql::peek(&self.connection, *the_box, after, max)?);
        }
        found.sort_by_key(|held| held.sequence);
        found.truncate(max);
        Ok(found)
    }

    /// Removes one copy from one of the boxes, whoever holds it. One that is gone is removed already.
    pub fn remove(&mut self, boxes: &[i64], sequence: i64) -> rusqlite::Result<()> {
        let transaction = begin(&mut self.connection)?;
        for the_box in boxes {
            if let Some(message) = sql::message_of(&transaction, *the_box, sequence)? {
                sql::delete(&transaction, sequence, message)?;
            }
        }
        transaction.commit()
    }

    pub fn counts(&mut self, boxes: &[i64], now: Timestamp) -> rusqlite::Result<Counts> {
        self.wake_all(boxes.iter().copied(), now)?;
        let mut all = Counts::default();
        for the_box in boxes {
            all += sql::counts(&self.connection, *the_box)?;
        }
        Ok(all)
    }

    pub fn next_wake(&self) -> rusqlite::Result<Option<Timestamp>> {
        let mut next = None;
        for the_box in self.boxes.gates.keys() {
            let wakes = sql::next_wake(&self.connection, *the_box)?;
            next = next.into_iter().chain(wakes).min();
        }
        Ok(next.map(Timestamp::from_millis))
    }

    fn wake_all(&mut self, boxes: impl Iterator<Item = i64>, now: Timestamp) -> rusqlite::Result<()> {
        let transaction = begin(&mut self.connection)?;
        let mut buried = Vec::new();
        for the_box in boxes {
            buried.extend(wake(&transaction, the_box, self.max_deliveries, now.millis())?);
        }
        transaction.commit()?;
        self.boxes.open(buried);
        Ok(())
    }
}

pub(super) type Settled = rusqlite::Result<Result<(), BrokerError>>;

impl Boxes {
    fn add(&mut self, connection: &Connection, is_queue: bool, name: &str) -> rusqlite::Result<i64> {
        let the_box = sql::entity(connection, is_queue, name)? * 2;
        let names = if is_queue { &mut self.queues } else { &mut self.subscriptions };
        names.insert(name.to_ascii_lowercase(), the_box);
        for one in [the_box, the_box + 1] {
            self.gates.insert(one, Gate { quiet_until: AtomicI64::new(MAYBE_NOW), notify: Notify::new() });
        }
        Ok(the_box)
    }

    /// Names are compared ignoring case, as the real bus does.
    pub fn of(&self, entity: &Entity) -> Option<i64> {
        let name = entity.name.to_ascii_lowercase();
        let the_box = match &entity.topic {
            Some(topic) if topic.eq_ignore_ascii_case(TOPIC) => self.subscriptions.get(&name),
            Some(_) => None,
            None => self.queues.get(&name),
        };
        the_box.map(|b| b + i64::from(entity.dead_letters))
    }

    /// The subscription and the queue of that name.
    pub fn named(&self, name: &str) -> Vec<i64> {
        let name = name.to_ascii_lowercase();
        self.subscriptions.get(&name).into_iter().chain(self.queues.get(&name)).copied().collect()
    }

    /// Without those of dead letters.
    pub fn all(&self) -> Vec<i64> {
        self.subscriptions.values().chain(self.queues.values()).copied().collect()
    }

    pub fn gate(&self, the_box: i64) -> Option<&Gate> {
        self.gates.get(&the_box)
    }

    fn sent_to(&self, to: &Destination) -> i64 {
        match to {
            Destination::Topic => THE_TOPIC,
            Destination::Queue(name) => self.queues.get(&name.to_ascii_lowercase()).copied().unwrap_or(THE_TOPIC),
        }
    }

    fn open(&self, boxes: impl IntoIterator<Item = i64>) {
        for gate in boxes.into_iter().filter_map(|b| self.gates.get(&b)) {
            gate.quiet_until.store(MAYBE_NOW, Ordering::Release);
            gate.notify.notify_waiters();
        }
    }

    fn close(&self, the_box: i64, until: i64) {
        if let Some(gate) = self.gates.get(&the_box) {
            gate.quiet_until.store(until, Ordering::Release);
        }
    }
}

impl Gate {
    /// When it is worth looking into the box.
    pub fn quiet_until(&self) -> Timestamp {
        match self.quiet_until.load(Ordering::Acquire) {
            MAYBE_NOW => Timestamp::from_nanos(i64::MIN),
            NEVER => Timestamp::MAX,
            at => Timestamp::from_millis(at),
        }
    }
}

fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn is_dead_letters(the_box: i64) -> bool {
    the_box % 2 == 1
}

/// Brings a box to this instant. The order matters: what is to be buried must not be taken for available.
fn wake(connection: &Connection, the_box: i64, max_deliveries: u32, now: i64) -> rusqlite::Result<Option<i64>> {
    let mut buried = 0;
    if !is_dead_letters(the_box) {
        buried = sql::bury_exhausted(connection, the_box, max_deliveries, now)?;
    }
    sql::wake(connection, the_box, now)?;
    Ok((buried > 0).then_some(the_box + 1))
}

/// Why the bus refuses a message for good.
fn refused(message: &Message, boxes: &Boxes, bytes_max: usize) -> Option<String> {
    if let Destination::Queue(name) = &message.to
        && boxes.sent_to(&message.to) == THE_TOPIC
    {
        return Some(format!("there is no queue {name}"));
    }
    if message.id.chars().count() > MESSAGE_ID_MAX {
        return Some(format!("its message id is longer than {MESSAGE_ID_MAX} characters"));
    }
    let properties: usize = message.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
    let size = message.body.len() + properties + message.id.len() + message.content_type.len();
    (size > bytes_max).then(|| format!("it has {size} bytes, at most {bytes_max}"))
}

fn takers(message: &Message, sent_to: i64, subscriptions: &[(i64, Subscription)]) -> Vec<i64> {
    if sent_to != THE_TOPIC {
        return vec![sent_to];
    }
    let mut takers: Vec<i64> =
        subscriptions.iter().filter(|(_, s)| s.takes(&message.properties)).map(|(the_box, _)| *the_box).collect();
    // A worker with two triggers on the topic has one subscription, which takes what either wants, once.
    takers.sort_unstable();
    takers.dedup();
    takers
}
