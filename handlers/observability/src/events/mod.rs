//! Payloads of the family's events (SPEC 9.1): what producers write and consumers read. Unknown fields are ignored.

mod feedback;
mod incidents;
mod rules;
mod telemetry;

pub use feedback::*;
pub use incidents::*;
pub use rules::*;
pub use telemetry::*;

use serde::{Deserialize, Serialize};

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
