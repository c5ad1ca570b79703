//! Chunks: spans of one trace from one batch, zstd-compressed, at most 256 KiB a document (SPEC 5.1.6).
//!
//! A chunk is a function of its batch alone, so it is put blindly and a repetition writes the same bytes; what it
//! repeats of other batches the derivation joins.

use super::{
    marks::Marks,
    stored::{Chunk, Origin, StoredDimensions, StoredSpan},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use opsloop_kernel::{Document, Refusal, Timestamp, ids::digest};
use prost::Message;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const KIND: &str = "chunk";
pub const PREFIX: &str = "chunk|";
/// Of the text in a document.
const CHUNK_BYTES_MAX: usize = 256 * 1024;
/// Uncompressed; what is dull may shrink to nothing, and a reader bounds what it unpacks (`otlp::unzstd`).
const CHUNK_RAW_MAX: usize = 4 * 1024 * 1024;
const LEVEL: i32 = 1;

/// The body of a chunk document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChunkDoc {
    pub received_at: Timestamp,
    pub spans: u32,
    pub data: String,
}

impl ChunkDoc {
    pub fn document(&self, id: &str, expires: Timestamp) -> Document {
        Document::new(format!("{PREFIX}{id}"), KIND, self).expires(expires)
    }
    /// The protobuf inside.
    pub fn bytes(&self) -> Result<bytes::Bytes, Refusal> {
        let packed = BASE64_STANDARD.decode(&self.data).map_err(Refusal::payload)?;
        crate::otlp::unzstd(&packed)
    }
}

/// A chunk on its way into the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    pub data: String,
    pub marks: Marks,
}

/// A span with the tables of its batch that it points into.
pub struct Loose {
    pub span: StoredSpan,
    pub origin: usize,
    pub dimensions: usize,
}

/// Tables of a batch, and the compressor that all its chunks share.
pub struct Packer {
    pub origins: Vec<Origin>,
    pub dimensions: Vec<StoredDimensions>,
    zstd: zstd::bulk::Compressor<'static>,
}

impl Packer {
    pub fn new() -> Result<Self, Refusal> {
        let zstd = zstd::bulk::Compressor::new(LEVEL).map_err(Refusal::payload)?;
        Ok(Self { origins: vec![], dimensions: vec![], zstd })
    }

    /// The spans in as few chunks as fit, in their order.
    pub fn pack(&mut self, spans: Vec<Loose>) -> Result<Vec<Packed>, Refusal> {
        let mut packed = vec![];
        let mut open = vec![spans];
        while let Some(mut next) = open.pop() {
            let (raw, marks) = self.encode(&mut next);
            let data = self.zstd.compress(&raw).map_err(Refusal::payload)?;
            let len = data.len().div_ceil(3) * 4;
            let fits = len <= CHUNK_BYTES_MAX && raw.len() <= CHUNK_RAW_MAX;
            if fits {
                packed.push(Packed { data: BASE64_STANDARD.encode(data), marks });
            } else if next.len() > 1 {
                let rest = next.split_off(next.len() / 2);
                open.push(rest);
                open.push(next);
            } else if let Some(span) = next.pop() {
                open.push(vec![self.shed(span)]);
            }
        }
        Ok(packed)
    }

    /// A single span beyond a chunk keeps what it is, and loses what it tells; that is counted as dropped.
    fn shed(&mut self, mut loose: Loose) -> Loose {
        let span = &mut loose.span;
        span.dropped_attributes = span.dropped_attributes.saturating_add(taken(&mut span.attributes));
        span.dropped_events = span.dropped_events.saturating_add(taken(&mut span.events));
        span.dropped_links = span.dropped_links.saturating_add(taken(&mut span.links));
        self.origins.push(Origin::default());
        Loose { origin: self.origins.len() - 1, ..loose }
    }

    /// The spans go behind the tables one by one: a chunk of them all would be a copy of them all.
    fn encode(&self, spans: &mut [Loose]) -> (Vec<u8>, Marks) {
        const SPANS_TAG: u32 = 3;
        let mut tables = Chunk::default();
        let (mut origins, mut dimensions) = (BTreeMap::new(), BTreeMap::new());
        let mut marks = Marks::default();
        for Loose { span, origin, dimensions: of } in spans.iter_mut() {
            marks.0.push(super::marks::mark(span.span_id, &span.hash));
            span.origin = local(&mut origins, *origin, &self.origins, &mut tables.origins);
            span.dimensions = local(&mut dimensions, *of, &self.dimensions, &mut tables.dimensions);
        }
        let mut raw = tables.encode_to_vec();
        for loose in spans.iter() {
            prost::encoding::message::encode(SPANS_TAG, &loose.span, &mut raw);
        }
        (raw, marks)
    }
}

/// The index in the chunk's table of what has `index` in the batch's.
fn local<T: Clone>(seen: &mut BTreeMap<usize, u32>, index: usize, all: &[T], table: &mut Vec<T>) -> u32 {
    if let Some(at) = seen.get(&index) {
        return *at;
    }
    let at = u32::try_from(table.len()).unwrap_or(u32::MAX);
    table.extend(all.get(index).cloned());
    seen.insert(index, at);
    at
}

fn taken<T>(items: &mut Vec<T>) -> u32 {
    u32::try_from(std::mem::take(items).len()).unwrap_or(u32::MAX)
}

/// 16 hex of the batch's message id and the chunk's place in it (A57): a redelivery makes the same.
pub fn chunk_id(message_id: &str, n: usize) -> String {
    digest([message_id, &n.to_string()]).chars().take(16).collect()
}
