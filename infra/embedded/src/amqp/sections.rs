//! A message of AMQP 1.0 (part 3.2) taken apart: what the broker reads of it, and the bytes of what it passes on as they came.

use super::codec::{Decoder, Malformed, Value};

/// Sections of one message; a body of many data sections has one each.
const SECTIONS_MAX: usize = 4_096;
/// A message-format: the body of the message is messages.
pub const BATCH_FORMAT: u32 = 0x8001_3700;

pub const HEADER: (u64, &str) = (0x70, "amqp:header:list");
const DELIVERY_ANNOTATIONS: (u64, &str) = (0x71, "amqp:delivery-annotations:map");
pub const ANNOTATIONS: (u64, &str) = (0x72, "amqp:message-annotations:map");
pub const PROPERTIES: (u64, &str) = (0x73, "amqp:properties:list");
pub const APPLICATION: (u64, &str) = (0x74, "amqp:application-properties:map");
pub const DATA: (u64, &str) = (0x75, "amqp:data:binary");
const SEQUENCE: (u64, &str) = (0x76, "amqp:amqp-sequence:list");
pub const AMQP_VALUE: (u64, &str) = (0x77, "amqp:amqp-value:*");
const FOOTER: (u64, &str) = (0x78, "amqp:footer:map");

#[derive(Clone, Debug, PartialEq)]
pub struct Sections<'b> {
    pub header: Value,
    pub annotations: Value,
    pub properties: Value,
    pub application: Value,
    /// The bytes of the sections of that name, with their descriptor; empty if there is none.
    pub properties_bytes: &'b [u8],
    pub application_bytes: &'b [u8],
    /// Body and footer.
    pub body_bytes: &'b [u8],
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    None,
    Data(Vec<Vec<u8>>),
    /// A value, or the list of a sequence.
    Value(Value),
}

impl<'b> Sections<'b> {
    pub fn read(bytes: &'b [u8]) -> Result<Self, Malformed> {
        let mut read = Self {
            header: Value::Null,
            annotations: Value::Null,
            properties: Value::Null,
            application: Value::Null,
            properties_bytes: &[],
            application_bytes: &[],
            body_bytes: &[],
            body: Body::None,
        };
        let mut decoder = Decoder::new(bytes);
        for _ in 0..SECTIONS_MAX {
            let before = decoder.rest();
            if before.is_empty() {
                return Ok(read);
            }
            let section = decoder.value()?;
            let length = before.len() - decoder.rest().len();
            read.put(section, before, length)?;
        }
        Err(Malformed("a message of too many sections"))
    }

    fn put(&mut self, section: Value, before: &'b [u8], length: usize) -> Result<(), Malformed> {
        let is = |(code, symbol)| section.described_as(code, symbol).cloned();
        if let Some(value) = is(HEADER) {
            self.header = value;
        } else if let Some(value) = is(ANNOTATIONS) {
            self.annotations = value;
        } else if let Some(value) = is(PROPERTIES) {
            (self.properties, self.properties_bytes) = (value, &before[..length]);
        } else if let Some(value) = is(APPLICATION) {
            (self.application, self.application_bytes) = (value, &before[..length]);
        } else if is(DELIVERY_ANNOTATIONS).is_none() {
            if self.body_bytes.is_empty() {
                self.body_bytes = before;
            }
            return self.put_body(section);
        }
        if self.body_bytes.is_empty() { Ok(()) } else { Err(Malformed("a section behind the body")) }
    }

    fn put_body(&mut self, section: Value) -> Result<(), Malformed> {
        if section.described_as(FOOTER.0, FOOTER.1).is_some() {
            return Ok(());
        }
        if let Some(Value::Binary(bytes)) = section.described_as(DATA.0, DATA.1) {
            match &mut self.body {
                Body::Data(parts) => parts.push(bytes.clone()),
                body => *body = Body::Data(vec![bytes.clone()]),
            }
            return Ok(());
        }
        let value = section.described_as(AMQP_VALUE.0, AMQP_VALUE.1).or(section.described_as(SEQUENCE.0, SEQUENCE.1));
        self.body = Body::Value(value.cloned().ok_or(Malformed("a section that no message has"))?);
        Ok(())
    }
}

/// Appends a section.
pub fn push((code, _): (u64, &str), value: Value, out: &mut Vec<u8>) {
    Value::described(code, value).encode(out);
}
