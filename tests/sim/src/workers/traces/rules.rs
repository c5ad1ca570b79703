//! I1 to I6 of SPEC 5.1.8, and what else must hold of a trace.

use super::model::{Trace, Traces, head_change};
use crate::{
    journal::{Applied, End, Oracle, Verdict},
    workers::{
        otlp::sent,
        shared::{Rule, oracles},
    },
};
use opsloop_kernel::{Stored, TelemetrySignal, TenantId, Timestamp, TraceId};
use opsloop_observability::{
    events::Completeness,
    otlp::{Request, unzstd},
    trace_ingestion::{
        Head, NAME, TraceRecord, chunk::ChunkDoc, derive::derive, outline::Outlines, signals::Thresholds, stored::Chunk,
    },
};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};

pub fn invariants() -> Vec<Box<dyn Oracle>> {
    let mut all = oracles(vec![
        Rule::at_commits("TIW I1", own_trace),
        Rule::at_commits("TIW I2", durations),
        Rule::at_commits("TIW I3", whole_tree),
        Rule::at_commits("TIW I4", span_count),
        Rule::at_commits("TIW I5", pure_function),
        Rule::at_rest("TIW I6", redacted),
        Rule::at_commits("TIW revisions", revisions),
        Rule::at_commits("TIW chunks", chunks),
        Rule::at_rest("TIW spans", all_spans),
    ]);
    all.push(super::listed::rule());
    all
}

/// A commit that announced a record.
struct Announced<'a> {
    trace: &'a str,
    held: &'a Trace,
    record: &'a TraceRecord,
    /// The due instant of the head, as it was.
    at: Timestamp,
}

/// The record that this commit put into the head, if its revision is new.
fn announced<'a>(model: &'a Traces, commit: &'a Applied) -> Result<Option<Announced<'a>>, String> {
    let Some((trace, held)) = model.of(commit) else { return Ok(None) };
    let Some(change) = head_change(commit) else { return Ok(None) };
    let Some(record) = held.head.as_ref().and_then(|h| h.record.as_ref()) else { return Ok(None) };
    let before: Option<Head> =
        change.before.as_ref().map(|d| d.body.read()).transpose().map_err(|e| format!("trace {trace}: {e}"))?;
    if before.as_ref().and_then(|h| h.record.as_ref()).is_some_and(|r| r.revision == record.revision) {
        return Ok(None);
    }
    let due = change.before.as_ref().and_then(|d| d.due.as_ref());
    let at = due.ok_or_else(|| format!("trace {trace}: a record was made of a head that was not due"))?.at;
    Ok(Some(Announced { trace, held, record, at }))
}

/// I1: every span of a record has the record's traceId and tenantId.
fn own_trace(model: &Traces, commit: &Applied) -> Verdict {
    let Some(Announced { trace, record, .. }) = announced(model, commit)? else { return Ok(()) };
    if record.tenant_id != commit.tenant || record.trace_id.as_str() != trace {
        let of = (&record.tenant_id, &record.trace_id);
        return Err(format!("the head of {}/{trace} has the record of {}/{}", commit.tenant, of.0, of.1));
    }
    let stranger = commit.owed.iter().find(|e| e.tenant_id != commit.tenant || e.partition_key != trace);
    stranger.map_or(Ok(()), |e| Err(format!("{}/{trace} announced {}/{}", commit.tenant, e.tenant_id, e.partition_key)))
}

/// I2: `durationMs ≥ 0`, and what the ends make of it.
fn durations(model: &Traces, commit: &Applied) -> Verdict {
    let Some(Announced { trace, record, .. }) = announced(model, commit)? else { return Ok(()) };
    let (start, end) = (record.started_at, record.ended_at);
    let between = end.floor_millis().millis_since(start.floor_millis());
    // The instants are floored to milliseconds on the wire, the duration is floored after the subtraction.
    let near = (record.duration_ms as i64 - between).abs() <= 1;
    if end < start || !near {
        return Err(format!("trace {trace} from {start} to {end} lasts {} ms", record.duration_ms));
    }
    Ok(())
}

/// I3: a `complete` record has exactly one root and forms a tree.
fn whole_tree(model: &Traces, commit: &Applied) -> Verdict {
    let Some(Announced { trace, held, record, at }) = announced(model, commit)? else { return Ok(()) };
    let spans = held.before(at)?.spans;
    let roots = spans.values().filter(|s| s.parent == 0).count();
    let orphans = spans.values().filter(|s| s.parent != 0 && !spans.contains_key(&s.parent)).count();
    let rooted = spans.keys().all(|id| {
        let (mut id, mut steps) = (*id, 0);
        while let Some(span) = spans.get(&id).filter(|s| s.parent != 0 && steps <= spans.len()) {
            (id, steps) = (span.parent, steps + 1);
        }
        steps <= spans.len()
    });
    let is_tree = roots == 1 && orphans == 0 && rooted;
    let complete = record.completeness == Completeness::Complete;
    if complete != is_tree {
        let what = if complete { "complete" } else { "not complete" };
        return Err(format!(
            "trace {trace} is {what} with {roots} roots, {orphans} orphans, all below a root: {rooted}"
        ));
    }
    Ok(())
}

/// I4: `spanCount` equals the number of distinct spanIds covered.
fn span_count(model: &Traces, commit: &Applied) -> Verdict {
    let Some(Announced { trace, held, record, at }) = announced(model, commit)? else { return Ok(()) };
    let mut ids = BTreeSet::new();
    for chunk in held.chunks.values().filter(|c| c.received_at < at) {
        ids.extend(opened(chunk)?.spans.into_iter().map(|s| s.span_id));
    }
    if record.span_count as usize != ids.len() {
        return Err(format!("trace {trace} says {} spans at {at}, {} are stored", record.span_count, ids.len()));
    }
    Ok(())
}

/// I5: the record is a pure function of the set of accepted spans.
fn pure_function(model: &Traces, commit: &Applied) -> Verdict {
    let Some(Announced { trace, held, record, at }) = announced(model, commit)? else { return Ok(()) };
    let again = derived(&commit.tenant, trace, &held.before(at)?)?;
    if again.as_ref().is_none_or(|r| r.content_hash != record.content_hash) {
        return Err(format!(
            "trace {trace}, revision {}: its spans received before {at} make {again:?}",
            record.revision
        ));
    }
    Ok(())
}

fn derived(tenant: &TenantId, trace: &str, outlines: &Outlines) -> Result<Option<TraceRecord>, String> {
    Ok(derive(tenant, &TraceId::parse(trace)?, outlines, &Thresholds::default()))
}

/// Revisions are 1, 2, 3 … in commit order, true since the due instant of their head (A62), and the head's own.
fn revisions(model: &Traces, commit: &Applied) -> Verdict {
    let Some((trace, held)) = model.of(commit) else { return Ok(()) };
    if !held.announced.iter().copied().eq(1..=held.announced.len() as u32) {
        return Err(format!("trace {trace} announced the revisions {:?}", held.announced));
    }
    let of_head = held.head.as_ref().map_or(0, |h| h.revision);
    if of_head as usize != held.announced.len() {
        return Err(format!("the head of {trace} is at revision {of_head}, {} were announced", held.announced.len()));
    }
    let due = head_change(commit).and_then(|c| c.before.as_ref()).and_then(|d| d.due.as_ref()).map(|d| d.at);
    match commit.owed.iter().find(|e| Some(e.occurred_at.floor_millis()) != due.map(Timestamp::floor_millis)) {
        Some(e) => {
            Err(format!("trace {trace}, revision {}: occurred at {}, due at {due:?}", e.revision, e.occurred_at))
        }
        None => Ok(()),
    }
}

/// The head lists the chunks there are, each brings something, and none is ever changed.
fn chunks(model: &Traces, commit: &Applied) -> Verdict {
    let Some((trace, held)) = model.of(commit) else { return Ok(()) };
    let Some(head) = held.head.as_ref().filter(|h| !h.sampled_out && h.lists_all_chunks()) else { return Ok(()) };
    let there: Vec<&String> = held.chunks.keys().collect();
    if !head.chunks.iter().eq(there.iter().copied()) {
        return Err(format!("the head of {trace} lists the chunks {:?}, there are {there:?}", head.chunks));
    }
    for change in commit.changes.iter().filter(|c| c.kind() == "chunk") {
        let id = &change.id;
        if let (Some(before), Some(after)) = (&change.before, &change.after)
            && before.body != after.body
        {
            return Err(format!("{id} of {trace} was changed"));
        }
        if change.before.is_none() && !brings_something(held, &id.0)? {
            return Err(format!("{id} of {trace} repeats what other chunks have: its spans are stored twice"));
        }
    }
    Ok(())
}

fn brings_something(held: &Trace, id: &str) -> Result<bool, String> {
    let mut known = BTreeSet::new();
    let mut own = BTreeSet::new();
    for (name, chunk) in &held.chunks {
        let to = if id.ends_with(name.as_str()) { &mut own } else { &mut known };
        to.extend(opened(chunk)?.spans.into_iter().map(|s| (s.span_id, s.hash)));
    }
    Ok(!own.is_subset(&known))
}

fn opened(chunk: &ChunkDoc) -> Result<Chunk, String> {
    Chunk::decode(chunk.bytes().map_err(|e| e.to_string())?).map_err(|e| e.to_string())
}

/// Every span of an accepted batch is under its trace in the end, no other is, and the record covers them all.
fn all_spans(model: &Traces, end: &End<'_>) -> Verdict {
    let mut wanted: BTreeMap<(TenantId, String), BTreeSet<String>> = BTreeMap::new();
    for batch in sent(end, TelemetrySignal::Traces, NAME)?.into_values().filter(|b| !b.dead) {
        let Request::Traces(request) = batch.request else { continue };
        for span in request.resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans) {
            let key = (batch.tenant.clone(), super::generate::hex(&span.trace_id));
            let id = super::generate::hex(&span.span_id);
            // What the plan does not name is there to be rejected.
            if end.plan.spans.get(&key).is_some_and(|s| s.contains(&id)) {
                wanted.entry(key).or_default().insert(id);
            }
        }
    }
    let stored = stored_spans(end)?;
    for (key, ids) in &wanted {
        let expired = model.all.get(key).and_then(|t| t.expires).is_some_and(|at| at <= end.cast.rest);
        let there = stored.get(key).cloned().unwrap_or_default();
        if let Some(lost) = ids.difference(&there).next().filter(|_| !expired) {
            return Err(format!("span {lost} of {}/{} was accepted and is lost", key.0, key.1));
        }
        let covered = model.all.get(key).and_then(|t| t.head.as_ref()).and_then(|h| h.record.as_ref());
        if covered.is_none_or(|r| (r.span_count as usize) < ids.len()) && !expired {
            let says = covered.map(|r| r.span_count);
            return Err(format!("the record of {}/{} covers {says:?} of {} spans", key.0, key.1, ids.len()));
        }
    }
    for (key, ids) in &stored {
        let sent = end.plan.spans.get(key).cloned().unwrap_or_default();
        if let Some(stranger) = ids.difference(&sent).next() {
            return Err(format!("span {stranger} is stored under {}/{} and nobody sent it there", key.0, key.1));
        }
    }
    Ok(())
}

type Ids = BTreeMap<(TenantId, String), BTreeSet<String>>;

fn stored_spans(end: &End<'_>) -> Result<Ids, String> {
    let mut found: Ids = BTreeMap::new();
    for (key, chunk) in chunk_documents(end)? {
        let ids = opened(&chunk)?.spans.into_iter().map(|s| format!("{:016x}", s.span_id));
        found.entry(key).or_default().extend(ids);
    }
    Ok(found)
}

type KeyedChunk = ((TenantId, String), ChunkDoc);

fn chunk_documents(end: &End<'_>) -> Result<Vec<KeyedChunk>, String> {
    let mut found = vec![];
    for d in end.documents.iter().filter(|d| d.document.kind == "chunk") {
        let Some(trace) = d.stream.name.strip_prefix("trace/") else { continue };
        let stored = Stored { document: d.document.clone(), etag: d.etag.clone() };
        found.push(((d.tenant.clone(), trace.to_owned()), stored.read().map_err(|e| e.to_string())?));
    }
    Ok(found)
}

/// I6: no redacted value is stored anywhere, nor travels: what lies compressed in chunks and batches is opened.
fn redacted(_: &Traces, end: &End<'_>) -> Verdict {
    let tells = |bytes: &[u8]| end.plan.secrets.iter().find(|s| contains(bytes, s.as_bytes()));
    for ((tenant, trace), chunk) in chunk_documents(end)? {
        let bytes = chunk.bytes().map_err(|e| e.to_string())?;
        if let Some(secret) = tells(&bytes) {
            return Err(format!("a chunk of {tenant}/{trace} has the secret {secret}"));
        }
    }
    for message in end.published.iter().filter(|m| m.properties.contains_key("batchId")) {
        let Ok(bytes) = unzstd(&message.body) else { continue };
        if let Some(secret) = tells(&bytes) {
            return Err(format!("the batch {} travels with the secret {secret}", message.id));
        }
    }
    let records = end.documents.iter().filter(|d| d.stream.name.starts_with("trace"));
    for d in records {
        if let Some(secret) = tells(d.document.body.0.to_string().as_bytes()) {
            return Err(format!("{} of {} has the secret {secret}", d.document.id, d.stream.name));
        }
    }
    Ok(())
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|w| w == word)
}
