//! Links come and go.

use super::{
    address::{self, Node},
    codec::Value,
    connection::{Allowed, Connection, Of, illegal},
    link::{Incoming, Link, Outgoing, Way},
    sending,
    session::HANDLE_MAX,
    wire,
};

/// Transfers that a client may begin before it hears that earlier ones are dealt with.
pub const CREDIT: u32 = 200;
const SETTLED: u8 = 1;
/// What a client asks for that wants a session of Service Bus.
const SESSION_FILTER: &str = "com.microsoft:session-filter";

impl Connection {
    pub(super) fn attach(&mut self, channel: u16, fields: &Value) -> Allowed {
        let handle = fields.field(1).as_u32().ok_or_else(|| illegal("attach without a handle"))?;
        let session = self.session(channel)?;
        if handle > HANDLE_MAX || session.links.contains_key(&handle) {
            return Err(illegal("attach with a handle that is in use or beyond handle-max"));
        }
        let client_receives = fields.field(2).is_true();
        let terminus = fields.field(if client_receives { 5 } else { 6 });
        let address = address_of(terminus);
        let wants_session = source_filter(terminus).iter().any(|(name, _)| name.as_str() == Some(SESSION_FILTER));
        let node = address::node(&self.shared.broker, &address, client_receives);
        self.push(channel, wire::ATTACH, self.attach_answer(fields, node.is_some() && !wants_session));
        match node {
            None => self.refuse(
                channel,
                handle,
                NOT_FOUND,
                &format!("The messaging entity '{address}' could not be found."),
            ),
            Some(_) if wants_session => {
                self.refuse(channel, handle, "amqp:not-implemented", "This broker has no sessions.");
            }
            Some(node) => self.attached(Of { channel, handle, link: 0 }, fields, node),
        }
        Ok(())
    }

    /// What the client asked for, seen from here. Without its end of the link it will be detached at once.
    fn attach_answer(&self, asked: &Value, is_found: bool) -> Vec<Value> {
        let client_receives = asked.field(2).is_true();
        let end = |at: usize| if is_found { asked.field(at).clone() } else { Value::Null };
        let or = |value: &Value, default: u8| if value.is_null() { Value::U8(default) } else { value.clone() };
        vec![
            asked.field(0).clone(),
            asked.field(1).clone(),
            Value::Bool(!client_receives),
            or(asked.field(3), 2),
            or(asked.field(4), 0),
            end(5),
            end(6),
            Value::Null,
            Value::Bool(false),
            if client_receives { Value::U32(0) } else { Value::Null },
            Value::U64(u64::try_from(self.shared.broker.message_bytes_max()).unwrap_or(u64::MAX)),
        ]
    }

    fn attached(&mut self, of: Of, asked: &Value, node: Node) {
        self.links_attached += 1;
        let of = Of { link: self.links_attached, ..of };
        if matches!(node, Node::To(_) | Node::From(_)) {
            self.shared.faults.saw_link();
        }
        let way = if asked.field(2).is_true() {
            let keep = asked.field(3) != &Value::U8(SETTLED);
            Way::Out(Outgoing::new(keep, address_of(asked.field(6))))
        } else {
            let worker = sending::start(of, node.clone(), self.shared.clone(), self.events.clone());
            let count = asked.field(9).as_u32().unwrap_or(0);
            Way::In(Incoming { credit: CREDIT, count, partial: None, worker })
        };
        let is_incoming = matches!(way, Way::In(_));
        let Some(session) = self.sessions.get_mut(&of.channel) else { return };
        session.links.insert(of.handle, Link { id: of.link, handle: of.handle, node, way });
        if is_incoming {
            self.grant(of);
        }
    }

    /// Detaches what was never attached.
    fn refuse(&mut self, channel: u16, handle: u32, condition: &str, description: &str) {
        let fields = vec![Value::U32(handle), Value::Bool(true), wire::error(condition, description)];
        self.push(channel, wire::DETACH, fields);
    }

    /// Detaches a link for something that the client did.
    pub(super) fn detach(&mut self, channel: u16, handle: u32, condition: &str, description: &str) {
        let removed = self.sessions.get_mut(&channel).and_then(|session| session.links.remove(&handle));
        if let Some(link) = removed {
            self.forget(link);
            self.refuse(channel, handle, condition, description);
        }
    }

    /// The client detaches. The answer to a detach of ours changes nothing any more.
    pub(super) fn detached(&mut self, channel: u16, fields: &Value) -> Allowed {
        let handle = fields.field(0).as_u32().unwrap_or(0);
        if let Some(link) = self.session(channel)?.links.remove(&handle) {
            self.forget(link);
            self.push(channel, wire::DETACH, vec![Value::U32(handle), Value::Bool(fields.field(1).is_true())]);
        }
        Ok(())
    }

    /// What was to be delivered over a link that is gone is available again.
    pub(super) fn forget(&mut self, link: Link) {
        if let Way::Out(outgoing) = link.way {
            self.give_back(outgoing.unseen());
        }
    }
}

const NOT_FOUND: &str = "amqp:not-found";

fn address_of(terminus: &Value) -> String {
    let Value::Described(_, fields) = terminus else { return String::new() };
    fields.field(0).as_str().unwrap_or_default().to_owned()
}

fn source_filter(terminus: &Value) -> &[(Value, Value)] {
    let Value::Described(_, fields) = terminus else { return &[] };
    fields.field(7).members()
}
