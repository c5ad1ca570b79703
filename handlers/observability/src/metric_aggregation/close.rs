//! A window is closed by one unit and one commit (A65): its points, what it hands on, its ledger, what it announces and
//! the deletion of its mark.

use super::{
    announce,
    arrive::{KEPT_MS, fits_together, mark as marked, minute},
    bucket::{self, Bucket},
    combine, compact,
    fold::{self, Counts, FORGOTTEN_NS},
    group::Groups,
    ledger::{Announced, Ledger},
    names,
    points::{self, GroupId, GroupPoint, WindowPoints},
    raw::{Carry, Chunk, Labels, RawStream, Resource, StreamKind, StreamState},
    revise::{Revised, revise},
    types::parent_size,
};
use opsloop_kernel::{
    Decision, Document, Halt, Moment, Mutant, Note, Refusal, Stored, TenantId, Timestamp, Window, Write, mutant,
    signal::{self, Signal},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What closing a window may look at, read in this order: the mark first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closing {
    pub mark: Option<Stored>,
    /// A mark is left of a window that comes first: an earlier one of this size, or a child.
    pub waits: bool,
    pub root: Option<Stored>,
    pub source: Sources,
    pub ledger: Vec<Stored>,
    /// The points there are, by metric: their etags, and the revisions under which they were announced.
    pub points: BTreeMap<String, Vec<Stored>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sources {
    #[serde(rename_all = "camelCase")]
    Raw {
        chunks: Vec<Chunk>,
        /// The newest states before this window.
        before: Carry,
        own: Vec<Stored>,
        /// The next window that has handed states on, closed before.
        next: Option<Timestamp>,
    },
    Children(BTreeMap<String, Vec<WindowPoints>>),
}

/// What a window comes to, before it is compared with what was there.
struct Computed {
    metrics: BTreeMap<String, Vec<GroupPoint>>,
    carry: Option<Carry>,
    counts: Counts,
}

pub fn decide(
    tenant: &TenantId,
    window: Window,
    tick: Timestamp,
    view: &Closing,
    at: Moment,
) -> Result<Decision, Halt> {
    let Some(mark) = view.mark.as_ref().filter(|m| bucket::due_of(m) == Some(at.0)) else {
        return Ok(Decision::because("not-due-any-more"));
    };
    if view.waits {
        return Ok(Decision::because("an-earlier-window-is-open"));
    }
    let root: Bucket = view.root.as_ref().map(Stored::read).transpose()?.unwrap_or_default();
    let computed = match &view.source {
        Sources::Raw { chunks, before, .. } => from_raw(window, &root, chunks, before),
        Sources::Children(children) => from_children(window, &root, children),
    };
    let mut ledger = Ledger::read(&view.ledger)?;
    let revised = compare(window, &computed.metrics, &ledger, &view.points)?;
    let changed = revised.values().any(|r| r.changed);
    let mut decision = Decision::because(if changed { "window-closed" } else { "window-unchanged" });

    let mut content = point_writes(window, &revised, &view.points);
    let corrected = carry_writes(window, &computed, &ledger, &view.source, &mut content)?;
    if fits_together(&content) && !mutant::is(Mutant::HashesJudgedByData) {
        decision.writes.extend(content)
    } else {
        decision.ahead.extend(content)
    }

    for (metric, r) in revised.iter().filter(|(_, r)| r.changed) {
        ledger.metrics.insert(metric.clone(), Announced { revision: r.revision, hash: r.hash.clone() });
        decision.facts.push(announce::fact(tenant, metric, window, r, at.0));
    }
    ledger.carry = computed.carry.as_ref().map(compact::hash_of);
    let expires = window.end().plus_millis(KEPT_MS);
    decision.writes.extend(changed_documents(ledger.documents(window), &view.ledger, expires));
    decision.writes.push(saved_root(view.root.as_ref(), at.0));
    decision.writes.push(Write::Delete(mark.document.id.clone(), mark.etag.clone()));
    decision.writes.extend(corrected.map(|next| marked(minute(next))));
    decision.writes.extend(parent_of(window).filter(|_| changed).map(marked));
    decision.notes = notes(window, tick, &computed);
    Ok(decision)
}

fn parent_of(window: Window) -> Option<Window> {
    parent_size(window.size_ms).map(|size| window.parent(size))
}

/// Saved by version, so that no two closings of a bucket pass each other.
fn saved_root(root: Option<&Stored>, at: Timestamp) -> Write {
    root.map_or_else(|| bucket::created(at), |s| Write::Save(s.document.clone(), Some(s.etag.clone())))
}

/// The raw points of a window folded to points, on the states that earlier windows handed on (A4).
fn from_raw(window: Window, root: &Bucket, chunks: &[Chunk], before: &Carry) -> Computed {
    let mut states: BTreeMap<&[u8], StreamState> = before.streams.iter().map(|s| (&s.id[..], s.clone())).collect();
    let mut groups = Groups::new(window, root);
    let mut counts = Counts::default();
    for (id, (stream, resource, points)) in by_stream(chunks) {
        let kind = StreamKind::try_from(stream.kind).unwrap_or(StreamKind::Samples);
        let mut none = StreamState::default();
        let state = if kind.is_cumulative() {
            states.entry(id).or_insert_with(|| StreamState { id: id.to_vec(), ..StreamState::default() })
        } else {
            &mut none
        };
        let outcome = fold::fold(kind, state, points);
        counts.add(outcome.counts);
        groups.add(kind.series(), &Labels { stream, resource }, &outcome);
    }
    let forgotten = window.end().nanos().saturating_sub(FORGOTTEN_NS);
    let kept = states.into_values().filter_map(|mut state| {
        fold::forget(&mut state, forgotten);
        (!state.starts.is_empty()).then_some(state)
    });
    let carry = Carry { streams: kept.collect() };
    Computed { metrics: groups.points(), carry: Some(carry), counts }
}

type Gathered<'a> = (&'a RawStream, Option<&'a Resource>, Vec<super::raw::RawPoint>);

/// The points of each stream from all chunks. What a stream is, its id says: any chunk's word will do.
fn by_stream(chunks: &[Chunk]) -> BTreeMap<&[u8], Gathered<'_>> {
    let mut streams: BTreeMap<&[u8], Gathered<'_>> = BTreeMap::new();
    for chunk in chunks {
        for stream in &chunk.streams {
            let resource = chunk.resources.get(stream.resource as usize);
            let gathered = streams.entry(&stream.id).or_insert_with(|| (stream, resource, vec![]));
            gathered.2.extend(stream.points.iter().cloned());
        }
    }
    streams
}

/// The points of a window from those of its children, group by group (SPEC 5.2.5).
fn from_children(window: Window, root: &Bucket, children: &BTreeMap<String, Vec<WindowPoints>>) -> Computed {
    let mut metrics = BTreeMap::new();
    for (metric, windows) in children {
        let mut groups: BTreeMap<&GroupId, Vec<&GroupPoint>> = BTreeMap::new();
        for group in windows.iter().flat_map(|w| &w.groups).filter(|g| exists(root, metric, window, &g.id)) {
            groups.entry(&group.id).or_default().push(group);
        }
        let points: Vec<GroupPoint> = groups.into_iter().map(|(id, children)| parent(window, id, &children)).collect();
        if !points.is_empty() {
            metrics.insert(metric.clone(), points);
        }
    }
    Computed { metrics, carry: None, counts: Counts::default() }
}

/// A definition that begins inside a window has no point of it (A28).
fn exists(root: &Bucket, metric: &str, window: Window, id: &GroupId) -> bool {
    let Some(labels) = &id.group_by else { return true };
    root.definition(metric, labels).is_some_and(|d| d.from <= window.start)
}

fn parent(window: Window, id: &GroupId, children: &[&GroupPoint]) -> GroupPoint {
    let unit = children.iter().map(|g| g.unit.as_str()).min().unwrap_or_default().to_owned();
    GroupPoint { id: id.clone(), unit, gone: false, point: combine::children(id.kind, window, children) }
}

/// Every metric that has points, had some, or was announced.
fn compare(
    window: Window,
    computed: &BTreeMap<String, Vec<GroupPoint>>,
    ledger: &Ledger,
    stored: &BTreeMap<String, Vec<Stored>>,
) -> Result<BTreeMap<String, Revised>, Refusal> {
    let metrics: BTreeSet<&String> = computed.keys().chain(ledger.metrics.keys()).chain(stored.keys()).collect();
    let mut all = BTreeMap::new();
    for metric in metrics {
        let documents = stored.get(metric).map_or(&[][..], Vec::as_slice);
        let known = points::groups_of(documents)?;
        let fresh = computed.get(metric).cloned().unwrap_or_default();
        all.insert(metric.clone(), revise(window, fresh, known, ledger.metrics.get(metric)));
    }
    Ok(all)
}

fn point_writes(
    window: Window,
    revised: &BTreeMap<String, Revised>,
    stored: &BTreeMap<String, Vec<Stored>>,
) -> Vec<Write> {
    let expires = window.end().plus_millis(points::kept_ms(window.size_ms));
    let mut writes = Vec::new();
    for (metric, r) in revised.iter().filter(|(_, r)| r.write) {
        let parts = points::parts_of(metric, window, &r.groups);
        let documents = parts.into_iter().map(|(id, part)| Document::new(id, "points", &part)).collect();
        let known = stored.get(metric).map_or(&[][..], Vec::as_slice);
        writes.extend(changed_documents(documents, known, expires));
    }
    writes
}

/// Adds the states that this window hands on; says which window must be closed anew because they are not those that it
/// was closed with: so a correction walks forward until they are as they were.
fn carry_writes(
    window: Window,
    computed: &Computed,
    ledger: &Ledger,
    source: &Sources,
    writes: &mut Vec<Write>,
) -> Result<Option<Timestamp>, Refusal> {
    let (Some(carry), Sources::Raw { own, next, .. }) = (&computed.carry, source) else { return Ok(None) };
    let documents = compact::pack(&names::carry_id(window.start), "carry", carry)?;
    writes.extend(changed_documents(documents, own, window.end().plus_millis(KEPT_MS)));
    let as_it_was = ledger.carry.as_ref() == Some(&compact::hash_of(carry));
    Ok(next.filter(|_| !as_it_was))
}

/// Documents that are not stored as they should be, guarded by the etags of what is there.
fn changed_documents(documents: Vec<Document>, stored: &[Stored], expires: Timestamp) -> Vec<Write> {
    let there: BTreeMap<_, _> = stored.iter().map(|s| (&s.document.id, s)).collect();
    let mut writes = Vec::new();
    for document in documents {
        match there.get(&document.id) {
            Some(known) if known.document.body == document.body => {}
            known => {
                let etag = known.map(|s| s.etag.clone());
                writes.push(Write::Save(document.expires(expires), etag));
            }
        }
    }
    writes
}

fn notes(window: Window, tick: Timestamp, computed: &Computed) -> Vec<Note> {
    let mixed = |points: &&Vec<GroupPoint>| points.iter().any(|g| g.point.quality.mixed_units);
    let conflicts = computed.metrics.values().filter(mixed).count() as u64;
    let Counts { duplicates, out_of_order, starts_dropped } = computed.counts;
    let counted: [(&'static Signal, u64); 4] = [
        (&signal::DUPLICATES, duplicates),
        (&signal::OUT_OF_ORDER, out_of_order),
        (&signal::STARTS_DROPPED, starts_dropped),
        (&signal::UNIT_CONFLICT, if computed.carry.is_some() { conflicts } else { 0 }),
    ];
    let mut notes: Vec<Note> = counted.into_iter().filter(|(_, n)| *n > 0).map(|(s, n)| Note::count(s, n)).collect();
    let lag = tick.millis_since(window.closes_at()).max(0) as f64 / 1e3;
    let label = vec![("window", window.size_ms.to_string())];
    notes.push(Note { signal: &signal::WINDOW_LAG, labels: label, value: lag });
    notes
}
