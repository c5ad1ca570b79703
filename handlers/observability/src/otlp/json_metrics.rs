//! The messages of metrics.

use super::{
    json::{FromJson, Many, Maybe, One, fields, member, message},
    json_scalars::{Enum, F64, F64s, Flag, I32, I64, Id, Text, U32, U64, U64s},
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{InstrumentationScope, KeyValue},
    metrics::v1::{
        Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
        summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
};
use serde::de::MapAccess;

message!(ExportMetricsServiceRequest { "resourceMetrics" => resource_metrics: Many<ResourceMetrics> });
message!(ResourceMetrics {
    "resource" => resource: Maybe<Resource>,
    "scopeMetrics" => scope_metrics: Many<ScopeMetrics>,
    "schemaUrl" => schema_url: Text,
});
message!(ScopeMetrics {
    "scope" => scope: Maybe<InstrumentationScope>,
    "metrics" => metrics: Many<Metric>,
    "schemaUrl" => schema_url: Text,
});

impl FromJson for Metric {
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, from: &mut A) -> Result<bool, A::Error> {
        fields!(self, name, from, {
            "name" => name: Text,
            "description" => description: Text,
            "unit" => unit: Text,
            "metadata" => metadata: Many<KeyValue>
        }, {
            "gauge" => member!(self.data, from, One<Gauge>, Data::Gauge),
            "sum" => member!(self.data, from, One<Sum>, Data::Sum),
            "histogram" => member!(self.data, from, One<Histogram>, Data::Histogram),
            "exponentialHistogram" => member!(self.data, from, One<ExponentialHistogram>, Data::ExponentialHistogram),
            "summary" => member!(self.data, from, One<Summary>, Data::Summary),
            _ => Ok(false),
        })
    }
}

message!(Gauge { "dataPoints" => data_points: Many<NumberDataPoint> });
message!(Sum {
    "dataPoints" => data_points: Many<NumberDataPoint>,
    "aggregationTemporality" => aggregation_temporality: Enum,
    "isMonotonic" => is_monotonic: Flag,
});
message!(Histogram {
    "dataPoints" => data_points: Many<HistogramDataPoint>,
    "aggregationTemporality" => aggregation_temporality: Enum,
});
message!(ExponentialHistogram {
    "dataPoints" => data_points: Many<ExponentialHistogramDataPoint>,
    "aggregationTemporality" => aggregation_temporality: Enum,
});
message!(Summary { "dataPoints" => data_points: Many<SummaryDataPoint> });

impl FromJson for NumberDataPoint {
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, from: &mut A) -> Result<bool, A::Error> {
        fields!(self, name, from, {
            "attributes" => attributes: Many<KeyValue>,
            "startTimeUnixNano" => start_time_unix_nano: U64,
            "timeUnixNano" => time_unix_nano: U64,
            "exemplars" => exemplars: Many<Exemplar>,
            "flags" => flags: U32
        }, {
            "asDouble" => member!(self.value, from, F64, number_data_point::Value::AsDouble),
            "asInt" => member!(self.value, from, I64, number_data_point::Value::AsInt),
            _ => Ok(false),
        })
    }
}

message!(HistogramDataPoint {
    "attributes" => attributes: Many<KeyValue>,
    "startTimeUnixNano" => start_time_unix_nano: U64,
    "timeUnixNano" => time_unix_nano: U64,
    "count" => count: U64,
    "sum" => sum: F64,
    "bucketCounts" => bucket_counts: U64s,
    "explicitBounds" => explicit_bounds: F64s,
    "exemplars" => exemplars: Many<Exemplar>,
    "flags" => flags: U32,
    "min" => min: F64,
    "max" => max: F64,
});
message!(ExponentialHistogramDataPoint {
    "attributes" => attributes: Many<KeyValue>,
    "startTimeUnixNano" => start_time_unix_nano: U64,
    "timeUnixNano" => time_unix_nano: U64,
    "count" => count: U64,
    "sum" => sum: F64,
    "scale" => scale: I32,
    "zeroCount" => zero_count: U64,
    "positive" => positive: Maybe<Buckets>,
    "negative" => negative: Maybe<Buckets>,
    "flags" => flags: U32,
    "exemplars" => exemplars: Many<Exemplar>,
    "min" => min: F64,
    "max" => max: F64,
    "zeroThreshold" => zero_threshold: F64,
});
message!(Buckets { "offset" => offset: I32, "bucketCounts" => bucket_counts: U64s });
message!(SummaryDataPoint {
    "attributes" => attributes: Many<KeyValue>,
    "startTimeUnixNano" => start_time_unix_nano: U64,
    "timeUnixNano" => time_unix_nano: U64,
    "count" => count: U64,
    "sum" => sum: F64,
    "quantileValues" => quantile_values: Many<ValueAtQuantile>,
    "flags" => flags: U32,
});
message!(ValueAtQuantile { "quantile" => quantile: F64, "value" => value: F64 });

impl FromJson for Exemplar {
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, from: &mut A) -> Result<bool, A::Error> {
        fields!(self, name, from, {
            "filteredAttributes" => filtered_attributes: Many<KeyValue>,
            "timeUnixNano" => time_unix_nano: U64,
            "spanId" => span_id: Id,
            "traceId" => trace_id: Id
        }, {
            "asDouble" => member!(self.value, from, F64, exemplar::Value::AsDouble),
            "asInt" => member!(self.value, from, I64, exemplar::Value::AsInt),
            _ => Ok(false),
        })
    }
}
