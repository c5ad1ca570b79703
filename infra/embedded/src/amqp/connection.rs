//! One connection: what its frames mean. Nothing here waits; what takes time is done by tasks that report back as events.

use super::{
    Shared,
    codec::Value,
    fetching::Fetched,
    link::{Link, Way},
    session::{HANDLE_MAX, Session, WINDOW},
    settling::{self, Job},
    wire::{self, Ended, FRAME_MAX, Frame, Input, Layer},
};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

const CHANNEL_MAX: u16 = 63;
/// The least that AMQP lets a peer take.
const FRAME_MIN: usize = 512;
const MECHANISMS: [&str; 4] = ["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"];

/// Whose link something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Of {
    pub channel: u16,
    pub handle: u32,
    pub link: u64,
}

/// What the tasks of a connection report.
pub enum Event {
    /// Transfers of the client's have been dealt with: the state of each, if the client is to hear of it.
    Taken {
        of: Of,
        count: u32,
        states: Vec<(u32, Value)>,
    },
    /// An answer of `$cbs` or `$management`.
    Answered {
        of: Of,
        to: String,
        bytes: Vec<u8>,
    },
    Fetched {
        of: Of,
        fetched: Fetched,
    },
    /// Outcomes of what the client wanted settled.
    Settled {
        channel: u16,
        states: Vec<(u32, Value)>,
    },
    /// A fault: the link is detached with this condition.
    Detach {
        of: Of,
        condition: String,
    },
    /// A fault: the socket is closed without a word.
    Cut,
}

/// What a client may not do: the connection is closed and it is told.
pub struct Violation {
    pub condition: &'static str,
    pub description: String,
}

pub type Allowed = Result<(), Violation>;

pub fn illegal(description: impl Into<String>) -> Violation {
    Violation { condition: "amqp:illegal-state", description: description.into() }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    Over,
    Cut,
}

pub struct Connection {
    pub(super) shared: Shared,
    /// Frames that are to be written.
    pub out: Vec<u8>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) sessions: BTreeMap<u16, Session>,
    /// Settles one after another.
    pub(super) settler: mpsc::UnboundedSender<Job>,
    /// What the client takes.
    pub(super) frame_max: usize,
    pub(super) links_attached: u64,
    phase: Phase,
}

impl Connection {
    pub fn new(shared: Shared, events: mpsc::Sender<Event>) -> Self {
        let settler = settling::start(shared.broker.clone(), events.clone());
        Self {
            shared,
            out: Vec::new(),
            events,
            sessions: BTreeMap::new(),
            settler,
            frame_max: FRAME_MIN,
            links_attached: 0,
            phase: Phase::Opening,
        }
    }

    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over | Phase::Cut)
    }

    /// Ended without a word, as a test wanted it.
    pub fn is_cut(&self) -> bool {
        self.phase == Phase::Cut
    }

    pub fn beat(&mut self) {
        if self.phase == Phase::Open {
            wire::push_heartbeat(&mut self.out);
        }
    }

    pub fn take(&mut self, input: Option<Result<Input, Ended>>) {
        if self.is_over() {
            return;
        }
        let allowed = match input {
            None => return self.phase = Phase::Over,
            Some(Err(Ended::Gone(error))) => {
                tracing::debug!(%error, "an AMQP client is gone");
                return self.phase = Phase::Over;
            }
            Some(Err(Ended::Malformed(why))) => {
                Err(Violation { condition: "amqp:decode-error", description: why.to_string() })
            }
            Some(Ok(Input::Heartbeat)) => Ok(()),
            Some(Ok(Input::Header(layer))) => self.greet(layer),
            Some(Ok(Input::Frame(frame))) => self.frame(&frame),
        };
        if let Err(violation) = allowed {
            self.give_up(violation.condition, &violation.description);
        }
    }

    pub fn on(&mut self, event: Event) {
        match event {
            _ if self.is_over() => self.too_late(event),
            Event::Taken { of, count, states } => self.taken(of, count, states),
            Event::Answered { of, to, bytes } => self.answered(of, &to, bytes),
            Event::Fetched { of, fetched } => self.fetched(of, fetched),
            Event::Settled { channel, states } => self.settled(channel, states),
            Event::Detach { of, condition } => {
                if self.link(of).is_some() {
                    self.detach(of.channel, of.handle, &condition, "A test wanted it so.");
                }
            }
            Event::Cut => {
                self.out.clear();
                self.phase = Phase::Cut;
            }
        }
    }

    /// Closes with an error.
    pub fn give_up(&mut self, condition: &str, description: &str) {
        if self.is_over() {
            return;
        }
        tracing::warn!(condition, description, "an AMQP connection is closed");
        if self.phase == Phase::Opening {
            self.open();
        }
        self.push(0, wire::CLOSE, vec![wire::error(condition, description)]);
        self.phase = Phase::Over;
    }

    /// Gives back what nobody will hear of.
    pub async fn end(mut self) {
        let mut locks = Vec::new();
        for session in self.sessions.values_mut() {
            for link in session.links.values() {
                if let Way::Out(outgoing) = &link.way {
                    locks.extend(outgoing.unseen());
                }
            }
        }
        if !locks.is_empty()
            && let Err(fault) = self.shared.broker.put_back(locks).await
        {
            tracing::warn!(fault = fault.kind(), "messages stay locked until their locks run out");
        }
    }

    fn greet(&mut self, layer: Layer) -> Allowed {
        if self.phase != Phase::Opening {
            return Err(illegal("a protocol header after open"));
        }
        wire::push_header(layer, &mut self.out);
        if layer == Layer::Sasl {
            let names = MECHANISMS.iter().map(|name| Value::symbol(*name)).collect();
            let fields = vec![Value::Array(names)];
            wire::push(Layer::Sasl, 0, wire::SASL_MECHANISMS, fields, &[], &mut self.out);
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame) -> Allowed {
        match (frame.layer, frame.code, self.phase) {
            (Layer::Sasl, wire::SASL_INIT, Phase::Opening) => {
                wire::push(Layer::Sasl, 0, wire::SASL_OUTCOME, vec![Value::U8(0)], &[], &mut self.out);
                Ok(())
            }
            (Layer::Amqp, wire::OPEN, Phase::Opening) => {
                let wanted = frame.fields.field(2).as_u32().and_then(|n| usize::try_from(n).ok());
                self.frame_max = wanted.unwrap_or(FRAME_MAX).clamp(FRAME_MIN, FRAME_MAX);
                self.open();
                self.phase = Phase::Open;
                Ok(())
            }
            (Layer::Amqp, code, Phase::Open) => self.opened(code, frame),
            _ => Err(illegal("a frame that is not expected before open, or not after it")),
        }
    }

    fn open(&mut self) {
        let idle = u32::try_from(super::serve::IDLE.as_millis()).unwrap_or(u32::MAX);
        let size = u32::try_from(FRAME_MAX).unwrap_or(u32::MAX);
        let fields =
            vec![Value::text("opsloop"), Value::Null, Value::U32(size), Value::U16(CHANNEL_MAX), Value::U32(idle)];
        self.push(0, wire::OPEN, fields);
    }

    fn opened(&mut self, code: u64, frame: &Frame) -> Allowed {
        let (channel, fields) = (frame.channel, &frame.fields);
        match code {
            wire::BEGIN => self.begin(channel, fields),
            wire::ATTACH => self.attach(channel, fields),
            wire::FLOW => self.flow(channel, fields),
            wire::TRANSFER => self.transfer(channel, fields, &frame.payload),
            wire::DISPOSITION => self.disposition(channel, fields),
            wire::DETACH => self.detached(channel, fields),
            wire::END => {
                self.session(channel)?;
                self.leave(channel);
                self.push(channel, wire::END, vec![]);
                Ok(())
            }
            wire::CLOSE => {
                self.push(0, wire::CLOSE, vec![]);
                self.phase = Phase::Over;
                Ok(())
            }
            _ => Err(illegal("a second open")),
        }
    }

    fn begin(&mut self, channel: u16, fields: &Value) -> Allowed {
        if channel > CHANNEL_MAX || self.sessions.contains_key(&channel) {
            return Err(illegal("begin on a channel that is in use or beyond channel-max"));
        }
        let session = Session::begun(channel, fields);
        let answer = vec![
            Value::U16(channel),
            Value::U32(session.next_outgoing),
            Value::U32(WINDOW),
            Value::U32(WINDOW),
            Value::U32(HANDLE_MAX),
        ];
        self.sessions.insert(channel, session);
        self.push(channel, wire::BEGIN, answer);
        Ok(())
    }

    fn leave(&mut self, channel: u16) {
        let Some(session) = self.sessions.remove(&channel) else { return };
        for link in session.links.into_values() {
            self.forget(link);
        }
    }

    pub(super) fn session(&mut self, channel: u16) -> Result<&mut Session, Violation> {
        self.sessions.get_mut(&channel).ok_or_else(|| illegal("a frame on a channel without a session"))
    }

    pub(super) fn link(&mut self, of: Of) -> Option<&mut Link> {
        self.sessions.get_mut(&of.channel)?.links.get_mut(&of.handle).filter(|link| link.id == of.link)
    }

    pub(super) fn push(&mut self, channel: u16, code: u64, fields: Vec<Value>) {
        wire::push(Layer::Amqp, channel, code, fields, &[], &mut self.out);
    }
}
