//! The document `head` of a trace: which chunks and spans it has, when it is due, and what was announced last.

use super::{NAME, marks::Marks, record::TraceRecord, timing};
use opsloop_kernel::{Document, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub const ID: &str = "head";
/// Marks of spans, and ids of chunks, that a head lists (A57).
pub const MARKS_MAX: usize = 8_000;
pub const CHUNKS_MAX: usize = 2_000;
/// Instants of arrival that wait for a revision; beyond them the latest moves.
const ARRIVALS_MAX: usize = 1_000;
pub const REVISIONS_MAX: u32 = 10;
/// Later than this after the first receipt is too late.
pub const LATE_AFTER: Duration = Duration::from_secs(24 * 3600);
/// All documents of a trace leave at one instant, this long after the first receipt (A68).
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// The first receipt.
    pub first_at: Timestamp,
    /// What was received at these instants is in no revision yet.
    pub arrivals: Vec<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tried: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub done: Option<Timestamp>,
    pub known: Marks,
    /// More spans came than are listed: every further chunk counts as a change.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub more_known: bool,
    /// Sorted, the first that came.
    pub chunks: Vec<String>,
    pub chunk_count: u32,
    pub revision: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub record: Option<TraceRecord>,
    /// Decided at the first emission: this trace is not kept (SPEC 5.1.4(8)).
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub sampled_out: bool,
}

impl Head {
    pub fn new(first_at: Timestamp) -> Self {
        Self {
            first_at,
            arrivals: vec![],
            tried: None,
            done: None,
            known: Marks::default(),
            more_known: false,
            chunks: vec![],
            chunk_count: 0,
            revision: 0,
            record: None,
            sampled_out: false,
        }
    }

    /// Whether something received then comes too late to be kept.
    pub fn is_too_late(&self, received_at: Timestamp) -> bool {
        received_at > self.first_at.plus(LATE_AFTER)
    }

    pub fn lists_chunk(&self, id: &str) -> bool {
        self.chunks.binary_search_by(|c| c.as_str().cmp(id)).is_ok()
    }
    /// Whether the list of chunks has come to its end, so that one that is not in it may be there all the same.
    pub fn lists_all_chunks(&self) -> bool {
        self.chunk_count as usize == self.chunks.len()
    }

    pub fn add_chunk(&mut self, id: &str) {
        self.chunk_count = self.chunk_count.saturating_add(1);
        if self.chunks.len() < CHUNKS_MAX
            && let Err(at) = self.chunks.binary_search_by(|c| c.as_str().cmp(id))
        {
            self.chunks.insert(at, id.to_owned());
        }
    }

    pub fn add_mark(&mut self, mark: super::marks::Mark) {
        if self.known.0.len() < MARKS_MAX {
            self.known.insert(mark);
        } else {
            self.more_known = true;
        }
    }

    /// Something new or changed was received.
    pub fn arrived(&mut self, at: Timestamp) {
        self.first_at = self.first_at.min(at);
        if self.revision >= REVISIONS_MAX {
            return; // stored, and never announced
        }
        let Err(place) = self.arrivals.binary_search(&at) else { return };
        if self.arrivals.len() >= ARRIVALS_MAX {
            self.arrivals.pop();
        }
        self.arrivals.insert(place.min(self.arrivals.len()), at);
    }

    pub fn due(&self) -> Option<Timestamp> {
        timing::due(&self.arrivals, self.tried, self.done)
    }
    /// Whether the revision waits no longer at its due instant.
    pub fn has_held(&self, at: Timestamp) -> bool {
        self.arrivals.first().is_none_or(|first| at >= timing::hold_of(*first))
    }

    /// The revision due at `at` is done: what came before it is covered.
    pub fn settle(&mut self, at: Timestamp) {
        self.arrivals.retain(|arrival| *arrival >= at);
        if self.revision >= REVISIONS_MAX {
            self.arrivals.clear();
        }
        self.tried = None;
        self.done = Some(at);
    }

    pub fn document(&self, expires: Timestamp) -> Document {
        let document = Document::new(ID, ID, self).expires(expires);
        match self.due() {
            Some(at) => document.due(NAME, at),
            None => document,
        }
    }
}
