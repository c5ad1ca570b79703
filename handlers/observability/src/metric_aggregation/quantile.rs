//! Quantiles from buckets (SPEC 5.2.5), as Prometheus takes them: linear between explicit bounds, in log space
//! between exponential ones.

use super::{
    explicit::Explicit,
    exponential::{Buckets, Exponential, log2_bound, lower_bound},
};

/// A bucket with measurements, as an interval and how to go through it.
struct Span {
    count: f64,
    through: Through,
}
enum Through {
    /// From lower to upper, linear.
    Linear(f64, f64),
    /// From `2^lower` to `2^upper`, in log space; negative buckets mirror the positive ones.
    Log { lower: f64, upper: f64, negative: bool },
    /// A bucket without one of its bounds yields the other.
    At(f64),
}

impl Through {
    fn at(&self, share: f64) -> f64 {
        match *self {
            Self::Linear(lower, upper) => lower + share * (upper - lower),
            Self::Log { lower, upper, negative: false } => (lower + share * (upper - lower)).exp2().min(f64::MAX),
            Self::Log { lower, upper, negative: true } => -(upper - share * (upper - lower)).exp2().min(f64::MAX),
            Self::At(value) => value,
        }
    }
    fn bounds(&self) -> (f64, f64) {
        (self.at(0.0), self.at(1.0))
    }
}

pub fn of_explicit(histogram: &Explicit, q: f64) -> Option<f64> {
    if histogram.bounds.is_empty() {
        return None;
    }
    quantile(&explicit_spans(histogram), q)
}

pub fn of_exponential(histogram: &Exponential, q: f64) -> Option<f64> {
    quantile(&exponential_spans(histogram), q)
}

/// The first populated bucket whose cumulative count reaches the rank.
fn quantile(spans: &[Span], q: f64) -> Option<f64> {
    let total: f64 = spans.iter().map(|s| s.count).sum();
    let rank = q.clamp(0.0, 1.0) * total;
    let mut below = 0.0;
    for span in spans {
        if below + span.count >= rank {
            return Some(span.through.at(((rank - below) / span.count).clamp(0.0, 1.0)));
        }
        below += span.count;
    }
    spans.last().map(|s| s.through.at(1.0))
}

pub fn explicit_at_most(histogram: &Explicit, threshold: f64) -> f64 {
    let spans = explicit_spans(histogram);
    let beyond = histogram.counts.last().is_some_and(|c| *c > 0);
    let bounded = if beyond { &spans[..spans.len() - 1] } else { &spans[..] };
    at_most(bounded, threshold)
}

pub fn exponential_at_most(histogram: &Exponential, threshold: f64) -> f64 {
    at_most(&exponential_spans(histogram), threshold)
}

fn at_most(spans: &[Span], threshold: f64) -> f64 {
    let mut count = 0.0;
    for span in spans {
        let (lower, upper) = span.through.bounds();
        if upper <= threshold {
            count += span.count;
        } else if lower < threshold {
            count += span.count * (threshold - lower) / (upper - lower);
        }
    }
    count
}

/// Populated buckets only. The first begins at 0 if its bound is positive, otherwise it yields that bound; the last
/// yields the largest bound.
fn explicit_spans(histogram: &Explicit) -> Vec<Span> {
    let bounds = &histogram.bounds;
    let mut spans = Vec::new();
    for (n, count) in histogram.counts.iter().enumerate().filter(|(_, c)| **c > 0) {
        let through = match (n.checked_sub(1).and_then(|p| bounds.get(p)), bounds.get(n)) {
            (Some(lower), Some(upper)) => Through::Linear(*lower, *upper),
            (None, Some(upper)) if *upper > 0.0 => Through::Linear(0.0, *upper),
            (None, Some(bound)) | (Some(bound), None) => Through::At(*bound),
            (None, None) => Through::At(f64::MAX),
        };
        spans.push(Span { count: *count as f64, through });
    }
    spans
}

fn exponential_spans(histogram: &Exponential) -> Vec<Span> {
    let log = |index: i32, negative: bool| Through::Log {
        lower: log2_bound(index, histogram.scale),
        upper: log2_bound(index.saturating_add(1), histogram.scale),
        negative,
    };
    let mut spans = Vec::new();
    for (index, count) in histogram.negative.populated().rev() {
        spans.push(Span { count: count as f64, through: log(index, true) });
    }
    if histogram.zero_count > 0 {
        spans.push(Span { count: histogram.zero_count as f64, through: zero(histogram) });
    }
    for (index, count) in histogram.positive.populated() {
        spans.push(Span { count: count as f64, through: log(index, false) });
    }
    spans
}

/// From zero to the threshold; mirrored where all else is negative. A writer's own threshold may lie above its first
/// bucket: the zero bucket ends where that one begins.
fn zero(histogram: &Exponential) -> Through {
    let first = |buckets: &Buckets| buckets.populated().next().map(|(index, _)| lower_bound(index, histogram.scale));
    match (first(&histogram.positive), first(&histogram.negative)) {
        (None, Some(end)) => Through::Linear(-histogram.zero_threshold.min(end), 0.0),
        (end, _) => Through::Linear(0.0, histogram.zero_threshold.min(end.unwrap_or(f64::MAX))),
    }
}

#[cfg(test)]
#[path = "quantile_tests.rs"]
mod tests;
