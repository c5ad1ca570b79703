//! Incidents (SPEC 5.5).

use super::{Ref, Severity, TraceRef};
use opsloop_kernel::Timestamp;
use serde::{Deserialize, Serialize};

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
