//! A topic with subscriptions, in memory: duplicate detection, schedules, audiences, filters, five deliveries and then
//! the dead letters.

use opsloop_embedded::clock::VirtualClock;
use opsloop_kernel::{
    BoxFuture, Fault, Message, Outcome, Publisher, Source, Timestamp,
    message::{DeadLetter, Delivered, MAX_DELIVERIES, property},
    ports::{Backlog, DeadLetters},
};
use opsloop_shell::Catalogue;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

/// The subscription of a platform outside this program.
pub const KNOWLEDGE: &str = "knowledge";

#[derive(Clone, Debug)]
pub struct Waiting {
    pub handler: String,
    pub message: Message,
    pub deliveries: u32,
    sequence: i64,
}

#[derive(Default)]
struct State {
    seen: BTreeSet<String>,
    waiting: Vec<Waiting>,
    dead: Vec<DeadLetter>,
    sequence: i64,
    down: bool,
}

pub struct Bus {
    clock: Arc<VirtualClock>,
    catalogue: Arc<Catalogue>,
    state: Mutex<State>,
}

impl Bus {
    pub fn new(clock: Arc<VirtualClock>, catalogue: Arc<Catalogue>) -> Self {
        Self { clock, catalogue, state: Mutex::default() }
    }
    pub fn set_down(&self, down: bool) {
        self.state.lock().unwrap().down = down;
    }
    pub fn send(&self, message: Message) {
        let mut state = self.state.lock().unwrap();
        if !state.seen.insert(message.id.clone()) {
            return;
        }
        for handler in self.subscribers(&message) {
            state.sequence += 1;
            let sequence = state.sequence;
            state.waiting.push(Waiting { handler, message: message.clone(), deliveries: 0, sequence });
        }
    }
    fn subscribers(&self, message: &Message) -> Vec<String> {
        let kind = message.properties[property::KIND].as_str();
        let audience = message.properties.get(property::AUDIENCE);
        let mut out = vec![];
        for (spec, trigger) in self.catalogue.subscribers() {
            let Source::Events { kinds, filter } = trigger.source else { continue };
            let passes = filter
                .is_none_or(|f| f.kind != kind || message.properties.get(f.property).is_some_and(|v| v == f.value));
            let wanted = audience.map_or(kinds.contains(&kind) && passes, |a| a == spec.name);
            if wanted {
                out.push(spec.name.to_owned());
            }
        }
        if audience.is_none() && matches!(kind, "FeedbackItemCreated" | "QualityScoreComputed") {
            out.push(KNOWLEDGE.to_owned());
        }
        out
    }
    /// The oldest message that is visible now, locked for one delivery.
    pub fn receive(&self, handler: Option<&str>) -> Option<Waiting> {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap();
        let ready = |w: &Waiting| w.message.not_before.is_none_or(|at| at <= now);
        let wanted = |w: &Waiting| handler.map_or(w.handler != KNOWLEDGE, |h| w.handler == h);
        let at = state.waiting.iter().position(|w| ready(w) && wanted(w))?;
        let mut taken = state.waiting.remove(at);
        taken.deliveries += 1;
        Some(taken)
    }
    pub fn abandon(&self, taken: Waiting) {
        let mut state = self.state.lock().unwrap();
        if taken.deliveries < MAX_DELIVERIES {
            state.waiting.push(taken);
            return;
        }
        state.dead.push(DeadLetter {
            handler: taken.handler,
            sequence: taken.sequence,
            delivered: Delivered { message: taken.message, deliveries: taken.deliveries, enqueued_at: None },
            reason: "MaxDeliveryCountExceeded".into(),
            description: String::new(),
            dead_at: self.clock.now(),
        });
    }
    pub fn next_at(&self) -> Option<Timestamp> {
        let state = self.state.lock().unwrap();
        let others = state.waiting.iter().filter(|w| w.handler != KNOWLEDGE);
        others.map(|w| w.message.not_before.unwrap_or(Timestamp::EPOCH)).min()
    }
}

impl Publisher for Bus {
    fn publish<'a>(&'a self, messages: &'a [Message]) -> BoxFuture<'a, Result<Vec<Outcome>, Fault>> {
        Box::pin(async move {
            if self.state.lock().unwrap().down {
                return Err(Fault::Unavailable { dependency: Fault::BROKER });
            }
            messages.iter().for_each(|m| self.send(m.clone()));
            Ok(messages.iter().map(|_| Outcome::Accepted).collect())
        })
    }
}

impl DeadLetters for Bus {
    fn peek<'a>(&'a self, handler: &'a str, after: i64, limit: usize) -> BoxFuture<'a, Result<Vec<DeadLetter>, Fault>> {
        Box::pin(async move {
            let state = self.state.lock().unwrap();
            let of = |d: &&DeadLetter| d.handler == handler && d.sequence > after;
            Ok(state.dead.iter().filter(of).take(limit).cloned().collect())
        })
    }
    fn complete<'a>(&'a self, handler: &'a str, sequence: i64) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            self.state.lock().unwrap().dead.retain(|d| d.handler != handler || d.sequence != sequence);
            Ok(())
        })
    }
}

impl Backlog for Bus {
    fn waiting<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<u64, Fault>> {
        Box::pin(async { Ok(0) })
    }
}
