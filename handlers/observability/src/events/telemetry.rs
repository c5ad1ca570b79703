//! What traces and logs say of themselves (SPEC 5.1.3, 5.10.2).

use opsloop_kernel::{SpanId, Timestamp, TraceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceStatus {
    Ok,
    Error,
    Unset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Completeness {
    Partial,
    Complete,
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    ErrorTrace,
    LatencyOutlier,
    RetryStorm,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeSignal {
    pub kind: SignalKind,
    pub fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    pub span_name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub observed_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threshold_ms: Option<u64>,
    pub origin_span_id: SpanId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceArtifact {
    pub artifact_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skill_id: Option<String>,
    pub error_origins: u32,
    pub error_spans: u32,
    pub self_time_share: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceRecorded {
    pub trace_id: TraceId,
    pub revision: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub root_span_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    pub services: Vec<String>,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub duration_ms: u64,
    pub status: TraceStatus,
    pub span_count: u32,
    pub error_span_count: u32,
    pub completeness: Completeness,
    pub anomalies: Vec<String>,
    pub signals: Vec<RuntimeSignal>,
    pub artifacts: Vec<TraceArtifact>,
    pub dimensions: BTreeMap<String, String>,
}

/// A log record by reference; bodies are not copied (SPEC 5.10.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogRef {
    pub id: String,
    pub level: LogLevel,
    pub at: Timestamp,
    /// Where the record is read: `logs/{traceId}` and the chunk.
    pub query: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
/// Ordered from the least to the most severe.
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogRefs {
    pub count: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub worst_severity: Option<LogLevel>,
    pub refs: Vec<LogRef>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceRef {
    pub trace_id: TraceId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub root_span_name: Option<String>,
    pub status: TraceStatus,
    pub duration_ms: u64,
    #[serde(default)]
    pub logs: LogRefs,
}
