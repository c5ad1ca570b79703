//! The structural fields of a trace's spans, joined: what a derivation looks at (SPEC 5.1.4(4), A30).
//!
//! Of two versions of a span the larger (end, content hash) stays, so that the result is a function of the set of
//! chunks. Of more than 50,000 spans the smallest ids stay: the set only grows, so one that was left out while
//! streaming is never missed.

use super::{
    chunk::ChunkDoc,
    stored::{ChunkOutline, StoredOutline},
};
use crate::otlp::Dimensions;
use opsloop_kernel::{Mutant, Refusal, Timestamp, mutant};
use prost::Message;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Spans that a record covers.
pub const SPANS_MAX: usize = 50_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    pub id: u64,
    /// 0: none.
    pub parent: u64,
    pub start: u64,
    pub end: u64,
    pub kind: i32,
    pub status: i32,
    pub name: String,
    pub hash: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_type: Option<String>,
    #[serde(default)]
    pub server_error: bool,
    /// Index into `Outlines::dimensions`.
    pub dimensions: u32,
}

impl Outline {
    pub fn is_error(&self) -> bool {
        self.status == super::span::STATUS_ERROR
    }
    pub fn duration_ns(&self) -> u64 {
        self.end - self.start
    }
    /// The order in which spans are gone through.
    pub fn order(&self) -> (u64, u64) {
        (self.start, self.id)
    }
}

/// Spans by id, and the dimensions they share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outlines {
    pub spans: BTreeMap<u64, Outline>,
    pub dimensions: Vec<Dimensions>,
    /// There are more spans than a record covers.
    pub cut: bool,
    pub last_arrival_at: Option<Timestamp>,
    #[serde(skip)]
    seen: BTreeMap<Dimensions, u32>,
}

impl Outlines {
    /// Joins the spans of a chunk.
    pub fn add(&mut self, chunk: &ChunkDoc) -> Result<(), Refusal> {
        let read = ChunkOutline::decode(chunk.bytes()?).map_err(Refusal::payload)?;
        self.last_arrival_at = self.last_arrival_at.max(Some(chunk.received_at));
        let local: Vec<u32> = read.dimensions.into_iter().map(|d| self.intern(d.into())).collect();
        for span in read.spans {
            let dimensions = local.get(span.dimensions as usize).copied().unwrap_or_default();
            self.join(of(span, dimensions));
        }
        Ok(())
    }

    pub fn dimensions_of(&self, span: &Outline) -> Option<&Dimensions> {
        self.dimensions.get(span.dimensions as usize)
    }

    fn intern(&mut self, dimensions: Dimensions) -> u32 {
        if let Some(at) = self.seen.get(&dimensions) {
            return *at;
        }
        let at = u32::try_from(self.dimensions.len()).unwrap_or(u32::MAX);
        self.dimensions.push(dimensions.clone());
        self.seen.insert(dimensions, at);
        at
    }

    fn join(&mut self, span: Outline) {
        match self.spans.get(&span.id) {
            Some(_) if mutant::is(Mutant::SpanCountedTwice) => {
                self.spans.insert(!span.id, Outline { id: !span.id, ..span });
            }
            Some(held) if (held.end, &held.hash) >= (span.end, &span.hash) => {}
            _ => {
                self.spans.insert(span.id, span);
            }
        }
        if self.spans.len() > SPANS_MAX {
            self.spans.pop_last();
            self.cut = true;
        }
    }
}

fn of(span: StoredOutline, dimensions: u32) -> Outline {
    Outline {
        id: span.span_id,
        parent: span.parent,
        start: span.start,
        end: span.end,
        kind: span.kind,
        status: span.status,
        name: span.name,
        hash: hex::encode(span.hash),
        error_type: span.error_type,
        server_error: span.server_error,
        dimensions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_outline() -> impl Strategy<Value = Outline> {
        (1u64..5, 0u64..4, 0u8..4).prop_map(|(id, end, hash)| {
            let stored = StoredOutline { span_id: id, end, hash: vec![hash], ..StoredOutline::default() };
            of(stored, 0)
        })
    }

    fn joined(spans: &[Outline]) -> BTreeMap<u64, Outline> {
        let mut outlines = Outlines::default();
        spans.iter().for_each(|s| outlines.join(s.clone()));
        outlines.spans
    }

    proptest! {
        /// SPEC 5.1.4(4): commutative, associative, idempotent.
        #[test]
        fn the_choice_between_versions_is_a_join(spans in prop::collection::vec(any_outline(), 0..12), at in any::<prop::sample::Index>()) {
            let once = joined(&spans);
            let (head, tail) = spans.split_at(at.index(spans.len() + 1));
            prop_assert_eq!(&joined(&[tail, head].concat()), &once);
            prop_assert_eq!(&joined(&spans.iter().rev().cloned().collect::<Vec<_>>()), &once);
            prop_assert_eq!(&joined(&[&spans[..], &spans[..]].concat()), &once);
        }
    }
}
