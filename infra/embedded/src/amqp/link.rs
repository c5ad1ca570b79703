//! The two kinds of link, as this side sees them.

use super::{address::Node, sending::Arrived};
use crate::broker::Lock;
use std::collections::VecDeque;
use tokio::sync::{mpsc, oneshot};

pub struct Link {
    /// Which attachment this is: a handle is used again, this number never.
    pub id: u64,
    pub handle: u32,
    pub node: Node,
    pub way: Way,
}

pub enum Way {
    /// The client sends.
    In(Incoming),
    /// The client receives.
    Out(Outgoing),
}

pub struct Incoming {
    /// Transfers that the client may still begin.
    pub credit: u32,
    /// Transfers that it has begun.
    pub count: u32,
    /// One that has not come as a whole.
    pub partial: Option<Arrived>,
    /// Where they go, in order.
    pub worker: mpsc::UnboundedSender<Arrived>,
}

pub struct Outgoing {
    pub credit: u32,
    pub count: u32,
    /// The client wants what there is now, and then its credit back.
    pub drain: bool,
    /// Peek-lock; else what is delivered is gone.
    pub keep: bool,
    /// What the client calls its end: answers are addressed to it.
    pub target: String,
    pub queue: VecDeque<Parcel>,
    /// Somebody waits for messages for this link.
    pub is_fetching: bool,
    /// Dropped, they stop.
    pub stop: Option<oneshot::Sender<()>>,
    /// They were asked for what there is now, and there was nothing.
    pub is_dry: bool,
}

/// A message on its way to the client.
pub struct Parcel {
    pub bytes: Vec<u8>,
    /// How much of it has been sent.
    pub sent: usize,
    pub tag: Vec<u8>,
    pub lock: Option<Lock>,
    /// Once its first frame is sent.
    pub delivery: Option<u32>,
}

impl Outgoing {
    pub fn new(keep: bool, target: String) -> Self {
        Self {
            credit: 0,
            count: 0,
            drain: false,
            keep,
            target,
            queue: VecDeque::new(),
            is_fetching: false,
            stop: None,
            is_dry: false,
        }
    }

    /// Messages that the client has credit for beyond those in the queue.
    pub fn wants(&self) -> u32 {
        let queued = self.queue.iter().filter(|parcel| parcel.sent == 0).count();
        self.credit.saturating_sub(u32::try_from(queued).unwrap_or(u32::MAX))
    }

    /// Locks that nobody will hear of.
    pub fn unseen(&self) -> Vec<Lock> {
        self.queue.iter().filter(|parcel| parcel.sent == 0).filter_map(|parcel| parcel.lock).collect()
    }
}
