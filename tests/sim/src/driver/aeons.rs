//! Long after a run has come to rest some of its messages and commands come once more, as from a backup or a queue that
//! somebody forgot. No timer fires in between: what counts is what becomes of them.

use super::{Doing, Driver, Violation};
use crate::{
    faults::subject,
    oracles::{
        aeons::{is_expired, refused},
        reading::hop,
    },
    plan::Offer,
};
use opsloop_kernel::{Destination, Message, Timestamp, message::QUEUE_PAGES};

/// Messages, and commands, that come once more after each jump.
const REPEATED: u64 = 12;

impl Driver<'_> {
    pub(super) fn aeons(&mut self) -> Result<(), Violation> {
        let sent: Vec<Message> = self.shared.journal.all_published().into_iter().filter(|m| self.counts(m)).collect();
        for later in self.cast.later.clone() {
            self.shared.time.advance_to(later);
            self.shared.say(|| "days later".into());
            self.messages_once_more(&sent, later)?;
            self.commands_once_more()?;
        }
        Ok(())
    }

    /// Originals of what lives; hostile ones die anyway.
    fn counts(&self, message: &Message) -> bool {
        let hostile = |o: &Offer| matches!(o, Offer::Hostile { id, .. } if *id == message.id);
        let page = message.to == Destination::Queue(QUEUE_PAGES.into());
        hop(message).is_none() && !page && !self.plan.arrivals.iter().any(|a| hostile(&a.offer))
    }

    fn messages_once_more(&mut self, sent: &[Message], now: Timestamp) -> Result<(), Violation> {
        let mut expired = vec![];
        for _ in 0..REPEATED.min(sent.len() as u64) {
            let message = &sent[self.order.below(sent.len() as u64) as usize];
            let before = self.shared.broker().totals(now);
            self.shared.broker().publish(std::slice::from_ref(message), now);
            let taken = self.shared.broker().totals(now) != before;
            self.shared.say(|| format!("{} comes once more", message.id));
            self.work()?;
            if taken && is_expired(message, now) {
                expired.push(message);
            }
        }
        let documents = self.documents.dump().map_err(|f| self.violation("long ago", format!("{f:?}")))?;
        refused(expired, &documents).map_err(|what| self.violation("long ago", what))
    }

    /// Their markers outlast all that can come again.
    fn commands_once_more(&mut self) -> Result<(), Violation> {
        let of = |n: &usize| matches!(self.plan.arrivals[*n].offer, Offer::Command { .. }) && self.accepted[*n];
        let commands: Vec<usize> = (0..self.accepted.len()).filter(of).collect();
        for _ in 0..REPEATED.min(commands.len() as u64) {
            let n = *self.order.pick(&commands);
            self.spawn(
                subject(["once more", &n.to_string()]),
                format!("arrival {n} again"),
                Doing::Post(n),
                self.world.post(n),
            );
            self.work()?;
        }
        Ok(())
    }
}
