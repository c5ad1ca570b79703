//! A client that says exactly what a test wants it to say, and a front for it to talk to.

use opsloop_embedded::{
    amqp::{
        Front,
        codec::{Decoder, Value},
    },
    broker::{Broker, Settings, Subscription, Topology},
    clock::VirtualClock,
    host::Entity,
};
use opsloop_kernel::{Timestamp, message::TOPIC};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub const START: Timestamp = Timestamp::from_millis(1_795_255_200_000);
pub const LOCK: Duration = Duration::from_secs(60);
pub const OPEN: u64 = 0x10;
pub const BEGIN: u64 = 0x11;
pub const ATTACH: u64 = 0x12;
pub const FLOW: u64 = 0x13;
pub const TRANSFER: u64 = 0x14;
pub const DISPOSITION: u64 = 0x15;
pub const DETACH: u64 = 0x16;
pub const CLOSE: u64 = 0x18;
/// A test whose peer stays silent fails, it does not hang.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Bed {
    pub front: Front,
    pub broker: Arc<Broker>,
    pub clock: Arc<VirtualClock>,
}

impl Bed {
    pub async fn new() -> Self {
        let clock = Arc::new(VirtualClock::at(START));
        let topology = Topology::new(
            ["jobs"],
            [Subscription::new("incidents", ["AlertTriggered"]), Subscription::new("feedback", ["AlertTriggered"])],
        );
        let broker = Arc::new(Broker::in_memory(&topology, Settings::default(), clock.clone()).unwrap());
        let front = Front::listen(broker.clone(), ([127, 0, 0, 1], 0).into()).await.unwrap();
        Self { front, broker, clock }
    }

    pub async fn peer(&self) -> Peer {
        Peer::opened(self, 65_536).await
    }
}

pub fn jobs() -> Entity {
    Entity::queue("jobs")
}
pub fn incidents() -> Entity {
    Entity::subscription(TOPIC, "incidents")
}

#[derive(Debug)]
pub struct Frame {
    pub code: u64,
    pub fields: Value,
    pub payload: Vec<u8>,
    pub size: usize,
}

pub struct Peer {
    pub socket: TcpStream,
}

impl Peer {
    pub async fn connected(bed: &Bed) -> Self {
        Self { socket: TcpStream::connect(bed.front.addr()).await.unwrap() }
    }

    /// With one session on channel 0 whose windows never close.
    pub async fn opened(bed: &Bed, frame_max: u32) -> Self {
        let mut peer = Self::connected(bed).await;
        peer.socket.write_all(b"AMQP\0\x01\0\0").await.unwrap();
        let mut header = [0; 8];
        peer.socket.read_exact(&mut header).await.unwrap();
        assert_eq!(&header, b"AMQP\0\x01\0\0");
        peer.send(OPEN, vec![Value::text("peer"), Value::text("here"), Value::U32(frame_max)], &[]).await;
        peer.send(BEGIN, begin(1 << 30), &[]).await;
        peer.expect(OPEN).await;
        peer.expect(BEGIN).await;
        peer
    }

    pub async fn send(&mut self, code: u64, fields: Vec<Value>, payload: &[u8]) {
        let mut body = Value::described(code, Value::List(fields)).to_bytes();
        body.extend(payload);
        self.send_raw(0, 0, &body).await;
    }

    pub async fn send_raw(&mut self, kind: u8, channel: u16, body: &[u8]) {
        let mut frame = u32::try_from(body.len() + 8).unwrap().to_be_bytes().to_vec();
        frame.extend([2, kind]);
        frame.extend(channel.to_be_bytes());
        frame.extend(body);
        self.socket.write_all(&frame).await.unwrap();
    }

    /// The next frame that is no heartbeat. None: the socket is closed.
    pub async fn next(&mut self) -> Option<Frame> {
        let read = async {
            loop {
                let mut head = [0; 8];
                self.socket.read_exact(&mut head).await.ok()?;
                let size = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
                let mut body = vec![0; size - 8];
                self.socket.read_exact(&mut body).await.ok()?;
                if !body.is_empty() {
                    return Some(parsed(&body, size));
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap()
    }

    /// The next frame of that kind, past flows.
    pub async fn expect(&mut self, code: u64) -> Frame {
        loop {
            let frame = self.next().await.unwrap();
            if frame.code == code {
                return frame;
            }
            assert_eq!(frame.code, FLOW, "{frame:?} is not what was expected ({code:#x})");
        }
    }

    /// Attaches to send.
    pub async fn sender(&mut self, handle: u32, address: &str) -> Frame {
        self.attach(handle, false, address, 0).await
    }

    /// Attaches to receive; 1 is receive-and-delete.
    pub async fn receiver(&mut self, handle: u32, address: &str, settle_mode: u8) -> Frame {
        self.attach(handle, true, address, settle_mode).await
    }

    async fn attach(&mut self, handle: u32, receives: bool, address: &str, settle_mode: u8) -> Frame {
        let end = |code| Value::described(code, Value::List(vec![Value::text(address)]));
        let mut fields = vec![Value::text(format!("link-{handle}")), Value::U32(handle), Value::Bool(receives)];
        fields.extend([Value::U8(settle_mode), Value::U8(0), end(0x28), end(0x29)]);
        fields.extend([Value::Null, Value::Null, Value::U32(0)]);
        self.send(ATTACH, fields, &[]).await;
        self.expect(ATTACH).await
    }

    pub async fn credit(&mut self, handle: u32, count: u32, credit: u32, drain: bool) {
        let mut fields = vec![Value::U32(0), Value::U32(1 << 30), Value::U32(0), Value::U32(1 << 30)];
        fields.extend([Value::U32(handle), Value::U32(count), Value::U32(credit), Value::Null, Value::Bool(drain)]);
        self.send(FLOW, fields, &[]).await;
    }

    pub async fn transfer(&mut self, handle: u32, delivery: u32, format: u32, message: &[u8]) {
        let fields = vec![
            Value::U32(handle),
            Value::U32(delivery),
            Value::Binary(delivery.to_be_bytes().to_vec()),
            Value::U32(format),
            Value::Bool(false),
        ];
        self.send(TRANSFER, fields, message).await;
    }

    /// As a receiver.
    pub async fn settle(&mut self, delivery: u32, state: Value) {
        let fields = vec![Value::Bool(true), Value::U32(delivery), Value::U32(delivery), Value::Bool(false), state];
        self.send(DISPOSITION, fields, &[]).await;
    }

    /// The outcome of a delivery: its number, and its condition if it was rejected with an error.
    pub async fn outcome(&mut self) -> (u64, Option<String>) {
        let frame = self.expect(DISPOSITION).await;
        let Value::Described(code, state) = frame.fields.field(4) else { panic!("{frame:?}") };
        let Value::U64(code) = **code else { panic!("{code:?}") };
        (code, condition(state.field(0)))
    }

    /// Sends a request to the node on these two links and waits for the answer.
    pub async fn ask(&mut self, sender: u32, delivery: u32, operation: &str, body: Value) -> (Value, Value) {
        let mut message = Vec::new();
        let properties = vec![Value::text("request-7"), Value::Null, Value::Null, Value::Null, Value::text("answers")];
        Value::described(0x73, Value::List(properties)).encode(&mut message);
        Value::described(0x74, Value::map([("operation", Value::text(operation))])).encode(&mut message);
        Value::described(0x77, body).encode(&mut message);
        self.transfer(sender, delivery, 0, &message).await;
        let (mut answer, mut is_accepted) = (None, false);
        while answer.is_none() || !is_accepted {
            let frame = self.next().await.unwrap();
            is_accepted |= frame.code == DISPOSITION;
            if frame.code == TRANSFER {
                let sections = sections(&frame.payload);
                assert_eq!(section(&sections, 0x73).field(5), &Value::text("request-7"));
                answer = Some((section(&sections, 0x74).clone(), section(&sections, 0x77).clone()));
            }
        }
        answer.unwrap()
    }
}

pub fn begin(window: u32) -> Vec<Value> {
    vec![Value::Null, Value::U32(0), Value::U32(window), Value::U32(1 << 30)]
}

pub fn accepted() -> Value {
    Value::described(0x24, Value::List(vec![]))
}

/// The condition of an error.
pub fn condition(error: &Value) -> Option<String> {
    let Value::Described(_, fields) = error else { return None };
    fields.field(0).as_str().map(str::to_owned)
}

pub fn sections(message: &[u8]) -> Vec<(u64, Value)> {
    let mut decoder = Decoder::new(message);
    let mut sections = Vec::new();
    while !decoder.rest().is_empty() {
        let Value::Described(code, value) = decoder.value().unwrap() else { panic!("no section") };
        let Value::U64(code) = *code else { panic!("{code:?}") };
        sections.push((code, *value));
    }
    sections
}

pub fn section(sections: &[(u64, Value)], code: u64) -> &Value {
    &sections.iter().find(|(have, _)| *have == code).unwrap().1
}

/// A message with an id, application properties and a body of data.
pub fn message(id: &str, properties: Vec<(&str, Value)>, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Value::described(0x73, Value::List(vec![Value::text(id)])).encode(&mut out);
    let properties = properties.into_iter().map(|(name, value)| (Value::text(name), value)).collect();
    Value::described(0x74, Value::Map(properties)).encode(&mut out);
    Value::described(0x75, Value::Binary(body.to_vec())).encode(&mut out);
    out
}

pub fn alert(id: &str) -> Vec<u8> {
    message(id, vec![("kind", Value::text("AlertTriggered"))], b"body")
}

fn parsed(body: &[u8], size: usize) -> Frame {
    let mut decoder = Decoder::new(body);
    let Value::Described(code, fields) = decoder.value().unwrap() else { panic!("no performative") };
    let Value::U64(code) = *code else { panic!("{code:?}") };
    Frame { code, fields: *fields, payload: decoder.rest().to_vec(), size }
}
