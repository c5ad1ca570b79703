//! Values to bytes. Numbers are written short where AMQP has a short form for them.

use super::Value;

impl Value {
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0x40),
            Self::Bool(true) => out.push(0x41),
            Self::Bool(false) => out.push(0x42),
            Self::U32(0) => out.push(0x43),
            Self::U64(0) => out.push(0x44),
            Self::List(items) if items.is_empty() => out.push(0x45),
            Self::U64(n) if *n < 256 => out.extend([0x53, n.to_le_bytes()[0]]),
            Self::U32(n) if *n < 256 => out.extend([0x52, n.to_le_bytes()[0]]),
            Self::Binary(bytes) => variable(out, 0xa0, bytes),
            Self::Text(text) => variable(out, 0xa1, text.as_bytes()),
            Self::Symbol(text) => variable(out, 0xa3, text.as_bytes()),
            Self::Described(descriptor, value) => {
                out.push(0);
                descriptor.encode(out);
                value.encode(out);
            }
            wide => {
                wide.constructor(out);
                wide.wide(out);
            }
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// The type byte of the widest form, which every element of an array of this type can have.
    fn constructor(&self, out: &mut Vec<u8>) {
        let code = match self {
            Self::Null => 0x40,
            Self::Bool(_) => 0x56,
            Self::U8(_) => 0x50,
            Self::U16(_) => 0x60,
            Self::U32(_) => 0x70,
            Self::U64(_) => 0x80,
            Self::I8(_) => 0x51,
            Self::I16(_) => 0x61,
            Self::I32(_) => 0x71,
            Self::I64(_) => 0x81,
            Self::F32(_) => 0x72,
            Self::F64(_) => 0x82,
            Self::Decimal32(_) => 0x74,
            Self::Decimal64(_) => 0x84,
            Self::Decimal128(_) => 0x94,
            Self::Char(_) => 0x73,
            Self::Timestamp(_) => 0x83,
            Self::Uuid(_) => 0x98,
            Self::Binary(_) => 0xb0,
            Self::Text(_) => 0xb1,
            Self::Symbol(_) => 0xb3,
            Self::List(_) => 0xd0,
            Self::Map(_) => 0xd1,
            Self::Array(_) => 0xf0,
            Self::Described(descriptor, value) => {
                out.push(0);
                descriptor.encode(out);
                return value.constructor(out);
            }
        };
        out.push(code);
    }

    /// What follows that byte.
    fn wide(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => {}
            Self::Bool(is) => out.push(u8::from(*is)),
            Self::U8(n) => out.push(*n),
            Self::U16(n) => out.extend(n.to_be_bytes()),
            Self::U32(n) | Self::Char(n) => out.extend(n.to_be_bytes()),
            Self::U64(n) => out.extend(n.to_be_bytes()),
            Self::I8(n) => out.extend(n.to_be_bytes()),
            Self::I16(n) => out.extend(n.to_be_bytes()),
            Self::I32(n) => out.extend(n.to_be_bytes()),
            Self::I64(n) | Self::Timestamp(n) => out.extend(n.to_be_bytes()),
            Self::F32(n) => out.extend(n.to_be_bytes()),
            Self::F64(n) => out.extend(n.to_be_bytes()),
            Self::Decimal32(bytes) => out.extend(bytes),
            Self::Decimal64(bytes) => out.extend(bytes),
            Self::Decimal128(bytes) | Self::Uuid(bytes) => out.extend(bytes),
            Self::Binary(bytes) => long(out, bytes),
            Self::Text(text) | Self::Symbol(text) => long(out, text.as_bytes()),
            Self::List(items) => counted(out, items.len(), |out| items.iter().for_each(|item| item.encode(out))),
            Self::Map(members) => counted(out, members.len() * 2, |out| {
                for (key, value) in members {
                    key.encode(out);
                    value.encode(out);
                }
            }),
            Self::Array(items) => array(out, items),
            Self::Described(_, value) => value.wide(out),
        }
    }
}

/// An array says once of what type its elements are; without any it is an array of nulls.
fn array(out: &mut Vec<u8>, items: &[Value]) {
    let first = items.first().unwrap_or(&Value::Null);
    let alike: Vec<_> = items.iter().filter(|item| is_alike(first, item)).collect();
    counted(out, alike.len(), |out| {
        first.constructor(out);
        alike.iter().for_each(|item| item.wide(out));
    });
}

fn is_alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Described(a, one), Value::Described(b, other)) => a == b && is_alike(one, other),
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

fn variable(out: &mut Vec<u8>, code: u8, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(length) => {
            out.extend([code, length]);
            out.extend(bytes);
        }
        Err(_) => {
            out.push(code + 0x10);
            long(out, bytes);
        }
    }
}

fn long(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(word(bytes.len()));
    out.extend(bytes);
}

/// Size (of what follows it), count, content.
fn counted(out: &mut Vec<u8>, count: usize, content: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend([0; 4]);
    out.extend(word(count));
    content(out);
    let size = word(out.len() - at - 4);
    out[at..at + 4].copy_from_slice(&size);
}

/// Lengths here are bounded by what a message may have, far below 4 GiB.
fn word(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}
