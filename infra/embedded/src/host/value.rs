//! The values a trigger hands to the host, and the two ways in which the host writes them.
//!
//! Directly in Data or Metadata a scalar becomes *JSON text inside a string* and a date loses its fraction; inside an object it
//! is plain JSON. Both follow Newtonsoft.Json and .NET, because handlers are written against those bytes. The rule easily
//! broken: never pass a value through `serde_json::Value` here, it re-orders members and rounds numbers.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::value_text::{double_json, double_text, push_json_string, write_date};

/// What follows the date: nothing (a DateTime of no kind), `Z` (a UTC DateTime) or the offset of a DateTimeOffset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    Unspecified,
    Utc,
    /// Minutes east of UTC.
    Offset(i16),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Double(f64),
    Float(f32),
    /// A .NET decimal keeps its trailing zeros, so it is text.
    Decimal(String),
    /// Also char, Guid, Uri and TimeSpan.
    String(String),
    Bytes(Vec<u8>),
    Date(DateTime, Zone),
    Array(Vec<Value>),
    Object(Members),
}

/// Members in order; names are unique ignoring case where the host says so, see `put`.
pub type Members = Vec<(String, Value)>;

/// Sets a member as the host does: names are compared ignoring case, an old one keeps its place and its spelling.
pub fn put(members: &mut Members, name: &str, value: Value) {
    match members.iter_mut().find(|(have, _)| have.eq_ignore_ascii_case(name)) {
        Some((_, old)) => *old = value,
        None => members.push((name.to_owned(), value)),
    }
}

impl Value {
    pub fn text(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    pub fn object<const N: usize>(members: [(&str, Value); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    pub fn or_null(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    /// A UTC instant of no kind, to 100 ns, as the Service Bus extension hands out its dates.
    pub fn date(at: Timestamp, zone: Zone) -> Self {
        let seconds = match zone {
            Zone::Offset(minutes) => i32::from(minutes) * 60,
            Zone::Unspecified | Zone::Utc => 0,
        };
        let offset = jiff::tz::Offset::from_seconds(seconds).unwrap_or(jiff::tz::Offset::UTC);
        Self::Date(offset.to_datetime(at), zone)
    }

    /// Parses JSON text, keeping the order of members.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Plain JSON, as inside an object.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    pub fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Int(number) => out.push_str(&number.to_string()),
            Self::Double(number) => out.push_str(&double_json(*number)),
            Self::Float(number) => out.push_str(&super::value_text::float_json(*number)),
            Self::Decimal(digits) => out.push_str(digits),
            Self::String(text) => push_json_string(out, text),
            Self::Bytes(bytes) => push_json_string(out, &STANDARD.encode(bytes)),
            Self::Date(at, zone) => push_json_string(out, &write_date(*at, *zone, true)),
            Self::Array(items) => write_array(items, out),
            Self::Object(members) => write_object(members, out),
        }
    }

    /// How the value stands directly in Data or Metadata; `None` leaves the member out.
    pub fn to_wire(&self) -> Option<Value> {
        match self {
            Self::Null => None,
            Self::Bytes(bytes) => Some(Self::String(STANDARD.encode(bytes))),
            Self::Date(at, zone) => Some(Self::String(write_date(*at, *zone, false))),
            Self::Object(_) => Some(self.clone()),
            Self::Bool(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Float(_)
            | Self::Decimal(_)
            | Self::String(_)
            | Self::Array(_) => Some(Self::String(self.to_json())),
        }
    }

    /// What .NET's `ToString` makes of a scalar of a JSON body; objects stay, null and arrays have none.
    pub fn to_leak(&self) -> Option<Value> {
        match self {
            Self::Null | Self::Array(_) => None,
            Self::Bool(true) => Some(Self::text("True")),
            Self::Bool(false) => Some(Self::text("False")),
            Self::Double(number) => Some(Self::String(double_text(*number))),
            Self::String(text) => {
                Some(Self::String(super::value_text::date_to_string(text).unwrap_or_else(|| text.clone())))
            }
            Self::Int(number) => Some(Self::String(number.to_string())),
            Self::Object(_) | Self::Float(_) | Self::Decimal(_) | Self::Bytes(_) | Self::Date(..) => Some(self.clone()),
        }
    }
}

fn write_array(items: &[Value], out: &mut String) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        item.write_json(out);
    }
    out.push(']');
}

fn write_object(members: &[(String, Value)], out: &mut String) {
    out.push('{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_json_string(out, name);
        out.push(':');
        value.write_json(out);
    }
    out.push('}');
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl From<&serde_json::Value> for Value {
    fn from(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Self::Int(number.into()),
                (None, Some(number)) => Self::Int(number.into()),
                (None, None) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Self::text(text),
            serde_json::Value::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            serde_json::Value::Object(members) => {
                Self::Object(members.iter().map(|(name, value)| (name.clone(), Self::from(value))).collect())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Double(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members: Members = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            // A repeated member: the last one counts, at the place of the first.
            match members.iter_mut().find(|(have, _)| *have == name) {
                Some((_, old)) => *old = value,
                None => members.push((name, value)),
            }
        }
        Ok(Value::Object(members))
    }
}
