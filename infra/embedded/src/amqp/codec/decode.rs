//! Bytes to values. The bytes are a stranger's: nothing here trusts a length, a count or a depth, and nothing panics.

use super::Value;
use std::fmt;

/// Lists in lists in lists: more than any client nests, and far from the end of a stack.
const DEPTH_MAX: usize = 32;
/// Elements that take no bytes (nulls, `true`, zeros) cost only us.
const EMPTY_ELEMENTS_MAX: usize = 16;
/// The descriptor of an array is kept once per element.
const DESCRIPTOR_BYTES_MAX: usize = 64;

/// Why these bytes are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed AMQP: {}", self.0)
    }
}
impl std::error::Error for Malformed {}

type Result<T> = std::result::Result<T, Malformed>;

pub struct Decoder<'b> {
    rest: &'b [u8],
    depth: usize,
}

impl<'b> Decoder<'b> {
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes, depth: 0 }
    }

    pub fn rest(&self) -> &'b [u8] {
        self.rest
    }

    pub fn value(&mut self) -> Result<Value> {
        let code = self.byte()?;
        if code != 0 {
            return self.of(code);
        }
        self.deeper(|inner| {
            let descriptor = inner.value()?;
            Ok(Value::Described(Box::new(descriptor), Box::new(inner.value()?)))
        })
    }

    /// One value and nothing behind it.
    pub fn only(bytes: &'b [u8]) -> Result<Value> {
        let mut decoder = Self::new(bytes);
        let value = decoder.value()?;
        if decoder.rest.is_empty() { Ok(value) } else { Err(Malformed("bytes behind a value")) }
    }

    fn of(&mut self, code: u8) -> Result<Value> {
        match code >> 4 {
            0x4 => Self::empty(code),
            0x5 => self.one_byte(code),
            0x6 => self.two_bytes(code),
            0x7 => self.four_bytes(code),
            0x8 => self.eight_bytes(code),
            0x9 => self.sixteen_bytes(code),
            0xa | 0xb => self.variable(code),
            0xc | 0xd => self.compound(code),
            0xe | 0xf => self.array(code),
            _ => Err(UNKNOWN),
        }
    }

    fn empty(code: u8) -> Result<Value> {
        match code {
            0x40 => Ok(Value::Null),
            0x41 => Ok(Value::Bool(true)),
            0x42 => Ok(Value::Bool(false)),
            0x43 => Ok(Value::U32(0)),
            0x44 => Ok(Value::U64(0)),
            0x45 => Ok(Value::List(Vec::new())),
            _ => Err(UNKNOWN),
        }
    }

    fn one_byte(&mut self, code: u8) -> Result<Value> {
        let byte = self.byte()?;
        match (code, byte) {
            (0x50, _) => Ok(Value::U8(byte)),
            (0x51, _) => Ok(Value::I8(byte.cast_signed())),
            (0x52, _) => Ok(Value::U32(u32::from(byte))),
            (0x53, _) => Ok(Value::U64(u64::from(byte))),
            (0x54, _) => Ok(Value::I32(i32::from(byte.cast_signed()))),
            (0x55, _) => Ok(Value::I64(i64::from(byte.cast_signed()))),
            (0x56, 0 | 1) => Ok(Value::Bool(byte == 1)),
            (0x56, _) => Err(Malformed("a boolean that is neither")),
            _ => Err(UNKNOWN),
        }
    }

    fn two_bytes(&mut self, code: u8) -> Result<Value> {
        let bytes = self.fixed()?;
        match code {
            0x60 => Ok(Value::U16(u16::from_be_bytes(bytes))),
            0x61 => Ok(Value::I16(i16::from_be_bytes(bytes))),
            _ => Err(UNKNOWN),
        }
    }

    fn four_bytes(&mut self, code: u8) -> Result<Value> {
        let bytes = self.fixed()?;
        match code {
            0x70 => Ok(Value::U32(u32::from_be_bytes(bytes))),
            0x71 => Ok(Value::I32(i32::from_be_bytes(bytes))),
            0x72 => Ok(Value::F32(f32::from_be_bytes(bytes))),
            0x73 => Ok(Value::Char(u32::from_be_bytes(bytes))),
            0x74 => Ok(Value::Decimal32(bytes)),
            _ => Err(UNKNOWN),
        }
    }

    fn eight_bytes(&mut self, code: u8) -> Result<Value> {
        let bytes = self.fixed()?;
        match code {
            0x80 => Ok(Value::U64(u64::from_be_bytes(bytes))),
            0x81 => Ok(Value::I64(i64::from_be_bytes(bytes))),
            0x82 => Ok(Value::F64(f64::from_be_bytes(bytes))),
            0x83 => Ok(Value::Timestamp(i64::from_be_bytes(bytes))),
            0x84 => Ok(Value::Decimal64(bytes)),
            _ => Err(UNKNOWN),
        }
    }

    fn sixteen_bytes(&mut self, code: u8) -> Result<Value> {
        let bytes = self.fixed()?;
        match code {
            0x94 => Ok(Value::Decimal128(bytes)),
            0x98 => Ok(Value::Uuid(bytes)),
            _ => Err(UNKNOWN),
        }
    }

    fn variable(&mut self, code: u8) -> Result<Value> {
        let length = self.length(code >> 4 == 0xa)?;
        let bytes = self.take(length)?;
        let text = || String::from_utf8(bytes.to_vec()).map_err(|_| Malformed("a text that is not UTF-8"));
        match code & 0xf {
            0 => Ok(Value::Binary(bytes.to_vec())),
            1 => text().map(Value::Text),
            3 => text().map(Value::Symbol),
            _ => Err(UNKNOWN),
        }
    }

    fn compound(&mut self, code: u8) -> Result<Value> {
        let (mut inner, count) = self.counted(code >> 4 == 0xc)?;
        if count > inner.rest.len() {
            return Err(Malformed("more elements than bytes"));
        }
        let mut items = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            items.push(inner.value()?);
        }
        if !inner.rest.is_empty() {
            return Err(Malformed("bytes behind the last element"));
        }
        match (code & 0xf, count % 2) {
            (0, _) => Ok(Value::List(items)),
            (1, 0) => Ok(Value::Map(paired(items))),
            (1, _) => Err(Malformed("a key without a value")),
            _ => Err(UNKNOWN),
        }
    }

    fn array(&mut self, code: u8) -> Result<Value> {
        if code & 0xf != 0 {
            return Err(UNKNOWN);
        }
        let (mut inner, count) = self.counted(code >> 4 == 0xe)?;
        let mut descriptors = Vec::new();
        let mut element = inner.byte()?;
        while element == 0 {
            let before = inner.rest.len();
            descriptors.push(inner.value()?);
            if inner.depth + descriptors.len() > DEPTH_MAX || before - inner.rest.len() > DESCRIPTOR_BYTES_MAX {
                return Err(TOO_DEEP);
            }
            element = inner.byte()?;
        }
        if count > inner.rest.len().max(EMPTY_ELEMENTS_MAX) {
            return Err(Malformed("more elements than bytes"));
        }
        let mut items = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            let bare = inner.of(element)?;
            let described = |value, by: &Value| Value::Described(Box::new(by.clone()), Box::new(value));
            items.push(descriptors.iter().rev().fold(bare, described));
        }
        if inner.rest.is_empty() { Ok(Value::Array(items)) } else { Err(Malformed("bytes behind the last element")) }
    }

    /// The content of a list, a map or an array, one level deeper, and its count.
    fn counted(&mut self, is_short: bool) -> Result<(Self, usize)> {
        let size = self.length(is_short)?;
        let mut inner = Self { rest: self.take(size)?, depth: self.depth + 1 };
        if inner.depth > DEPTH_MAX {
            return Err(TOO_DEEP);
        }
        let count = inner.length(is_short)?;
        Ok((inner, count))
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        let read = if self.depth > DEPTH_MAX { Err(TOO_DEEP) } else { read(self) };
        self.depth -= 1;
        read
    }

    fn length(&mut self, is_short: bool) -> Result<usize> {
        if is_short {
            return self.byte().map(usize::from);
        }
        usize::try_from(u32::from_be_bytes(self.fixed()?)).map_err(|_| ENDED)
    }

    fn byte(&mut self) -> Result<u8> {
        self.fixed::<1>().map(|[byte]| byte)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(ENDED)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(ENDED)?;
        self.rest = rest;
        Ok(bytes)
    }
}

const UNKNOWN: Malformed = Malformed("an unknown type");
const ENDED: Malformed = Malformed("it ends inside a value");
const TOO_DEEP: Malformed = Malformed("nested too deep");

fn paired(items: Vec<Value>) -> Vec<(Value, Value)> {
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    pairs
}
