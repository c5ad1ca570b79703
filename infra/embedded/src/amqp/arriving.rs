//! What a client sent, as the broker takes it.

use super::{
    codec::{Malformed, Value},
    sections::{BATCH_FORMAT, Body, Sections},
};
use crate::broker::{Fact, Sent, System};
use bytes::Bytes;
use opsloop_kernel::{Destination, Message, Timestamp};
use std::{collections::BTreeMap, time::Duration};

/// Messages of one batch.
const BATCH_MAX: usize = 4_500;
const SCHEDULED: &str = "x-opt-scheduled-enqueue-time";

/// The message, or the messages of a batch.
pub fn sent(bytes: &[u8], format: u32, to: &Destination) -> Result<Vec<Sent>, Malformed> {
    if format != BATCH_FORMAT {
        return Ok(vec![one(bytes, to)?]);
    }
    let Body::Data(parts) = Sections::read(bytes)?.body else { return Err(Malformed("a batch without messages")) };
    if parts.len() > BATCH_MAX {
        return Err(Malformed("a batch of too many messages"));
    }
    parts.iter().map(|part| one(part, to)).collect()
}

pub fn one(bytes: &[u8], to: &Destination) -> Result<Sent, Malformed> {
    let read = Sections::read(bytes)?;
    let millis = read.annotations.member(SCHEDULED).as_i64();
    let message = Message {
        id: plain(read.properties.field(0)).unwrap_or_default(),
        to: to.clone(),
        properties: application(&read.application),
        content_type: plain(read.properties.field(6)).unwrap_or_default(),
        body: body(&read),
        not_before: millis.map(Timestamp::from_millis),
    };
    let time_to_live = read.header.field(2).as_u32().map(|ms| Duration::from_millis(u64::from(ms)));
    let (typed, system) = (typed(&read.application), system(&read.properties));
    Ok(Sent { message, wire: Some(Bytes::copy_from_slice(bytes)), time_to_live, typed, system })
}

/// Properties that a filter may compare as what they are.
fn typed(section: &Value) -> BTreeMap<String, Fact> {
    let named = |(name, value): &(Value, Value)| Some((name.as_str()?.to_owned(), fact(value)?));
    section.members().iter().filter_map(named).collect()
}

/// None: text, or what is compared as text.
pub fn fact(value: &Value) -> Option<Fact> {
    match value {
        Value::Bool(is) => Some(Fact::Bool(*is)),
        Value::F32(number) => Some(Fact::Float(f64::from(*number))),
        Value::F64(number) => Some(Fact::Float(*number)),
        Value::Timestamp(_) => None,
        number => number.as_i64().map(Fact::Int),
    }
}

/// Of the properties section; the message has its id and content type.
fn system(section: &Value) -> BTreeMap<System, String> {
    const FIELDS: [(usize, System); 6] = [
        (2, System::To),
        (3, System::Label),
        (4, System::ReplyTo),
        (5, System::CorrelationId),
        (10, System::SessionId),
        (12, System::ReplyToSessionId),
    ];
    FIELDS.into_iter().filter_map(|(at, name)| Some((name, plain(section.field(at))?))).collect()
}

/// Application properties as text, which is all that the platform itself ever sends.
fn application(section: &Value) -> BTreeMap<String, String> {
    let named = |(name, value): &(Value, Value)| Some((name.as_str()?.to_owned(), plain(value)?));
    section.members().iter().filter_map(named).collect()
}

/// Data as it is, a text as UTF-8; of any other value the encoded section.
fn body(read: &Sections<'_>) -> Bytes {
    match &read.body {
        Body::None => Bytes::new(),
        Body::Data(parts) => parts.concat().into(),
        Body::Value(Value::Binary(bytes)) => Bytes::copy_from_slice(bytes),
        Body::Value(Value::Text(text)) => Bytes::copy_from_slice(text.as_bytes()),
        Body::Value(_) => Bytes::copy_from_slice(read.body_bytes),
    }
}

/// A simple value as text; compound ones have none.
pub fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Symbol(text) => Some(text.clone()),
        Value::Bool(is) => Some(is.to_string()),
        Value::F32(number) => Some(number.to_string()),
        Value::F64(number) => Some(number.to_string()),
        Value::U64(number) => Some(number.to_string()),
        Value::Timestamp(millis) => Some(Timestamp::from_millis(*millis).to_string()),
        Value::Uuid(bytes) => Some(guid(*bytes)),
        Value::Binary(bytes) => Some(hex::encode(bytes)),
        number => number.as_i64().map(|n| n.to_string()),
    }
}

fn guid(bytes: [u8; 16]) -> String {
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
