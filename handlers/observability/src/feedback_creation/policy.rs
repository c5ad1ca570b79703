//! What a tenant may decide about feedback: a setting, held by the worker and put into every view, so that a decision
//! shows by which policy it was made.

use opsloop_kernel::TenantId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FeedbackPolicy {
    /// Whether runtime signals become items; they are counted all the same.
    pub signal_items: bool,
}
impl Default for FeedbackPolicy {
    fn default() -> Self {
        Self { signal_items: true }
    }
}

/// The policy of every tenant: its own, or the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedbackPolicies {
    pub default: FeedbackPolicy,
    pub tenants: BTreeMap<String, FeedbackPolicy>,
}
impl FeedbackPolicies {
    pub fn of(&self, tenant: &TenantId) -> &FeedbackPolicy {
        self.tenants.get(tenant.as_str()).unwrap_or(&self.default)
    }
}
