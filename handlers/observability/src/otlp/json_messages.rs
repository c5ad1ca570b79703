//! The messages of traces, logs and what all signals share.

use super::{
    json::{FromJson, Many, Maybe, fields, member, message},
    json_scalars::{Base64, Enum, F64, Flag, I32, I64, Id, Text, Texts, U32, U64},
};
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link},
    },
};
use serde::de::MapAccess;

message!(ExportTraceServiceRequest { "resourceSpans" => resource_spans: Many<ResourceSpans> });
message!(ExportLogsServiceRequest { "resourceLogs" => resource_logs: Many<ResourceLogs> });

message!(ResourceSpans {
    "resource" => resource: Maybe<Resource>,
    "scopeSpans" => scope_spans: Many<ScopeSpans>,
    "schemaUrl" => schema_url: Text,
});
message!(ScopeSpans {
    "scope" => scope: Maybe<InstrumentationScope>,
    "spans" => spans: Many<Span>,
    "schemaUrl" => schema_url: Text,
});
message!(Span {
    "traceId" => trace_id: Id,
    "spanId" => span_id: Id,
    "traceState" => trace_state: Text,
    "parentSpanId" => parent_span_id: Id,
    "flags" => flags: U32,
    "name" => name: Text,
    "kind" => kind: Enum,
    "startTimeUnixNano" => start_time_unix_nano: U64,
    "endTimeUnixNano" => end_time_unix_nano: U64,
    "attributes" => attributes: Many<KeyValue>,
    "droppedAttributesCount" => dropped_attributes_count: U32,
    "events" => events: Many<Event>,
    "droppedEventsCount" => dropped_events_count: U32,
    "links" => links: Many<Link>,
    "droppedLinksCount" => dropped_links_count: U32,
    "status" => status: Maybe<Status>,
});
message!(Event {
    "timeUnixNano" => time_unix_nano: U64,
    "name" => name: Text,
    "attributes" => attributes: Many<KeyValue>,
    "droppedAttributesCount" => dropped_attributes_count: U32,
});
message!(Link {
    "traceId" => trace_id: Id,
    "spanId" => span_id: Id,
    "traceState" => trace_state: Text,
    "attributes" => attributes: Many<KeyValue>,
    "droppedAttributesCount" => dropped_attributes_count: U32,
    "flags" => flags: U32,
});
message!(Status { "message" => message: Text, "code" => code: Enum });

message!(ResourceLogs {
    "resource" => resource: Maybe<Resource>,
    "scopeLogs" => scope_logs: Many<ScopeLogs>,
    "schemaUrl" => schema_url: Text,
});
message!(ScopeLogs {
    "scope" => scope: Maybe<InstrumentationScope>,
    "logRecords" => log_records: Many<LogRecord>,
    "schemaUrl" => schema_url: Text,
});
message!(LogRecord {
    "timeUnixNano" => time_unix_nano: U64,
    "observedTimeUnixNano" => observed_time_unix_nano: U64,
    "severityNumber" => severity_number: Enum,
    "severityText" => severity_text: Text,
    "body" => body: Maybe<AnyValue>,
    "attributes" => attributes: Many<KeyValue>,
    "droppedAttributesCount" => dropped_attributes_count: U32,
    "flags" => flags: U32,
    "traceId" => trace_id: Id,
    "spanId" => span_id: Id,
    "eventName" => event_name: Text,
});

message!(Resource {
    "attributes" => attributes: Many<KeyValue>,
    "droppedAttributesCount" => dropped_attributes_count: U32,
    "entityRefs" => entity_refs: Many<EntityRef>,
});
message!(EntityRef {
    "schemaUrl" => schema_url: Text,
    "type" => r#type: Text,
    "idKeys" => id_keys: Texts,
    "descriptionKeys" => description_keys: Texts,
});
message!(InstrumentationScope {
    "name" => name: Text,
    "version" => version: Text,
    "attributes" => attributes: Many<KeyValue>,
    "droppedAttributesCount" => dropped_attributes_count: U32,
});
message!(KeyValue { "key" => key: Text, "value" => value: Maybe<AnyValue>, "keyStrindex" => key_strindex: I32 });
message!(ArrayValue { "values" => values: Many<AnyValue> });
message!(KeyValueList { "values" => values: Many<KeyValue> });

impl FromJson for AnyValue {
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, from: &mut A) -> Result<bool, A::Error> {
        match name {
            "stringValue" => member!(self.value, from, Text, Value::StringValue),
            "boolValue" => member!(self.value, from, Flag, Value::BoolValue),
            "intValue" => member!(self.value, from, I64, Value::IntValue),
            "doubleValue" => member!(self.value, from, F64, Value::DoubleValue),
            "arrayValue" => member!(self.value, from, super::json::One<ArrayValue>, Value::ArrayValue),
            "kvlistValue" => member!(self.value, from, super::json::One<KeyValueList>, Value::KvlistValue),
            "bytesValue" => member!(self.value, from, Base64, Value::BytesValue),
            "stringValueStrindex" => member!(self.value, from, I32, Value::StringValueStrindex),
            _ => Ok(false),
        }
    }
    /// `{}` is the empty value; a value of a kind that is not known would be lost.
    fn check(&self, unknown: usize) -> Result<(), &'static str> {
        if self.value.is_none() && unknown > 0 { Err("a value of no known kind") } else { Ok(()) }
    }
}
