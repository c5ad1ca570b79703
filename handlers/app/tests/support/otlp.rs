//! Telemetry made by hand, for scenarios with exact numbers.

use bytes::Bytes;
use opsloop_kernel::Timestamp;
use opsloop_observability::otlp::proto::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{
        AggregationTemporality, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
        number_data_point,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status},
};
use prost::Message;

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..Default::default() }
}

pub fn resource() -> Resource {
    let attributes = vec![
        text("service.name", "mod-api"),
        text("service.namespace", "booking"),
        text("deployment.environment.name", "prod"),
        text("factory.artifact.id", "art-9"),
    ];
    Resource { attributes, ..Default::default() }
}

/// Delta points of the monotonic sum `requests`: (status, amount) over the minute that ends at `end`.
pub fn requests(end: Timestamp, amounts: &[(&str, f64)]) -> Bytes {
    let time = end.nanos().unsigned_abs();
    let data_points = amounts
        .iter()
        .map(|(status, amount)| NumberDataPoint {
            attributes: vec![text("status", status)],
            start_time_unix_nano: time - 60_000_000_000,
            time_unix_nano: time,
            value: Some(number_data_point::Value::AsDouble(*amount)),
            ..Default::default()
        })
        .collect();
    let data = Data::Sum(Sum {
        data_points,
        aggregation_temporality: AggregationTemporality::Delta as i32,
        is_monotonic: true,
    });
    let metrics = vec![Metric { name: "requests".into(), unit: "1".into(), data: Some(data), ..Default::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..Default::default() }];
    let resource_metrics = vec![ResourceMetrics { resource: Some(resource()), scope_metrics, ..Default::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec().into()
}

/// One trace of a root and `children`, which ended a moment before `now`.
pub fn trace(number: u64, now: Timestamp, children: u64, error: bool) -> Bytes {
    let mut trace_id = vec![7u8; 8];
    trace_id.extend_from_slice(&(number + 1).to_be_bytes());
    let base = now.nanos().unsigned_abs() - 1_000_000_000;
    let spans = (0..=children)
        .map(|n| Span {
            trace_id: trace_id.clone(),
            span_id: ((number << 16) + n + 1).to_be_bytes().to_vec(),
            parent_span_id: if n == 0 { vec![] } else { ((number << 16) + 1).to_be_bytes().to_vec() },
            name: if n == 0 { "POST /book".into() } else { format!("step {n}") },
            kind: 2,
            start_time_unix_nano: base + n * 1_000_000,
            end_time_unix_nano: base + 100_000_000,
            status: Some(Status { code: if error { 2 } else { 0 }, ..Default::default() }),
            ..Default::default()
        })
        .collect();
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource()), scope_spans, ..Default::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

pub fn trace_id(number: u64) -> String {
    format!("{}{:016x}", "07".repeat(8), number + 1)
}
