//! Messages from the broker to the functions, and what the broker may do to them.

use super::{Doing, Driver, LOCK_MS};
use crate::{
    broker::{Ready, Taken},
    faults::{Fault, subject},
};
use opsloop_kernel::{Message, Source, Timestamp, message::QUEUE_PAGES};
use opsloop_shell::{catalogue::TICK_PAGES, invocation::Received};

use crate::world::World;

impl Driver<'_> {
    /// What could be delivered now. A message that is met for the first time may first be held up, or doomed.
    pub(super) fn ready_messages(&mut self, now: Timestamp) -> Vec<Ready> {
        let mut ready = self.shared.broker().available(now);
        if self.healed {
            return ready;
        }
        let known = self.weighed.len();
        for one in &ready {
            if self.weighed.insert(one.sequence) {
                self.weigh(one, now);
            }
        }
        if self.weighed.len() > known {
            ready = self.shared.broker().available(now);
        }
        ready
    }

    fn weigh(&mut self, ready: &Ready, now: Timestamp) {
        let about = victim_of(&ready.message);
        self.shared.chance.run(about);
        let chance = &self.shared.chance;
        if chance.hits(Fault::Poison, about) {
            self.shared.say(|| format!("{} is doomed", ready.message.id));
            self.poisoned.insert(ready.sequence);
        }
        let delay = chance.draw(Fault::Delay, about).map(|drawn| drawn % 10_000);
        let delay = delay.or_else(|| chance.draw(Fault::LongDelay, about).map(|drawn| drawn % 600_000));
        if let Some(ms) = delay {
            self.shared.say(|| format!("{} comes {ms} ms late", ready.message.id));
            let until = now.plus_millis(ms as i64).min(self.heal_at);
            self.shared.broker().delay(ready.sequence, until);
        }
    }

    pub(super) fn deliver(&mut self, ready: &Ready, now: Timestamp) {
        let about = victim_of(&ready.message);
        let Some(taken) = self.shared.broker().receive(ready.sequence, now, LOCK_MS) else { return };
        if self.poisoned.contains(&ready.sequence) && !self.healed {
            self.shared.broker().abandon(taken.lock, now);
            return;
        }
        self.begin(about, &taken);
        self.shared.chance.run(about);
        if self.shared.chance.hits(Fault::Duplicate, about) {
            let again = self.shared.broker().duplicate(ready.sequence, now, LOCK_MS);
            if let Some(again) = again {
                self.begin(about, &again);
            }
        }
    }

    fn begin(&mut self, about: u64, taken: &Taken) {
        let function = self.functions[taken.entity.0].clone();
        let message = &taken.delivered.message;
        let name = format!("{function} {} (delivery {})", message.id, taken.delivered.deliveries);
        let invocation = self.world.message(function.clone(), &taken.delivered);
        self.spawn(about, name, Doing::Message { function, lock: taken.lock }, invocation);
    }
}

/// A message and all of its copies are one victim, per subscription.
fn victim_of(message: &Message) -> u64 {
    let received = Received {
        body: Default::default(),
        message_id: message.id.clone(),
        content_type: None,
        deliveries: 1,
        enqueued_at: None,
        properties: message.properties.clone(),
    };
    subject([opsloop_shell::delivery::original_id(&received).as_str()])
}

/// The function that listens to each entity of the broker.
pub(super) fn listeners(world: &World) -> Vec<String> {
    let broker = world.shared.broker();
    let of = |name: &str, is_queue: bool| {
        let listens = |source: &Source, worker: &str| match source {
            Source::Queue { name: queue } => is_queue && queue.eq_ignore_ascii_case(name),
            Source::Events { .. } => !is_queue && worker.eq_ignore_ascii_case(name),
            Source::Commands { .. } | Source::Timer { .. } => false,
        };
        let mut triggers = world.shell.catalogue.triggers();
        let found = triggers.find(|(spec, t)| listens(&t.source, spec.name)).map(|(_, t)| t.function);
        let pages = (is_queue && name.eq_ignore_ascii_case(QUEUE_PAGES)).then_some(TICK_PAGES);
        found.or(pages).unwrap_or_default().to_owned()
    };
    broker.entities().iter().map(|e| of(&e.name, e.is_queue)).collect()
}
