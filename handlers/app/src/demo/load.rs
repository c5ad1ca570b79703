//! Telemetry for the benchmark: traces of ten spans, and gauges, sums and histograms of many series.

use bytes::Bytes;
use opsloop_kernel::{Timestamp, json::sha256_hex};
use opsloop_observability::otlp::proto::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
        ScopeMetrics, Sum, metric::Data, number_data_point,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;

const SPANS_A_TRACE: usize = 10;
const SPANS_A_REQUEST: usize = 500;
const POINTS_A_REQUEST: usize = 500;
const BOUNDS: [f64; 6] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..Default::default() }
}

fn resource(service: usize) -> Resource {
    let attributes = vec![
        text("service.name", &format!("service-{service}")),
        text("service.namespace", "bench"),
        text("deployment.environment.name", "production"),
        text("service.version", "1.0.0"),
    ];
    Resource { attributes, ..Default::default() }
}

/// Requests of 500 spans, whole traces each.
pub fn traces(spans: usize, now: Timestamp) -> Vec<Bytes> {
    let requests = spans.div_ceil(SPANS_A_REQUEST);
    (0..requests).map(|r| Bytes::from(trace_request(r, now).encode_to_vec())).collect()
}

fn trace_request(request: usize, now: Timestamp) -> ExportTraceServiceRequest {
    let spans = (0..SPANS_A_REQUEST / SPANS_A_TRACE).flat_map(|t| trace(request * 1_000 + t, now)).collect();
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    let resource = Some(resource(request % 8));
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource, scope_spans, ..Default::default() }] }
}

fn trace(number: usize, now: Timestamp) -> impl Iterator<Item = Span> {
    let seed = sha256_hex(format!("{number}-{now}").as_bytes());
    let trace_id = hex::decode(&seed[..32]).unwrap_or_default();
    let base = now.nanos().unsigned_abs().saturating_sub(2_000_000_000);
    (0..SPANS_A_TRACE).map(move |n| {
        let id = |n: usize| ((number as u64) << 8 | (n as u64 + 1)).to_be_bytes().to_vec();
        let start = base + n as u64 * 1_000_000;
        Span {
            trace_id: trace_id.clone(),
            span_id: id(n),
            parent_span_id: if n == 0 { vec![] } else { id(n / 2) },
            name: format!("operation-{n}"),
            kind: 2,
            start_time_unix_nano: start,
            end_time_unix_nano: start + 5_000_000,
            attributes: vec![
                text("http.request.method", "GET"),
                text("http.route", "/things/{id}"),
                text("server.address", "things.example"),
                text("user_agent.original", "bench/1.0"),
            ],
            ..Default::default()
        }
    })
}

/// Requests of 500 points of 30 metrics.
pub fn points(points: usize, now: Timestamp) -> Vec<Bytes> {
    let requests = points.div_ceil(POINTS_A_REQUEST);
    (0..requests).map(|r| Bytes::from(metric_request(r, now).encode_to_vec())).collect()
}

fn metric_request(request: usize, now: Timestamp) -> ExportMetricsServiceRequest {
    let at = now.nanos().unsigned_abs().saturating_sub(1_000_000_000) + request as u64;
    let metrics = (0..30).map(|m| metric(m, at, POINTS_A_REQUEST / 30 + usize::from(m < POINTS_A_REQUEST % 30)));
    let scope_metrics = vec![ScopeMetrics { metrics: metrics.collect(), ..Default::default() }];
    let resource = Some(resource(request % 8));
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..Default::default() }],
    }
}

fn metric(number: usize, at: u64, points: usize) -> Metric {
    let temporality = AggregationTemporality::Delta as i32;
    let start = at.saturating_sub(10_000_000_000);
    let attributes = |n: usize| vec![text("http.route", &format!("/route/{n}")), text("http.request.method", "GET")];
    let number_point = |n: usize| NumberDataPoint {
        attributes: attributes(n),
        start_time_unix_nano: start,
        time_unix_nano: at,
        value: Some(number_data_point::Value::AsDouble(n as f64 + 0.5)),
        ..Default::default()
    };
    let data = match number % 3 {
        0 => Data::Gauge(Gauge { data_points: (0..points).map(number_point).collect() }),
        1 => Data::Sum(Sum {
            data_points: (0..points).map(number_point).collect(),
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
        _ => Data::Histogram(Histogram {
            data_points: (0..points)
                .map(|n| HistogramDataPoint {
                    attributes: attributes(n),
                    start_time_unix_nano: start,
                    time_unix_nano: at,
                    count: 21,
                    sum: Some(9.0),
                    bucket_counts: vec![1, 2, 3, 4, 5, 4, 2],
                    explicit_bounds: BOUNDS.to_vec(),
                    ..Default::default()
                })
                .collect(),
            aggregation_temporality: temporality,
        }),
    };
    Metric { name: format!("bench.metric.{number}"), unit: "1".into(), data: Some(data), ..Default::default() }
}
