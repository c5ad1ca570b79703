//! Which boxes there are, by the names of their entities, and when it is worth looking into one.

use super::statements as sql;
use crate::host::Entity;
use opsloop_kernel::{Destination, Timestamp, message::TOPIC};
use rusqlite::Connection;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, Ordering},
};
use tokio::sync::Notify;

/// What the duplicate window calls the topic; entities count from 1.
pub(super) const THE_TOPIC: i64 = 0;
const MAYBE_NOW: i64 = i64::MIN;
pub(super) const NEVER: i64 = i64::MAX;

/// The boxes that the topology names. Others in the file keep what they have until they are named again.
#[derive(Default)]
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

impl Boxes {
    pub fn add(&mut self, connection: &Connection, is_queue: bool, name: &str) -> rusqlite::Result<i64> {
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

    /// With those of dead letters.
    pub fn every(&self) -> impl Iterator<Item = &i64> {
        self.gates.keys()
    }

    pub fn gate(&self, the_box: i64) -> Option<&Gate> {
        self.gates.get(&the_box)
    }

    pub fn sent_to(&self, to: &Destination) -> i64 {
        match to {
            Destination::Topic => THE_TOPIC,
            Destination::Queue(name) => self.queues.get(&name.to_ascii_lowercase()).copied().unwrap_or(THE_TOPIC),
        }
    }

    pub fn open(&self, boxes: impl IntoIterator<Item = i64>) {
        for gate in boxes.into_iter().filter_map(|b| self.gates.get(&b)) {
            gate.quiet_until.store(MAYBE_NOW, Ordering::Release);
            gate.notify.notify_waiters();
        }
    }

    pub fn close(&self, the_box: i64, until: i64) {
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
