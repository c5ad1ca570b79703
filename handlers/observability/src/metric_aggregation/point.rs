//! OTLP's data points as raw points.

use super::{
    explicit::Explicit,
    exponential::{Buckets, Exponential},
    raw::{Distribution, RawExemplar, RawPoint, StreamKind},
    types::{EXEMPLARS_MAX, HistogramValue},
};
use crate::otlp::{
    proto::{
        common::v1::KeyValue,
        metrics::v1::{
            Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, exemplar, metric::Data,
            number_data_point,
        },
    },
    validate::NO_RECORDED_VALUE,
};

const DELTA: i32 = 1;
const MILLISECOND_NS: i64 = 1_000_000;

/// The points of one metric with what the identity of their streams says of them.
pub struct Typed {
    pub kind: StreamKind,
    pub otlp: &'static str,
    pub temporality: Option<&'static str>,
    pub monotonic: Option<bool>,
    pub points: Vec<(Vec<KeyValue>, RawPoint)>,
}

/// `None`: nothing that is aggregated. Points without a recorded value contribute nothing and leave no state.
pub fn typed(data: Data) -> Option<Typed> {
    let temporality = |t: i32| Some(if t == DELTA { "delta" } else { "cumulative" });
    Some(match data {
        Data::Gauge(d) => Typed {
            kind: StreamKind::Samples,
            otlp: "gauge",
            temporality: None,
            monotonic: None,
            points: d.data_points.into_iter().filter_map(number).collect(),
        },
        Data::Sum(d) => Typed {
            kind: sum_kind(d.aggregation_temporality == DELTA, d.is_monotonic),
            otlp: "sum",
            temporality: temporality(d.aggregation_temporality),
            monotonic: Some(d.is_monotonic),
            points: d.data_points.into_iter().filter_map(number).collect(),
        },
        Data::Histogram(d) => Typed {
            kind: if d.aggregation_temporality == DELTA {
                StreamKind::HistogramDelta
            } else {
                StreamKind::HistogramCumulative
            },
            otlp: "histogram",
            temporality: temporality(d.aggregation_temporality),
            monotonic: None,
            points: d.data_points.into_iter().filter_map(histogram).collect(),
        },
        Data::ExponentialHistogram(d) => Typed {
            kind: if d.aggregation_temporality == DELTA {
                StreamKind::ExponentialDelta
            } else {
                StreamKind::ExponentialCumulative
            },
            otlp: "exponential_histogram",
            temporality: temporality(d.aggregation_temporality),
            monotonic: None,
            points: d.data_points.into_iter().filter_map(exponential).collect(),
        },
        Data::Summary(_) => return None,
    })
}

fn sum_kind(delta: bool, monotonic: bool) -> StreamKind {
    match (delta, monotonic) {
        (true, true) => StreamKind::MonotonicDelta,
        (true, false) => StreamKind::NonMonotonicDelta,
        (false, true) => StreamKind::MonotonicCumulative,
        (false, false) => StreamKind::Samples,
    }
}

fn number(p: NumberDataPoint) -> Option<(Vec<KeyValue>, RawPoint)> {
    let value = match p.value? {
        number_data_point::Value::AsDouble(d) => d,
        number_data_point::Value::AsInt(n) => n as f64,
    };
    let mut point = timed(p.start_time_unix_nano, p.time_unix_nano, p.flags, &p.exemplars)?;
    // 0 and −0 are one value.
    point.value = value + 0.0;
    Some((p.attributes, point))
}

fn histogram(p: HistogramDataPoint) -> Option<(Vec<KeyValue>, RawPoint)> {
    let mut point = timed(p.start_time_unix_nano, p.time_unix_nano, p.flags, &p.exemplars)?;
    let buckets = Explicit::new(p.explicit_bounds, p.bucket_counts, p.count);
    let buckets = Some(HistogramValue::Explicit(buckets));
    point.distribution = Some(Distribution { count: p.count, sum: p.sum, min: p.min, max: p.max, buckets });
    Some((p.attributes, point))
}

fn exponential(p: ExponentialHistogramDataPoint) -> Option<(Vec<KeyValue>, RawPoint)> {
    let mut point = timed(p.start_time_unix_nano, p.time_unix_nano, p.flags, &p.exemplars)?;
    let [positive, negative] =
        [p.positive, p.negative].map(|b| b.map_or_else(Buckets::default, |b| Buckets::new(b.offset, b.bucket_counts)));
    let buckets = Exponential::new(p.scale, p.zero_threshold, p.zero_count, positive, negative);
    let buckets = Some(HistogramValue::Exponential(buckets));
    point.distribution = Some(Distribution { count: p.count, sum: p.sum, min: p.min, max: p.max, buckets });
    Some((p.attributes, point))
}

fn timed(start: u64, time: u64, flags: u32, exemplars: &[Exemplar]) -> Option<RawPoint> {
    if flags & NO_RECORDED_VALUE != 0 {
        return None;
    }
    let time_ns = i64::try_from(time).ok()?;
    let start_ns = i64::try_from(start).ok().filter(|s| *s <= time_ns).unwrap_or(0);
    Some(RawPoint { start_ns, time_ns, exemplars: largest(exemplars), ..RawPoint::default() })
}

/// No window shows more of one point than it shows at all.
fn largest(exemplars: &[Exemplar]) -> Vec<RawExemplar> {
    let mut all: Vec<RawExemplar> = exemplars.iter().filter_map(raw_exemplar).collect();
    all.sort_by(|a, b| {
        let others = |e: &RawExemplar| (e.at_ns, e.trace_id.clone(), e.span_id.clone());
        b.value.total_cmp(&a.value).then_with(|| others(b).cmp(&others(a)))
    });
    all.dedup();
    all.truncate(EXEMPLARS_MAX);
    all
}

/// Only those that name a span are of use.
fn raw_exemplar(e: &Exemplar) -> Option<RawExemplar> {
    let value = match e.value.as_ref()? {
        exemplar::Value::AsDouble(d) => *d,
        exemplar::Value::AsInt(n) => *n as f64,
    };
    let named = |id: &[u8], len: usize| id.len() == len && id.iter().any(|b| *b != 0);
    let at_ns = i64::try_from(e.time_unix_nano).ok()?;
    let whole = value.is_finite() && named(&e.trace_id, 16) && named(&e.span_id, 8);
    whole.then(|| RawExemplar {
        trace_id: e.trace_id.clone(),
        span_id: e.span_id.clone(),
        value,
        at_ns: at_ns - at_ns.rem_euclid(MILLISECOND_NS),
    })
}
