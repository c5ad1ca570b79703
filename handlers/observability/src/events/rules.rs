//! Alerts and objectives (SPEC 5.3, 5.4).

use super::{Ref, Severity};
use opsloop_kernel::{LabelSet, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
