//! OTLP metric requests, in few words.

use bytes::Bytes;
use opsloop_kernel::Timestamp;
use opsloop_observability::otlp::{
    Request,
    proto::{
        collector::metrics::v1::ExportMetricsServiceRequest,
        common::v1::{AnyValue, KeyValue, any_value::Value},
        metrics::v1::{
            Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
            Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar,
            exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
        },
        resource::v1::Resource,
    },
};

pub const DELTA: i32 = 1;
pub const CUMULATIVE: i32 = 2;

/// `hh:mm[:ss]` of 2026-11-21; hours beyond 24 are of the days after it.
pub fn at(text: &str) -> Timestamp {
    let parts: Vec<i64> = text.split(':').map(|p| p.parse().unwrap()).collect();
    let seconds = parts[0] * 3_600 + parts[1] * 60 + parts.get(2).copied().unwrap_or(0);
    let midnight: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
    midnight.plus_millis(seconds * 1_000)
}
/// `-` is an unknown start.
fn nanos(text: &str) -> u64 {
    if text == "-" { 0 } else { at(text).nanos() as u64 }
}

pub fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

pub fn number(start: &str, time: &str, value: f64) -> NumberDataPoint {
    NumberDataPoint {
        start_time_unix_nano: nanos(start),
        time_unix_nano: nanos(time),
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}
pub fn with(mut point: NumberDataPoint, attributes: &[(&str, &str)]) -> NumberDataPoint {
    point.attributes = attributes.iter().map(|(k, v)| attribute(k, v)).collect();
    point
}
pub fn exemplar(time: &str, value: f64) -> Exemplar {
    Exemplar {
        time_unix_nano: nanos(time),
        value: Some(exemplar::Value::AsDouble(value)),
        trace_id: vec![7; 16],
        span_id: vec![9; 8],
        ..Exemplar::default()
    }
}

pub fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}
pub fn sum(name: &str, temporality: i32, is_monotonic: bool, data_points: Vec<NumberDataPoint>) -> Metric {
    metric(name, "1", Data::Sum(Sum { data_points, aggregation_temporality: temporality, is_monotonic }))
}
pub fn counter(name: &str, points: Vec<NumberDataPoint>) -> Metric {
    sum(name, CUMULATIVE, true, points)
}
pub fn deltas(name: &str, points: Vec<NumberDataPoint>) -> Metric {
    sum(name, DELTA, true, points)
}
pub fn gauge(name: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    metric(name, "1", Data::Gauge(Gauge { data_points }))
}
pub fn histogram(name: &str, temporality: i32, data_points: Vec<HistogramDataPoint>) -> Metric {
    metric(name, "s", Data::Histogram(Histogram { data_points, aggregation_temporality: temporality }))
}
pub fn buckets(start: &str, time: &str, bounds: &[f64], counts: &[u64], sum: f64) -> HistogramDataPoint {
    HistogramDataPoint {
        start_time_unix_nano: nanos(start),
        time_unix_nano: nanos(time),
        count: counts.iter().sum(),
        sum: Some(sum),
        bucket_counts: counts.to_vec(),
        explicit_bounds: bounds.to_vec(),
        min: Some(0.01),
        max: Some(3.0),
        ..HistogramDataPoint::default()
    }
}
pub fn exponential(name: &str, time: &str, scale: i32, offset: i32, counts: &[u64]) -> Metric {
    let point = ExponentialHistogramDataPoint {
        start_time_unix_nano: at(time).plus_millis(-60_000).nanos() as u64,
        time_unix_nano: nanos(time),
        count: counts.iter().sum(),
        scale,
        positive: Some(Buckets { offset, bucket_counts: counts.to_vec() }),
        ..ExponentialHistogramDataPoint::default()
    };
    let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality: DELTA };
    metric(name, "s", Data::ExponentialHistogram(data))
}

/// Of one resource: `service.name` is the module.
pub fn request(module: &str, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let resource = Resource { attributes: vec![attribute("service.name", module)], ..Resource::default() };
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource = ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}
pub fn encoded(request: ExportMetricsServiceRequest) -> Bytes {
    Request::Metrics(request).encode().into()
}
