//! Batches as they travel (DESIGN P20): zstd-compressed protobuf, split along item boundaries only where the compressed
//! part does not fit a message.

use super::Request;
use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    logs::v1::{ResourceLogs, ScopeLogs},
    metrics::v1::{Metric, ResourceMetrics, ScopeMetrics, metric::Data},
    trace::v1::{ResourceSpans, ScopeSpans},
};
use opsloop_kernel::Refusal;
use std::io::Read;

/// A decompressed body beyond this is a bomb, or nobody's batch.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// So is one that shrinks further than this …
pub const RATIO_MAX: usize = 200;
/// … unless it is small: a request of 4 MiB may well be 4 MiB of one attribute.
pub const RATIO_FLOOR_BYTES: usize = 8 * 1024 * 1024;
const LEVEL: i32 = 1;

/// A message body: compressed protobuf of a request, with how many items are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub bytes: Bytes,
    pub items: u64,
}

/// The request in as few parts as fit, in its order. A single item that does not fit is a part all the same: the caller
/// stores it as an object. A request without items gives none.
pub fn parts(request: Request, limit_bytes: usize) -> Result<Vec<Part>, Refusal> {
    let mut fitting = vec![];
    let mut open = vec![request];
    while let Some(next) = open.pop() {
        let items = count(&next);
        if items == 0 {
            continue;
        }
        let bytes = zstd(&next.encode())?;
        if bytes.len() <= limit_bytes || items == 1 {
            fitting.push(Part { bytes, items });
            continue;
        }
        let (first, rest) = split(next, items / 2);
        open.push(rest);
        open.push(first);
    }
    Ok(fitting)
}

pub fn zstd(bytes: &[u8]) -> Result<Bytes, Refusal> {
    zstd::bulk::compress(bytes, LEVEL).map(Bytes::from).map_err(Refusal::payload)
}

/// Undoes [`zstd()`], within bounds.
pub fn unzstd(bytes: &[u8]) -> Result<Bytes, Refusal> {
    let limit = bytes.len().saturating_mul(RATIO_MAX).clamp(RATIO_FLOOR_BYTES, DECOMPRESSED_BYTES_MAX);
    let decoder = zstd::stream::read::Decoder::new(bytes).map_err(Refusal::payload)?;
    let mut out = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut out).map_err(|e| Refusal::payload(format!("not zstd: {e}")))?;
    if out.len() > limit {
        return Err(Refusal::TooLarge { what: "the decompressed batch", size: out.len(), limit });
    }
    Ok(out.into())
}

/// Spans, points or records.
pub fn count(request: &Request) -> u64 {
    let n: usize = match request {
        Request::Traces(r) => r.resource_spans.iter().flat_map(|rs| &rs.scope_spans).map(|ss| ss.spans.len()).sum(),
        Request::Metrics(r) => {
            r.resource_metrics.iter().flat_map(|rm| &rm.scope_metrics).flat_map(|sm| &sm.metrics).map(points).sum()
        }
        Request::Logs(r) => r.resource_logs.iter().flat_map(|rl| &rl.scope_logs).map(|sl| sl.log_records.len()).sum(),
    };
    n as u64
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        None => 0,
        Some(Data::Gauge(d)) => d.data_points.len(),
        Some(Data::Sum(d)) => d.data_points.len(),
        Some(Data::Histogram(d)) => d.data_points.len(),
        Some(Data::ExponentialHistogram(d)) => d.data_points.len(),
        Some(Data::Summary(d)) => d.data_points.len(),
    }
}

/// The first `n` items, and the others; resources, scopes and metrics that the cut goes through are in both.
fn split(request: Request, n: u64) -> (Request, Request) {
    let mut left = usize::try_from(n).unwrap_or(usize::MAX);
    match request {
        Request::Traces(mut r) => {
            let resource_spans = cut_list(&mut r.resource_spans, &mut left, cut_resource_spans);
            (Request::Traces(r), Request::Traces(ExportTraceServiceRequest { resource_spans }))
        }
        Request::Metrics(mut r) => {
            let resource_metrics = cut_list(&mut r.resource_metrics, &mut left, cut_resource_metrics);
            (Request::Metrics(r), Request::Metrics(ExportMetricsServiceRequest { resource_metrics }))
        }
        Request::Logs(mut r) => {
            let resource_logs = cut_list(&mut r.resource_logs, &mut left, cut_resource_logs);
            (Request::Logs(r), Request::Logs(ExportLogsServiceRequest { resource_logs }))
        }
    }
}

/// Leaves in `list` what belongs to the first `left` items and returns the rest; `cut` does so inside one element and
/// returns what is over of it, if anything.
fn cut_list<T>(list: &mut Vec<T>, left: &mut usize, cut: fn(&mut T, &mut usize) -> Option<T>) -> Vec<T> {
    for n in 0..list.len() {
        if *left == 0 {
            return list.split_off(n);
        }
        if let Some(over) = cut(&mut list[n], left) {
            let mut rest = vec![over];
            rest.extend(list.split_off(n + 1));
            return rest;
        }
    }
    vec![]
}

fn cut_items<T>(items: &mut Vec<T>, left: &mut usize) -> Vec<T> {
    let rest = items.split_off(items.len().min(*left));
    *left -= items.len();
    rest
}

fn cut_resource_spans(rs: &mut ResourceSpans, left: &mut usize) -> Option<ResourceSpans> {
    let scope_spans = cut_list(&mut rs.scope_spans, left, |ss, left| {
        let spans = cut_items(&mut ss.spans, left);
        (!spans.is_empty()).then(|| ScopeSpans { scope: ss.scope.clone(), schema_url: ss.schema_url.clone(), spans })
    });
    let over =
        || ResourceSpans { resource: rs.resource.clone(), schema_url: rs.schema_url.clone(), scope_spans: vec![] };
    (!scope_spans.is_empty()).then(|| ResourceSpans { scope_spans, ..over() })
}

fn cut_resource_logs(rl: &mut ResourceLogs, left: &mut usize) -> Option<ResourceLogs> {
    let scope_logs = cut_list(&mut rl.scope_logs, left, |sl, left| {
        let log_records = cut_items(&mut sl.log_records, left);
        let over = || ScopeLogs { scope: sl.scope.clone(), schema_url: sl.schema_url.clone(), log_records: vec![] };
        (!log_records.is_empty()).then(|| ScopeLogs { log_records, ..over() })
    });
    let over = || ResourceLogs { resource: rl.resource.clone(), schema_url: rl.schema_url.clone(), scope_logs: vec![] };
    (!scope_logs.is_empty()).then(|| ResourceLogs { scope_logs, ..over() })
}

fn cut_resource_metrics(rm: &mut ResourceMetrics, left: &mut usize) -> Option<ResourceMetrics> {
    let scope_metrics = cut_list(&mut rm.scope_metrics, left, |sm, left| {
        let metrics = cut_list(&mut sm.metrics, left, cut_metric);
        let over = || ScopeMetrics { scope: sm.scope.clone(), schema_url: sm.schema_url.clone(), metrics: vec![] };
        (!metrics.is_empty()).then(|| ScopeMetrics { metrics, ..over() })
    });
    let (resource, schema_url) = (&rm.resource, &rm.schema_url);
    let over = || ResourceMetrics { resource: resource.clone(), schema_url: schema_url.clone(), scope_metrics: vec![] };
    (!scope_metrics.is_empty()).then(|| ResourceMetrics { scope_metrics, ..over() })
}

fn cut_metric(metric: &mut Metric, left: &mut usize) -> Option<Metric> {
    if points(metric) <= *left {
        *left -= points(metric);
        return None;
    }
    let mut over = metric.clone();
    macro_rules! divide {
        ($kind:ident) => {
            if let (Some(Data::$kind(d)), Some(Data::$kind(o))) = (&mut metric.data, &mut over.data) {
                o.data_points = cut_items(&mut d.data_points, left);
            }
        };
    }
    divide!(Gauge);
    divide!(Sum);
    divide!(Histogram);
    divide!(ExponentialHistogram);
    divide!(Summary);
    Some(over)
}
