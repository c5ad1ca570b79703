//! OTLP/JSON into the protobuf types, field by field. The crate's own serde drops what it cannot read (a histogram
//! among it) and answers as if all were well; here an unreadable value fails the request, and only fields that the
//! protocol does not know are ignored.

use super::Request;
use opsloop_kernel::{Refusal, TelemetrySignal as Signal};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use std::{borrow::Cow, fmt, marker::PhantomData};

pub fn decode(signal: Signal, bytes: &[u8]) -> Result<Request, Refusal> {
    let wrong = |e: serde_json::Error| {
        Refusal::payload(format!("not an OTLP/JSON {} request: {}", signal.name(), unquoted(&e.to_string())))
    };
    Ok(match signal {
        Signal::Traces => Request::Traces(serde_json::from_slice::<One<_>>(bytes).map_err(wrong)?.0),
        Signal::Metrics => Request::Metrics(serde_json::from_slice::<One<_>>(bytes).map_err(wrong)?.0),
        Signal::Logs => Request::Logs(serde_json::from_slice::<One<_>>(bytes).map_err(wrong)?.0),
    })
}

/// A parser's error quotes the text that it could not read; telemetry may hold secrets, a refusal must not.
fn unquoted(error: &str) -> String {
    match (error.find(['"', '`']), error.rfind(['"', '`'])) {
        (Some(from), Some(to)) if from < to => format!("{}…{}", &error[..from], &error[to + 1..]),
        _ => error.to_owned(),
    }
}

/// A protobuf message that can be read from a JSON object.
pub trait FromJson: Default {
    /// Reads the value of the field `name`. `false`: there is no such field, and its value was not read.
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, from: &mut A) -> Result<bool, A::Error>;
    /// Judges the whole, knowing how many fields were unknown.
    fn check(&self, _unknown: usize) -> Result<(), &'static str> {
        Ok(())
    }
}

/// A message.
pub struct One<M>(pub M);
/// A message in an optional field.
pub struct Maybe<M>(pub Option<M>);
/// A repeated message.
pub struct Many<M>(pub Vec<M>);

impl<'de, M: FromJson> Deserialize<'de> for One<M> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_map(MessageVisitor(PhantomData)).map(One)
    }
}
impl<'de, M: FromJson> Deserialize<'de> for Maybe<M> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        One::deserialize(d).map(|m| Self(Some(m.0)))
    }
}
impl<'de, M: FromJson> Deserialize<'de> for Many<M> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Vec::<One<M>>::deserialize(d).map(|v| Self(v.into_iter().map(|m| m.0).collect()))
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct MessageVisitor<M>(PhantomData<M>);

impl<'de, M: FromJson> Visitor<'de> for MessageVisitor<M> {
    type Value = M;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<M, A::Error> {
        let mut message = M::default();
        let mut unknown = 0;
        while let Some(Key(name)) = from.next_key()? {
            if !message.field(&name, &mut from)? {
                from.next_value::<IgnoredAny>()?;
                unknown += 1;
            }
        }
        message.check(unknown).map_err(A::Error::custom)?;
        Ok(message)
    }
}

/// `impl FromJson` from a table of JSON names, fields, and the types that read them. `null` leaves the default, as in
/// the protobuf mapping.
macro_rules! message {
    ($type:ty { $($json:literal => $field:ident: $kind:ty),* $(,)? }) => {
        impl FromJson for $type {
            fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, from: &mut A) -> Result<bool, A::Error> {
                fields!(self, name, from, { $($json => $field: $kind),* }, { _ => Ok(false) })
            }
        }
    };
}
/// The same inside an `impl`, with further arms for members of a oneof.
macro_rules! fields {
    ($self:ident, $name:ident, $from:ident, { $($json:literal => $field:ident: $kind:ty),* }, { $($rest:tt)* }) => {
        match $name {
            $($json => {
                if let Some(value) = $from.next_value::<Option<$kind>>()? {
                    $self.$field = value.0.into();
                }
                Ok(true)
            })*
            $($rest)*
        }
    };
}
/// Sets a member of a oneof; two members in one object contradict each other.
macro_rules! member {
    ($slot:expr, $from:ident, $kind:ty, $make:expr) => {{
        if let Some(value) = $from.next_value::<Option<$kind>>()? {
            if $slot.replace($make(value.0)).is_some() {
                return Err(serde::de::Error::custom("two members of a oneof in one object"));
            }
        }
        Ok(true)
    }};
}
pub(super) use {fields, member, message};
