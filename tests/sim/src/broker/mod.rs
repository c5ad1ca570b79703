//! The broker of a run: what the embedded one does, in plain maps, without turns of its own and without a clock.
//!
//! `tests/broker.rs` holds it against the embedded broker, step by step. The easily broken rule: an id is taken once per
//! entity *that it is sent to* within the window, and counts from the publish also where the message is scheduled.
//! Left out on purpose: receiving from dead letters, renewing locks (who receives says how long its lock holds), and
//! forgetting ids that the window no longer knows, for a run is short.

mod index;

use index::{Index, State};
use opsloop_embedded::broker::{Counts, Subscription, Topology};
use opsloop_kernel::{
    Delivered, Destination, Message, Outcome, Timestamp,
    message::{DeadLetter, MESSAGE_BYTES_MAX},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);
/// Service Bus: a message id has at most 128 characters.
const MESSAGE_ID_MAX: usize = 128;
const REASON_DELIVERIES: &str = "MaxDeliveryCountExceeded";

/// Counts from 0: queues first, then subscriptions, each in the order of the topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntityId(pub usize);

/// A queue, or a worker's subscription to the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    pub name: String,
    pub is_queue: bool,
}

/// A copy that can be received now.
#[derive(Clone, Debug)]
pub struct Ready {
    pub entity: EntityId,
    pub sequence: i64,
    /// So far.
    pub deliveries: u32,
    pub message: Arc<Message>,
}

/// Which delivery of which copy: a later delivery has another lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lock {
    pub sequence: i64,
    pub delivery: u32,
}

/// A delivery under a lock.
#[derive(Clone, Debug)]
pub struct Taken {
    pub entity: EntityId,
    pub lock: Lock,
    pub locked_until: Timestamp,
    pub delivered: Delivered,
}

#[derive(Clone)]
pub struct Broker {
    entities: Vec<Entity>,
    /// By name in lower case.
    queues: BTreeMap<String, EntityId>,
    subscriptions: BTreeMap<String, EntityId>,
    /// A worker with two triggers on the topic has two of these for one subscription.
    filters: Vec<(EntityId, Subscription)>,
    max_deliveries: u32,
    last_sequence: i64,
    copies: BTreeMap<i64, Kept>,
    index: Index,
    /// The duplicate window by what was sent to: the topic, then each entity. An id is known until then.
    seen: Vec<BTreeMap<String, Timestamp>>,
}

/// A copy that is not completed.
#[derive(Clone)]
struct Kept {
    entity: EntityId,
    message: Arc<Message>,
    state: State,
    deliveries: u32,
    enqueued_at: Timestamp,
}

impl Broker {
    pub fn new(topology: &Topology) -> Self {
        let mut broker = Self {
            entities: Vec::new(),
            queues: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            filters: Vec::new(),
            max_deliveries: topology.max_delivery_count,
            last_sequence: 0,
            copies: BTreeMap::new(),
            index: Index::default(),
            seen: vec![BTreeMap::new()],
        };
        for name in &topology.queues {
            broker.add(true, name);
        }
        for subscription in &topology.subscriptions {
            let entity = broker.add(false, &subscription.name);
            broker.filters.push((entity, subscription.clone()));
        }
        broker
    }

    fn add(&mut self, is_queue: bool, name: &str) -> EntityId {
        let names = if is_queue { &mut self.queues } else { &mut self.subscriptions };
        let next = EntityId(self.entities.len());
        let entity = *names.entry(name.to_ascii_lowercase()).or_insert(next);
        if entity == next {
            self.entities.push(Entity { name: name.to_owned(), is_queue });
            self.index.waiting.push(0);
            self.seen.push(BTreeMap::new());
        }
        entity
    }

    /// In the order of their ids.
    pub fn entities(&self) -> &[Entity] {
        &self.entities
    }

    /// An outcome per message. An accepted duplicate is dropped without a word.
    pub fn publish(&mut self, messages: &[Message], now: Timestamp) -> Vec<Outcome> {
        let now = now.floor_millis();
        let mut outcomes = Vec::with_capacity(messages.len());
        for message in messages {
            outcomes.push(match self.judged(message) {
                Err(why) => Outcome::Rejected { why },
                Ok(sent_to) => {
                    if self.is_new(sent_to, &message.id, now) {
                        self.keep(message, sent_to, now);
                    }
                    Outcome::Accepted
                }
            });
        }
        outcomes
    }

    /// The queue that it goes to, `None` for the topic; or why it is refused for good.
    fn judged(&self, message: &Message) -> Result<Option<EntityId>, String> {
        let sent_to = match &message.to {
            Destination::Topic => None,
            Destination::Queue(name) => {
                let queue = self.queues.get(&name.to_ascii_lowercase());
                Some(*queue.ok_or_else(|| format!("there is no queue {name}"))?)
            }
        };
        if message.id.chars().count() > MESSAGE_ID_MAX {
            return Err(format!("its message id is longer than {MESSAGE_ID_MAX} characters"));
        }
        let properties: usize = message.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        let size = message.body.len() + properties + message.id.len() + message.content_type.len();
        if size > MESSAGE_BYTES_MAX {
            return Err(format!("it has {size} bytes, at most {MESSAGE_BYTES_MAX}"));
        }
        Ok(sent_to)
    }

    /// Remembers the id; false if the duplicate window knows it. What is dropped does not prolong the window.
    fn is_new(&mut self, sent_to: Option<EntityId>, id: &str, now: Timestamp) -> bool {
        if id.is_empty() {
            return true;
        }
        let seen = &mut self.seen[sent_to.map_or(0, |queue| queue.0 + 1)];
        if seen.get(id).is_some_and(|until| *until > now) {
            return false;
        }
        seen.insert(id.to_owned(), now.plus(DUPLICATE_WINDOW).floor_millis());
        true
    }

    fn keep(&mut self, message: &Message, sent_to: Option<EntityId>, now: Timestamp) {
        let takers = match sent_to {
            Some(queue) => BTreeSet::from([queue]),
            None => {
                self.filters.iter().filter(|(_, s)| s.takes(&message.properties)).map(|(entity, _)| *entity).collect()
            }
        };
        if takers.is_empty() {
            return;
        }
        let not_before = message.not_before.map(Timestamp::floor_millis);
        let message = Arc::new(Message { not_before, ..message.clone() });
        let scheduled = not_before.filter(|at| *at > now);
        let state = scheduled.map_or(State::Available, State::Scheduled);
        let enqueued_at = scheduled.unwrap_or(now);
        for entity in takers {
            self.last_sequence += 1;
            self.index.add(state, entity, self.last_sequence);
            let kept = Kept { entity, message: message.clone(), state, deliveries: 0, enqueued_at };
            self.copies.insert(self.last_sequence, kept);
        }
    }

    /// By entity, then in the order of their sequence numbers.
    pub fn available(&mut self, now: Timestamp) -> Vec<Ready> {
        self.wake(now);
        let ready = |(entity, sequence): &(EntityId, i64)| {
            let kept = &self.copies[sequence];
            Ready { entity: *entity, sequence: *sequence, deliveries: kept.deliveries, message: kept.message.clone() }
        };
        self.index.available.iter().map(ready).collect()
    }

    /// Locks an available copy and counts a delivery.
    pub fn receive(&mut self, sequence: i64, now: Timestamp, lock_ms: i64) -> Option<Taken> {
        self.wake(now);
        let state = self.copies.get(&sequence)?.state;
        if !matches!(state, State::Available) {
            return None;
        }
        self.deliver(sequence, now.plus_millis(lock_ms).floor_millis())
    }

    /// A fault: the lock is lost before its time, and the same copy is handed out while its first receiver still works on
    /// it. `None` where it is not locked, or was delivered for the last time.
    pub fn duplicate(&mut self, sequence: i64, now: Timestamp, lock_ms: i64) -> Option<Taken> {
        self.wake(now);
        let kept = self.copies.get(&sequence)?;
        if !matches!(kept.state, State::Locked(_)) || kept.deliveries >= self.max_deliveries {
            return None;
        }
        self.deliver(sequence, now.plus_millis(lock_ms).floor_millis())
    }

    fn deliver(&mut self, sequence: i64, locked_until: Timestamp) -> Option<Taken> {
        let entity = self.enter(sequence, State::Locked(locked_until))?;
        let kept = self.copies.get_mut(&sequence)?;
        kept.deliveries += 1;
        let lock = Lock { sequence, delivery: kept.deliveries };
        Some(Taken { entity, lock, locked_until, delivered: kept.delivered() })
    }

    /// False: the lock was lost, or the copy is settled.
    pub fn complete(&mut self, taken: Lock, now: Timestamp) -> bool {
        let holds = self.holds(taken, now);
        if holds {
            self.remove(taken.sequence);
        }
        holds
    }

    /// Available again at once; after its last delivery a dead letter. False: the lock was lost, or the copy is settled.
    pub fn abandon(&mut self, taken: Lock, now: Timestamp) -> bool {
        let holds = self.holds(taken, now);
        if holds {
            let is_last = taken.delivery >= self.max_deliveries;
            self.enter(taken.sequence, if is_last { State::Dead(now.floor_millis()) } else { State::Available });
        }
        holds
    }

    fn holds(&self, lock: Lock, now: Timestamp) -> bool {
        self.copies.get(&lock.sequence).is_some_and(|kept| {
            kept.deliveries == lock.delivery && matches!(kept.state, State::Locked(until) if until > now)
        })
    }

    /// A fault: an available or scheduled copy comes later. False where there is none such.
    pub fn delay(&mut self, sequence: i64, until: Timestamp) -> bool {
        let later = match self.copies.get(&sequence).map(|kept| kept.state) {
            Some(State::Available) => until,
            Some(State::Scheduled(at)) => at.max(until),
            _ => return false,
        };
        self.enter(sequence, State::Scheduled(later));
        true
    }

    /// The earliest instant at which a scheduled or delayed copy is enqueued or a lock runs out.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.index.wakes.first().map(|(at, _)| *at)
    }

    /// What of the queue, or of the subscription, of that name is not settled; also what is scheduled (port `Backlog`).
    pub fn waiting(&mut self, queue: &str, now: Timestamp) -> u64 {
        self.wake(now);
        self.named(queue).map(|entity| self.index.waiting[entity.0]).sum()
    }

    /// By sequence (port `DeadLetters`). A handler is a subscription or a queue, by its name.
    pub fn dead(&mut self, handler: &str, after: i64, limit: usize, now: Timestamp) -> Vec<DeadLetter> {
        self.wake(now);
        let mut sequences: Vec<i64> = Vec::new();
        for entity in self.named(handler) {
            let of_it = self.index.dead.range((entity, after.saturating_add(1))..=(entity, i64::MAX));
            sequences.extend(of_it.map(|(_, sequence)| *sequence));
        }
        sequences.sort_unstable();
        sequences.truncate(limit);
        sequences.into_iter().filter_map(|sequence| self.dead_letter(handler, sequence)).collect()
    }

    fn dead_letter(&self, handler: &str, sequence: i64) -> Option<DeadLetter> {
        let kept = self.copies.get(&sequence)?;
        let State::Dead(dead_at) = kept.state else { return None };
        Some(DeadLetter {
            handler: handler.to_owned(),
            sequence,
            delivered: kept.delivered(),
            reason: REASON_DELIVERIES.to_owned(),
            description: format!("Message could not be consumed after {} delivery attempts.", self.max_deliveries),
            dead_at,
        })
    }

    /// One that is gone is removed already.
    pub fn remove_dead(&mut self, handler: &str, sequence: i64) {
        if self.named(handler).any(|entity| self.index.dead.contains(&(entity, sequence))) {
            self.remove(sequence);
        }
    }

    /// Ids of the messages that are not given out before their time.
    pub fn scheduled(&self) -> BTreeSet<String> {
        let later = self.copies.values().filter(|kept| matches!(kept.state, State::Scheduled(_)));
        later.map(|kept| kept.message.id.clone()).collect()
    }

    /// Nothing waits for anything; dead letters may be there.
    pub fn is_empty(&self) -> bool {
        self.copies.len() == self.index.dead.len()
    }

    /// Of everything: quiet is when nothing is active or locked (A24). Delayed copies count as scheduled.
    pub fn totals(&mut self, now: Timestamp) -> Counts {
        self.wake(now);
        let scheduled = |(_, sequence): &&(Timestamp, i64)| matches!(self.copies[sequence].state, State::Scheduled(_));
        let scheduled = self.index.wakes.iter().filter(scheduled).count();
        Counts {
            active: self.index.available.len() as u64,
            locked: (self.index.wakes.len() - scheduled) as u64,
            scheduled: scheduled as u64,
            dead: self.index.dead.len() as u64,
        }
    }

    /// Brings everything to this instant: what was delivered for the last time and never settled dies when its lock ends.
    fn wake(&mut self, now: Timestamp) {
        while let Some((at, sequence)) = self.index.wakes.first().copied().filter(|(at, _)| *at <= now) {
            let dies = self.copies[&sequence].deliveries >= self.max_deliveries;
            self.enter(sequence, if dies { State::Dead(at) } else { State::Available });
        }
    }

    fn named(&self, name: &str) -> impl Iterator<Item = EntityId> + use<> {
        let name = name.to_ascii_lowercase();
        [self.subscriptions.get(&name).copied(), self.queues.get(&name).copied()].into_iter().flatten()
    }

    /// The only place where a state changes, so that the index always says the same. The entity of the copy.
    fn enter(&mut self, sequence: i64, state: State) -> Option<EntityId> {
        let kept = self.copies.get_mut(&sequence)?;
        self.index.remove(kept.state, kept.entity, sequence);
        self.index.add(state, kept.entity, sequence);
        kept.state = state;
        Some(kept.entity)
    }

    fn remove(&mut self, sequence: i64) {
        if let Some(kept) = self.copies.remove(&sequence) {
            self.index.remove(kept.state, kept.entity, sequence);
        }
    }
}

impl Kept {
    fn delivered(&self) -> Delivered {
        let (message, deliveries) = (Message::clone(&self.message), self.deliveries);
        Delivered { message, deliveries, enqueued_at: Some(self.enqueued_at) }
    }
}
