//! Marks, ledgers and watermarks (A65): nothing is forgotten between an arrival and the closing that counts it, and what
//! is announced is what the ledger says.

use super::model::{Held, Metrics, bucket, ledger, ledger_window, mark_of};
use crate::journal::{Applied, Change, Verdict};
use opsloop_kernel::{
    Timestamp, Window,
    window::{MINUTE_MS, allowed_lateness},
};
use opsloop_observability::{
    events::kind::METRIC_AGGREGATED,
    metric_aggregation::{ledger::Status, names, raw::StreamKind, types::SIZES},
};
use std::collections::BTreeMap;

/// A chunk comes with its mark, and is never changed.
pub fn marked(model: &Metrics, commit: &Applied) -> Verdict {
    let Some(held) = model.of(commit) else { return Ok(()) };
    for chunk in commit.changes.iter().filter(|c| c.kind() == "chunk") {
        let start = chunk.id.0.split('|').nth(1).and_then(|ms| ms.parse().ok()).map(Timestamp::from_millis);
        let window = Held::minute(start.unwrap_or(Timestamp::EPOCH));
        if chunk.after.is_some() && !held.marks.contains_key(&window) {
            return Err(format!("{} was stored and the window {} is not marked", chunk.id, window.start));
        }
        if let (Some(before), Some(after)) = (&chunk.before, &chunk.after)
            && before.body != after.body
        {
            return Err(format!("{} was changed by a repetition", chunk.id));
        }
    }
    Ok(())
}

/// A raw point lies in the window of its own time, whenever it was received (SPEC 3.4).
pub fn in_their_windows(model: &Metrics, commit: &Applied) -> Verdict {
    let Some(held) = model.of(commit) else { return Ok(()) };
    for change in commit.changes.iter().filter(|c| c.kind() == "chunk" && c.before.is_none()) {
        let found = held.raw.iter().find_map(|(start, chunks)| Some((start, chunks.get(&change.id.0)?)));
        let Some((start, chunk)) = found else { continue };
        for stream in &chunk.streams {
            let kind = StreamKind::try_from(stream.kind).unwrap_or_default();
            if let Some(p) = stream.points.iter().find(|p| kind.window(p.time_ns).start != *start) {
                let at = Timestamp::from_nanos(p.time_ns);
                return Err(format!("the point of {} at {at} lies in the window {start}", stream.metric));
            }
        }
    }
    Ok(())
}

/// A mark goes only by the commit that counts all raw points there are, and that saves ledger and root.
pub fn mark_deleted(model: &Metrics, commit: &Applied) -> Verdict {
    let Some(held) = model.of(commit) else { return Ok(()) };
    for window in deleted(commit).filter_map(mark_of) {
        let Some(ledger) = held.ledgers.get(&window) else {
            return Err(format!("the mark of {} ({} ms) went and no ledger stands", window.start, window.size_ms));
        };
        if ledger.status == Status::Skipped {
            continue;
        }
        if !commit.changes.iter().any(|c| c.id.0 == names::BUCKET) {
            return Err(format!("the mark of {} ({} ms) went without the root", window.start, window.size_ms));
        }
        if window.size_ms == MINUTE_MS {
            covers_all(held, window)?;
        }
    }
    Ok(())
}

fn deleted(commit: &Applied) -> impl Iterator<Item = &Change> {
    commit.changes.iter().filter(|c| c.after.is_none())
}

/// Points as the raw points say, and in the carry the newest point of every start.
fn covers_all(held: &Held, window: Window) -> Verdict {
    let chunks = held.raw.get(&window.start).into_iter().flat_map(|c| c.values());
    let mut metrics: Vec<&str> = chunks.flat_map(|c| &c.streams).map(|s| s.metric.as_str()).collect();
    metrics.sort();
    metrics.dedup();
    for metric in metrics {
        held.as_its_raw_points_say(metric, window)?;
        for (id, (kind, points)) in held.streams_of(metric, window) {
            if !kind.is_cumulative() {
                continue;
            }
            let mut newest: BTreeMap<i64, i64> = BTreeMap::new();
            points.iter().for_each(|p| {
                newest.insert(p.start_ns, p.time_ns);
            });
            let carry = held.carries.get(&window.start);
            let state = carry.and_then(|c| c.streams.iter().find(|s| s.id == id));
            for (start, time) in newest {
                let kept = state.and_then(|s| s.starts.iter().find(|p| p.start_ns == start)).map(|p| p.time_ns);
                if kept.is_none_or(|t| t < time) {
                    let at = Timestamp::from_nanos(time);
                    return Err(format!("{metric} {}: closed without its raw point at {at}", window.start));
                }
            }
        }
    }
    Ok(())
}

/// Revisions of a (metric, window, size) are 1, 2, 3 …; each is announced in the commit of its ledger, as of the due
/// instant of the mark (A62), and nothing else is.
pub fn announced(model: &Metrics, commit: &Applied) -> Verdict {
    if model.of(commit).is_none() {
        return Ok(());
    }
    let mut left: Vec<_> = commit.owed.iter().filter(|e| e.event_type == METRIC_AGGREGATED).collect();
    for change in commit.changes.iter().filter(|c| c.kind() == "ledger") {
        let Some(window) = ledger_window(&change.id.0) else { continue };
        let (before, after) = (ledger(change.before.as_ref())?, ledger(change.after.as_ref())?);
        for (metric, now) in &after.metrics {
            let was = before.metrics.get(metric);
            if was == Some(now) {
                continue;
            }
            let next = was.map_or(1, |a| a.revision + 1);
            let key = names::window_key(&commit.tenant, metric, window).key();
            let told = left.iter().position(|e| e.idempotency_key == key && e.revision == now.revision);
            let (Some(told), true) = (told, now.revision == next) else {
                let told = told.is_some();
                let at = window.start;
                return Err(format!("{metric} {at}: revision {} after {was:?}, announced: {told}", now.revision));
            };
            let due = mark_due(commit, window);
            let occurred = left.remove(told).occurred_at;
            if due != Some(occurred) {
                return Err(format!("{metric} {}: announced as of {occurred}, due at {due:?}", window.start));
            }
        }
    }
    left.first().map_or(Ok(()), |e| Err(format!("{} {} is in no ledger", e.event_type, e.subject)))
}

fn mark_due(commit: &Applied, window: Window) -> Option<Timestamp> {
    let mark = deleted(commit).find(|c| mark_of(c) == Some(window))?;
    mark.before.as_ref()?.due.as_ref().map(|d| d.at)
}

/// A watermark never moves backwards, never beyond what its root was due for, and not past a window whose mark stood
/// when the root was read. What was marked since, the root's save could not know: it is late.
pub fn watermarks(model: &Metrics, commit: &Applied) -> Verdict {
    let Some(held) = model.of(commit) else { return Ok(()) };
    let Some(root) = commit.changes.iter().find(|c| c.id.0 == names::BUCKET) else { return Ok(()) };
    let due = root.before.as_ref().and_then(|d| d.due.as_ref()).map(|d| d.at);
    let (before, after) = (bucket(root.before.as_ref())?.watermarks, bucket(root.after.as_ref())?.watermarks);
    for size in SIZES {
        let (was, is) = (before.of(size), after.of(size));
        if is < was {
            return Err(format!("the watermark of {} ({size} ms) went from {was:?} to {is:?}", commit.stream.name));
        }
        let Some(end) = is.filter(|_| is != was) else { continue };
        if due.is_none_or(|at| end.plus(allowed_lateness(size)) > at) {
            return Err(format!("the watermark of {} ({size} ms) is {end}, due was {due:?}", commit.stream.name));
        }
        // This commit is the newest of the saves; the one before it was there when the root was read.
        let passed = |(w, since): &(&Window, &u64)| w.size_ms == size && w.end() <= end && **since + 1 < held.saves;
        if let Some((window, _)) = held.marks.iter().find(passed) {
            return Err(format!(
                "the watermark of {} ({size} ms) passed {}, still marked",
                commit.stream.name, window.start
            ));
        }
    }
    Ok(())
}
