//! The protobuf types as OTLP/JSON, written out by hand: what a decoded request is compared with, field by field.

use super::super::Request;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value as Kind},
    logs::v1::LogRecord,
    metrics::v1::{
        Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, SummaryDataPoint,
        exemplar, exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    },
    resource::v1::Resource,
    trace::v1::Span,
};
use serde_json::{Value, json};

pub fn request(request: &Request) -> Value {
    match request {
        Request::Traces(r) => json!({"resourceSpans": list(&r.resource_spans, |rs| json!({
            "resource": rs.resource.as_ref().map(resource),
            "schemaUrl": rs.schema_url,
            "scopeSpans": list(&rs.scope_spans, |ss| json!({
                "scope": ss.scope.as_ref().map(scope), "schemaUrl": ss.schema_url, "spans": list(&ss.spans, span),
            })),
        }))}),
        Request::Metrics(r) => json!({"resourceMetrics": list(&r.resource_metrics, |rm| json!({
            "resource": rm.resource.as_ref().map(resource),
            "schemaUrl": rm.schema_url,
            "scopeMetrics": list(&rm.scope_metrics, |sm| json!({
                "scope": sm.scope.as_ref().map(scope), "schemaUrl": sm.schema_url, "metrics": list(&sm.metrics, metric),
            })),
        }))}),
        Request::Logs(r) => json!({"resourceLogs": list(&r.resource_logs, |rl| json!({
            "resource": rl.resource.as_ref().map(resource),
            "schemaUrl": rl.schema_url,
            "scopeLogs": list(&rl.scope_logs, |sl| json!({
                "scope": sl.scope.as_ref().map(scope), "schemaUrl": sl.schema_url,
                "logRecords": list(&sl.log_records, log_record),
            })),
        }))}),
    }
}

fn list<T>(items: &[T], one: impl Fn(&T) -> Value) -> Value {
    items.iter().map(one).collect()
}

fn attributes(list: &[KeyValue]) -> Value {
    list.iter().map(|a| json!({"key": a.key, "value": a.value.as_ref().map(any)})).collect()
}

pub fn any(value: &AnyValue) -> Value {
    match &value.value {
        None => json!({}),
        Some(Kind::StringValue(v)) => json!({"stringValue": v}),
        Some(Kind::BoolValue(v)) => json!({"boolValue": v}),
        Some(Kind::IntValue(v)) => json!({"intValue": v.to_string()}),
        Some(Kind::DoubleValue(v)) => json!({"doubleValue": double(*v)}),
        Some(Kind::ArrayValue(v)) => json!({"arrayValue": {"values": list(&v.values, any)}}),
        Some(Kind::KvlistValue(v)) => json!({"kvlistValue": {"values": attributes(&v.values)}}),
        Some(Kind::BytesValue(v)) => {
            json!({"bytesValue": base64::Engine::encode(&base64::prelude::BASE64_STANDARD, v)})
        }
        Some(Kind::StringValueStrindex(v)) => json!({"stringValueStrindex": v}),
    }
}

fn double(d: f64) -> Value {
    if d.is_nan() {
        json!("NaN")
    } else if d.is_infinite() {
        json!(if d > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(d)
    }
}

fn resource(r: &Resource) -> Value {
    json!({
        "attributes": attributes(&r.attributes),
        "droppedAttributesCount": r.dropped_attributes_count,
        "entityRefs": list(&r.entity_refs, |e| json!({
            "schemaUrl": e.schema_url, "type": e.r#type, "idKeys": e.id_keys, "descriptionKeys": e.description_keys,
        })),
    })
}

fn scope(s: &InstrumentationScope) -> Value {
    json!({
        "name": s.name, "version": s.version, "attributes": attributes(&s.attributes),
        "droppedAttributesCount": s.dropped_attributes_count,
    })
}

fn span(s: &Span) -> Value {
    json!({
        "traceId": hex::encode(&s.trace_id), "spanId": hex::encode(&s.span_id), "traceState": s.trace_state,
        "parentSpanId": hex::encode(&s.parent_span_id), "flags": s.flags, "name": s.name, "kind": s.kind,
        "startTimeUnixNano": s.start_time_unix_nano, "endTimeUnixNano": s.end_time_unix_nano,
        "attributes": attributes(&s.attributes), "droppedAttributesCount": s.dropped_attributes_count,
        "events": list(&s.events, |e| json!({
            "timeUnixNano": e.time_unix_nano, "name": e.name, "attributes": attributes(&e.attributes),
            "droppedAttributesCount": e.dropped_attributes_count,
        })),
        "droppedEventsCount": s.dropped_events_count,
        "links": list(&s.links, |l| json!({
            "traceId": hex::encode(&l.trace_id), "spanId": hex::encode(&l.span_id), "traceState": l.trace_state,
            "attributes": attributes(&l.attributes), "droppedAttributesCount": l.dropped_attributes_count,
            "flags": l.flags,
        })),
        "droppedLinksCount": s.dropped_links_count,
        "status": s.status.as_ref().map(|s| json!({"message": s.message, "code": s.code})),
    })
}

fn log_record(l: &LogRecord) -> Value {
    json!({
        "timeUnixNano": l.time_unix_nano, "observedTimeUnixNano": l.observed_time_unix_nano,
        "severityNumber": l.severity_number, "severityText": l.severity_text, "body": l.body.as_ref().map(any),
        "attributes": attributes(&l.attributes), "droppedAttributesCount": l.dropped_attributes_count,
        "flags": l.flags, "traceId": hex::encode(&l.trace_id), "spanId": hex::encode(&l.span_id),
        "eventName": l.event_name,
    })
}

fn metric(m: &Metric) -> Value {
    let mut out = json!({
        "name": m.name, "description": m.description, "unit": m.unit, "metadata": attributes(&m.metadata),
    });
    let (name, data) = match &m.data {
        None => return out,
        Some(Data::Gauge(d)) => ("gauge", json!({"dataPoints": list(&d.data_points, number)})),
        Some(Data::Sum(d)) => (
            "sum",
            json!({
                "dataPoints": list(&d.data_points, number), "aggregationTemporality": d.aggregation_temporality,
                "isMonotonic": d.is_monotonic,
            }),
        ),
        Some(Data::Histogram(d)) => (
            "histogram",
            json!({
                "dataPoints": list(&d.data_points, histogram), "aggregationTemporality": d.aggregation_temporality,
            }),
        ),
        Some(Data::ExponentialHistogram(d)) => (
            "exponentialHistogram",
            json!({
                "dataPoints": list(&d.data_points, exponential), "aggregationTemporality": d.aggregation_temporality,
            }),
        ),
        Some(Data::Summary(d)) => ("summary", json!({"dataPoints": list(&d.data_points, summary)})),
    };
    out[name] = data;
    out
}

fn number(p: &NumberDataPoint) -> Value {
    let mut out = json!({
        "attributes": attributes(&p.attributes), "startTimeUnixNano": p.start_time_unix_nano,
        "timeUnixNano": p.time_unix_nano, "exemplars": list(&p.exemplars, exemplar), "flags": p.flags,
    });
    match p.value {
        Some(number_data_point::Value::AsDouble(d)) => out["asDouble"] = double(d),
        Some(number_data_point::Value::AsInt(n)) => out["asInt"] = json!(n.to_string()),
        None => {}
    }
    out
}

fn histogram(p: &HistogramDataPoint) -> Value {
    json!({
        "attributes": attributes(&p.attributes), "startTimeUnixNano": p.start_time_unix_nano,
        "timeUnixNano": p.time_unix_nano, "count": p.count, "sum": p.sum, "bucketCounts": p.bucket_counts,
        "explicitBounds": p.explicit_bounds, "exemplars": list(&p.exemplars, exemplar), "flags": p.flags,
        "min": p.min, "max": p.max,
    })
}

fn exponential(p: &ExponentialHistogramDataPoint) -> Value {
    let buckets = |b: &Buckets| json!({"offset": b.offset, "bucketCounts": b.bucket_counts});
    json!({
        "attributes": attributes(&p.attributes), "startTimeUnixNano": p.start_time_unix_nano,
        "timeUnixNano": p.time_unix_nano, "count": p.count, "sum": p.sum, "scale": p.scale,
        "zeroCount": p.zero_count, "positive": p.positive.as_ref().map(buckets),
        "negative": p.negative.as_ref().map(buckets), "flags": p.flags, "exemplars": list(&p.exemplars, exemplar),
        "min": p.min, "max": p.max, "zeroThreshold": p.zero_threshold,
    })
}

fn summary(p: &SummaryDataPoint) -> Value {
    json!({
        "attributes": attributes(&p.attributes), "startTimeUnixNano": p.start_time_unix_nano,
        "timeUnixNano": p.time_unix_nano, "count": p.count, "sum": p.sum, "flags": p.flags,
        "quantileValues": list(&p.quantile_values, |q| json!({"quantile": q.quantile, "value": q.value})),
    })
}

fn exemplar(e: &Exemplar) -> Value {
    let mut out = json!({
        "filteredAttributes": attributes(&e.filtered_attributes), "timeUnixNano": e.time_unix_nano,
        "spanId": hex::encode(&e.span_id), "traceId": hex::encode(&e.trace_id),
    });
    match e.value {
        Some(exemplar::Value::AsDouble(d)) => out["asDouble"] = double(d),
        Some(exemplar::Value::AsInt(n)) => out["asInt"] = json!(n.to_string()),
        None => {}
    }
    out
}

/// What JSON may spell in several ways, in one: numbers as text, ids in lower case, defaults left out (but never inside
/// a oneof or an optional field, where 0 is something).
pub fn plain(value: &Value) -> Value {
    const PRESENT: [&str; 11] = [
        "stringValue",
        "boolValue",
        "intValue",
        "doubleValue",
        "arrayValue",
        "kvlistValue",
        "bytesValue",
        "asInt",
        "asDouble",
        "sum",
        "value",
    ];
    const IDS: [&str; 3] = ["traceId", "spanId", "parentSpanId"];
    match value {
        Value::Number(n) => json!(n.as_f64().map_or(n.to_string(), |f| f.to_string())),
        Value::String(s) => json!(s.parse::<f64>().map_or(s.clone(), |f| f.to_string())),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => {
            let mut out = serde_json::Map::new();
            for (key, value) in fields {
                let mut value = plain(value);
                if IDS.contains(&key.as_str()) {
                    value = json!(fields[key].as_str().unwrap().to_lowercase());
                }
                let default = [json!("0"), json!(""), json!(false), json!([]), json!({}), json!(null)].contains(&value);
                if !default || (PRESENT.contains(&key.as_str()) && !value.is_null()) {
                    out.insert(key.clone(), value);
                }
            }
            Value::Object(out)
        }
        other => other.clone(),
    }
}
