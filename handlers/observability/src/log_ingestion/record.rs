//! One log record: as it came, as it lies in a chunk, as it is shown.

use crate::{
    events::LogLevel,
    otlp::{Dimensions, json_map, json_value, proto::logs::v1::LogRecord},
    trace_ingestion::StoredDimensions,
};
use opsloop_kernel::{SpanId, Timestamp, TraceId};
use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A record in a chunk: what is judged by it first, the rest as OTLP has it.
#[derive(Clone, PartialEq, Message)]
pub struct StoredLog {
    /// Order of `LogLevel`, from 1.
    #[prost(uint32, tag = "1")]
    pub level: u32,
    #[prost(sfixed64, tag = "2")]
    pub at: i64,
    /// Index into `resources` of the chunk.
    #[prost(uint32, tag = "3")]
    pub resource: u32,
    #[prost(message, optional, tag = "4")]
    pub dimensions: Option<StoredDimensions>,
    #[prost(message, optional, tag = "5")]
    pub record: Option<LogRecord>,
}

/// A log record for a reader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogShown {
    pub id: String,
    pub at: Timestamp,
    pub level: LogLevel,
    pub severity_text: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace_id: Option<TraceId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub span_id: Option<SpanId>,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub event_name: String,
    pub body: Value,
    pub attributes: Map<String, Value>,
    pub dropped_attributes: u32,
    pub dimensions: Dimensions,
    pub resource: Map<String, Value>,
}

const LEVELS: [LogLevel; 6] =
    [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error, LogLevel::Fatal];

/// OTLP's 24 severities, four to a level; without a number the text says it, and without either it is `info`.
pub fn level_of(record: &LogRecord) -> LogLevel {
    let by_number = usize::try_from(record.severity_number - 1).ok().and_then(|n| LEVELS.get(n / 4)).copied();
    by_number.unwrap_or_else(|| match record.severity_text.to_ascii_lowercase().as_str() {
        "trace" => LogLevel::Trace,
        "debug" => LogLevel::Debug,
        "warn" | "warning" => LogLevel::Warn,
        "error" => LogLevel::Error,
        "fatal" | "critical" => LogLevel::Fatal,
        _ => LogLevel::Info,
    })
}

pub fn level_number(level: LogLevel) -> u32 {
    LEVELS.iter().position(|l| *l == level).map_or(0, |n| n as u32 + 1)
}

pub fn level_from(number: u32) -> LogLevel {
    LEVELS.get((number as usize).saturating_sub(1)).copied().unwrap_or(LogLevel::Info)
}

/// When it happened, else when it was seen, else when it was received.
pub fn instant_of(record: &LogRecord, received_at: Timestamp) -> Timestamp {
    [record.time_unix_nano, record.observed_time_unix_nano]
        .into_iter()
        .find(|ns| *ns != 0)
        .and_then(|ns| i64::try_from(ns).ok())
        .map_or(received_at, Timestamp::from_nanos)
}

pub fn shown(id: String, log: StoredLog, resource: Map<String, Value>) -> LogShown {
    let record = log.record.unwrap_or_default();
    LogShown {
        id,
        at: Timestamp::from_nanos(log.at),
        level: level_from(log.level),
        severity_text: record.severity_text,
        trace_id: TraceId::of_bytes(&record.trace_id),
        span_id: SpanId::of_bytes(&record.span_id),
        event_name: record.event_name,
        body: record.body.as_ref().map_or(Value::Null, json_value),
        attributes: json_map(&record.attributes),
        dropped_attributes: record.dropped_attributes_count,
        dimensions: log.dimensions.map(Into::into).unwrap_or_default(),
        resource,
    }
}
