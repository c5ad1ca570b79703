//! What the head remembers of spans: pairs of span id and the first 8 bytes of the content hash, 16 bytes each.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A span id above, the first 8 bytes of its content hash below.
pub type Mark = u128;

/// Marks as base64 text: JSON has no numbers of this size, and the head is written with every arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(pub Vec<Mark>);

/// What a span is to a trace that has been seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    New,
    Duplicate,
    /// The id came with another content.
    Conflict,
}

pub fn mark(span_id: u64, hash: &[u8]) -> Mark {
    let mut head = [0u8; 8];
    for (to, from) in head.iter_mut().zip(hash) {
        *to = *from;
    }
    u128::from(span_id) << 64 | u128::from(u64::from_be_bytes(head))
}

impl Marks {
    /// Of sorted marks.
    pub fn judge(&self, mark: Mark) -> Known {
        let Err(at) = self.0.binary_search(&mark) else { return Known::Duplicate };
        let same_span = |m: &Mark| m >> 64 == mark >> 64;
        let neighbours = [at.checked_sub(1).and_then(|n| self.0.get(n)), self.0.get(at)];
        if neighbours.into_iter().flatten().any(same_span) { Known::Conflict } else { Known::New }
    }
    /// Into sorted marks.
    pub fn insert(&mut self, mark: Mark) {
        if let Err(at) = self.0.binary_search(&mark) {
            self.0.insert(at, mark);
        }
    }
}

impl Serialize for Marks {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|m| m.to_be_bytes()).collect();
        s.serialize_str(&BASE64_STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Marks {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let bytes = BASE64_STANDARD.decode(String::deserialize(d)?).map_err(D::Error::custom)?;
        let (marks, rest) = bytes.as_chunks::<16>();
        if !rest.is_empty() {
            return Err(D::Error::custom("marks are 16 bytes each"));
        }
        Ok(Self(marks.iter().map(|m| Mark::from_be_bytes(*m)).collect()))
    }
}
