//! Payloads of the family's events (SPEC 9.1): what producers write and consumers read. Unknown fields are ignored.

use opsloop_kernel::{LabelSet, SpanId, Timestamp, TraceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names of event kinds, spelled once.
pub mod kind {
    pub const TRACE_RECORDED: &str = "TraceRecorded";
    pub const METRIC_AGGREGATED: &str = "MetricAggregated";
    pub const ALERT_TRIGGERED: &str = "AlertTriggered";
    pub const ALERT_RESOLVED: &str = "AlertResolved";
    pub const SLO_BREACHED: &str = "SloBreached";
    pub const SLO_RECOVERED: &str = "SloRecovered";
    pub const INCIDENT_OPENED: &str = "IncidentOpened";
    pub const INCIDENT_TRANSITIONED: &str = "IncidentTransitioned";
    pub const INCIDENT_RESOLVED: &str = "IncidentResolved";
    pub const GOVERNANCE_REVIEW_REQUESTED: &str = "GovernanceReviewRequested";
    pub const FEEDBACK_ITEM_CREATED: &str = "FeedbackItemCreated";
    pub const QUALITY_SCORE_COMPUTED: &str = "QualityScoreComputed";
    pub const COST_ANOMALY_DETECTED: &str = "CostAnomalyDetected";
    pub const RUNTIME_DEPLOYMENT_COMPLETED: &str = "RuntimeDeploymentCompleted";
    pub const RUNTIME_DEPLOYMENT_ROLLED_BACK: &str = "RuntimeDeploymentRolledBack";
    pub const RUNTIME_DRIFT_DETECTED: &str = "RuntimeDriftDetected";
    pub const RUNTIME_DRIFT_RESOLVED: &str = "RuntimeDriftResolved";
    pub const SECRET_ROTATED: &str = "SecretRotated";
    pub const SECRET_ROTATION_FAILED: &str = "SecretRotationFailed";
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
/// Ordered from the least to the most severe.
pub enum Severity {
    Info,
    Warning,
    High,
    Critical,
}

/// `{kind, id}`
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ref {
    pub kind: String,
    pub id: String,
}

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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuppressedBy {
    /// `silence` or `inhibition`
    pub kind: String,
    pub id: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertTriggered {
    pub rule_id: String,
    pub rule_version: u32,
    pub name: String,
    pub fingerprint: String,
    pub severity: Severity,
    pub labels: LabelSet,
    pub annotations: BTreeMap<String, String>,
    pub value: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operator: Option<String>,
    pub active_at: Timestamp,
    pub fired_at: Timestamp,
    pub window_start: Timestamp,
    pub episode_id: String,
    pub repeat: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suppressed_by: Option<SuppressedBy>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runbook_url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClearReason {
    ConditionCleared,
    RuleChanged,
    RuleDisabled,
    NoDataOk,
    DefinitionChanged,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertResolved {
    pub rule_id: String,
    pub fingerprint: String,
    pub labels: LabelSet,
    pub episode_id: String,
    pub active_at: Timestamp,
    pub fired_at: Timestamp,
    pub resolved_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_value: Option<f64>,
    pub reason: ClearReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreachKind {
    Burn,
    BudgetExhausted,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SloBreached {
    pub slo_id: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    pub kind: BreachKind,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    pub severity: Severity,
    pub objective: f64,
    pub period_days: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub long_window_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub short_window_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub burn_long: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub burn_short: Option<f64>,
    pub bad_events: f64,
    pub total_events: f64,
    pub budget_remaining: f64,
    pub episode_id: String,
    pub since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SloRecovered {
    pub slo_id: String,
    pub kind: BreachKind,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    pub episode_id: String,
    pub since: Timestamp,
    pub recovered_at: Timestamp,
    pub budget_remaining: f64,
    pub reason: ClearReason,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GovernanceReviewRequested {
    /// `cost_threshold|repeated_slo_breach|escalation_exhausted`
    pub reason: String,
    pub subject_ref: Ref,
    pub evidence: Vec<Ref>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub observed: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IncidentStatus {
    Open,
    Acknowledged,
    Investigating,
    Mitigated,
    Escalated,
    Resolved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootCauseCategory {
    CodeDefect,
    Configuration,
    Capacity,
    Dependency,
    Data,
    Deployment,
    Security,
    Cost,
    SelfRecovered,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootCause {
    pub category: RootCauseCategory,
    pub summary: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub artifact_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skill_id: Option<String>,
    #[serde(default)]
    pub evidence: Vec<Ref>,
    #[serde(default)]
    pub recorded_by: String,
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncidentOpened {
    pub incident_id: String,
    pub title: String,
    pub severity: Severity,
    pub status: IncidentStatus,
    pub source: String,
    pub source_id: String,
    pub group_key: String,
    pub impacted_services: Vec<String>,
    pub trace_lineage: Vec<TraceRef>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suspected_deployment_id: Option<String>,
    pub opened_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous_incident_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncidentTransitioned {
    pub incident_id: String,
    pub seq: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<IncidentStatus>,
    pub to: IncidentStatus,
    pub actor: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    pub at: Timestamp,
    pub severity: Severity,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceCount {
    pub source: String,
    pub source_id: String,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncidentResolved {
    pub incident_id: String,
    pub severity: Severity,
    pub sources: Vec<SourceCount>,
    pub root_cause: RootCause,
    pub opened_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acknowledged_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mitigated_at: Option<Timestamp>,
    pub resolved_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time_to_acknowledge_ms: Option<u64>,
    pub time_to_resolve_ms: u64,
    pub impacted_services: Vec<String>,
    pub trace_lineage: Vec<TraceRef>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suspected_deployment_id: Option<String>,
    pub escalations: u32,
    pub opened_on_stale: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedbackSource {
    Incident,
    RuntimeSignal,
    CostAnomaly,
    Human,
    Agent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedbackCategory {
    Reliability,
    Correctness,
    Performance,
    Maintainability,
    Cost,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sentiment {
    pub label: SentimentLabel,
    pub score: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SentimentLabel {
    Negative,
    Neutral,
    Positive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttributionMethod {
    RootCause,
    Trace,
    Deployment,
    Module,
    None,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    pub method: AttributionMethod,
    pub confidence: f64,
    pub contributors: Vec<Contributor>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contributor {
    pub artifact_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skill_id: Option<String>,
    pub share: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Withdrawn {
    pub at: Timestamp,
    pub reason: String,
}

/// Payload of `FeedbackItemCreated`, and the item as stored (SPEC 5.7.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedbackItem {
    pub feedback_item_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub artifact_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skill_id: Option<String>,
    pub trace_id: TraceId,
    pub source: FeedbackSource,
    pub source_id: String,
    pub category: FeedbackCategory,
    pub sentiment: Sentiment,
    pub severity: Severity,
    pub title: String,
    pub summary: String,
    pub evidence: Vec<Ref>,
    pub attribution: Attribution,
    pub created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub withdrawn: Option<Withdrawn>,
}
