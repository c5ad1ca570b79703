//! The streams of a 1m window combined to points by group (SPEC 5.2.5), in ascending order of stream id.

use super::{
    bucket::{Bucket, DEFAULT_GROUP_BY},
    combine::{self, beyond},
    fold::{Amount, Contribution, Outcome},
    points::{GroupId, GroupPoint},
    raw::{Labels, RawExemplar},
    types::{Exemplar, HistogramValue, MetricPoint, Quality, SeriesKind, Total, largest_exemplars, parent_size},
};
use opsloop_kernel::{LabelSet, SpanId, Timestamp, TraceId, Window};
use std::collections::{BTreeMap, BTreeSet};

/// The groups of a bucket's window while its streams are added, by metric.
pub struct Groups<'a> {
    window: Window,
    bucket: &'a Bucket,
    metrics: BTreeMap<String, BTreeMap<GroupId, Group>>,
}

/// One group while its streams are added.
#[derive(Default)]
struct Group {
    units: BTreeSet<String>,
    streams: u32,
    resets: u32,
    gap_ms: u64,
    count: u64,
    sum: Total,
    /// Of this window and of those that it lies in.
    rates: Vec<Total>,
    /// Σ of what an average is of, and whether every source has it.
    averaged: Total,
    unsummed: bool,
    unbounded: bool,
    min: Option<f64>,
    max: Option<f64>,
    last: Option<(i64, f64)>,
    histogram: Option<HistogramValue>,
    exemplars: Vec<Exemplar>,
}

impl<'a> Groups<'a> {
    pub fn new(window: Window, bucket: &'a Bucket) -> Self {
        Self { window, bucket, metrics: BTreeMap::new() }
    }

    /// Adds a stream's outcome to its group of each definition. The caller goes by ascending stream id.
    pub fn add(&mut self, kind: SeriesKind, labels: &Labels<'_>, outcome: &Outcome) {
        let metric = &labels.stream.metric;
        let exemplars: Vec<Exemplar> = outcome.exemplars.iter().filter_map(exemplar).collect();
        let default = DEFAULT_GROUP_BY.map(str::to_owned);
        let others = self.bucket.definitions_of(metric, self.window.start).map(|d| Some(d.group_by.as_slice()));
        let ids: Vec<GroupId> = std::iter::once(None)
            .chain(others)
            .map(|by| GroupId { group_by: by.map(<[_]>::to_vec), kind, group_key: key(by.unwrap_or(&default), labels) })
            .collect();
        let groups = self.metrics.entry(metric.clone()).or_default();
        for id in ids {
            groups.entry(id).or_default().add(kind, self.window, &labels.stream.unit, outcome, &exemplars);
        }
    }

    /// The points of each metric, by group. A group with no contribution gets none.
    pub fn points(self) -> BTreeMap<String, Vec<GroupPoint>> {
        let window = self.window;
        let of_metric = |groups: BTreeMap<GroupId, Group>| {
            groups.into_iter().filter_map(|(id, group)| group.point(id, window)).collect::<Vec<_>>()
        };
        let all = self.metrics.into_iter().map(|(metric, groups)| (metric, of_metric(groups)));
        all.filter(|(_, points)| !points.is_empty()).collect()
    }
}

/// A label that is absent is left out.
fn key(group_by: &[String], labels: &Labels<'_>) -> LabelSet {
    group_by.iter().filter_map(|label| Some((label.clone(), labels.get(label)?.to_owned()))).collect()
}

fn exemplar(raw: &RawExemplar) -> Option<Exemplar> {
    Some(Exemplar {
        trace_id: TraceId::of_bytes(&raw.trace_id)?,
        span_id: SpanId::of_bytes(&raw.span_id)?,
        value: raw.value,
        at: Timestamp::from_nanos(raw.at_ns).floor_millis(),
    })
}

impl Group {
    fn add(&mut self, kind: SeriesKind, window: Window, unit: &str, outcome: &Outcome, exemplars: &[Exemplar]) {
        self.resets = self.resets.saturating_add(outcome.resets);
        if outcome.contributions.is_empty() && outcome.samples.is_empty() {
            return;
        }
        self.streams = self.streams.saturating_add(1);
        self.units.insert(unit.to_owned());
        self.exemplars = largest_exemplars(self.exemplars.iter().chain(exemplars));
        outcome.contributions.iter().for_each(|c| self.contribute(window, c));
        if kind == SeriesKind::Gauge {
            self.sample(outcome);
        }
    }

    fn contribute(&mut self, window: Window, contribution: &Contribution) {
        let measured = match &contribution.amount {
            Amount::Number(amount) => {
                self.count = self.count.saturating_add(1);
                self.sum.add(*amount);
                *amount
            }
            Amount::Distribution(d) => {
                self.count = self.count.saturating_add(d.count);
                self.sum.add(d.sum.unwrap_or(0.0));
                self.unsummed |= d.sum.is_none() && d.count > 0;
                self.bound(d.count, d.min, d.max);
                self.merge(d.buckets.as_ref());
                d.count as f64
            }
        };
        self.gap_ms = self.gap_ms.max(beyond(gap_ms(contribution.interval_ns), window));
        let sizes = std::iter::successors(Some(window.size_ms), |size| parent_size(*size));
        for (n, size_ms) in sizes.enumerate() {
            if self.rates.len() <= n {
                self.rates.push(Total::default());
            }
            // The longer of window and interval, so that a gap makes no spike (A66).
            let seconds = (size_ms as f64 / 1e3).max(contribution.interval_ns.unwrap_or(0) as f64 / 1e9);
            self.rates[n].add(measured / seconds);
        }
    }

    /// Absent where a source that has values lacks them: those of totals are not of this window.
    fn bound(&mut self, count: u64, min: Option<f64>, max: Option<f64>) {
        match (min, max) {
            _ if count == 0 => {}
            (Some(min), Some(max)) => {
                self.min = Some(self.min.map_or(min, |m| m.min(min)));
                self.max = Some(self.max.map_or(max, |m| m.max(max)));
            }
            _ => self.unbounded = true,
        }
    }

    fn merge(&mut self, buckets: Option<&HistogramValue>) {
        let Some(buckets) = buckets else { return };
        self.histogram = match self.histogram.take() {
            None => Some(buckets.clone()),
            Some(all) => Some(all.merged(buckets).unwrap_or(all)),
        };
    }

    /// Sum of the streams' lasts; latest of all, ties by the larger stream id, which comes later.
    fn sample(&mut self, outcome: &Outcome) {
        for sample in &outcome.samples {
            self.count = self.count.saturating_add(1);
            self.averaged.add(sample.value);
            self.bound(1, Some(sample.value), Some(sample.value));
        }
        if let Some(last) = outcome.samples.last() {
            self.sum.add(last.value);
            if self.last.is_none_or(|(at, _)| at <= last.at_ns) {
                self.last = Some((last.at_ns, last.value));
            }
        }
    }

    fn point(self, id: GroupId, window: Window) -> Option<GroupPoint> {
        let unit = self.units.first()?.clone();
        let count = self.count as f64;
        let summed = match id.kind {
            SeriesKind::Counter => None,
            SeriesKind::Gauge => Some(self.averaged.value()),
            _ => (!self.unsummed).then(|| self.sum.value()),
        };
        let rates: Vec<f64> = self.rates.into_iter().map(Total::value).collect();
        let point = MetricPoint {
            count,
            sum: self.sum.value(),
            avg: summed.filter(|_| self.count > 0).map(|sum| sum / count),
            min: self.min.filter(|_| !self.unbounded),
            max: self.max.filter(|_| !self.unbounded),
            last: self.last.map(|(_, value)| value),
            last_at: self.last.map(|(at, _)| Timestamp::from_nanos(at).floor_millis()),
            rate: rates.first().copied(),
            coarser_rates: rates.get(1..).unwrap_or_default().to_vec(),
            quantiles: self.histogram.as_ref().and_then(HistogramValue::quantiles),
            histogram: self.histogram,
            exemplars: self.exemplars,
            quality: Quality {
                streams: self.streams,
                resets: self.resets,
                gap_ms: self.gap_ms,
                mixed_units: self.units.len() > 1,
            },
            ..combine::empty(window)
        };
        Some(GroupPoint { id, unit, gone: false, point: combine::sealed(point) })
    }
}

fn gap_ms(interval_ns: Option<i64>) -> u64 {
    u64::try_from(interval_ns.unwrap_or(0) / 1_000_000).unwrap_or(0)
}
