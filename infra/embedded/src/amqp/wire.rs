//! Frames on a socket: protocol headers, sizes, performatives and their payload.

use super::codec::{Decoder, Malformed, Value};
use bytes::Bytes;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The largest frame that is taken, and announced in `open`.
pub const FRAME_MAX: usize = 65_536;
const HEADER_BYTES: usize = 8;

pub const OPEN: u64 = 0x10;
pub const BEGIN: u64 = 0x11;
pub const ATTACH: u64 = 0x12;
pub const FLOW: u64 = 0x13;
pub const TRANSFER: u64 = 0x14;
pub const DISPOSITION: u64 = 0x15;
pub const DETACH: u64 = 0x16;
pub const END: u64 = 0x17;
pub const CLOSE: u64 = 0x18;
pub const SASL_MECHANISMS: u64 = 0x40;
pub const SASL_INIT: u64 = 0x41;
pub const SASL_OUTCOME: u64 = 0x44;
const ERROR: u64 = 0x1d;

const PERFORMATIVES: [(u64, &str); 10] = [
    (OPEN, "amqp:open:list"),
    (BEGIN, "amqp:begin:list"),
    (ATTACH, "amqp:attach:list"),
    (FLOW, "amqp:flow:list"),
    (TRANSFER, "amqp:transfer:list"),
    (DISPOSITION, "amqp:disposition:list"),
    (DETACH, "amqp:detach:list"),
    (END, "amqp:end:list"),
    (CLOSE, "amqp:close:list"),
    (SASL_INIT, "amqp:sasl-init:list"),
];

/// Which protocol a header asks for, and a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    Amqp,
    Sasl,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Header(Layer),
    /// A frame without a body: the peer is alive.
    Heartbeat,
    Frame(Frame),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub layer: Layer,
    pub channel: u16,
    /// The number of the performative.
    pub code: u64,
    pub fields: Value,
    pub payload: Bytes,
}

/// Why reading ended.
#[derive(Debug)]
pub enum Ended {
    Gone(io::Error),
    Malformed(Malformed),
}
impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}
impl From<Malformed> for Ended {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Input, Ended> {
    let mut head = [0; HEADER_BYTES];
    from.read_exact(&mut head).await?;
    let [s0, s1, s2, s3, offset, kind, c0, c1] = head;
    if [s0, s1, s2, s3] == *b"AMQP" {
        return Ok(Input::Header(protocol([offset, kind, c0, c1])?));
    }
    let size = usize::try_from(u32::from_be_bytes([s0, s1, s2, s3])).map_err(|_| TOO_LARGE)?;
    if size > FRAME_MAX {
        return Err(TOO_LARGE.into());
    }
    let start = usize::from(offset) * 4;
    if start < HEADER_BYTES || start > size {
        return Err(Malformed("a frame whose body is not in it").into());
    }
    let mut body = vec![0; size - HEADER_BYTES];
    from.read_exact(&mut body).await?;
    let body = Bytes::from(body).slice(start - HEADER_BYTES..);
    let layer = match kind {
        0 => Layer::Amqp,
        1 => Layer::Sasl,
        _ => return Err(Malformed("a frame of an unknown type").into()),
    };
    Ok(parsed(layer, u16::from_be_bytes([c0, c1]), &body)?)
}

const TOO_LARGE: Malformed = Malformed("a frame larger than max-frame-size");

fn protocol(rest: [u8; 4]) -> Result<Layer, Malformed> {
    match rest {
        [0, 1, 0, 0] => Ok(Layer::Amqp),
        [3, 1, 0, 0] => Ok(Layer::Sasl),
        _ => Err(Malformed("another protocol than AMQP 1.0, plain or with SASL")),
    }
}

/// The body of a frame.
pub fn parsed(layer: Layer, channel: u16, body: &Bytes) -> Result<Input, Malformed> {
    if body.is_empty() {
        return Ok(Input::Heartbeat);
    }
    let mut decoder = Decoder::new(body);
    let performative = decoder.value()?;
    let payload = body.slice(body.len() - decoder.rest().len()..);
    for (code, symbol) in PERFORMATIVES {
        if let Some(fields @ Value::List(_)) = performative.described_as(code, symbol) {
            return Ok(Input::Frame(Frame { layer, channel, code, fields: fields.clone(), payload }));
        }
    }
    Err(Malformed("a frame without a performative"))
}

/// Appends a protocol header.
pub fn push_header(layer: Layer, out: &mut Vec<u8>) {
    out.extend(b"AMQP");
    out.extend(if layer == Layer::Sasl { [3, 1, 0, 0] } else { [0, 1, 0, 0] });
}

/// Appends a frame.
pub fn push(layer: Layer, channel: u16, code: u64, fields: Vec<Value>, payload: &[u8], out: &mut Vec<u8>) {
    let at = out.len();
    out.extend([0, 0, 0, 0, 2, u8::from(layer == Layer::Sasl)]);
    out.extend(channel.to_be_bytes());
    Value::described(code, Value::List(fields)).encode(out);
    out.extend(payload);
    let size = u32::try_from(out.len() - at).unwrap_or(u32::MAX).to_be_bytes();
    out[at..at + 4].copy_from_slice(&size);
}

/// The bytes of a frame besides its payload.
pub fn overhead(code: u64, fields: &[Value]) -> usize {
    HEADER_BYTES + Value::described(code, Value::List(fields.to_vec())).to_bytes().len()
}

pub fn push_heartbeat(out: &mut Vec<u8>) {
    out.extend([0, 0, 0, 8, 2, 0, 0, 0]);
}

/// An error as it stands in detach, end, close and rejected.
pub fn error(condition: &str, description: impl Into<String>) -> Value {
    Value::described(ERROR, Value::List(vec![Value::symbol(condition), Value::text(description)]))
}
