//! An arrival: a chunk for each 1m window of its half hour, and its mark, put anew (SPEC 5.2.4). Nothing is computed.

use super::{
    bucket::{self, DUE},
    compact,
    decode::{Arrived, ArrivedUnit, ArrivedWindow, chunk_id},
    names,
};
use opsloop_kernel::{
    Decision, Document, Halt, Note, Refusal, Timestamp, Window, Write, signal,
    window::{DAY_MS, MINUTE_MS},
};

/// Raw chunks, marks, carries and ledgers are kept this long after their window: longer than a point may be late and a
/// batch be replayed, together (A68).
pub const KEPT_MS: i64 = 5 * DAY_MS;
/// What one batch holds besides outbox documents, with room to spare.
pub const TOGETHER_BYTES_MAX: usize = 512 * 1024;
pub const TOGETHER_WRITES_MAX: usize = 64;

/// Windows are of one minute here.
pub fn minute(start: Timestamp) -> Window {
    Window { size_ms: MINUTE_MS, start }
}

/// The mark of a window to be closed, whose wish is the instant at which it closes. Its content depends on no read: it
/// is the etag that tells one arrival from the next (A65).
pub fn mark(window: Window) -> Write {
    let body = serde_json::json!({});
    let document = Document::new(names::dirty_id(window), "mark", &body);
    Write::Put(document.due(DUE, window.closes_at()).expires(window.end().plus_millis(KEPT_MS)))
}

/// `root`: whether the bucket exists; the first batch creates it.
pub fn decide(arrived: &Arrived, unit: &ArrivedUnit, root: bool) -> Result<Decision, Halt> {
    let late = Note::count(&signal::LATE_DROPPED, unit.late_dropped);
    if unit.windows.is_empty() {
        return Ok(Decision::because("beyond-the-reopen-horizon").note(late));
    }
    let mut decision = Decision::because("points-stored");
    if unit.late_dropped > 0 {
        decision = decision.note(late);
    }
    if !root {
        decision = decision.write(bucket::created(arrived.received_at));
    }
    let chunks = chunks(arrived, unit)?;
    let marks = unit.windows.iter().map(|w| mark(minute(w.start)));
    // A chunk without its mark is harmless: the mark comes with the batch that counts.
    if fits_together(&chunks) {
        decision.writes.extend(chunks);
    } else {
        decision.ahead.extend(chunks);
    }
    decision.writes.extend(marks);
    Ok(decision)
}

/// Whether writes go into the batch that counts.
pub fn fits_together(writes: &[Write]) -> bool {
    writes.len() <= TOGETHER_WRITES_MAX && writes.iter().map(Write::size).sum::<usize>() <= TOGETHER_BYTES_MAX
}

/// The same batch part always gives the same documents: whether it came before makes no difference.
fn chunks(arrived: &Arrived, unit: &ArrivedUnit) -> Result<Vec<Write>, Refusal> {
    let mut writes = Vec::new();
    for ArrivedWindow { start, chunk } in &unit.windows {
        let expires = minute(*start).end().plus_millis(KEPT_MS);
        let documents = compact::pack(&chunk_id(arrived, *start), "chunk", chunk)?;
        writes.extend(documents.into_iter().map(|d| Write::Put(d.expires(expires))));
    }
    Ok(writes)
}
