//! Reading series for rules and SLOs: watermarks first, then the windows that they speak of (SPEC 3.13, 5.3.1).

use super::{
    condition::{Read, Want},
    judge::{Selected, SetValues},
    slots::Watermarks,
};
use crate::metric_aggregation::{
    Aggregation, MatchOp, Matcher, MetricPoint, Selector, Series, SeriesKind, names, read_bucket, read_points,
};
use opsloop_kernel::{LabelSet, Scope, Stop, Timestamp, ids};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What the buckets say before any point is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Buckets {
    pub watermarks: Watermarks,
    /// The first window of the youngest definition that is read; none is read before it (SPEC 5.2.2).
    pub from: Timestamp,
}

/// The watermarks of everything that is read, and from when on.
pub async fn buckets(scope: &Scope<'_>, reads: &[Read], count: u16) -> Result<Buckets, Stop> {
    let mut out = Buckets::default();
    let mut known = BTreeMap::new();
    for read in reads {
        let stream = names::stream_of(&read.selector.metric_name, count);
        if !known.contains_key(&stream) {
            known.insert(stream.clone(), read_bucket(scope, &stream).await?);
        }
        let Some(bucket) = known.get(&stream) else { continue };
        out.watermarks.meet(read.size_ms, bucket.watermarks.of(read.size_ms));
        if let Some(labels) = read.selector.definition() {
            let from = bucket.definition(&read.selector.metric_name, &labels).map_or(Timestamp::MAX, |d| d.from);
            out.from = out.from.max(from);
        }
    }
    Ok(out)
}

/// Windows by their start: `from ≤ start < until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// Ranges in order, those that touch made one, cut where reading begins.
pub fn joined(mut ranges: Vec<Range>, begins: Timestamp) -> Vec<Range> {
    ranges.sort_by_key(|r| (r.from, r.until));
    let mut out: Vec<Range> = Vec::with_capacity(ranges.len());
    for r in ranges {
        let r = Range { from: r.from.max(begins), until: r.until };
        match out.last_mut() {
            Some(last) if r.from <= last.until => last.until = last.until.max(r.until),
            _ if r.from < r.until => out.push(r),
            _ => {}
        }
    }
    out
}

/// The values that `wants` ask for, one `Selected` each, of one reading of the points.
pub async fn select(
    scope: &Scope<'_>,
    count: u16,
    selector: &Selector,
    size_ms: i64,
    ranges: &[Range],
    wants: &[Want],
) -> Result<Vec<Selected>, Stop> {
    let metric = &selector.metric_name;
    let stream = names::stream_of(metric, count);
    let compiled = selector.compile()?;
    let mut windows = Vec::new();
    for r in ranges {
        windows.extend(read_points(scope, &stream, metric, size_ms, r.from, r.until, &|g| compiled.reads(g)).await?);
    }
    let series = compiled.series(&windows);
    let up_to = ranges.last().map_or(Timestamp::EPOCH, |r| r.until);
    Ok(wants.iter().map(|want| selected(&series, *want, size_ms, up_to)).collect())
}

fn selected(series: &[Series], want: Want, size_ms: i64, up_to: Timestamp) -> Selected {
    let mut out = Selected { size_ms, up_to, ..Selected::default() };
    for s in series {
        let of_point = |p: &MetricPoint| value_of(want, s.kind, &s.unit, p).map(|v| v.map(|v| (p.window_end, v)));
        match s.points.iter().map(of_point).collect::<Result<Vec<_>, _>>() {
            Ok(values) => {
                out.sets.push(SetValues { labels: s.labels.clone(), values: values.into_iter().flatten().collect() })
            }
            Err(why) => out.error = Some(why.to_owned()),
        }
    }
    out
}

/// One number of a combined point; an error where the series can never give it.
fn value_of(want: Want, kind: SeriesKind, unit: &str, point: &MetricPoint) -> Result<Option<f64>, &'static str> {
    let by_kind = |counter, histogram, gauge| match kind {
        SeriesKind::Counter => point.aggregate(counter),
        SeriesKind::Gauge => point.aggregate(gauge),
        SeriesKind::Histogram | SeriesKind::ExponentialHistogram => point.aggregate(histogram),
    };
    match want {
        Want::Of(aggregation) => Ok(point.aggregate(aggregation)),
        Want::Amount => Ok(by_kind(Aggregation::Sum, Aggregation::Count, Aggregation::Last)),
        Want::Pace => Ok(by_kind(Aggregation::Rate, Aggregation::Count, Aggregation::Last)),
        Want::Events if kind == SeriesKind::Gauge => Err("a gauge has no events"),
        Want::Events => Ok(by_kind(Aggregation::Sum, Aggregation::Count, Aggregation::Last)),
        Want::AtMost { .. } if !kind.is_histogram() => Err("a latency is read from a histogram"),
        Want::AtMost { threshold_ms } => {
            let threshold = in_unit(threshold_ms, unit).ok_or("the unit of the histogram is none of s, ms, us, ns")?;
            Ok(point.histogram.as_ref().map(|h| h.count_at_most(threshold)))
        }
    }
}

/// Milliseconds in the unit of a metric (SPEC 5.4.2).
fn in_unit(ms: f64, unit: &str) -> Option<f64> {
    Some(match unit {
        "s" => ms / 1e3,
        "ms" => ms,
        "us" => ms * 1e3,
        "ns" => ms * 1e6,
        _ => return None,
    })
}

/// The same definition, all its groups combined into one: the labels of the groupBy become matchers of anything.
pub fn ungrouped(selector: &Selector) -> Selector {
    let anything = |label: &String| Matcher { label: label.clone(), op: MatchOp::Like, value: ".*".into() };
    let matchers = selector.matchers.iter().cloned().chain(selector.group_by.iter().map(anything)).collect();
    Selector { metric_name: selector.metric_name.clone(), matchers, group_by: vec![] }
}

/// The buckets whose root a saved rule or SLO writes, each with the definitions that it must have (A28): those that
/// the default one does not do for.
pub fn definitions(selectors: &[Selector], count: u16) -> BTreeMap<u16, Vec<(String, Vec<String>)>> {
    let mut out: BTreeMap<u16, BTreeSet<(String, Vec<String>)>> = BTreeMap::new();
    for s in selectors {
        let wanted = out.entry(ids::bucket(&s.metric_name, count)).or_default();
        if let Some(labels) = s.definition() {
            wanted.insert((s.metric_name.clone(), labels));
        }
    }
    out.into_iter().map(|(bucket, wanted)| (bucket, wanted.into_iter().collect())).collect()
}

/// What an envelope may say of a label: only ids in their form.
pub fn label_id(labels: &LabelSet, name: &str) -> Option<String> {
    Some(labels.get(name)).filter(|v| opsloop_kernel::ident::is_slug(v)).map(str::to_owned)
}

/// An environment that an envelope may name.
pub fn label_environment(labels: &LabelSet) -> Option<String> {
    Some(labels.get("environment")).filter(|v| matches!(*v, "dev" | "test" | "staging" | "prod")).map(str::to_owned)
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
