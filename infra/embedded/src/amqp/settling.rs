//! Settlement: what clients make of their deliveries, one after another in the order in which they said so.

use super::{
    codec::Value,
    connection::{Allowed, Connection, Event},
    sending::rejected,
    transfer::disposition,
    wire,
};
use crate::broker::{Broker, BrokerError, Lock, Settlement};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::mpsc;

const ACCEPTED: (u64, &str) = (0x24, "amqp:accepted:list");
const REJECTED: (u64, &str) = (0x25, "amqp:rejected:list");
const RELEASED: (u64, &str) = (0x26, "amqp:released:list");
const MODIFIED: (u64, &str) = (0x27, "amqp:modified:list");
const REASON: &str = "DeadLetterReason";
const DESCRIPTION: &str = "DeadLetterErrorDescription";
pub const LOCK_LOST: &str = "com.microsoft:message-lock-lost";
pub const LOCK_LOST_TEXT: &str = "The lock supplied is invalid. Either the lock expired, or the message has already been removed from the queue, or was received by a different receiver instance.";

/// What a client wants with one delivery or several.
pub struct Job {
    channel: u16,
    /// Whether it waits for an answer.
    is_heard: bool,
    deliveries: Vec<(u32, Lock)>,
    how: How,
}

/// The settlement that an outcome of AMQP means.
#[derive(Clone)]
struct How {
    settlement: Settlement,
    /// An encoded map of properties to change; may be empty.
    modified: Bytes,
    /// What is said when it has been done.
    echo: Value,
}

pub fn start(broker: Arc<Broker>, events: mpsc::Sender<Event>) -> mpsc::UnboundedSender<Job> {
    // Bounded by the deliveries that are not settled, and they by the client's credit.
    let (sender, mut jobs) = mpsc::unbounded_channel::<Job>();
    tokio::spawn(async move {
        while let Some(job) = jobs.recv().await {
            let mut states = Vec::with_capacity(job.deliveries.len());
            for (delivery, lock) in job.deliveries {
                let done = broker.settle(lock, job.how.settlement.clone(), job.how.modified.clone()).await;
                states.push((delivery, done.map_or_else(|why| failed(&why), |()| job.how.echo.clone())));
            }
            if job.is_heard {
                // A connection that is gone does not hear it.
                let _ = events.send(Event::Settled { channel: job.channel, states }).await;
            }
        }
    });
    sender
}

fn failed(why: &BrokerError) -> Value {
    match why {
        BrokerError::LockLost => rejected(LOCK_LOST, LOCK_LOST_TEXT),
        other => rejected("amqp:internal-error", &format!("The broker failed ({other}); try again.")),
    }
}

impl Connection {
    pub(super) fn disposition(&mut self, channel: u16, fields: &Value) -> Allowed {
        let session = self.session(channel)?;
        // What the client says as a sender settles nothing: it was told already.
        let is_receiver = fields.field(0).is_true();
        let Some(how) = how(fields.field(4)).filter(|_| is_receiver) else { return Ok(()) };
        let first = fields.field(1).as_u32().unwrap_or(0);
        let last = fields.field(2).as_u32().unwrap_or(first).max(first);
        let settled: Vec<_> = session.unsettled.range(first..=last).map(|(id, lock)| (*id, *lock)).collect();
        for (delivery, _) in &settled {
            session.unsettled.remove(delivery);
        }
        if !settled.is_empty() {
            let is_heard = !fields.field(3).is_true();
            // The settler ends with the connection only.
            let _ = self.settler.send(Job { channel, is_heard, deliveries: settled, how });
        }
        Ok(())
    }

    pub(super) fn settled(&mut self, channel: u16, states: Vec<(u32, Value)>) {
        if self.sessions.contains_key(&channel) {
            for (delivery, state) in states {
                self.push(channel, wire::DISPOSITION, disposition(false, delivery, state));
            }
        }
    }
}

/// None: a state that settles nothing.
fn how(state: &Value) -> Option<How> {
    let is = |(code, symbol)| state.described_as(code, symbol);
    let echo = state.clone();
    if is(ACCEPTED).is_some() {
        return Some(How { settlement: Settlement::Complete, modified: Bytes::new(), echo });
    }
    if is(RELEASED).is_some() {
        return Some(How { settlement: Settlement::Abandon, modified: Bytes::new(), echo });
    }
    if let Some(fields) = is(MODIFIED) {
        let settlement = if fields.field(1).is_true() { Settlement::Defer } else { Settlement::Abandon };
        return Some(How { settlement, modified: changes(fields.field(2)), echo });
    }
    let Value::Described(_, error) = is(REJECTED)?.field(0) else {
        let settlement = Settlement::DeadLetter { reason: String::new(), description: String::new() };
        return Some(How { settlement, modified: Bytes::new(), echo });
    };
    let said = |name| error.field(2).member(name).as_str().unwrap_or_default().to_owned();
    let settlement = Settlement::DeadLetter { reason: said(REASON), description: said(DESCRIPTION) };
    let echo = Value::described(REJECTED.0, Value::List(vec![]));
    Some(How { settlement, modified: changes(error.field(2)), echo })
}

/// Properties to change, encoded; why it died is kept elsewhere.
pub fn changes(map: &Value) -> Bytes {
    let is_why = |name: &Value| matches!(name.as_str(), Some(REASON | DESCRIPTION));
    let kept: Vec<_> = map.members().iter().filter(|(name, _)| !is_why(name)).cloned().collect();
    if kept.is_empty() { Bytes::new() } else { Value::Map(kept).to_bytes().into() }
}
