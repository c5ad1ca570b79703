//! I1, I2, I3 and I5 (SPEC 5.2.9), judged where points are written.

use super::model::{Held, Metrics};
use crate::journal::{Applied, Verdict};
use opsloop_kernel::{Window, window::MINUTE_MS};
use opsloop_observability::metric_aggregation::{
    GroupPoint, HistogramValue, SeriesKind,
    points::PointsPart,
    raw::{RawPoint, RawStream, StreamKind},
    types::child_size,
};
use std::collections::BTreeMap;

/// A points document of this commit, as it stands now.
struct Written<'a> {
    held: &'a Held,
    part: PointsPart,
}

fn written<'a>(model: &'a Metrics, commit: &Applied) -> Result<Vec<Written<'a>>, String> {
    let Some(held) = model.of(commit) else { return Ok(vec![]) };
    let mut found = vec![];
    for document in commit.changes.iter().filter(|c| c.kind() == "points").filter_map(|c| c.after.as_ref()) {
        let part: PointsPart = document.body.read().map_err(|e| e.to_string())?;
        found.push(Written { held, part });
    }
    Ok(found)
}

/// `metric 2026-11-21T10:00 1m {…}`
fn place(part: &PointsPart, group: &GroupPoint) -> String {
    format!("{} {} of {} ms {}", part.metric, part.window.start, part.window.size_ms, group.id.group_key.canonical())
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

/// I1: a contribution of a monotonic sum or a histogram is never negative.
pub fn not_negative(model: &Metrics, commit: &Applied) -> Verdict {
    for Written { held, part } in written(model, commit)? {
        let may_fall = held.streams(&part.metric).any(|s| s.kind == StreamKind::NonMonotonicDelta as i32);
        for group in part.groups.iter().filter(|g| !g.gone) {
            let point = &group.point;
            let monotonic = group.id.kind != SeriesKind::Gauge && !may_fall;
            let fell = monotonic && (point.sum < 0.0 || point.rate.is_some_and(|r| r < 0.0));
            if fell || point.count < 0.0 || !point.sum.is_finite() {
                return Err(format!("{}: sum {}, count {}", place(&part, group), point.sum, point.count));
            }
        }
    }
    Ok(())
}

/// I2: 5m equals the combination of its five 1m points, 1h that of its twelve 5m points.
pub fn combined(model: &Metrics, commit: &Applied) -> Verdict {
    for Written { held, part } in written(model, commit)? {
        let Some(size_ms) = child_size(part.window.size_ms) else { continue };
        let mut windows = vec![];
        let mut child = Window { size_ms, start: part.window.start };
        while child.start < part.window.end() {
            windows.push(child);
            child = child.next();
        }
        for group in part.groups.iter().filter(|g| !g.gone) {
            let of_group = |w: &Window| held.groups(&part.metric, *w).find(|g| g.id == group.id).map(|g| &g.point);
            let children: Vec<_> = windows.iter().filter_map(of_group).collect();
            let count: f64 = children.iter().map(|p| p.count).sum();
            let sum = match group.id.kind {
                SeriesKind::Gauge => children.last().map_or(0.0, |p| p.sum),
                _ => children.iter().map(|p| p.sum).sum(),
            };
            if children.is_empty() || !near(sum, group.point.sum) || !near(count, group.point.count) {
                let says = (group.point.sum, group.point.count);
                let from = (sum, count, children.len());
                return Err(format!(
                    "{} says {says:?}, its children (sum, count, number) {from:?}",
                    place(&part, group)
                ));
            }
        }
    }
    Ok(())
}

/// I3: a window's output depends only on contributions attributed to it.
pub fn attributed(model: &Metrics, commit: &Applied) -> Verdict {
    for Written { held, part } in written(model, commit)? {
        for group in &part.groups {
            let of_window = (group.point.window_start, group.point.window_end);
            let at = group.point.last_at;
            let outside = at.is_some_and(|t| t < part.window.start || t >= part.window.end());
            if of_window != (part.window.start, part.window.end()) || outside {
                return Err(format!("{} is of {of_window:?}, last at {at:?}", place(&part, group)));
            }
        }
        if part.window.size_ms == MINUTE_MS {
            held.as_its_raw_points_say(&part.metric, part.window)?;
        }
    }
    Ok(())
}

/// I5: quantiles lie within the bounds of populated buckets and are monotone in q.
pub fn quantiles(model: &Metrics, commit: &Applied) -> Verdict {
    for Written { part, .. } in written(model, commit)? {
        for group in part.groups.iter().filter(|g| !g.gone) {
            let Some(q) = group.point.quantiles else { continue };
            let all = [q.p50, q.p90, q.p95, q.p99];
            let bounds = group.point.histogram.as_ref().and_then(bounds_of);
            let inside = bounds.is_none_or(|(low, high)| all.iter().all(|v| low <= *v && *v <= high));
            if !all.is_sorted() || !inside {
                return Err(format!("{}: quantiles {all:?}, populated buckets {bounds:?}", place(&part, group)));
            }
        }
    }
    Ok(())
}

/// From the lower bound of the first populated bucket to the upper one of the last; `None` where they bound nothing.
fn bounds_of(histogram: &HistogramValue) -> Option<(f64, f64)> {
    let HistogramValue::Explicit(h) = histogram else { return None };
    let populated = |c: &u64| *c > 0;
    let (first, last) = (h.counts.iter().position(populated)?, h.counts.iter().rposition(populated)?);
    let bound = |n: usize| h.bounds.get(n).or(h.bounds.last()).copied();
    let low = match first {
        0 => bound(0)?.min(0.0),
        n => bound(n - 1)?,
    };
    Some((low, bound(last)?))
}

/// What is known of a window without any state: deltas and samples.
#[derive(Default)]
struct Stateless {
    sum: f64,
    count: f64,
}

impl Held {
    pub fn streams(&self, metric: &str) -> impl Iterator<Item = &RawStream> {
        self.raw.values().flat_map(|c| c.values()).flat_map(|c| &c.streams).filter(move |s| s.metric == metric)
    }

    /// The points of each stream of a metric in a window, each once.
    pub fn streams_of(&self, metric: &str, window: Window) -> BTreeMap<Vec<u8>, (StreamKind, Vec<&RawPoint>)> {
        let mut found: BTreeMap<Vec<u8>, (StreamKind, Vec<&RawPoint>)> = BTreeMap::new();
        let chunks = self.raw.get(&window.start).into_iter().flat_map(|c| c.values());
        for stream in chunks.flat_map(|c| &c.streams).filter(|s| s.metric == metric) {
            let kind = StreamKind::try_from(stream.kind).unwrap_or(StreamKind::Samples);
            found.entry(stream.id.clone()).or_insert((kind, vec![])).1.extend(&stream.points);
        }
        for (_, points) in found.values_mut() {
            points.sort_by(|a, b| a.order(b));
            points.dedup_by(|a, b| (a.time_ns, a.start_ns) == (b.time_ns, b.start_ns) && a.same_value(b));
        }
        found
    }

    /// Counted again from the raw points there are: all of it for deltas and samples, an upper bound of the number of
    /// contributions for totals, which need the states that earlier windows handed on.
    pub fn as_its_raw_points_say(&self, metric: &str, window: Window) -> Verdict {
        let mut expected: BTreeMap<SeriesKind, Stateless> = BTreeMap::new();
        let mut cumulative = 0;
        for (kind, points) in self.streams_of(metric, window).into_values() {
            let entry = expected.entry(kind.series()).or_default();
            match kind {
                _ if kind.is_cumulative() => cumulative += points.len(),
                StreamKind::Samples => sample(&points, entry),
                _ => points.iter().for_each(|p| add(p, entry)),
            }
        }
        for kind in [SeriesKind::Counter, SeriesKind::Gauge, SeriesKind::Histogram] {
            let groups = || self.groups(metric, window).filter(|g| g.id.group_by.is_none() && g.id.kind == kind);
            let (sum, count): (f64, f64) = groups().fold((0.0, 0.0), |(s, c), g| (s + g.point.sum, c + g.point.count));
            let Some(raw) = expected.get(&kind) else {
                if groups().next().is_some() {
                    return Err(format!("{metric} has a {} in {} without raw points", kind.name(), window.start));
                }
                continue;
            };
            let exact = cumulative == 0 && !(near(sum, raw.sum) && near(count, raw.count));
            let beyond = kind == SeriesKind::Counter && count > raw.count + cumulative as f64;
            if exact || beyond {
                let says = (raw.sum, raw.count, cumulative);
                let name = kind.name();
                return Err(format!("{metric} {} {name}: ({sum}, {count}), its raw points say {says:?}", window.start));
            }
        }
        Ok(())
    }
}

fn add(point: &RawPoint, to: &mut Stateless) {
    match &point.distribution {
        None => {
            to.sum += point.value;
            to.count += 1.0;
        }
        Some(d) => {
            to.sum += d.sum.unwrap_or_default();
            to.count += d.count as f64;
        }
    }
}

/// Of two samples of one time the larger counts; the sum is that of the streams' lasts.
fn sample(points: &[&RawPoint], to: &mut Stateless) {
    let mut by_time: BTreeMap<i64, f64> = BTreeMap::new();
    for point in points {
        let value = by_time.entry(point.time_ns).or_insert(point.value);
        *value = value.max(point.value);
    }
    to.count += by_time.len() as f64;
    to.sum += by_time.values().last().copied().unwrap_or_default();
}
