//! A session: its links, its windows, and the deliveries that the client has not settled.

use super::{codec::Value, link::Link, wire};
use crate::broker::Lock;
use std::collections::BTreeMap;

/// Frames that the client may send before it hears of us.
pub const WINDOW: u32 = 5_000;
pub const HANDLE_MAX: u32 = 255;

pub struct Session {
    pub channel: u16,
    pub links: BTreeMap<u32, Link>,
    /// By delivery number.
    pub unsettled: BTreeMap<u32, Lock>,
    pub next_incoming: u32,
    /// Of our window.
    pub incoming_left: u32,
    pub next_outgoing: u32,
    /// Frames that the client still takes.
    pub outgoing_left: u32,
    next_delivery: u32,
}

impl Session {
    /// As the client's `begin` says it.
    pub fn begun(channel: u16, begin: &Value) -> Self {
        Self {
            channel,
            links: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            next_incoming: begin.field(1).as_u32().unwrap_or(0),
            incoming_left: WINDOW,
            next_outgoing: 0,
            outgoing_left: begin.field(2).as_u32().unwrap_or(0),
            next_delivery: 0,
        }
    }

    pub fn next_delivery(&mut self) -> u32 {
        let this = self.next_delivery;
        self.next_delivery = this.wrapping_add(1);
        this
    }

    /// What the client's `flow` says of its window.
    pub fn heard(&mut self, flow: &Value) {
        let window = flow.field(1).as_u32().unwrap_or(0);
        let next = flow.field(0).as_u32().unwrap_or(0);
        let end = next.wrapping_add(window);
        let left = end.wrapping_sub(self.next_outgoing);
        // A window whose end lies behind us is closed.
        self.outgoing_left = if left > u32::MAX / 2 { 0 } else { left };
    }

    /// A frame of the client's has come; says whether it should hear of the window again.
    pub fn took_frame(&mut self) -> bool {
        self.next_incoming = self.next_incoming.wrapping_add(1);
        self.incoming_left = self.incoming_left.saturating_sub(1);
        self.incoming_left < WINDOW / 2
    }

    /// A `flow`; of a link, too, if it is about one: handle, count, credit, drain.
    pub fn push_flow(&mut self, link: Option<(u32, u32, u32, bool)>, out: &mut Vec<u8>) {
        self.incoming_left = WINDOW;
        let mut fields = vec![
            Value::U32(self.next_incoming),
            Value::U32(WINDOW),
            Value::U32(self.next_outgoing),
            Value::U32(WINDOW),
        ];
        if let Some((handle, count, credit, drain)) = link {
            fields.extend([Value::U32(handle), Value::U32(count), Value::U32(credit), Value::U32(0)]);
            fields.push(Value::Bool(drain));
        }
        wire::push(wire::Layer::Amqp, self.channel, wire::FLOW, fields, &[], out);
    }
}
