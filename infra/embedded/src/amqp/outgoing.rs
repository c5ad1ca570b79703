//! What clients receive: `flow` gives credit, and deliveries leave in frames as windows and credit allow.

use super::{
    address::Node,
    codec::Value,
    connection::{Allowed, Connection, Of},
    link::{Outgoing, Parcel, Way},
    session::Session,
    wire::{self, Layer},
};

/// Answers that wait for a client who asks and does not listen.
const ANSWERS_MAX: usize = 100;

impl Connection {
    pub(super) fn flow(&mut self, channel: u16, fields: &Value) -> Allowed {
        let session = self.session(channel)?;
        session.heard(fields);
        let echo = fields.field(9).is_true();
        let handle = fields.field(4).as_u32();
        let mut out = Vec::new();
        match handle.and_then(|handle| session.links.get_mut(&handle)) {
            Some(link) => {
                if let Way::Out(outgoing) = &mut link.way {
                    outgoing.heard(fields);
                }
                if echo && !fields.field(8).is_true() {
                    let (handle, count, credit) = link.state();
                    session.push_flow(Some((handle, count, credit, false)), &mut out);
                }
            }
            None if echo => session.push_flow(None, &mut out),
            None => {}
        }
        self.out.extend(out);
        self.deliver(channel);
        Ok(())
    }

    /// Sends what can be sent, has more fetched where there is credit, and tells who drains when that is done.
    pub(super) fn deliver(&mut self, channel: u16) {
        let frame_max = self.frame_max;
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let handles: Vec<_> = session.links.values().map(|link| (link.handle, link.id)).collect();
        for (handle, link) in handles {
            let Some(session) = self.sessions.get_mut(&channel) else { return };
            session.send(handle, frame_max, &mut self.out);
            session.drained(handle, &mut self.out);
            self.fetch(Of { channel, handle, link });
        }
    }

    /// An answer goes to the client's receiving link of the same node, to the one it named if there are several.
    pub(super) fn answered(&mut self, of: Of, to: &str, bytes: Vec<u8>) {
        let Some(session) = self.sessions.get_mut(&of.channel) else { return };
        let Some(node) = session.links.get(&of.handle).map(|link| link.node.clone()) else { return };
        let mut fallback = None;
        let mut found = None;
        for link in session.links.values().filter(|link| link.node == node) {
            let Way::Out(outgoing) = &link.way else { continue };
            fallback = Some(link.handle);
            if outgoing.target == to {
                found = fallback;
            }
        }
        let Some(link) = found.or(fallback).and_then(|handle| session.links.get_mut(&handle)) else {
            tracing::debug!(to, "an AMQP client asks without listening for an answer");
            return;
        };
        if let Way::Out(outgoing) = &mut link.way
            && outgoing.queue.len() < ANSWERS_MAX
        {
            let tag = outgoing.count.wrapping_add(u32::try_from(outgoing.queue.len()).unwrap_or(0));
            let tag = tag.to_be_bytes().to_vec();
            outgoing.queue.push_back(Parcel { bytes, sent: 0, tag, lock: None, delivery: None });
        }
        self.deliver(of.channel);
    }
}

impl super::link::Link {
    /// Handle, count and credit, as a flow says them.
    fn state(&self) -> (u32, u32, u32) {
        match &self.way {
            Way::In(incoming) => (self.handle, incoming.count, incoming.credit),
            Way::Out(outgoing) => (self.handle, outgoing.count, outgoing.credit),
        }
    }
}

impl Outgoing {
    /// What the client's flow says of this link.
    fn heard(&mut self, flow: &Value) {
        let counted = flow.field(5).as_u32().unwrap_or(0);
        let credit = counted.wrapping_add(flow.field(6).as_u32().unwrap_or(0)).wrapping_sub(self.count);
        // Credit for what has been sent already is none.
        self.credit = if credit > u32::MAX / 2 { 0 } else { credit };
        self.drain = flow.field(8).is_true();
        self.is_dry = false;
        if self.drain || self.wants() == 0 {
            self.stop = None;
        }
    }
}

impl Session {
    fn send(&mut self, handle: u32, frame_max: usize, out: &mut Vec<u8>) {
        while self.outgoing_left > 0 {
            let delivery = self.next_delivery_of(handle);
            let Some(link) = self.links.get_mut(&handle) else { return };
            let Way::Out(outgoing) = &mut link.way else { return };
            let Some(parcel) = outgoing.queue.front_mut() else { return };
            if let Some(delivery) = delivery {
                parcel.delivery = Some(delivery);
                outgoing.credit -= 1;
                outgoing.count = outgoing.count.wrapping_add(1);
                if let Some(lock) = parcel.lock {
                    self.unsettled.insert(delivery, lock);
                }
            } else if parcel.delivery.is_none() {
                return; // no credit
            }
            let is_sent = parcel.push_frame(self.channel, handle, frame_max, out);
            if is_sent {
                outgoing.queue.pop_front();
            }
            self.next_outgoing = self.next_outgoing.wrapping_add(1);
            self.outgoing_left -= 1;
        }
    }

    /// The number for the delivery that begins now, if one does.
    fn next_delivery_of(&mut self, handle: u32) -> Option<u32> {
        let Way::Out(outgoing) = &self.links.get(&handle)?.way else { return None };
        let begins = outgoing.credit > 0 && outgoing.queue.front()?.delivery.is_none();
        begins.then(|| self.next_delivery())
    }

    /// Gives the credit back when there is nothing to send for it.
    fn drained(&mut self, handle: u32, out: &mut Vec<u8>) {
        let Some(link) = self.links.get_mut(&handle) else { return };
        let is_store = matches!(link.node, Node::From(_));
        let Way::Out(outgoing) = &mut link.way else { return };
        let is_done = outgoing.queue.is_empty() && (outgoing.is_dry || outgoing.credit == 0 || !is_store);
        if !outgoing.drain || outgoing.is_fetching || !is_done {
            return;
        }
        outgoing.count = outgoing.count.wrapping_add(outgoing.credit);
        (outgoing.credit, outgoing.drain) = (0, false);
        let count = outgoing.count;
        self.push_flow(Some((handle, count, 0, true)), out);
    }
}

impl Parcel {
    /// The next frame of this delivery; says whether it was the last.
    fn push_frame(&mut self, channel: u16, handle: u32, frame_max: usize, out: &mut Vec<u8>) -> bool {
        let mut fields = vec![Value::U32(handle); 6];
        let is_settled = self.lock.is_none();
        fields[1] = self.delivery.map_or(Value::Null, Value::U32);
        fields[2] = Value::Binary(self.tag.clone());
        fields[3] = Value::U32(0);
        fields[4] = Value::Bool(is_settled);
        fields[5] = Value::Bool(true);
        let room = frame_max.saturating_sub(wire::overhead(wire::TRANSFER, &fields)).max(1);
        let end = (self.sent + room).min(self.bytes.len());
        let is_last = end == self.bytes.len();
        fields[5] = Value::Bool(!is_last);
        wire::push(Layer::Amqp, channel, wire::TRANSFER, fields, &self.bytes[self.sent..end], out);
        // A message has at least one byte, so that what was begun is known by it.
        self.sent = end;
        is_last
    }
}
