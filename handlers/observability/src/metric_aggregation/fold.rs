//! One stream's points in one window: what they contribute, and the state they leave (SPEC 5.2.4). The input is in
//! order of (time, start, value), whatever order it came in (A4).

use super::raw::{Distribution, RawExemplar, RawPoint, StreamKind, StreamState};
use opsloop_kernel::{Mutant, mutant};

const MINUTE_NS: i64 = 60_000_000_000;
/// Of a new identity the first point counts if its start is at most this old.
pub const FIRST_POINT_AGE_NS: i64 = 5 * MINUTE_NS;
/// Starts of one identity that are followed.
pub const STARTS_MAX: usize = 256;
/// One that had no point for this long makes room for a new one.
pub const SILENT_NS: i64 = 10 * MINUTE_NS;
/// A start without a point for this long leaves, an identity without starts leaves too.
pub const FORGOTTEN_NS: i64 = 24 * 60 * MINUTE_NS;

/// What one point adds to its window.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    pub amount: Amount,
    /// `None` where the start is unknown.
    pub interval_ns: Option<i64>,
}
#[derive(Clone, Debug, PartialEq)]
pub enum Amount {
    Number(f64),
    Distribution(Distribution),
}

/// A gauge's value at an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub at_ns: i64,
    pub value: f64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub contributions: Vec<Contribution>,
    pub samples: Vec<Sample>,
    pub exemplars: Vec<RawExemplar>,
    pub resets: u32,
    pub counts: Counts,
}

/// What is counted besides the series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub duplicates: u64,
    pub out_of_order: u64,
    pub starts_dropped: u64,
}
impl Counts {
    pub fn add(&mut self, other: Self) {
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.starts_dropped += other.starts_dropped;
    }
}

/// `state` is that of a cumulative stream, empty for one that was never seen; other kinds have none.
pub fn fold(kind: StreamKind, state: &mut StreamState, mut points: Vec<RawPoint>) -> Outcome {
    if !mutant::is(Mutant::ArrivalOrderAggregation) {
        points.sort_by(RawPoint::order);
    }
    let mut out = Outcome::default();
    match kind {
        StreamKind::Samples => sampled(points, &mut out),
        _ if kind.is_cumulative() => points.iter().for_each(|p| cumulative(state, p, &mut out)),
        _ => delta(kind, points, &mut out),
    }
    out
}

/// Of two samples of one time the larger counts: it comes last.
fn sampled(points: Vec<RawPoint>, out: &mut Outcome) {
    for point in points {
        let sample = Sample { at_ns: point.time_ns, value: point.value };
        match out.samples.last_mut() {
            Some(last) if last.at_ns == sample.at_ns => {
                out.counts.duplicates += u64::from(last.value == sample.value);
                // Starts differ: the order by value is that of each start alone.
                last.value = last.value.max(sample.value);
            }
            _ => out.samples.push(sample),
        }
        out.exemplars.extend(point.exemplars);
    }
}

/// Deltas of one identity add, whatever their intervals; only equal points are one (A61).
fn delta(kind: StreamKind, points: Vec<RawPoint>, out: &mut Outcome) {
    let mut last: Option<RawPoint> = None;
    for mut point in points {
        out.exemplars.append(&mut point.exemplars);
        let again = |l: &RawPoint| (l.start_ns, l.time_ns) == (point.start_ns, point.time_ns) && l.same_value(&point);
        if last.as_ref().is_some_and(again) {
            out.counts.duplicates += 1;
            continue;
        }
        if kind == StreamKind::MonotonicDelta && point.value < 0.0 {
            // Not what a monotonic sum can be (I1).
            out.counts.out_of_order += 1;
            continue;
        }
        out.contributions.push(Contribution { amount: amount(&point), interval_ns: point.interval_ns() });
        last = Some(point);
    }
}

fn amount(point: &RawPoint) -> Amount {
    point.distribution.as_ref().map_or(Amount::Number(point.value), |d| Amount::Distribution(d.clone()))
}

fn cumulative(state: &mut StreamState, point: &RawPoint, out: &mut Outcome) {
    forget(state, point.time_ns.saturating_sub(FORGOTTEN_NS).saturating_sub(1));
    if state.starts.is_empty() {
        (state.first_seen_ns, state.left_ns) = (point.time_ns, None);
    }
    match state.starts.binary_search_by_key(&point.start_ns, |s| s.start_ns) {
        Ok(known) => advance(&mut state.starts[known], point, out),
        Err(_) => begin(state, point, out),
    }
}

/// The first point of a start. A restart counts fully; a long-lived writer seen for the first time makes no spike.
fn begin(state: &mut StreamState, point: &RawPoint, out: &mut Outcome) {
    if state.starts.len() >= STARTS_MAX {
        out.counts.starts_dropped += 1;
        if !make_room(state, point.time_ns) {
            return;
        }
    }
    let restarted = !state.starts.is_empty() || state.left_ns.is_some();
    out.resets += u32::from(restarted);
    let missed = restarted && mutant::is(Mutant::CumulativeResetMissed);
    let young = point.start_ns >= state.first_seen_ns.saturating_sub(FIRST_POINT_AGE_NS);
    let returned = state.left_ns.is_some_and(|left| point.start_ns <= left);
    if point.start_ns > 0 && young && !returned && !missed {
        contribute(whole(point), point.interval_ns(), out);
    }
    let at = state.starts.partition_point(|s| s.start_ns < point.start_ns);
    state.starts.insert(at, point.kept());
    out.exemplars.extend(point.exemplars.iter().cloned());
}

/// The longest silent start leaves if it was silent for long enough.
fn make_room(state: &mut StreamState, at_ns: i64) -> bool {
    let silent =
        state.starts.iter().enumerate().min_by_key(|(_, s)| (s.time_ns, s.start_ns)).map(|(n, s)| (n, s.time_ns));
    match silent {
        Some((n, last_ns)) if at_ns.saturating_sub(last_ns) >= SILENT_NS => {
            let gone = state.starts.remove(n);
            leave(state, gone.start_ns);
            true
        }
        _ => false,
    }
}

fn advance(last: &mut RawPoint, point: &RawPoint, out: &mut Outcome) {
    if point.time_ns == last.time_ns && point.same_value(last) {
        out.counts.duplicates += 1;
        out.exemplars.extend(point.exemplars.iter().cloned());
        return;
    }
    let grown = if point.time_ns > last.time_ns { since(point, last) } else { None };
    // Under a known start a fall is a clock that was set back, or two writers with one start.
    let reset = grown.is_none() && point.time_ns > last.time_ns && point.start_ns == 0;
    let Some(amount) = grown.or_else(|| reset.then(|| whole(point))) else {
        out.counts.out_of_order += 1;
        return;
    };
    out.resets += u32::from(reset);
    contribute(amount, Some(point.time_ns.saturating_sub(last.time_ns)), out);
    out.exemplars.extend(point.exemplars.iter().cloned());
    *last = point.kept();
}

/// A contribution of a monotonic sum is never negative (I1): a total below zero says nothing.
fn contribute(amount: Amount, interval_ns: Option<i64>, out: &mut Outcome) {
    if !matches!(amount, Amount::Number(n) if n < 0.0) {
        out.contributions.push(Contribution { amount, interval_ns });
    }
}

/// All of a total; min and max of a total are those since its start, not of this window.
fn whole(point: &RawPoint) -> Amount {
    match &point.distribution {
        None => Amount::Number(point.value),
        Some(d) => Amount::Distribution(Distribution { min: None, max: None, ..d.clone() }),
    }
}

/// What a total grew by; `None` where it fell. A histogram falls as a whole if its count or any bucket does.
fn since(point: &RawPoint, last: &RawPoint) -> Option<Amount> {
    match (&point.distribution, &last.distribution) {
        (Some(now), Some(then)) => now.since(then).map(Amount::Distribution),
        _ => (point.value >= last.value).then_some(Amount::Number(point.value - last.value)),
    }
}

/// Starts whose last point is at or before `until_ns` leave.
pub fn forget(state: &mut StreamState, until_ns: i64) {
    if state.starts.iter().all(|s| s.time_ns > until_ns) {
        return;
    }
    let (kept, gone) = std::mem::take(&mut state.starts).into_iter().partition(|s| s.time_ns > until_ns);
    state.starts = kept;
    gone.iter().for_each(|s: &RawPoint| leave(state, s.start_ns));
}

/// The unknown start is none to compare with.
fn leave(state: &mut StreamState, start_ns: i64) {
    if start_ns > 0 {
        state.left_ns = state.left_ns.max(Some(start_ns));
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
