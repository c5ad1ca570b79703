//! `POST /v1/metrics/query`: selector, range, window, aggregation → points with freshness (SPEC 14.2, 5.2.5).

use super::{
    HistogramValue, Selector, Series, SeriesKind, names,
    reader::{freshness, read_bucket, read_points},
    selector::Compiled,
    types::{Aggregation, MetricPoint, SIZES},
};
use opsloop_kernel::{
    Answer, Body, BoxFuture, Freshness, LabelSet, Scope, Stop, Stream, Timestamp, Window,
    http::{Does, Endpoint, Method, Problem, Request},
    window::{DAY_MS, HOUR_MS, MINUTE_MS},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Windows of one answer: a day of minutes, a week of five minutes, three months of hours.
const WINDOWS_MAX: i64 = 2_200;
const RANGE_DEFAULT_MS: i64 = HOUR_MS;
/// A group without a value is `absent` from this long after its last one …
const ABSENT_AFTER_MS: i64 = 5 * MINUTE_MS;
/// … until this long after it.
const ABSENT_UNTIL_MS: i64 = DAY_MS;

pub fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint {
        method: Method::Post,
        path: "/v1/metrics/query",
        scope: "observability.read",
        about: "points of a selector's series, with freshness",
        does: Does::Query(query),
    }]
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    selector: Selector,
    #[serde(default)]
    aggregation: Option<Aggregation>,
    #[serde(default)]
    from: Option<Timestamp>,
    #[serde(default)]
    until: Option<Timestamp>,
    #[serde(default)]
    range_ms: Option<i64>,
    #[serde(default)]
    window_ms: Option<i64>,
}

/// Which windows are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    size_ms: i64,
    from: Timestamp,
    /// The end of the last window, at most the watermark.
    until: Timestamp,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    series: Vec<AnsweredSeries>,
    #[serde(skip_serializing_if = "Option::is_none")]
    watermark: Option<Timestamp>,
    freshness: Freshness,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnsweredSeries {
    labels: LabelSet,
    kind: SeriesKind,
    unit: String,
    aggregation: Aggregation,
    points: Vec<AnsweredPoint>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnsweredPoint {
    window_start: Timestamp,
    window_end: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<HistogramValue>,
    /// No value, though there was one within a day: no data, which is not zero.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    absent: bool,
}

fn query<'a>(request: &'a Request, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Answer, Problem>> {
    Box::pin(async move {
        let asked: Asked = request.body.read()?;
        let compiled = asked.selector.compile()?;
        let metric = &asked.selector.metric_name;
        let stream = names::stream_of(metric, request.metric_buckets);
        let bucket = read_bucket(scope, &stream).await.map_err(problem)?;
        let range = range(&asked, request.now)?;
        let defined = match &compiled.definition {
            None => Timestamp::EPOCH,
            Some(labels) => bucket.definition(metric, labels).ok_or_else(|| undefined(labels))?.from,
        };
        let watermark = bucket.watermarks.of(range.size_ms);
        let closed = watermark.unwrap_or(Timestamp::EPOCH);
        let range = Range { from: range.from.max(defined), until: range.until.min(closed), ..range };
        let source = Source { scope, stream: &stream, metric, compiled: &compiled };
        let series = source.series(range).await.map_err(problem)?;
        let last = source.last_values(range).await.map_err(problem)?;
        let newest = series.iter().filter_map(|s| s.points.last()).map(|p| p.window_end);
        let as_of = newest.chain(last.values().map(|l| l.end)).max().unwrap_or(range.from);
        let answered = Answered {
            series: answered(range, series, last, asked.aggregation),
            watermark,
            freshness: freshness(request.now, range.size_ms, watermark, as_of),
        };
        Ok(Answer { status: 200, body: Body::of(&answered) })
    })
}

fn problem(stop: Stop) -> Problem {
    match stop {
        Stop::Fault(fault) => fault.into(),
        Stop::Refusal(refusal) => refusal.into(),
    }
}

fn undefined(labels: &[String]) -> Problem {
    let by = labels.join(", ");
    Problem::invalid(format!("there are no series by {by}: an alert rule or SLO that reads them makes them"))
}

fn range(asked: &Asked, now: Timestamp) -> Result<Range, Problem> {
    let size_ms = asked.window_ms.unwrap_or(MINUTE_MS);
    if !SIZES.contains(&size_ms) {
        return Err(Problem::invalid(format!("windowMs is one of {SIZES:?}")));
    }
    let until = asked.until.unwrap_or(now);
    let reach = asked.range_ms.unwrap_or(RANGE_DEFAULT_MS.max(size_ms));
    let from = asked.from.unwrap_or_else(|| until.plus_millis(reach.saturating_neg())).floor_to(size_ms, 0);
    let until = until.floor_to(size_ms, 0);
    if from.nanos() < 0 || from >= until {
        return Err(Problem::invalid("the range holds no window: `from` must be before `until`"));
    }
    if until.millis_since(from) / size_ms > WINDOWS_MAX {
        return Err(Problem::invalid(format!("at most {WINDOWS_MAX} windows: ask for less, or for larger ones")));
    }
    Ok(Range { size_ms, from, until })
}

/// A group's newest value before a range.
#[derive(Clone, Debug, PartialEq)]
struct Last {
    end: Timestamp,
    kind: SeriesKind,
    unit: String,
}

/// Where a selector's points are.
struct Source<'a> {
    scope: &'a Scope<'a>,
    stream: &'a Stream,
    metric: &'a str,
    compiled: &'a Compiled,
}

impl Source<'_> {
    async fn series(&self, range: Range) -> Result<Vec<Series>, Stop> {
        if range.from >= range.until {
            return Ok(vec![]);
        }
        let keep = |g: &super::GroupPoint| self.compiled.reads(g);
        let Range { size_ms, from, until } = range;
        let windows = read_points(self.scope, self.stream, self.metric, size_ms, from, until, &keep).await?;
        Ok(self.compiled.series(&windows))
    }

    /// Of each label set the end of its last window with a value in the day before the range: first by hours, then
    /// inside the hour.
    async fn last_values(&self, range: Range) -> Result<BTreeMap<LabelSet, Last>, Stop> {
        let mut found: BTreeMap<LabelSet, Last> = BTreeMap::new();
        let begin = range.from.plus_millis(-ABSENT_UNTIL_MS).max(Timestamp::EPOCH);
        let mut end = range.from;
        // The hour that the range begins in may not be closed: its windows are looked at in any case.
        let hours =
            self.series(Range { size_ms: HOUR_MS, from: begin.floor_to(HOUR_MS, 0), until: range.from }).await?;
        while end > begin {
            let start = end.plus_millis(-1).floor_to(HOUR_MS, 0);
            let of_hour = |s: &&Series| s.points.iter().any(|p| p.window_start == start);
            let open = end == range.from;
            let wanted = hours.iter().filter(of_hour).any(|s| !found.contains_key(&s.labels));
            if wanted || open {
                for series in self.series(Range { size_ms: range.size_ms, from: start.max(begin), until: end }).await? {
                    let Some(point) = series.points.last() else { continue };
                    let last = Last { end: point.window_end, kind: series.kind, unit: series.unit };
                    found.entry(series.labels).or_insert(last);
                }
            }
            end = start;
        }
        Ok(found)
    }
}

/// Each series with all windows that say something: a value, none, or `absent`.
fn answered(
    range: Range,
    series: Vec<Series>,
    mut last: BTreeMap<LabelSet, Last>,
    aggregation: Option<Aggregation>,
) -> Vec<AnsweredSeries> {
    let mut out: BTreeMap<LabelSet, AnsweredSeries> = BTreeMap::new();
    for s in series {
        let before = last.remove(&s.labels).map(|l| l.end);
        out.insert(s.labels.clone(), one(range, s, before, aggregation));
    }
    for (labels, Last { end, kind, unit }) in last {
        let silent = Series { labels: labels.clone(), kind, unit, points: vec![] };
        out.insert(labels, one(range, silent, Some(end), aggregation));
    }
    out.into_values().filter(|s| !s.points.is_empty()).collect()
}

fn one(range: Range, series: Series, mut last: Option<Timestamp>, asked: Option<Aggregation>) -> AnsweredSeries {
    let aggregation =
        asked.unwrap_or(if series.kind == SeriesKind::Gauge { Aggregation::Last } else { Aggregation::Rate });
    let mut there: BTreeMap<Timestamp, MetricPoint> = series.points.into_iter().map(|p| (p.window_start, p)).collect();
    let mut points = Vec::new();
    let mut window = Window { size_ms: range.size_ms, start: range.from };
    while window.start < range.until {
        let point = there.remove(&window.start);
        let value = point.as_ref().and_then(|p| p.aggregate(aggregation));
        let has = point.is_some();
        let silent_ms = last.map(|end| window.start.millis_since(end));
        last = if has { Some(window.end()) } else { last };
        let histogram = point.filter(|_| aggregation == Aggregation::Histogram).and_then(|p| p.histogram);
        let absent = !has && silent_ms.is_some_and(|ms| ms >= ABSENT_AFTER_MS);
        if has || silent_ms.is_some_and(|ms| ms < ABSENT_UNTIL_MS) {
            let (window_start, window_end) = (window.start, window.end());
            points.push(AnsweredPoint { window_start, window_end, value, histogram, absent });
        }
        window = window.next();
    }
    AnsweredSeries { labels: series.labels, kind: series.kind, unit: series.unit, aggregation, points }
}
