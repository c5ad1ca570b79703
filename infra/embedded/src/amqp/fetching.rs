//! Waits for messages on behalf of a link that has credit.

use super::{
    address::Node,
    codec::Value,
    connection::{Connection, Event, Of},
    leaving::{self, Shown},
    link::{Parcel, Way},
};
use crate::{
    broker::{BrokerError, Held, Lock},
    host::Entity,
};
use std::time::Duration;
use tokio::sync::oneshot;

/// Messages that one link has from the broker at once.
const TOGETHER_MAX: u32 = 50;
/// By the broker's clock; a link waits as long as it has credit, so this only says when it asks again.
const WAIT: Duration = Duration::from_secs(86_400);

/// What came of waiting.
pub struct Fetched {
    from: Entity,
    keep: bool,
    /// Asked for what there was at that moment.
    is_last: bool,
    held: Result<Vec<Held>, BrokerError>,
}

impl Fetched {
    pub fn locks(&self) -> Vec<Lock> {
        match &self.held {
            Ok(held) if self.keep => held.iter().map(|one| one.lock).collect(),
            _ => Vec::new(),
        }
    }
}

impl Connection {
    /// Has somebody wait for messages if the link can take some and nobody does yet.
    pub(super) fn fetch(&mut self, of: Of) {
        let (broker, events) = (self.shared.broker.clone(), self.events.clone());
        let Some(link) = self.link(of) else { return };
        let (Node::From(from), Way::Out(outgoing)) = (&link.node, &mut link.way) else { return };
        let wanted = outgoing.wants().min(TOGETHER_MAX);
        if wanted == 0 || outgoing.is_fetching {
            return;
        }
        let (stop, stopped) = oneshot::channel::<()>();
        (outgoing.is_fetching, outgoing.stop) = (true, Some(stop));
        // Who drains wants what is there now.
        let (is_last, keep, from) = (outgoing.drain, outgoing.keep, from.clone());
        tokio::spawn(async move {
            let stop = async { drop(stopped.await) };
            let max = usize::try_from(wanted).unwrap_or(1);
            let wait = if is_last { Duration::ZERO } else { WAIT };
            let held = broker.receive_unless(&from, max, keep, wait, stop).await;
            let event = Event::Fetched { of, fetched: Fetched { from, keep, is_last, held } };
            if let Err(unheard) = events.send(event).await
                && let Event::Fetched { fetched, .. } = unheard.0
            {
                // The connection is gone: these deliveries were seen by nobody.
                let _ = broker.put_back(fetched.locks()).await;
            }
        });
    }

    pub(super) fn fetched(&mut self, of: Of, fetched: Fetched) {
        let locks = fetched.locks();
        let Some(link) = self.link(of) else { return self.give_back(locks) };
        let Way::Out(outgoing) = &mut link.way else { return };
        (outgoing.is_fetching, outgoing.stop) = (false, None);
        let Ok(held) = fetched.held else {
            return self.detach(of.channel, of.handle, "amqp:internal-error", "The broker failed; try again.");
        };
        outgoing.is_dry = fetched.is_last && held.is_empty();
        let mut surplus = Vec::new();
        for held in held {
            // The client may have taken credit back meanwhile; what is gone from the broker is sent all the same.
            let has_room = outgoing.wants() > 0 || !fetched.keep;
            match parcel(&held, &fetched.from, fetched.keep).filter(|_| has_room) {
                Some(parcel) => outgoing.queue.push_back(parcel),
                None => surplus.push(held.lock),
            }
        }
        self.give_back(surplus);
        self.deliver(of.channel);
    }

    /// Unlocks what nobody has seen.
    pub(super) fn give_back(&mut self, locks: Vec<Lock>) {
        if locks.is_empty() {
            return;
        }
        let broker = self.shared.broker.clone();
        tokio::spawn(async move {
            if let Err(fault) = broker.put_back(locks).await {
                tracing::warn!(fault = fault.kind(), "messages stay locked until their locks run out");
            }
        });
    }
}

/// None: its bytes, which were taken as a message once, are none. They stay where they are.
fn parcel(held: &Held, from: &Entity, keep: bool) -> Option<Parcel> {
    let shown = if keep { Shown::Locked } else { Shown::Taken };
    let bytes = leaving::encoded(held, from, shown).ok()?;
    let tag = guid(held.lock).to_vec();
    Some(Parcel { bytes, sent: 0, tag, lock: keep.then_some(held.lock), delivery: None })
}

/// A lock's GUID as .NET writes one: clients read the delivery tag so.
pub fn guid(lock: Lock) -> [u8; 16] {
    swapped(lock.as_u128().to_be_bytes())
}

/// Between the order of a GUID's text and .NET's; the same both ways.
fn swapped(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// A lock token as it stands in requests: in the order of its text.
pub fn token(lock: Lock) -> Value {
    Value::Uuid(lock.as_u128().to_be_bytes())
}
