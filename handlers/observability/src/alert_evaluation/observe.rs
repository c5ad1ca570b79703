//! What the decisions look at: the root first, watermarks before points (SPEC 3.13).

use super::{
    commands::{NOTES_MAX, NoteView, RULES_MAX, RuleView},
    documents::{self, CHUNKS_MAX, Chunk, HeldChunk, StoredRule},
    rule::AlertRule,
    slot::{SlotView, Stage},
    suppression::{self, InhibitRule, Inhibitor, Silence},
};
use crate::series::{
    Held, Read, Reading, Selected,
    source::{self, Range},
};
use opsloop_kernel::{DocId, Refusal, Scope, Stop, Stored, Timestamp};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Documents of instances that inhibition looks through: 1,000 rules with 200 instances each.
const SOURCES_MAX: usize = 1_000;

pub async fn slot(scope: &Scope<'_>, id: &str, at: Timestamp, tick: Timestamp, buckets: u16) -> Result<SlotView, Stop> {
    let stream = documents::stream();
    let root = Held::of(scope.get(&stream, &documents::root_id(id)).await?)?;
    let rule: Option<Held<StoredRule>> = Held::of(scope.get(&stream, &documents::rule_id(id)).await?)?;
    let mut view = SlotView { root, rule, ..SlotView::default() };
    let Some(stored) = view.rule.as_ref().map(|h| h.body.clone()) else { return Ok(view) };
    if view.stage(at, tick) == Stage::NotDue {
        return Ok(view);
    }
    let chunks = scope.all(&stream, &documents::chunk_prefix(id), CHUNKS_MAX).await?;
    view.chunks = chunks.items.into_iter().map(chunk).collect::<Result<_, _>>()?;
    if matches!(view.stage(at, tick), Stage::Closes | Stage::Changed | Stage::Skips(_)) {
        return Ok(view);
    }
    let reads = stored.rule.condition.reads();
    view.buckets = source::buckets(scope, &reads, buckets).await?;
    let Stage::Reads(reading, _) = view.stage(at, tick) else { return Ok(view) };
    for read in &reads {
        view.data.push(selected(scope, read, &stored.rule, &reading, view.buckets.from, buckets).await?);
    }
    view.silences = notes(scope, documents::SILENCES).await?;
    view.inhibitors = inhibitors(scope, at).await?;
    Ok(view)
}

/// Back to where a label set counts as silent, and the range of the reducer before that; of a change once more so much
/// earlier.
async fn selected(
    scope: &Scope<'_>,
    read: &Read,
    rule: &AlertRule,
    reading: &Reading,
    from: Timestamp,
    buckets: u16,
) -> Result<Selected, Stop> {
    let until = reading.end(read.size_ms);
    let back = until.plus_millis(-(rule.no_data_ms() + read.span_ms));
    let mut ranges = vec![Range { from: back, until }];
    if read.offset_ms > 0 {
        let earlier = |t: Timestamp| t.plus_millis(-read.offset_ms);
        ranges.push(Range { from: earlier(back), until: earlier(until) });
    }
    let ranges = source::joined(ranges, from);
    let found = source::select(scope, buckets, &read.selector, read.size_ms, &ranges, &[read.want]).await?;
    let nothing = Selected { size_ms: read.size_ms, ..Selected::default() };
    Ok(Selected { up_to: until, ..found.into_iter().next().unwrap_or(nothing) })
}

fn chunk(stored: Stored) -> Result<HeldChunk, Refusal> {
    let body: Chunk = stored.read()?;
    Ok(HeldChunk { id: stored.document.id, held: Held { etag: stored.etag, due: None, body } })
}

async fn notes<T: DeserializeOwned>(scope: &Scope<'_>, prefix: &str) -> Result<Vec<T>, Stop> {
    let listed = scope.all(&documents::stream(), prefix, NOTES_MAX).await?;
    Ok(listed.items.iter().map(Stored::read).collect::<Result<_, _>>()?)
}

/// Inhibition rules with what counts as their source at this slot; rules and instances are read only where there is one.
async fn inhibitors(scope: &Scope<'_>, at: Timestamp) -> Result<Vec<Inhibitor>, Stop> {
    let inhibit: Vec<InhibitRule> = notes(scope, documents::INHIBITIONS).await?;
    if inhibit.is_empty() {
        return Ok(vec![]);
    }
    let stream = documents::stream();
    let chunks = scope.all(&stream, documents::INSTANCES, SOURCES_MAX).await?;
    let chunks: Vec<Chunk> = chunks.items.iter().map(Stored::read).collect::<Result<_, _>>()?;
    let rules = scope.all(&stream, documents::RULES, RULES_MAX).await?;
    let rules: Vec<StoredRule> = rules.items.iter().map(Stored::read).collect::<Result<_, _>>()?;
    let by_id: BTreeMap<&str, &AlertRule> = rules.iter().map(|r| (r.rule.rule_id.as_str(), &r.rule)).collect();
    let all = || {
        let of_rule = |c: &Chunk| by_id.get(c.rule_id.as_str()).copied();
        chunks.iter().flat_map(move |c| of_rule(c).into_iter().flat_map(|r| c.instances.iter().map(move |i| (r, i))))
    };
    let mut out = vec![];
    for rule in inhibit {
        let sources = suppression::sources(&rule, all(), at)?;
        out.push(Inhibitor { rule, sources });
    }
    Ok(out)
}

pub async fn rule(scope: &Scope<'_>, id: &str) -> Result<RuleView, Stop> {
    let stream = documents::stream();
    let root = Held::of(scope.get(&stream, &documents::root_id(id)).await?)?;
    let rule = Held::of(scope.get(&stream, &documents::rule_id(id)).await?)?;
    let full = rule.is_none() && scope.all(&stream, documents::RULES, RULES_MAX).await?.items.len() >= RULES_MAX;
    Ok(RuleView { rule, root, full })
}

pub async fn note(scope: &Scope<'_>, prefix: &str, id: DocId) -> Result<NoteView, Stop> {
    let stream = documents::stream();
    let stored = scope.get(&stream, &id).await?;
    let full = stored.is_none() && scope.all(&stream, prefix, NOTES_MAX).await?.items.len() >= NOTES_MAX;
    Ok(NoteView { stored, full })
}

/// One silence, for the API.
pub async fn silences(scope: &Scope<'_>) -> Result<Vec<Silence>, Stop> {
    notes(scope, documents::SILENCES).await
}
