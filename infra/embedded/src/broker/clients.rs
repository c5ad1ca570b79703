//! What clients of a Service Bus ask of it beyond what the platform itself does: messages by their number, deferral,
//! deliveries that nobody keeps, and schedules that are called off.

use super::{
    Broker, BrokerError, Held, Lock, Sent, Settlement,
    core::{Core, begin, hand_out, refused, wake},
    statements as sql,
};
use crate::host::Entity;
use bytes::Bytes;
use opsloop_kernel::{Destination, Fault, Outcome, Timestamp, message::TOPIC};
use std::time::Duration;

impl Broker {
    pub fn message_bytes_max(&self) -> usize {
        self.settings.message_bytes_max
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn has(&self, entity: &Entity) -> bool {
        self.boxes.of(entity).is_some()
    }

    /// Where a message that is sent to this name goes; names are compared ignoring case.
    pub fn destination(&self, name: &str) -> Option<Destination> {
        if name.eq_ignore_ascii_case(TOPIC) {
            return Some(Destination::Topic);
        }
        self.has(&Entity::queue(name)).then(|| Destination::Queue(name.to_owned()))
    }

    /// Why the broker would refuse this message for good.
    pub fn refusal(&self, sent: &Sent) -> Option<String> {
        refused(sent, &self.boxes, self.settings.message_bytes_max)
    }

    /// As `send`, with what only the wire has.
    pub async fn send_all(&self, sent: Vec<Sent>) -> Result<Vec<Outcome>, Fault> {
        let (now, tap) = (self.clock.now(), self.tap.clone());
        self.core
            .run(move |core| {
                let outcomes: Vec<Outcome> =
                    core.publish(&sent, now)?.into_iter().map(|(outcome, _)| outcome).collect();
                if let Some(tap) = tap {
                    let accepted = sent.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Accepted);
                    accepted.for_each(|(sent, _)| tap(&sent.message));
                }
                Ok(outcomes)
            })
            .await
    }

    /// As `send_all`; a number for each message that was taken, by which it can be called off. A message that went
    /// nowhere, because nobody subscribes to it or the duplicate window knows it, gets a number that nothing has.
    pub async fn schedule(&self, sent: Vec<Sent>) -> Result<Vec<i64>, Fault> {
        let now = self.clock.now();
        self.core
            .run(move |core| {
                let mut numbers = Vec::with_capacity(sent.len());
                for (outcome, first) in core.publish(&sent, now)? {
                    match (outcome, first) {
                        (Outcome::Accepted, Some(sequence)) => numbers.push(sequence),
                        (Outcome::Accepted, None) => numbers.push(sql::burn(&core.connection)?),
                        (Outcome::Rejected { .. }, _) => {}
                    }
                }
                Ok(numbers)
            })
            .await
    }

    /// Calls off what was scheduled; how many of these were.
    pub async fn cancel(&self, to: &Destination, sequences: Vec<i64>) -> Result<usize, Fault> {
        let (to, now) = (to.clone(), self.clock.now());
        self.core.run(move |core| core.cancel(&to, &sequences, now)).await
    }

    /// As `receive`, but what is returned is gone.
    pub async fn take(&self, from: &Entity, max: usize, wait: Duration) -> Result<Vec<Held>, BrokerError> {
        self.receive_unless(from, max, false, wait, std::future::pending()).await
    }

    /// What was deferred, by its numbers: locked or, if it is not to be kept, gone.
    pub async fn receive_deferred(
        &self,
        from: &Entity,
        sequences: Vec<i64>,
        keep: bool,
    ) -> Result<Vec<Held>, BrokerError> {
        let the_box = self.boxes.of(from).ok_or(BrokerError::NoSuchEntity)?;
        let now = self.clock.now();
        Ok(self.core.run(move |core| core.receive_deferred(the_box, &sequences, keep, now)).await?)
    }

    /// Ends a delivery. `modified`: an encoded map of properties to change, kept beside the message.
    pub async fn settle(&self, lock: Lock, how: Settlement, modified: Bytes) -> Result<(), BrokerError> {
        let now = self.clock.now();
        self.core.run(move |core| core.settle(lock, &how, &modified, now)).await?
    }

    /// Unlocks what was received and not shown to anybody: these deliveries do not count.
    pub async fn put_back(&self, locks: Vec<Lock>) -> Result<(), Fault> {
        self.core.run(move |core| core.put_back(&locks)).await
    }
}

impl Core {
    fn cancel(&mut self, to: &Destination, sequences: &[i64], now: Timestamp) -> rusqlite::Result<usize> {
        let queue = match to {
            Destination::Topic => None,
            Destination::Queue(name) => Some(name.as_str()),
        };
        let transaction = begin(&mut self.connection)?;
        let mut cancelled = 0;
        for sequence in sequences {
            cancelled += usize::from(sql::cancel(&transaction, queue, *sequence, now.millis())? > 0);
        }
        transaction.commit()?;
        Ok(cancelled)
    }

    fn receive_deferred(
        &mut self,
        the_box: i64,
        sequences: &[i64],
        keep: bool,
        now: Timestamp,
    ) -> rusqlite::Result<Vec<Held>> {
        let until = now.plus(self.settings.lock).floor_millis();
        let transaction = begin(&mut self.connection)?;
        let buried = wake(&transaction, the_box, self.max_deliveries, now.millis())?;
        let mut found = Vec::new();
        for sequence in sequences {
            found.extend(sql::deferred(&transaction, the_box, *sequence)?);
        }
        hand_out(&transaction, &mut found, until, keep)?;
        transaction.commit()?;
        // Who waits in this box looks again when these locks end.
        self.boxes.open(buried.into_iter().chain([the_box, the_box | 1]));
        Ok(found)
    }

    fn put_back(&mut self, locks: &[Lock]) -> rusqlite::Result<()> {
        let transaction = begin(&mut self.connection)?;
        let mut filled = Vec::new();
        for lock in locks {
            filled.extend(sql::put_back(&transaction, *lock)?);
        }
        transaction.commit()?;
        self.boxes.open(filled);
        Ok(())
    }
}
