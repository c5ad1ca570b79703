//! The kernel's ports on the broker, in process. A *handler* of dead letters is a subscription or a queue, by its name.

use super::{Broker, Held};
use opsloop_kernel::{
    BoxFuture, Fault, Message, Outcome, Publisher, Timestamp,
    message::DeadLetter,
    ports::{Backlog, DeadLetters},
};

impl Publisher for Broker {
    fn publish<'a>(&'a self, messages: &'a [Message]) -> BoxFuture<'a, Result<Vec<Outcome>, Fault>> {
        Box::pin(self.send(messages))
    }
}

/// Whatever is not yet settled waits, also what is scheduled for another attempt: it has been accepted and not drained.
impl Backlog for Broker {
    fn waiting<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<u64, Fault>> {
        let (boxes, now) = (self.boxes.named(queue), self.clock.now());
        Box::pin(async move {
            let counts = self.core.run(move |core| core.counts(&boxes, now)).await?;
            Ok(counts.active + counts.locked + counts.scheduled)
        })
    }
}

impl DeadLetters for Broker {
    fn peek<'a>(&'a self, handler: &'a str, after: i64, limit: usize) -> BoxFuture<'a, Result<Vec<DeadLetter>, Fault>> {
        let (boxes, now) = (self.dead_letters_of(handler), self.clock.now());
        Box::pin(async move {
            let found = self.core.run(move |core| core.peek(&boxes, after, limit, now)).await?;
            Ok(found.into_iter().map(|held| dead_letter(handler, held)).collect())
        })
    }

    fn complete<'a>(&'a self, handler: &'a str, sequence: i64) -> BoxFuture<'a, Result<(), Fault>> {
        let boxes = self.dead_letters_of(handler);
        Box::pin(self.core.run(move |core| core.remove(&boxes, sequence)))
    }
}

impl Broker {
    fn dead_letters_of(&self, handler: &str) -> Vec<i64> {
        self.boxes.named(handler).into_iter().map(|the_box| the_box + 1).collect()
    }
}

fn dead_letter(handler: &str, held: Held) -> DeadLetter {
    let (reason, description, dead_at) = match held.died {
        Some(died) => (died.reason, died.description, died.at),
        None => (String::new(), String::new(), Timestamp::EPOCH),
    };
    let (handler, sequence, delivered) = (handler.to_owned(), held.sequence, held.delivered);
    DeadLetter { handler, sequence, delivered, reason, description, dead_at }
}
