//! Chunks of log records and their heads: `chunk|<id>` and `head|<id>` of one stream.

use super::record::{StoredLog, level_from};
use crate::{events::LogLevel, otlp::proto::resource::v1::Resource, trace_ingestion::chunk_id};
use base64::{Engine, prelude::BASE64_STANDARD};
use opsloop_kernel::{Document, Refusal, Timestamp, Write};
use prost::Message;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

pub const CHUNK: &str = "chunk|";
pub const HEAD: &str = "head|";
/// As long as span chunks (SPEC 5.1.7).
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
const CHUNK_BYTES_MAX: usize = 256 * 1024;
const CHUNK_RAW_MAX: usize = 4 * 1024 * 1024;
const LEVEL: i32 = 1;

/// What counting reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkHead {
    pub count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    pub worst: LogLevel,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkDraft {
    pub id: String,
    pub head: ChunkHead,
    pub data: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Chunk {
    #[prost(message, repeated, tag = "1")]
    pub resources: Vec<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub logs: Vec<StoredLog>,
}

#[derive(Serialize, Deserialize)]
pub struct ChunkDoc {
    pub data: String,
}

impl ChunkDoc {
    pub fn decode(&self) -> Result<Chunk, Refusal> {
        let packed = BASE64_STANDARD.decode(&self.data).map_err(Refusal::payload)?;
        Chunk::decode(crate::otlp::unzstd(&packed)?).map_err(Refusal::payload)
    }
}

impl ChunkDraft {
    /// The chunk and its head; neither depends on anything that was read.
    pub fn writes(&self, received_at: Timestamp) -> [Write; 2] {
        let expires = received_at.plus(KEPT);
        let chunk = Document::new(format!("{CHUNK}{}", self.id), "log-chunk", &ChunkDoc { data: self.data.clone() });
        let head = Document::new(format!("{HEAD}{}", self.id), "log-head", &self.head);
        [Write::Put(chunk.expires(expires)), Write::Put(head.expires(expires))]
    }
}

/// The records in as few chunks as fit, in their order; `resources` is the table of the batch.
pub fn pack(message_id: &str, logs: Vec<StoredLog>, resources: &[Resource]) -> Result<Vec<ChunkDraft>, Refusal> {
    let mut drafts = vec![];
    let mut open = vec![logs];
    while let Some(mut next) = open.pop() {
        let Some(head) = head_of(&next) else { continue };
        let raw = encode(&next, resources);
        let data = zstd::bulk::compress(&raw, LEVEL).map_err(Refusal::payload)?;
        if data.len().div_ceil(3) * 4 <= CHUNK_BYTES_MAX && raw.len() <= CHUNK_RAW_MAX {
            let id = chunk_id(message_id, drafts.len());
            drafts.push(ChunkDraft { id, head, data: BASE64_STANDARD.encode(data) });
        } else if next.len() > 1 {
            let rest = next.split_off(next.len() / 2);
            open.push(rest);
            open.push(next);
        } else if let Some(log) = next.pop() {
            open.push(vec![shed(log)]);
        }
    }
    Ok(drafts)
}

/// A record beyond a chunk keeps when, where and how bad, and loses what it tells; that is counted as dropped.
fn shed(mut log: StoredLog) -> StoredLog {
    if let Some(record) = &mut log.record {
        let lost = u32::try_from(record.attributes.len()).unwrap_or(u32::MAX);
        record.dropped_attributes_count = record.dropped_attributes_count.saturating_add(lost);
        record.attributes.clear();
        record.body = None;
    }
    log.resource = u32::MAX;
    log
}

fn head_of(logs: &[StoredLog]) -> Option<ChunkHead> {
    Some(ChunkHead {
        count: logs.len() as u64,
        first: Timestamp::from_nanos(logs.iter().map(|l| l.at).min()?),
        last: Timestamp::from_nanos(logs.iter().map(|l| l.at).max()?),
        worst: level_from(logs.iter().map(|l| l.level).max()?),
    })
}

fn encode(logs: &[StoredLog], resources: &[Resource]) -> Vec<u8> {
    let mut chunk = Chunk::default();
    let mut seen: BTreeMap<u32, u32> = BTreeMap::new();
    for log in logs {
        let at = *seen.entry(log.resource).or_insert_with(|| {
            let at = u32::try_from(chunk.resources.len()).unwrap_or(u32::MAX);
            chunk.resources.push(resources.get(log.resource as usize).cloned().unwrap_or_default());
            at
        });
        chunk.logs.push(StoredLog { resource: at, ..log.clone() });
    }
    chunk.encode_to_vec()
}
