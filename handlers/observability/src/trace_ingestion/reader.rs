//! Traces as others read them: the record, and pages of spans.

use super::{
    chunk::{self, ChunkDoc},
    derive::derive,
    head::{self, Head},
    outline::Outlines,
    record::TraceRecord,
    signals::Thresholds,
    span::{self, Span},
    stored::{Chunk, Origin},
    stream_of,
};
use opsloop_kernel::{DocId, Order, Page, Refusal, Scope, Stop, TraceId, ports::after_prefix};
use prost::Message;
use serde::Serialize;
use std::collections::BTreeMap;

/// Chunks that are read at once: 4 MiB.
const PAGE: usize = 16;

/// A page of a trace's spans, by (start, span id).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpanPage {
    pub spans: Vec<Span>,
    /// Of the first span that is not in it: what `after` of the next page is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The head of a trace, as it stands.
pub async fn read_head(scope: &Scope<'_>, trace: &TraceId) -> Result<Option<Head>, Stop> {
    let stored = scope.get(&stream_of(trace), &DocId::from(head::ID)).await?;
    Ok(stored.map(|s| s.read()).transpose()?)
}

/// The record that was announced last; of a trace that has none yet, what is known so far, as revision 0.
pub async fn read_record(scope: &Scope<'_>, trace: &TraceId) -> Result<Option<TraceRecord>, Stop> {
    let Some(head) = read_head(scope, trace).await?.filter(|h| !h.sampled_out) else { return Ok(None) };
    if head.record.is_some() {
        return Ok(head.record);
    }
    let outlines = read_outlines(scope, trace).await?;
    Ok(derive(scope.tenant(), trace, &outlines, &Thresholds::default()))
}

/// At most `limit` spans from `after` on, among those that a record covers.
pub async fn read_spans(
    scope: &Scope<'_>,
    trace: &TraceId,
    limit: usize,
    after: Option<&str>,
) -> Result<SpanPage, Stop> {
    let outlines = read_outlines(scope, trace).await?;
    let mut order: Vec<_> = outlines.spans.values().map(|s| (s.order(), s.hash.as_str())).collect();
    order.sort();
    let from = after.and_then(parse_cursor).map_or(0, |c| order.partition_point(|(place, _)| *place < c));
    let wanted: BTreeMap<u64, &str> = order[from..].iter().take(limit).map(|((_, id), hash)| (*id, *hash)).collect();
    let next = order.get(from + wanted.len()).map(|((start, id), _)| format!("{start}.{id:016x}"));
    let mut found = BTreeMap::new();
    each_chunk(scope, trace, |chunk| pick(trace, chunk, &wanted, &mut found)).await?;
    Ok(SpanPage { spans: found.into_values().collect(), next })
}

async fn read_outlines(scope: &Scope<'_>, trace: &TraceId) -> Result<Outlines, Stop> {
    let mut outlines = Outlines::default();
    each_chunk(scope, trace, |chunk| outlines.add(chunk)).await?;
    Ok(outlines)
}

async fn each_chunk(
    scope: &Scope<'_>,
    trace: &TraceId,
    mut with: impl FnMut(&ChunkDoc) -> Result<(), Refusal> + Send,
) -> Result<(), Stop> {
    let (stream, until) = (stream_of(trace), after_prefix(chunk::PREFIX));
    let mut page = Page::first(PAGE);
    loop {
        let listing = scope.list(&stream, chunk::PREFIX, &until, page, Order::Ascending).await?;
        for stored in &listing.items {
            with(&stored.read()?)?;
        }
        match listing.items.last() {
            Some(last) if listing.more => page = Page { limit: PAGE, after: Some(last.document.id.clone()) },
            _ => return Ok(()),
        }
    }
}

/// The spans of a chunk that are wanted, in the version that counts.
fn pick(
    trace: &TraceId,
    chunk: &ChunkDoc,
    wanted: &BTreeMap<u64, &str>,
    found: &mut BTreeMap<(u64, u64), Span>,
) -> Result<(), Refusal> {
    let Chunk { origins, dimensions, spans } = Chunk::decode(chunk.bytes()?).map_err(Refusal::payload)?;
    let nobody = Origin::default();
    for s in spans {
        if wanted.get(&s.span_id).is_none_or(|hash| **hash != hex::encode(&s.hash)) {
            continue;
        }
        let place = (s.start, s.span_id);
        let origin = origins.get(s.origin as usize).unwrap_or(&nobody);
        let dimensions = dimensions.get(s.dimensions as usize).cloned().unwrap_or_default().into();
        if let Some(shown) = span::shown(trace, s, origin, dimensions) {
            found.insert(place, shown);
        }
    }
    Ok(())
}

fn parse_cursor(text: &str) -> Option<(u64, u64)> {
    let (start, id) = text.split_once('.')?;
    Some((start.parse().ok()?, u64::from_str_radix(id, 16).ok()?))
}
