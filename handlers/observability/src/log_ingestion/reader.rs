//! Logs as others read them: references (SPEC 5.10.2, 5.10.3(6)), and the records of a trace in order of time.

use super::{
    chunk::{CHUNK, ChunkDoc, ChunkHead, HEAD},
    record::{LogShown, level_from, shown},
    stream_of,
};
use crate::{
    events::{LogLevel, LogRef, LogRefs},
    otlp::json_map,
};
use opsloop_kernel::{DocId, Scope, Stop, Stream, Timestamp, TraceId};
use serde::Serialize;
use std::{cmp::Reverse, collections::BTreeMap};

const REFS_MAX: usize = 20;
/// Heads of a stream that a reader counts: some millions of records.
const HEADS_MAX: usize = 5_000;
/// Chunks that one answer opens.
const CHUNKS_MAX: usize = 200;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogPage {
    pub logs: Vec<LogShown>,
    /// Of the first record that is not in it: what `after` of the next page is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How many records a trace has, and the first 20 by (severity descending, time, id).
pub async fn log_refs(scope: &Scope<'_>, trace: &TraceId) -> Result<LogRefs, Stop> {
    let stream = stream_of(trace);
    let mut heads = heads(scope, &stream).await?;
    let mut refs = LogRefs {
        count: heads.iter().map(|(_, h)| h.count).sum(),
        first: heads.iter().map(|(_, h)| h.first).min(),
        last: heads.iter().map(|(_, h)| h.last).max(),
        worst_severity: heads.iter().map(|(_, h)| h.worst).max(),
        refs: vec![],
    };
    heads.sort_by_key(|(id, h)| (Reverse(h.worst), h.first, id.clone()));
    let mut best: BTreeMap<(Reverse<LogLevel>, Timestamp, String), String> = BTreeMap::new();
    for (chunk, head) in heads.iter().take(CHUNKS_MAX) {
        // Nothing in this chunk, nor in those behind it, can come before the last of the best.
        let worse =
            |last: &(Reverse<LogLevel>, Timestamp, String)| (last.0, last.1) < (Reverse(head.worst), head.first);
        if best.len() >= REFS_MAX && best.last_key_value().is_some_and(|(last, _)| worse(last)) {
            break;
        }
        for (n, log) in open(scope, &stream, chunk).await?.logs.iter().enumerate() {
            let at = Timestamp::from_nanos(log.at);
            best.insert((Reverse(level_from(log.level)), at, record_id(chunk, n)), chunk.clone());
            if best.len() > REFS_MAX {
                best.pop_last();
            }
        }
    }
    let query = |chunk: &str| format!("/v1/traces/{trace}/logs?chunk={chunk}");
    refs.refs = best
        .into_iter()
        .map(|((level, at, id), chunk)| LogRef { id, level: level.0, at, query: query(&chunk) })
        .collect();
    Ok(refs)
}

/// The records of a trace by (time, id), from `after` on; of one chunk only, if it is named.
pub async fn read_logs(
    scope: &Scope<'_>,
    trace: &TraceId,
    limit: usize,
    after: Option<&str>,
    chunk: Option<&str>,
) -> Result<LogPage, Stop> {
    let stream = stream_of(trace);
    let mut heads = heads(scope, &stream).await?;
    heads.retain(|(id, _)| chunk.is_none_or(|c| c == id));
    heads.sort_by_key(|(id, h)| (h.first, id.clone()));
    let from = after.and_then(parse_cursor);
    let mut found: BTreeMap<(i64, String), LogShown> = BTreeMap::new();
    let mut opened = 0;
    for (id, head) in &heads {
        if from.as_ref().is_some_and(|(at, _)| head.last.nanos() < *at) {
            continue;
        }
        let is_full = found.len() > limit && found.keys().nth(limit).is_some_and(|(at, _)| *at < head.first.nanos());
        if is_full || opened >= CHUNKS_MAX {
            break;
        }
        opened += 1;
        let chunk = open(scope, &stream, id).await?;
        for (n, log) in chunk.logs.into_iter().enumerate() {
            let place = (log.at, record_id(id, n));
            if from.as_ref().is_none_or(|from| place >= *from) {
                let resource = chunk.resources.get(log.resource as usize).map(|r| json_map(&r.attributes));
                found.insert(place.clone(), shown(place.1, log, resource.unwrap_or_default()));
            }
        }
    }
    let next = found.keys().nth(limit).map(|(at, id)| format!("{at}.{id}"));
    Ok(LogPage { logs: found.into_values().take(limit).collect(), next })
}

async fn heads(scope: &Scope<'_>, stream: &Stream) -> Result<Vec<(String, ChunkHead)>, Stop> {
    let mut heads = vec![];
    for stored in scope.all(stream, HEAD, HEADS_MAX).await?.items {
        let id = stored.document.id.0.strip_prefix(HEAD).unwrap_or_default().to_owned();
        heads.push((id, stored.read()?));
    }
    Ok(heads)
}

/// A chunk that left since its head was read holds nothing.
async fn open(scope: &Scope<'_>, stream: &Stream, id: &str) -> Result<super::chunk::Chunk, Stop> {
    match scope.get(stream, &DocId(format!("{CHUNK}{id}"))).await? {
        Some(stored) => Ok(stored.read::<ChunkDoc>()?.decode()?),
        None => Ok(super::chunk::Chunk::default()),
    }
}

/// The chunk, and the place in it: a redelivery makes the same ids.
fn record_id(chunk: &str, n: usize) -> String {
    format!("{chunk}.{n:05}")
}

fn parse_cursor(text: &str) -> Option<(i64, String)> {
    let (at, id) = text.split_once('.')?;
    Some((at.parse().ok()?, id.to_owned()))
}
