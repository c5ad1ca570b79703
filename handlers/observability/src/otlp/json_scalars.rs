//! Scalars of OTLP/JSON: 64-bit integers as strings or numbers, enums as integers, ids in hexadecimal of any case,
//! bytes in base64, and the three doubles that JSON has no number for.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use std::{borrow::Cow, fmt};

pub struct Text(pub String);
pub struct Flag(pub bool);
pub struct U64(pub u64);
pub struct I64(pub i64);
pub struct U32(pub u32);
pub struct I32(pub i32);
pub struct F64(pub f64);
/// An enum: an integer, never a name.
pub struct Enum(pub i32);
/// A trace or span id. What is not hexadecimal becomes [`NOT_AN_ID`], so that its span is rejected alone.
pub struct Id(pub Vec<u8>);
pub struct Base64(pub Vec<u8>);
pub struct Texts(pub Vec<String>);
pub struct U64s(pub Vec<u64>);
pub struct F64s(pub Vec<f64>);

/// No id has one byte: validation rejects it.
pub const NOT_AN_ID: [u8; 1] = [0xff];
/// Integers beyond this are not exact as a double.
const EXACT: f64 = 9_007_199_254_740_992.0;
const ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

macro_rules! reads {
    ($($name:ident: $read:expr;)*) => { $(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                #[allow(clippy::redundant_closure_call)]
                ($read)(d).map($name)
            }
        }
    )* };
}

reads! {
    Text: String::deserialize;
    Flag: bool::deserialize;
    U64: integer;
    I64: integer;
    U32: integer;
    I32: integer;
    F64: |d: D| d.deserialize_any(Double);
    Enum: |d: D| d.deserialize_any(Integer { text: false }).and_then(narrow);
    Id: |d: D| Cow::<'de, str>::deserialize(d).map(|t| hex::decode(t.as_bytes()).unwrap_or(NOT_AN_ID.to_vec()));
    Base64: base64_bytes;
    Texts: Vec::<String>::deserialize;
    U64s: |d: D| Vec::<U64>::deserialize(d).map(|v| v.into_iter().map(|n| n.0).collect());
    F64s: |d: D| Vec::<F64>::deserialize(d).map(|v| v.into_iter().map(|n| n.0).collect());
}

fn integer<'de, D: Deserializer<'de>, T: TryFrom<i128>>(d: D) -> Result<T, D::Error> {
    d.deserialize_any(Integer { text: true }).and_then(narrow)
}

fn narrow<T: TryFrom<i128>, E: Error>(n: i128) -> Result<T, E> {
    T::try_from(n).map_err(|_| E::custom(format!("{n} is out of range")))
}

fn base64_bytes<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
    // The protobuf mapping allows both alphabets, with and without padding.
    let text = Cow::<'de, str>::deserialize(d)?.replace('-', "+").replace('_', "/");
    ANY_PADDING.decode(text).map_err(D::Error::custom)
}

struct Integer {
    text: bool,
}

impl Visitor<'_> for Integer {
    type Value = i128;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text { "an integer, or one in a string" } else { "an integer (enums are not named)" })
    }
    fn visit_u64<E: Error>(self, n: u64) -> Result<i128, E> {
        Ok(n.into())
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<i128, E> {
        Ok(n.into())
    }
    fn visit_f64<E: Error>(self, n: f64) -> Result<i128, E> {
        if n.fract() == 0.0 && n.abs() <= EXACT {
            return Ok(n as i128);
        }
        Err(E::custom(format!("{n} is not an integer")))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<i128, E> {
        match text.parse::<i128>() {
            Ok(n) if self.text => Ok(n),
            _ => Err(E::invalid_type(serde::de::Unexpected::Other("text"), &self)),
        }
    }
}

struct Double;

impl Visitor<'_> for Double {
    type Value = f64;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, `NaN`, `Infinity` or `-Infinity`")
    }
    fn visit_f64<E: Error>(self, n: f64) -> Result<f64, E> {
        Ok(n)
    }
    fn visit_u64<E: Error>(self, n: u64) -> Result<f64, E> {
        Ok(n as f64)
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<f64, E> {
        Ok(n as f64)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        match text {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            // `inf` and `nan` parse in Rust, and are no JSON mapping of a double.
            _ if text.bytes().any(|c| c.is_ascii_digit()) => text.parse().map_err(E::custom),
            _ => Err(E::invalid_value(serde::de::Unexpected::Other("text"), &self)),
        }
    }
}
