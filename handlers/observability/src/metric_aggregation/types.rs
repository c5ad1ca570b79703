//! What the worker stores and others read: kinds, points and their parts (SPEC 5.2.3).

use super::{explicit::Explicit, exponential::Exponential, quantile};
use opsloop_kernel::{
    SpanId, Timestamp, TraceId,
    window::{FIVE_MINUTES_MS, HOUR_MS, MINUTE_MS},
};
use serde::{Deserialize, Serialize};

/// The sizes of windows, from the smallest; each is made of the one before it.
pub const SIZES: [i64; 3] = [MINUTE_MS, FIVE_MINUTES_MS, HOUR_MS];
/// The largest exemplars of a point (SPEC 5.2.3).
pub const EXEMPLARS_MAX: usize = 5;

/// The size that windows of this size are made into.
pub fn parent_size(size_ms: i64) -> Option<i64> {
    SIZES.iter().position(|s| *s == size_ms).and_then(|at| SIZES.get(at + 1)).copied()
}
/// The size that windows of this size are made of.
pub fn child_size(size_ms: i64) -> Option<i64> {
    SIZES.iter().position(|s| *s == size_ms).and_then(|at| at.checked_sub(1)).map(|at| SIZES[at])
}

/// The series kind (SPEC 5.2.2). Its order is that of the names' bytes: of two kinds the first is read (SPEC 5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeriesKind {
    Counter,
    ExponentialHistogram,
    Gauge,
    Histogram,
}

impl SeriesKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::ExponentialHistogram => "exponential_histogram",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
    /// As `MetricAggregated` says it: `sum` for a counter (SPEC 9.1).
    pub fn name_in_events(self) -> &'static str {
        if self == Self::Counter { "sum" } else { self.name() }
    }
    pub fn is_histogram(self) -> bool {
        matches!(self, Self::Histogram | Self::ExponentialHistogram)
    }
    /// The aggregations of the default definition (SPEC 5.2.2).
    pub fn aggregations(self) -> &'static [Aggregation] {
        use Aggregation::{Avg, Count, Histogram, Last, Max, Min, P50, P90, P95, P99, Rate, Sum};
        match self {
            Self::Counter => &[Sum, Rate],
            Self::Gauge => &[Sum, Avg, Min, Max, Last],
            Self::Histogram | Self::ExponentialHistogram => {
                &[Sum, Rate, Avg, Min, Max, Count, P50, P90, P95, P99, Histogram]
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    Sum,
    Rate,
    Avg,
    Min,
    Max,
    Last,
    Count,
    P50,
    P90,
    P95,
    P99,
    Histogram,
}

impl Aggregation {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Rate => "rate",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Last => "last",
            Self::Count => "count",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Histogram => "histogram",
        }
    }
}

/// A measurement with the trace that it was made in (SPEC 5.2.5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exemplar {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub value: f64,
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quality {
    pub streams: u32,
    pub resets: u32,
    pub gap_ms: u64,
    pub mixed_units: bool,
}

/// Absent where the buckets bound nothing (SPEC 5.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
}

#[derive(Clone, PartialEq, prost::Oneof, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HistogramValue {
    #[prost(message, tag = "5")]
    Explicit(Explicit),
    #[prost(message, tag = "6")]
    Exponential(Exponential),
}

impl HistogramValue {
    /// The value below which the share `q` of the measurements lies; `None` where no bucket says.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        match self {
            Self::Explicit(h) => quantile::of_explicit(h, q),
            Self::Exponential(h) => quantile::of_exponential(h, q),
        }
    }
    pub fn quantiles(&self) -> Option<Quantiles> {
        Some(Quantiles {
            p50: self.quantile(0.5)?,
            p90: self.quantile(0.9)?,
            p95: self.quantile(0.95)?,
            p99: self.quantile(0.99)?,
        })
    }
    /// How many measurements are at most `threshold`, linear inside the bucket that it cuts; those of the overflow
    /// bucket are not (SPEC 5.4.4).
    pub fn count_at_most(&self, threshold: f64) -> f64 {
        match self {
            Self::Explicit(h) => quantile::explicit_at_most(h, threshold),
            Self::Exponential(h) => quantile::exponential_at_most(h, threshold),
        }
    }
    /// What was added since `earlier`; `None` where a bucket fell.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        match (self, earlier) {
            (Self::Explicit(a), Self::Explicit(b)) => a.since(b).map(Self::Explicit),
            (Self::Exponential(a), Self::Exponential(b)) => a.since(b).map(Self::Exponential),
            _ => None,
        }
    }
    /// `None`: explicit and exponential never merge (SPEC 5.2.4).
    pub fn merged(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Explicit(a), Self::Explicit(b)) => Some(Self::Explicit(a.merged(b))),
            (Self::Exponential(a), Self::Exponential(b)) => Some(Self::Exponential(a.merged(b))),
            _ => None,
        }
    }
}

/// What a group's streams came to in one window: all aggregations of its series at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricPoint {
    pub window_start: Timestamp,
    pub window_end: Timestamp,
    /// The aggregation that was asked for; stored points have all of them and bear none here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<f64>,
    /// Contributions of a counter, samples of a gauge, values of a histogram.
    pub count: f64,
    pub sum: f64,
    /// Of a gauge over its samples; of a histogram `sum / count`, where every source has a sum.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub avg: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rate: Option<f64>,
    /// What this window adds to the rates of the coarser windows it lies in, from the smallest (A66).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub coarser_rates: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub histogram: Option<HistogramValue>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quantiles: Option<Quantiles>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub exemplars: Vec<Exemplar>,
    pub quality: Quality,
    /// That of the envelope which announced this content.
    pub revision: u32,
    pub content_hash: String,
}

impl MetricPoint {
    /// The value of one series of the group; of `histogram`, which is no number, `None`.
    pub fn aggregate(&self, aggregation: Aggregation) -> Option<f64> {
        match aggregation {
            Aggregation::Sum => Some(self.sum),
            Aggregation::Count => Some(self.count),
            Aggregation::Rate => self.rate,
            Aggregation::Avg => self.avg,
            Aggregation::Min => self.min,
            Aggregation::Max => self.max,
            Aggregation::Last => self.last,
            Aggregation::P50 => self.quantiles.map(|q| q.p50),
            Aggregation::P90 => self.quantiles.map(|q| q.p90),
            Aggregation::P95 => self.quantiles.map(|q| q.p95),
            Aggregation::P99 => self.quantiles.map(|q| q.p99),
            Aggregation::Histogram => None,
        }
    }
}

/// Compensated summation (Neumaier): the order of arrival has no say, and many small values are not lost beside a
/// large one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Total {
    sum: f64,
    lost: f64,
}
impl Total {
    pub fn add(&mut self, value: f64) {
        let next = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() { (self.sum - next) + value } else { (value - next) + self.sum };
        self.sum = next;
    }
    /// Finite, for JSON knows no infinity.
    pub fn value(self) -> f64 {
        let total = self.sum + self.lost;
        let total = if total.is_nan() { self.sum } else { total };
        total.clamp(f64::MIN, f64::MAX)
    }
}
impl FromIterator<f64> for Total {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut total = Self::default();
        values.into_iter().for_each(|v| total.add(v));
        total
    }
}

/// The largest few by (value, at, trace, span), each once (SPEC 5.2.5).
pub fn largest_exemplars<'a>(all: impl IntoIterator<Item = &'a Exemplar>) -> Vec<Exemplar> {
    let mut sorted: Vec<&Exemplar> = all.into_iter().collect();
    sorted.sort_by(|a, b| {
        b.value
            .total_cmp(&a.value)
            .then_with(|| b.at.cmp(&a.at))
            .then_with(|| b.trace_id.cmp(&a.trace_id))
            .then_with(|| b.span_id.cmp(&a.span_id))
    });
    sorted.dedup();
    sorted.into_iter().take(EXEMPLARS_MAX).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_kind_is_the_first_by_bytes() {
        let mut kinds =
            [SeriesKind::Histogram, SeriesKind::Gauge, SeriesKind::ExponentialHistogram, SeriesKind::Counter];
        kinds.sort();
        assert!(kinds.map(SeriesKind::name).is_sorted());
    }

    #[test]
    fn a_total_keeps_what_is_small() {
        let total: Total = [1e16, 1.0, -1e16].into_iter().collect();
        assert_eq!(total.value(), 1.0);
        let beyond: Total = [f64::MAX, f64::MAX].into_iter().collect();
        assert!(beyond.value().is_finite());
    }
}
