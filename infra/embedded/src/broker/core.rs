//! What the broker does, one transaction at a time.

use super::{
    BrokerError, Counts, Held, Settings, Settlement,
    boxes::{Boxes, NEVER, THE_TOPIC},
    lock::Lock,
    rules::Rules,
    sent::Sent,
    statements::{self as sql, Locked},
    topology::{Subscription, Topology},
};
use opsloop_kernel::{Destination, Outcome, Timestamp};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::{collections::BTreeMap, sync::Arc};

/// Service Bus: a message id has at most 128 characters.
const MESSAGE_ID_MAX: usize = 128;

pub(super) struct Core {
    pub(super) connection: Connection,
    pub(super) subscriptions: Vec<(i64, Subscription)>,
    /// By the box of their subscription.
    pub(super) rules: BTreeMap<i64, Rules>,
    pub(super) max_deliveries: u32,
    pub(super) settings: Settings,
    pub(super) boxes: Arc<Boxes>,
}

impl Core {
    pub fn new(
        mut connection: Connection,
        topology: &Topology,
        settings: Settings,
        now: Timestamp,
    ) -> rusqlite::Result<Self> {
        let transaction = begin(&mut connection)?;
        let mut boxes = Boxes::default();
        for name in &topology.queues {
            boxes.add(&transaction, true, name)?;
        }
        let (mut subscriptions, mut rules) = (Vec::new(), BTreeMap::new());
        for subscription in &topology.subscriptions {
            let the_box = boxes.add(&transaction, false, &subscription.name)?;
            subscriptions.push((the_box, subscription.clone()));
            rules.insert(the_box, Rules::read(&transaction, the_box)?);
        }
        sql::end_locks(&transaction, now.millis())?;
        transaction.commit()?;
        let max_deliveries = topology.max_delivery_count;
        Ok(Self { connection, subscriptions, rules, max_deliveries, settings, boxes: Arc::new(boxes) })
    }

    pub fn boxes(&self) -> Arc<Boxes> {
        self.boxes.clone()
    }

    /// All of them in one transaction; for each an outcome and, if there is one, the number of its first copy.
    pub fn publish(&mut self, sent: &[Sent], now: Timestamp) -> rusqlite::Result<Vec<(Outcome, Option<i64>)>> {
        let mut published = Vec::with_capacity(sent.len());
        let mut filled = Vec::new();
        let transaction = begin(&mut self.connection)?;
        sql::forget(&transaction, now.millis())?;
        let window = now.plus(self.settings.duplicate_window).millis();
        for one in sent {
            let message = &one.message;
            if let Some(why) = refused(one, &self.boxes, self.settings.message_bytes_max) {
                published.push((Outcome::Rejected { why }, None));
                continue;
            }
            let sent_to = self.boxes.sent_to(&message.to);
            let takers =
                if !message.id.is_empty() && !sql::is_new(&transaction, sent_to, &message.id, now.millis(), window)? {
                    tracing::debug!(message_id = %message.id, "dropped: the duplicate window knows it");
                    Vec::new()
                } else {
                    takers(one, sent_to, &self.subscriptions, &self.rules)
                };
            published.push((Outcome::Accepted, insert(&transaction, one, &takers, now)?));
            filled.extend(takers);
        }
        transaction.commit()?;
        self.boxes.open(filled);
        Ok(published)
    }

    /// Up to `max` copies, locked or, if they are not to be kept, gone. Without any, the gate of the box is closed until
    /// something can be there.
    pub fn receive(&mut self, the_box: i64, max: usize, keep: bool, now: Timestamp) -> rusqlite::Result<Vec<Held>> {
        let until = now.plus(self.settings.lock).floor_millis();
        let transaction = begin(&mut self.connection)?;
        // What dies dies in the living box: dead letters are there when that has been brought to this instant.
        let living = the_box & !1;
        let mut buried = wake(&transaction, living, self.max_deliveries, now.millis())?;
        if the_box != living {
            buried = buried.or(wake(&transaction, the_box, self.max_deliveries, now.millis())?);
        }
        let mut found = sql::active(&transaction, the_box, max)?;
        hand_out(&transaction, &mut found, until, keep)?;
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

    /// Ends a delivery. What was abandoned after its last delivery is a dead letter; a dead letter cannot die once more:
    /// it stays one.
    pub fn settle(&mut self, lock: Lock, how: &Settlement, modified: &[u8], now: Timestamp) -> Settled {
        let max = self.max_deliveries;
        self.change(lock, now, |transaction, copy| {
            let sequence = copy.lock.sequence;
            sql::modify(transaction, sequence, modified)?;
            let is_dead = is_dead_letters(copy.the_box);
            match how {
                Settlement::Complete => {
                    sql::delete(transaction, sequence, copy.message)?;
                    return Ok(None);
                }
                Settlement::Defer => {
                    sql::defer(transaction, sequence)?;
                    return Ok(None);
                }
                Settlement::Abandon if is_dead || copy.lock.delivery < max => {}
                Settlement::DeadLetter { .. } if is_dead => {}
                Settlement::Abandon => {
                    sql::bury(transaction, sequence, (sql::REASON_DELIVERIES, &sql::exhausted(max)), now.millis())?;
                    return Ok(Some(copy.the_box + 1));
                }
                Settlement::DeadLetter { reason, description } => {
                    sql::bury(transaction, sequence, (reason, description), now.millis())?;
                    return Ok(Some(copy.the_box + 1));
                }
            }
            sql::unlock(transaction, sequence)?;
            Ok(Some(copy.the_box))
        })
    }

    /// The new end of the lock.
    pub fn renew(&mut self, lock: Lock, now: Timestamp) -> rusqlite::Result<Result<Timestamp, BrokerError>> {
        let until = now.plus(self.settings.lock).floor_millis();
        let renewed = self.change(lock, now, |transaction, copy| {
            sql::relock(transaction, copy.lock.sequence, until.millis())?;
            Ok(None)
        })?;
        Ok(renewed.map(|()| until))
    }

    /// `change` says which box it filled.
    fn change(
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
        for the_box in self.boxes.every() {
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

pub(super) fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn is_dead_letters(the_box: i64) -> bool {
    the_box % 2 == 1
}

/// Brings a box to this instant. The order matters: what is to be buried must not be taken for available.
pub(super) fn wake(
    connection: &Connection,
    the_box: i64,
    max_deliveries: u32,
    now: i64,
) -> rusqlite::Result<Option<i64>> {
    let mut buried = 0;
    if !is_dead_letters(the_box) {
        buried = sql::bury_exhausted(connection, the_box, max_deliveries, now)?;
    }
    sql::wake(connection, the_box, now)?;
    buried += sql::bury_expired(connection, the_box, now)?;
    Ok((buried > 0).then_some(the_box + 1))
}

/// Locks what was found, or takes it away.
pub(super) fn hand_out(
    transaction: &Transaction<'_>,
    found: &mut [Held],
    until: Timestamp,
    keep: bool,
) -> rusqlite::Result<()> {
    for held in found {
        held.delivered.deliveries += 1;
        held.lock.delivery = held.delivered.deliveries;
        held.locked_until = until;
        match keep {
            true => sql::lock(transaction, held.lock, until.millis())?,
            false => sql::delete_copy(transaction, held.sequence)?,
        }
    }
    Ok(())
}

fn insert(transaction: &Transaction<'_>, sent: &Sent, takers: &[i64], now: Timestamp) -> rusqlite::Result<Option<i64>> {
    if takers.is_empty() {
        return Ok(None);
    }
    let stored = sql::insert_message(transaction, sent)?;
    let scheduled = sent.message.not_before.map(Timestamp::millis).filter(|at| *at > now.millis());
    let enqueued = scheduled.unwrap_or(now.millis());
    let expires = sent.time_to_live.map(|ttl| Timestamp::from_millis(enqueued).plus(ttl).millis());
    let mut first = None;
    for the_box in takers {
        let sequence = sql::insert_copy(transaction, (*the_box, stored), scheduled, enqueued, expires)?;
        first = first.or(Some(sequence));
    }
    Ok(first)
}

/// Why the bus refuses a message for good.
pub(super) fn refused(sent: &Sent, boxes: &Boxes, bytes_max: usize) -> Option<String> {
    let message = &sent.message;
    if let Destination::Queue(name) = &message.to
        && boxes.sent_to(&message.to) == THE_TOPIC
    {
        return Some(format!("there is no queue {name}"));
    }
    if message.id.chars().count() > MESSAGE_ID_MAX {
        return Some(format!("its message id is longer than {MESSAGE_ID_MAX} characters"));
    }
    let size = sent.size();
    (size > bytes_max).then(|| format!("it has {size} bytes, at most {bytes_max}"))
}

fn takers(sent: &Sent, sent_to: i64, subscriptions: &[(i64, Subscription)], rules: &BTreeMap<i64, Rules>) -> Vec<i64> {
    if sent_to != THE_TOPIC {
        return vec![sent_to];
    }
    let takes = |the_box: &i64, deployed: &Subscription| rules.get(the_box).is_some_and(|r| r.take(deployed, sent));
    let mut takers: Vec<i64> =
        subscriptions.iter().filter(|(the_box, s)| takes(the_box, s)).map(|(the_box, _)| *the_box).collect();
    // A worker with two triggers on the topic has one subscription, which takes what either wants, once.
    takers.sort_unstable();
    takers.dedup();
    takers
}
