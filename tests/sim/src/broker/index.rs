//! Which copies are in which state: settled ones are in none, so that nobody steps over them.

use super::EntityId;
use opsloop_kernel::Timestamp;
use std::collections::BTreeSet;

#[derive(Clone, Copy)]
pub(super) enum State {
    Available,
    /// Not before then: as its sender, or a fault, wanted it.
    Scheduled(Timestamp),
    Locked(Timestamp),
    /// Since then.
    Dead(Timestamp),
}

/// The copies by their states.
#[derive(Clone, Default)]
pub(super) struct Index {
    pub available: BTreeSet<(EntityId, i64)>,
    /// Scheduled and locked ones, by when that ends.
    pub wakes: BTreeSet<(Timestamp, i64)>,
    pub dead: BTreeSet<(EntityId, i64)>,
    /// How many of an entity are not settled.
    pub waiting: Vec<u64>,
}

impl Index {
    pub fn add(&mut self, state: State, entity: EntityId, sequence: i64) {
        match state {
            State::Available => self.available.insert((entity, sequence)),
            State::Scheduled(at) | State::Locked(at) => self.wakes.insert((at, sequence)),
            State::Dead(_) => self.dead.insert((entity, sequence)),
        };
        self.waiting[entity.0] += state.waits();
    }

    pub fn remove(&mut self, state: State, entity: EntityId, sequence: i64) {
        match state {
            State::Available => self.available.remove(&(entity, sequence)),
            State::Scheduled(at) | State::Locked(at) => self.wakes.remove(&(at, sequence)),
            State::Dead(_) => self.dead.remove(&(entity, sequence)),
        };
        self.waiting[entity.0] -= state.waits();
    }
}

impl State {
    fn waits(self) -> u64 {
        u64::from(!matches!(self, Self::Dead(_)))
    }
}
