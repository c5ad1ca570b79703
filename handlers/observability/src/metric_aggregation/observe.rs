//! What the worker's decisions look at. What announces is read before what it announces: the mark before its chunks
//! (SPEC 3.13, A65).

use super::{
    close::{Closing, Sources},
    compact,
    ledger::Ledger,
    names,
    points::WindowPoints,
    raw::{Carry, Chunk},
    reader::{self, read_points},
    types::{SIZES, child_size},
    worker::View,
};
use opsloop_kernel::{
    Fault, Order, Page, Refusal, Scope, Stop, Stored, Stream, Timestamp, Window, ports::after_prefix,
};
use std::collections::{BTreeMap, BTreeSet};

/// Chunk documents of one window: one per exporter and export, and more where they are large.
const CHUNKS_MAX: usize = 20_000;
/// Documents of one id: far beyond what a bucket of 4,000 series needs.
const PARTS_MAX: usize = 1_000;

pub async fn arrival(scope: &Scope<'_>, stream: &Stream) -> Result<View, Stop> {
    Ok(View::Arrival { root: reader::root(scope, stream).await?.is_some() })
}

/// The root, and of each size the oldest mark.
pub async fn root(scope: &Scope<'_>, stream: &Stream) -> Result<View, Stop> {
    let root = reader::root(scope, stream).await?;
    let mut oldest_marks = Vec::new();
    for size in SIZES {
        let prefix = names::dirty_prefix(size);
        oldest_marks.extend(oldest_mark(scope, stream, &prefix, &after_prefix(&prefix)).await?);
    }
    Ok(View::Root { root, oldest_marks })
}

pub async fn closing(scope: &Scope<'_>, stream: &Stream, window: Window) -> Result<View, Stop> {
    let mark = scope.get(stream, &names::dirty_id(window).into()).await?;
    let waits = waits(scope, stream, window).await?;
    let root = reader::root(scope, stream).await?;
    if mark.is_none() || waits {
        // There is nothing to decide: the rest need not be read.
        let source = Sources::Children(BTreeMap::new());
        let closing = Closing { mark, waits, root, source, ledger: vec![], points: BTreeMap::new() };
        return Ok(View::Close(Box::new(closing)));
    }
    let source = match child_size(window.size_ms) {
        None => raw(scope, stream, window).await?,
        Some(size) => Sources::Children(children(scope, stream, window, size).await?),
    };
    let ledger = parts(scope, stream, &names::ledger_id(window)).await?;
    let mut points = BTreeMap::new();
    for metric in metrics(&source, &Ledger::read(&ledger)?) {
        let id = names::points_id(&metric, window);
        let stored = parts(scope, stream, &id).await?;
        if !stored.is_empty() {
            points.insert(metric, stored);
        }
    }
    Ok(View::Close(Box::new(Closing { mark, waits, root, source, ledger, points })))
}

/// Whether a window that comes first is still to be closed: an earlier one of one minute, for its states are handed
/// on; of a parent any child, or child's child. So a window is announced once, however the rounds fall.
async fn waits(scope: &Scope<'_>, stream: &Stream, window: Window) -> Result<bool, Stop> {
    let mut size = child_size(window.size_ms);
    if size.is_none() {
        let prefix = names::dirty_prefix(window.size_ms);
        return Ok(oldest_mark(scope, stream, &prefix, &names::dirty_id(window)).await?.is_some());
    }
    while let Some(size_ms) = size {
        let [from, until] = [window.start, window.end()].map(|start| names::dirty_id(Window { size_ms, start }));
        if oldest_mark(scope, stream, &from, &until).await?.is_some() {
            return Ok(true);
        }
        size = child_size(size_ms);
    }
    Ok(false)
}

async fn oldest_mark(scope: &Scope<'_>, stream: &Stream, from: &str, until: &str) -> Result<Option<Window>, Stop> {
    let page = scope.list(stream, from, until, Page::first(1), Order::Ascending).await?;
    Ok(page.items.first().and_then(|s| names::window_of_mark(&s.document.id.0)))
}

async fn raw(scope: &Scope<'_>, stream: &Stream, window: Window) -> Result<Sources, Stop> {
    let chunks = chunks(scope, stream, window).await?;
    let before = match previous_carry(scope, stream, window).await? {
        Some(start) => carry(scope, stream, start).await?,
        None => Carry::default(),
    };
    let own = parts(scope, stream, &names::carry_id(window.start)).await?;
    let next = next_carry(scope, stream, window).await?;
    Ok(Sources::Raw { chunks, before, own, next })
}

/// All chunks of the window that are whole; one that is not has its mark still to come.
async fn chunks(scope: &Scope<'_>, stream: &Stream, window: Window) -> Result<Vec<Chunk>, Stop> {
    let listing = scope.all(stream, &names::raw_prefix(window.start), CHUNKS_MAX).await?;
    if listing.more {
        let (size, limit) = (CHUNKS_MAX + 1, CHUNKS_MAX);
        return Err(Refusal::TooLarge { what: "the chunks of a window", size, limit }.into());
    }
    let mut by_chunk: BTreeMap<String, Vec<Stored>> = BTreeMap::new();
    for stored in listing.items {
        by_chunk.entry(names::chunk_of(&stored.document.id.0).to_owned()).or_default().push(stored);
    }
    let mut chunks = Vec::with_capacity(by_chunk.len());
    for documents in by_chunk.into_values() {
        chunks.extend(compact::unpack::<Chunk>(&documents)?.map(|(chunk, _)| chunk));
    }
    Ok(chunks)
}

async fn previous_carry(scope: &Scope<'_>, stream: &Stream, window: Window) -> Result<Option<Timestamp>, Stop> {
    let (from, until) = (names::carry_prefix(), names::carry_id(window.start));
    let page = scope.list(stream, &from, &until, Page::first(1), Order::Descending).await?;
    Ok(page.items.first().and_then(|s| names::window_of_carry(&s.document.id.0)))
}

async fn next_carry(scope: &Scope<'_>, stream: &Stream, window: Window) -> Result<Option<Timestamp>, Stop> {
    let (from, until) = (names::carry_id(window.end()), after_prefix(&names::carry_prefix()));
    let page = scope.list(stream, &from, &until, Page::first(1), Order::Ascending).await?;
    Ok(page.items.first().and_then(|s| names::window_of_carry(&s.document.id.0)))
}

/// States that are not whole are just being written by the closing of their window: that one first.
async fn carry(scope: &Scope<'_>, stream: &Stream, start: Timestamp) -> Result<Carry, Stop> {
    let stored = parts(scope, stream, &names::carry_id(start)).await?;
    Ok(compact::unpack::<Carry>(&stored)?.map(|(carry, _)| carry).ok_or(Fault::Raced)?)
}

/// The points of all metrics that a child's ledger names.
async fn children(
    scope: &Scope<'_>,
    stream: &Stream,
    window: Window,
    size_ms: i64,
) -> Result<BTreeMap<String, Vec<WindowPoints>>, Stop> {
    let mut metrics = BTreeSet::new();
    let mut child = Window { size_ms, start: window.start };
    while child.start < window.end() {
        let ledger = Ledger::read(&parts(scope, stream, &names::ledger_id(child)).await?)?;
        metrics.extend(ledger.metrics.into_keys());
        child = child.next();
    }
    let mut out = BTreeMap::new();
    for metric in metrics {
        let points = read_points(scope, stream, &metric, size_ms, window.start, window.end(), &|_| true).await?;
        out.insert(metric, points);
    }
    Ok(out)
}

/// The metrics of a window: those that it has now, and those that it was closed with.
fn metrics(source: &Sources, ledger: &Ledger) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = ledger.metrics.keys().cloned().collect();
    match source {
        Sources::Raw { chunks, .. } => all.extend(chunks.iter().flat_map(|c| &c.streams).map(|s| s.metric.clone())),
        Sources::Children(children) => all.extend(children.keys().cloned()),
    }
    all
}

/// All documents of one id. The next id of the same kind differs before its end.
async fn parts(scope: &Scope<'_>, stream: &Stream, id: &str) -> Result<Vec<Stored>, Stop> {
    Ok(scope.all(stream, id, PARTS_MAX).await?.items)
}
