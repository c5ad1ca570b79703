//! What a tenant may decide about incidents (SPEC 5.5.2): a setting, held by the worker and put into every view, so
//! that a decision shows by which policy it was made.

use super::incident::SourceKind;
use opsloop_kernel::TenantId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A label of the group key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GroupBy {
    ProjectId,
    Environment,
    ModuleId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IncidentPolicy {
    /// The last clear moves Investigating to Mitigated.
    pub auto_mitigate: bool,
    /// A quiet Mitigated incident resolves by itself.
    pub auto_resolve: bool,
    pub confirm_ms: i64,
    pub group_by: Vec<GroupBy>,
    /// Which of cost, drift, deployment and secret open incidents.
    pub sources: Vec<SourceKind>,
    /// How long a resolved incident stays (SPEC 5.5.7).
    pub kept_days: i64,
}

impl Default for IncidentPolicy {
    fn default() -> Self {
        Self {
            auto_mitigate: true,
            auto_resolve: false,
            confirm_ms: 600_000,
            group_by: vec![GroupBy::ProjectId, GroupBy::Environment, GroupBy::ModuleId],
            sources: vec![],
            kept_days: 400,
        }
    }
}

impl IncidentPolicy {
    /// Alerts, SLOs and people always open incidents, the others where the tenant says so.
    pub fn takes(&self, source: SourceKind) -> bool {
        matches!(source, SourceKind::Alert | SourceKind::Slo | SourceKind::Manual) || self.sources.contains(&source)
    }
    pub(super) fn kept_ms(&self) -> i64 {
        self.kept_days.saturating_mul(86_400_000)
    }
}

/// The policy of every tenant: its own, or the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IncidentPolicies {
    pub default: IncidentPolicy,
    pub tenants: BTreeMap<String, IncidentPolicy>,
}

impl IncidentPolicies {
    pub fn of(&self, tenant: &TenantId) -> &IncidentPolicy {
        self.tenants.get(tenant.as_str()).unwrap_or(&self.default)
    }
}
