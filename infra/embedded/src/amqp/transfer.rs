//! What clients send: frames are put together to messages and given to the worker of their link.

use super::{
    attaching::CREDIT,
    codec::Value,
    connection::{Allowed, Connection, Event, Of, illegal},
    link::Way,
    sending::{Arrived, rejected},
    wire,
};
use bytes::Bytes;

const TOO_LARGE: &str = "amqp:link:message-size-exceeded";

/// What `transfer` says beside its payload.
struct Part {
    delivery: Option<u32>,
    format: u32,
    is_settled: bool,
    is_more: bool,
    is_aborted: bool,
}

/// What became of a frame.
enum Took {
    Whole(Arrived),
    Part,
    TooLarge { delivery: u32, size: usize },
    BeyondCredit,
}

impl Connection {
    pub(super) fn transfer(&mut self, channel: u16, fields: &Value, payload: &Bytes) -> Allowed {
        let handle = fields.field(0).as_u32().ok_or_else(|| illegal("a transfer without a handle"))?;
        let bytes_max = self.shared.broker.message_bytes_max();
        let session = self.session(channel)?;
        if session.took_frame() {
            let mut flow = Vec::new();
            session.push_flow(None, &mut flow);
            self.out.extend(flow);
        }
        // What was on its way when the link was detached is lost with it, as the client has been told.
        let Some(link) = self.session(channel)?.links.get_mut(&handle) else { return Ok(()) };
        let Way::In(incoming) = &mut link.way else { return Err(illegal("a transfer on a link to receive from")) };
        let part = Part {
            delivery: fields.field(1).as_u32(),
            format: fields.field(3).as_u32().unwrap_or(0),
            is_settled: fields.field(4).is_true(),
            is_more: fields.field(5).is_true(),
            is_aborted: fields.field(9).is_true(),
        };
        match put_together(incoming, &part, payload, bytes_max)? {
            Took::Part => {}
            Took::Whole(arrived) => {
                // The worker ends with the link only.
                let _ = incoming.worker.send(arrived);
            }
            Took::TooLarge { delivery, size } => {
                let what = format!(
                    "The received message (delivery-id:{delivery}, size:{size} bytes) exceeds the limit ({bytes_max} bytes) currently allowed on the link."
                );
                // Some clients wait for an outcome, others for the end of the link.
                self.push(channel, wire::DISPOSITION, disposition(true, delivery, rejected(TOO_LARGE, &what)));
                self.detach(channel, handle, TOO_LARGE, &what);
            }
            Took::BeyondCredit => {
                self.detach(channel, handle, "amqp:link:transfer-limit-exceeded", "A transfer without credit.");
            }
        }
        Ok(())
    }

    /// The worker has dealt with these.
    pub(super) fn taken(&mut self, of: Of, count: u32, states: Vec<(u32, Value)>) {
        for (delivery, state) in states {
            self.push(of.channel, wire::DISPOSITION, disposition(true, delivery, state));
        }
        let Some(link) = self.link(of) else { return };
        if let Way::In(incoming) = &mut link.way {
            incoming.credit = incoming.credit.saturating_add(count).min(CREDIT);
            // Not for each: the client has enough to go on with.
            if incoming.credit > CREDIT / 2 {
                self.grant(of);
            }
        }
    }

    /// Tells the client how much it may send.
    pub(super) fn grant(&mut self, of: Of) {
        let Some(session) = self.sessions.get_mut(&of.channel) else { return };
        let Some(link) = session.links.get(&of.handle) else { return };
        if let Way::In(incoming) = &link.way {
            let flow = (of.handle, incoming.count, incoming.credit, false);
            session.push_flow(Some(flow), &mut self.out);
        }
    }

    /// What happened after the end.
    pub(super) fn too_late(&mut self, event: Event) {
        if let Event::Fetched { fetched, .. } = event {
            self.give_back(fetched.locks());
        }
    }
}

/// `role` is true when this side received what is settled.
pub fn disposition(role: bool, delivery: u32, state: Value) -> Vec<Value> {
    vec![Value::Bool(role), Value::U32(delivery), Value::U32(delivery), Value::Bool(true), state]
}

fn put_together(
    incoming: &mut super::link::Incoming,
    part: &Part,
    payload: &Bytes,
    bytes_max: usize,
) -> Result<Took, super::connection::Violation> {
    let mut arrived = match incoming.partial.take() {
        Some(partial) => partial,
        None => {
            if incoming.credit == 0 {
                return Ok(Took::BeyondCredit);
            }
            let delivery = part.delivery.ok_or_else(|| illegal("a transfer without a delivery-id"))?;
            incoming.credit -= 1;
            incoming.count = incoming.count.wrapping_add(1);
            Arrived { delivery, format: part.format, is_settled: part.is_settled, bytes: Vec::new() }
        }
    };
    if part.is_aborted {
        incoming.credit += 1;
        return Ok(Took::Part);
    }
    let size = arrived.bytes.len() + payload.len();
    if size > bytes_max {
        return Ok(Took::TooLarge { delivery: arrived.delivery, size });
    }
    arrived.bytes.extend_from_slice(payload);
    arrived.is_settled |= part.is_settled;
    if part.is_more {
        incoming.partial = Some(arrived);
        return Ok(Took::Part);
    }
    Ok(Took::Whole(arrived))
}
