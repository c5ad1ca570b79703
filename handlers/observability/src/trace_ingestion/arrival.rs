//! What a batch has of a trace goes into its stream (SPEC 5.1.4(4), 5.1.6): chunks and head in one commit.

use super::{
    accept::{ChunkDraft, TraceArrival},
    chunk::{self, ChunkDoc},
    head::{self, Head},
    marks::Known,
    stream_of,
};
use opsloop_kernel::{Decision, DocId, Note, Refusal, Scope, Stop, Stored, Timestamp, Write, signal};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArrivalView {
    pub head: Option<Stored>,
    /// Chunks of the batch that are there, beyond those that the head can list (A57).
    pub there: Vec<String>,
}

pub async fn observe(arrival: &TraceArrival, scope: &Scope<'_>) -> Result<ArrivalView, Stop> {
    let stream = stream_of(&arrival.trace);
    let head = scope.get(&stream, &DocId::from(head::ID)).await?;
    let mut view = ArrivalView { head, there: vec![] };
    let Some(held) = view.head.as_ref().map(|s| s.read::<Head>()).transpose()? else { return Ok(view) };
    if !held.lists_all_chunks() {
        for draft in arrival.chunks.iter().filter(|c| !held.lists_chunk(&c.id)) {
            let id = DocId(format!("{}{}", chunk::PREFIX, draft.id));
            if scope.get(&stream, &id).await?.is_some() {
                view.there.push(draft.id.clone());
            }
        }
    }
    Ok(view)
}

pub fn decide(arrival: &TraceArrival, received_at: Timestamp, view: &ArrivalView) -> Result<Decision, Refusal> {
    let held: Option<Head> = view.head.as_ref().map(Stored::read).transpose()?;
    let mut head = held.unwrap_or_else(|| Head::new(received_at));
    let spans = |chunks: &[&ChunkDraft]| chunks.iter().map(|c| c.marks.0.len() as u64).sum::<u64>();
    let all: Vec<&ChunkDraft> = arrival.chunks.iter().collect();
    if head.is_too_late(received_at) {
        return Ok(Decision::because("too-late").note(Note::count(&signal::LATE_DROPPED, spans(&all))));
    }
    if head.sampled_out {
        return Ok(Decision::because("sampled-out"));
    }
    let is_there = |c: &ChunkDraft| head.lists_chunk(&c.id) || view.there.contains(&c.id);
    let (stored, new): (Vec<&ChunkDraft>, Vec<&ChunkDraft>) = all.into_iter().partition(|c| is_there(c));
    let mut tally = Tally { duplicates: spans(&stored), ..Tally::default() };
    // Beyond what the head lists every new chunk counts as a change.
    let mut changed = head.more_known && !new.is_empty();
    for mark in new.iter().flat_map(|c| &c.marks.0) {
        changed |= tally.count(head.known.judge(*mark));
        head.add_mark(*mark);
    }
    if !changed {
        return Ok(tally.onto(Decision::because("duplicates")));
    }
    let expires = view.head.as_ref().and_then(|s| s.document.expires).unwrap_or(received_at.plus(head::KEPT));
    let mut decision = tally.onto(Decision::because("stored"));
    for draft in new {
        head.add_chunk(&draft.id);
        let spans = u32::try_from(draft.marks.0.len()).unwrap_or(u32::MAX);
        let body = ChunkDoc { received_at, spans, data: draft.data.clone() };
        decision = decision.write(Write::Put(body.document(&draft.id, expires)));
    }
    head.arrived(received_at);
    let etag = view.head.as_ref().map(|s| s.etag.clone());
    Ok(decision.write(Write::Save(head.document(expires), etag)))
}

#[derive(Default)]
struct Tally {
    duplicates: u64,
    conflicts: u64,
}

impl Tally {
    /// Whether it is a change.
    fn count(&mut self, known: Known) -> bool {
        match known {
            Known::New => return true,
            Known::Duplicate => self.duplicates += 1,
            Known::Conflict => self.conflicts += 1,
        }
        known == Known::Conflict
    }

    fn onto(&self, mut decision: Decision) -> Decision {
        for (signal, n) in [(&signal::DUPLICATES, self.duplicates), (&signal::SPAN_CONFLICT, self.conflicts)] {
            if n > 0 {
                decision = decision.note(Note::count(signal, n));
            }
        }
        decision
    }
}
