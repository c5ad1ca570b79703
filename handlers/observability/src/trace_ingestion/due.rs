//! A head is due: the record is derived, for the index first, then for the head (SPEC 5.1.4(5) to (8), 5.1.5).

use super::{
    chunk::{self, ChunkDoc},
    derive::derive,
    head::{self, Head},
    index,
    outline::Outlines,
    record::TraceRecord,
    stream_of,
    worker::TraceSettings,
};
use crate::events::Completeness;
use opsloop_kernel::{
    Decision, DocId, ETag, Fault, Order, Page, Refusal, Scope, Stop, Stored, TenantId, Timestamp, TraceId, Write,
    ports::after_prefix,
};
use serde::{Deserialize, Serialize};

/// Chunks that are read at once: 4 MiB.
const PAGE: usize = 16;
/// Chunks of a trace that is not kept are deleted with the decision, as many as a commit takes; others expire.
const DELETES_MAX: usize = 90;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DueView {
    pub head: Option<Stored>,
    pub outlines: Outlines,
    pub chunks: Vec<(DocId, ETag)>,
    /// Entries of the index that stand already; for the index unit only.
    pub entries: Vec<Stored>,
    pub settings: TraceSettings,
}

pub async fn observe(
    trace: &TraceId,
    at: Timestamp,
    settings: &TraceSettings,
    scope: &Scope<'_>,
) -> Result<DueView, Stop> {
    let mut view = DueView { settings: settings.clone(), ..DueView::default() };
    view.head = scope.get(&stream_of(trace), &DocId::from(head::ID)).await?;
    if let Some(head) = due_head(&view, at)? {
        read_chunks(trace, &head, at, &mut view, scope).await?;
    }
    Ok(view)
}

/// For the index: what stands there already.
pub async fn observe_index(
    tenant: &TenantId,
    trace: &TraceId,
    at: Timestamp,
    settings: &TraceSettings,
    scope: &Scope<'_>,
) -> Result<DueView, Stop> {
    let mut view = observe(trace, at, settings, scope).await?;
    if let Outcome::Emit(_, record) = judge(tenant, trace, at, &view)? {
        view.entries = index::read_entries(scope, &index::stream_of(trace, at), &record).await?;
    }
    Ok(view)
}

/// Streams the chunks and keeps what a derivation reads of those that were received before `at` (A62). One that the
/// head names and that is not there makes the view a lost race (A5).
async fn read_chunks(
    trace: &TraceId,
    head: &Head,
    at: Timestamp,
    view: &mut DueView,
    scope: &Scope<'_>,
) -> Result<(), Stop> {
    let (stream, until) = (stream_of(trace), after_prefix(chunk::PREFIX));
    let (mut page, mut named) = (Page::first(PAGE), 0);
    loop {
        let listing = scope.list(&stream, chunk::PREFIX, &until, page, Order::Ascending).await?;
        for stored in &listing.items {
            let id = stored.document.id.clone();
            named += usize::from(id.0.strip_prefix(chunk::PREFIX).is_some_and(|id| head.lists_chunk(id)));
            let chunk: ChunkDoc = stored.read()?;
            if chunk.received_at < at {
                view.outlines.add(&chunk)?;
            }
            view.chunks.push((id, stored.etag.clone()));
        }
        let last = listing.items.last().map(|s| s.document.id.clone());
        if !listing.more || last.is_none() {
            break;
        }
        page = Page { limit: PAGE, after: last };
    }
    if named < head.chunks.len() || view.chunks.len() < head.chunk_count as usize {
        return Err(Fault::Raced.into());
    }
    Ok(())
}

/// The head, if it is due at `at` still.
fn due_head(view: &DueView, at: Timestamp) -> Result<Option<Head>, Refusal> {
    let Some(stored) = &view.head else { return Ok(None) };
    let is_due = stored.document.due.as_ref().is_some_and(|due| due.at == at);
    if is_due { stored.read().map(Some) } else { Ok(None) }
}

enum Outcome {
    /// The document's due is not the moment any more.
    MovedOn,
    /// Not complete, and not held long enough.
    Waits(Head),
    /// Nothing to announce.
    Unchanged(Head),
    NotKept(Head),
    Emit(Head, Box<TraceRecord>),
}

fn judge(tenant: &TenantId, trace: &TraceId, at: Timestamp, view: &DueView) -> Result<Outcome, Refusal> {
    let Some(head) = due_head(view, at)? else { return Ok(Outcome::MovedOn) };
    let Some(mut record) = derive(tenant, trace, &view.outlines, &view.settings.thresholds) else {
        return Ok(Outcome::Unchanged(head));
    };
    if record.completeness != Completeness::Complete && !head.has_held(at) {
        return Ok(Outcome::Waits(head));
    }
    if head.record.as_ref().is_some_and(|r| r.content_hash == record.content_hash) {
        return Ok(Outcome::Unchanged(head));
    }
    if head.revision == 0 && !view.settings.keeps(trace, record.error_span_count) {
        return Ok(Outcome::NotKept(head));
    }
    record.revision = head.revision + 1;
    Ok(Outcome::Emit(head, Box::new(record)))
}

pub fn decide_index(tenant: &TenantId, trace: &TraceId, at: Timestamp, view: &DueView) -> Result<Decision, Refusal> {
    let Outcome::Emit(head, record) = judge(tenant, trace, at, view)? else {
        return Ok(Decision::because("nothing-to-index"));
    };
    let writes = index::writes(&record, at, &view.entries, expires(view, &head));
    Ok(writes.into_iter().fold(Decision::because("indexed"), Decision::write))
}

pub fn decide_head(tenant: &TenantId, trace: &TraceId, at: Timestamp, view: &DueView) -> Result<Decision, Refusal> {
    let mut announced = None;
    let (reason, mut head) = match judge(tenant, trace, at, view)? {
        Outcome::MovedOn => return Ok(Decision::because("moved-on")),
        Outcome::Waits(mut head) => {
            head.tried = Some(at);
            return Ok(save("waits-for-spans", view, head));
        }
        Outcome::NotKept(head) => return Ok(not_kept(at, view, head)),
        Outcome::Unchanged(head) => ("unchanged", head),
        Outcome::Emit(mut head, record) => {
            head.revision = record.revision;
            announced = Some(record.fact(at));
            head.record = Some(*record);
            ("recorded", head)
        }
    };
    head.settle(at);
    let decision = save(reason, view, head);
    Ok(match announced {
        Some(fact) => decision.emit(fact),
        None => decision,
    })
}

/// Neither announced nor kept; what comes later does not revive it.
fn not_kept(at: Timestamp, view: &DueView, head: Head) -> Decision {
    let mut empty = Head::new(head.first_at);
    empty.sampled_out = true;
    empty.done = Some(at);
    let deletes = view.chunks.iter().take(DELETES_MAX);
    let decision = save("sampled-out", view, empty);
    deletes.fold(decision, |d, (id, etag)| d.write(Write::Delete(id.clone(), etag.clone())))
}

fn save(reason: &'static str, view: &DueView, head: Head) -> Decision {
    let etag = view.head.as_ref().map(|s| s.etag.clone());
    let expires = expires(view, &head);
    Decision::because(reason).write(Write::Save(head.document(expires), etag))
}

fn expires(view: &DueView, head: &Head) -> Timestamp {
    view.head.as_ref().and_then(|s| s.document.expires).unwrap_or(head.first_at.plus(head::KEPT))
}
