//! What the windows add up to in the end, against what was counted: the generator's own sums, and I4.

use super::model::{Held, Metrics};
use crate::{
    journal::{End, Verdict},
    workers::otlp::sent,
};
use opsloop_kernel::Worker as _;
use opsloop_kernel::{TelemetrySignal, TenantId, window::MINUTE_MS};
use opsloop_observability::{
    metric_aggregation::{
        GroupPoint, MetricAggregationWorker,
        points::PointsPart,
        raw::{RawPoint, StreamKind},
    },
    otlp::Request,
};
use std::collections::{BTreeMap, BTreeSet};

const WORKER: &str = MetricAggregationWorker::SPEC.name;

/// By tenant and metric: the groups of the default definition in all 1m windows, as stored.
type Groups = BTreeMap<(TenantId, String), Vec<GroupPoint>>;

fn stored(end: &End<'_>) -> Result<Groups, String> {
    let mut found: Groups = BTreeMap::new();
    for d in end.documents.iter().filter(|d| d.document.kind == "points") {
        let part: PointsPart = d.document.body.read().map_err(|e| e.to_string())?;
        if part.window.size_ms == MINUTE_MS {
            let groups = part.groups.into_iter().filter(|g| !g.gone && g.id.group_by.is_none());
            found.entry((d.tenant.clone(), part.metric)).or_default().extend(groups);
        }
    }
    Ok(found)
}

/// The final 1m points of a metric add up to the increments of its writers.
pub fn metric_totals(_: &Metrics, end: &End<'_>) -> Verdict {
    let uncertain = uncertain(end)?;
    let dropped =
        end.recorded.iter().any(|(k, n)| k.starts_with(WORKER) && k.contains("late_dropped_total") && *n > 0.0);
    let stored = stored(end)?;
    for ((tenant, name), expected) in &end.plan.totals {
        let (metric, statistic) = name.split_once('|').unwrap_or((name, "sum"));
        let key = (tenant.clone(), metric.to_owned());
        if dropped || uncertain.contains(&key) {
            continue;
        }
        let of = |g: &GroupPoint| if statistic == "count" { g.point.count } else { g.point.sum };
        let total: f64 = stored.get(&key).into_iter().flatten().map(of).sum();
        if (total - expected).abs() > 1e-6 {
            return Err(format!("the windows of {metric} of {tenant} come to {total}, {expected} were counted"));
        }
    }
    Ok(())
}

/// Metrics of which something was refused or died: their sums are not known.
fn uncertain(end: &End<'_>) -> Result<BTreeSet<(TenantId, String)>, String> {
    let mut found = BTreeSet::new();
    for batch in sent(end, TelemetrySignal::Metrics, WORKER)?.into_values().filter(|b| b.dead) {
        found.extend(named(&batch.request).map(|m| (batch.tenant.clone(), m)));
    }
    for (arrival, accepted) in end.plan.arrivals.iter().zip(end.accepted) {
        if let (false, crate::plan::Offer::Otlp { signal: TelemetrySignal::Metrics, body }) = (accepted, &arrival.offer)
        {
            let protobuf = opsloop_observability::otlp::ContentType::Protobuf;
            let request = opsloop_observability::otlp::decode(TelemetrySignal::Metrics, protobuf, body);
            found.extend(request.iter().flat_map(named).map(|m| (arrival.tenant.clone(), m)));
        }
    }
    Ok(found)
}

fn named(request: &Request) -> impl Iterator<Item = String> {
    let metrics = match request {
        Request::Metrics(r) => {
            r.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics).collect()
        }
        _ => vec![],
    };
    metrics.into_iter().map(|m| m.name.clone())
}

/// I4: the total of all windows of one start over an unbroken sequence equals last − first value; or last, where what
/// was counted before the first point counts too. With several starts it lies between the sums of these.
pub fn telescoped(model: &Metrics, end: &End<'_>) -> Verdict {
    let stored = stored(end)?;
    for ((tenant, stream), held) in &model.all {
        if held.marks.keys().any(|w| w.size_ms == MINUTE_MS) {
            continue;
        }
        for (metric, (low, high)) in held.spans_of_totals() {
            let groups = stored.get(&(tenant.clone(), metric.clone()));
            let total: f64 = groups.into_iter().flatten().map(|g| g.point.sum).sum();
            if total < low - 1e-6 || total > high + 1e-6 {
                return Err(format!("{metric} of {tenant} ({stream}) comes to {total}, its starts to {low} to {high}"));
            }
        }
    }
    Ok(())
}

impl Held {
    /// Of each metric that is only counted cumulatively under known starts: Σ(last − first) and Σ last.
    fn spans_of_totals(&self) -> BTreeMap<String, (f64, f64)> {
        let mut starts: BTreeMap<(&str, &[u8], i64), Vec<&RawPoint>> = BTreeMap::new();
        let mut others: BTreeSet<&str> = BTreeSet::new();
        for stream in self.raw.values().flat_map(|c| c.values()).flat_map(|c| &c.streams) {
            for point in &stream.points {
                starts.entry((&stream.metric, &stream.id, point.start_ns)).or_default().push(point);
                if stream.kind != StreamKind::MonotonicCumulative as i32 || point.start_ns == 0 {
                    others.insert(&stream.metric);
                }
            }
        }
        let mut found: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for ((metric, ..), mut points) in starts {
            points.sort_by_key(|p| p.time_ns);
            let fell = points.windows(2).any(|w| w[1].value < w[0].value);
            if fell {
                others.insert(metric);
            }
            let (first, last) = (points[0].value, points[points.len() - 1].value);
            let entry = found.entry(metric.to_owned()).or_default();
            *entry = (entry.0 + last - first, entry.1 + last);
        }
        found.retain(|metric, _| !others.contains(metric.as_str()));
        found
    }
}

/// Nothing that was due well before the end is still marked.
pub fn no_mark_left(_: &Metrics, end: &End<'_>) -> Verdict {
    const PATIENCE_MS: i64 = 3 * MINUTE_MS;
    let left = end.documents.iter().find(|d| {
        let due = d.document.due.as_ref().filter(|_| d.document.kind == "mark");
        due.is_some_and(|due| due.at.plus_millis(PATIENCE_MS) < end.cast.rest)
    });
    left.map_or(Ok(()), |d| Err(format!("{} of {}/{} was never closed", d.document.id, d.tenant, d.stream.name)))
}
