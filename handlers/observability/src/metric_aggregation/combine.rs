//! Points made of points (SPEC 5.2.5): groups of one window like streams, children of one group to their parent.

use super::{
    points::GroupPoint,
    types::{HistogramValue, MetricPoint, Quality, SeriesKind, Total, largest_exemplars},
};
use opsloop_kernel::{Timestamp, Window};

/// Groups of one window that differ in labels nobody asked for, in the order of their keys.
pub fn like_streams(kind: SeriesKind, window: Window, groups: &[&GroupPoint]) -> MetricPoint {
    if let [only] = groups {
        return only.point.clone();
    }
    let points: Vec<&MetricPoint> = groups.iter().map(|g| &g.point).collect();
    let units_differ = groups.windows(2).any(|w| w[0].unit != w[1].unit);
    let mut out = added(kind, window, &points);
    out.sum = total(points.iter().map(|p| p.sum));
    out.rate = points.iter().map(|p| p.rate).collect::<Option<Vec<_>>>().map(total);
    out.coarser_rates = columns(&points, 0);
    let newest = points.iter().filter(|p| p.last.is_some()).max_by_key(|p| p.last_at);
    out.last = newest.and_then(|p| p.last);
    out.last_at = newest.and_then(|p| p.last_at);
    out.quality.streams = points.iter().fold(0, |n, p| n.saturating_add(p.quality.streams));
    out.quality.gap_ms = points.iter().map(|p| p.quality.gap_ms).max().unwrap_or(0);
    out.quality.mixed_units |= units_differ;
    out.revision = points.iter().map(|p| p.revision).max().unwrap_or(0);
    sealed(out)
}

/// The children of one group, in the order of their windows, as the parent that they lie in.
pub fn children(kind: SeriesKind, window: Window, children: &[&GroupPoint]) -> MetricPoint {
    let points: Vec<&MetricPoint> = children.iter().map(|g| &g.point).collect();
    let mut out = added(kind, window, &points);
    let newest = points.last();
    out.sum = match kind {
        SeriesKind::Gauge => newest.map_or(0.0, |p| p.sum),
        _ => total(points.iter().map(|p| p.sum)),
    };
    // A child has one rate more for each size it is made into: its first is this window's.
    if kind != SeriesKind::Gauge {
        out.rate = Some(total(points.iter().filter_map(|p| p.coarser_rates.first().copied())));
        out.coarser_rates = columns(&points, 1);
    }
    out.last = newest.and_then(|p| p.last);
    out.last_at = newest.and_then(|p| p.last_at);
    out.quality.streams = points.iter().map(|p| p.quality.streams).max().unwrap_or(0);
    let gap = points.iter().map(|p| p.quality.gap_ms).max().unwrap_or(0);
    out.quality.gap_ms = beyond(gap, window);
    out.quality.mixed_units |= children.windows(2).any(|w| w[0].unit != w[1].unit);
    sealed(out)
}

/// A gap counts where it is longer than two windows.
pub fn beyond(gap_ms: u64, window: Window) -> u64 {
    if gap_ms > 2 * window.size_ms.unsigned_abs() { gap_ms } else { 0 }
}

/// What adds up alike over streams and over time.
fn added(kind: SeriesKind, window: Window, points: &[&MetricPoint]) -> MetricPoint {
    let count = total(points.iter().map(|p| p.count));
    let histogram = merged(points);
    MetricPoint {
        count,
        avg: average(kind, points, count),
        min: extreme(points, |p| p.min, f64::min),
        max: extreme(points, |p| p.max, f64::max),
        quantiles: histogram.as_ref().and_then(HistogramValue::quantiles),
        histogram,
        exemplars: largest_exemplars(points.iter().flat_map(|p| &p.exemplars)),
        quality: Quality {
            resets: points.iter().fold(0, |n, p| n.saturating_add(p.quality.resets)),
            mixed_units: points.iter().any(|p| p.quality.mixed_units),
            ..Quality::default()
        },
        ..empty(window)
    }
}

/// Σ(avg · count) / Σ count; a histogram has one only where every source has a sum. Of nothing there is no average.
fn average(kind: SeriesKind, points: &[&MetricPoint], count: f64) -> Option<f64> {
    if kind == SeriesKind::Counter || count <= 0.0 {
        return None;
    }
    let populated = points.iter().filter(|p| p.count > 0.0);
    let parts = populated.map(|p| p.avg.map(|avg| avg * p.count)).collect::<Option<Vec<_>>>()?;
    Some(total(parts) / count)
}

/// Absent where a source that has values lacks it.
fn extreme(points: &[&MetricPoint], of: fn(&MetricPoint) -> Option<f64>, wins: fn(f64, f64) -> f64) -> Option<f64> {
    let populated = points.iter().filter(|p| p.count > 0.0);
    populated.map(|p| of(p)).collect::<Option<Vec<_>>>()?.into_iter().reduce(wins)
}

fn merged(points: &[&MetricPoint]) -> Option<HistogramValue> {
    let mut histograms = points.iter().filter_map(|p| p.histogram.as_ref());
    let first = histograms.next()?.clone();
    Some(histograms.fold(first, |all, next| all.merged(next).unwrap_or(all)))
}

/// Sums of the coarser rates, column by column, from the `skip`th on.
fn columns(points: &[&MetricPoint], skip: usize) -> Vec<f64> {
    let width = points.iter().map(|p| p.coarser_rates.len()).max().unwrap_or(0);
    (skip..width).map(|n| total(points.iter().filter_map(|p| p.coarser_rates.get(n).copied()))).collect()
}

fn total(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().collect::<Total>().value()
}

/// A point of a window before anything is in it.
pub fn empty(window: Window) -> MetricPoint {
    MetricPoint {
        window_start: window.start,
        window_end: window.end(),
        value: None,
        count: 0.0,
        sum: 0.0,
        avg: None,
        min: None,
        max: None,
        last: None,
        last_at: None::<Timestamp>,
        rate: None,
        coarser_rates: vec![],
        histogram: None,
        quantiles: None,
        exemplars: vec![],
        quality: Quality::default(),
        revision: 0,
        content_hash: String::new(),
    }
}

/// With the hash of what it says.
pub fn sealed(mut point: MetricPoint) -> MetricPoint {
    point.content_hash = opsloop_kernel::json::content_hash(&point);
    point
}
