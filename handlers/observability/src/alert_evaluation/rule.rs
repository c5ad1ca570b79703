//! Alert rules (SPEC 5.3.2): their form, and what is refused when one is saved.

use crate::{events::Severity, series::Condition};
use opsloop_kernel::{
    LabelSet,
    ident::{is_slug, is_user_id},
    json::content_hash,
    window::{DAY_MS, HOUR_MS, MINUTE_MS},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Labels and annotations of a rule together: they travel in each of its events.
const TEXTS_BYTES_MAX: usize = 1024;
const CADENCE_MS: std::ops::RangeInclusive<i64> = 15_000..=HOUR_MS;
/// Instances lie in the batch of the root (A17): more would not fit.
const INSTANCES_MAX: u32 = 1_000;
const NAME_CHARS_MAX: usize = 200;
const URL_BYTES_MAX: usize = 1_000;
/// Longer is no waiting any more.
const SPAN_MS_MAX: i64 = 30 * DAY_MS;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoDataPolicy {
    #[default]
    Keep,
    Alert,
    Ok,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertRule {
    /// Empty in a command: derived from it.
    #[serde(default)]
    pub rule_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<String>,
    pub name: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Counted by the platform; what a command says is ignored.
    #[serde(default)]
    pub version: u32,
    pub severity: Severity,
    pub condition: Condition,
    #[serde(default)]
    pub for_ms: i64,
    #[serde(default)]
    pub keep_firing_ms: i64,
    #[serde(default = "cadence")]
    pub cadence_ms: i64,
    #[serde(default)]
    pub labels: LabelSet,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub no_data_policy: NoDataPolicy,
    #[serde(default = "no_data_after")]
    pub no_data_after_ms: i64,
    #[serde(default = "instances")]
    pub max_instances: u32,
    #[serde(default)]
    pub spread: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runbook_url: Option<String>,
    #[serde(default = "repeat_interval")]
    pub repeat_interval_ms: i64,
}

fn yes() -> bool {
    true
}
fn cadence() -> i64 {
    MINUTE_MS
}
fn no_data_after() -> i64 {
    15 * MINUTE_MS
}
fn instances() -> u32 {
    INSTANCES_MAX
}
fn repeat_interval() -> i64 {
    4 * HOUR_MS
}

impl AlertRule {
    /// What instances belong to: when it changes, they are dropped (SPEC 5.3.4(8)).
    pub fn condition_hash(&self) -> String {
        content_hash(&self.condition)
    }

    /// How long a label set may be without a new value before it counts as silent (SPEC 5.3.4(4)).
    pub fn no_data_ms(&self) -> i64 {
        self.no_data_after_ms.max(self.condition.stale_after_ms())
    }

    /// Labels of an instance with those of the rule, which win.
    pub fn labelled(&self, labels: &LabelSet) -> LabelSet {
        let mut all = labels.0.clone();
        all.extend(self.labels.0.clone());
        LabelSet(all)
    }

    pub fn check(&self) -> Result<(), String> {
        self.check_names()?;
        self.check_spans()?;
        if self.texts_bytes() > TEXTS_BYTES_MAX {
            return Err(format!("labels and annotations are beyond {TEXTS_BYTES_MAX} bytes"));
        }
        if self.max_instances == 0 || self.max_instances > INSTANCES_MAX {
            return Err(format!("`maxInstances` is 1 to {INSTANCES_MAX}"));
        }
        self.condition.check()
    }

    fn check_names(&self) -> Result<(), String> {
        if !is_user_id(&self.rule_id) {
            return Err("`ruleId` is no id".into());
        }
        if self.project_id.as_ref().is_some_and(|p| !is_slug(p)) {
            return Err("`projectId` is no id".into());
        }
        if self.name.is_empty() || self.name.chars().count() > NAME_CHARS_MAX {
            return Err(format!("`name` has 1 to {NAME_CHARS_MAX} characters"));
        }
        if self.runbook_url.as_ref().is_some_and(|u| u.len() > URL_BYTES_MAX) {
            return Err(format!("`runbookUrl` is beyond {URL_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    fn check_spans(&self) -> Result<(), String> {
        if !CADENCE_MS.contains(&self.cadence_ms) {
            return Err("`cadenceMs` is 15 s to 1 h".into());
        }
        let spans = [("forMs", self.for_ms, 0), ("keepFiringMs", self.keep_firing_ms, 0)];
        let waits = [("noDataAfterMs", self.no_data_after_ms, MINUTE_MS)];
        let repeats = [("repeatIntervalMs", self.repeat_interval_ms, MINUTE_MS)];
        for (name, value, least) in spans.into_iter().chain(waits).chain(repeats) {
            if value < least || value > SPAN_MS_MAX {
                return Err(format!("`{name}` is {least} to {SPAN_MS_MAX}"));
            }
        }
        Ok(())
    }

    fn texts_bytes(&self) -> usize {
        self.labels.0.iter().chain(&self.annotations).map(|(k, v)| k.len() + v.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(change: impl Fn(&mut serde_json::Value)) -> AlertRule {
        let mut text = json!({"ruleId": "alr-7", "name": "API p99 latency", "severity": "high", "condition": {
            "type": "Threshold", "selector": {"metricName": "http.server.request.duration"}, "aggregation": "p99",
            "windowMs": 60_000, "rangeMs": 60_000, "reducer": "last", "op": "gt", "threshold": 0.5}});
        change(&mut text);
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_rule_has_the_defaults_of_the_table() {
        let r = rule(|_| ());
        assert_eq!((r.cadence_ms, r.keep_firing_ms, r.no_data_after_ms), (60_000, 0, 900_000));
        assert_eq!((r.max_instances, r.repeat_interval_ms, r.spread), (1_000, 14_400_000, false));
        assert_eq!((r.enabled, r.no_data_policy), (true, NoDataPolicy::Keep));
        assert_eq!(r.check(), Ok(()));
    }

    #[test]
    fn a_rule_with_more_than_a_kibibyte_of_text_is_refused() {
        let with = |n: usize| rule(move |t| t["annotations"] = json!({"summary": "x".repeat(n)}));
        assert!(with(1024 - "summary".len()).check().is_ok());
        assert!(with(1025 - "summary".len()).check().is_err());
    }

    #[test]
    fn cadence_and_instances_have_limits() {
        assert!(rule(|t| t["cadenceMs"] = json!(14_999)).check().is_err());
        assert!(rule(|t| t["cadenceMs"] = json!(3_600_001)).check().is_err());
        assert!(rule(|t| t["maxInstances"] = json!(1_001)).check().is_err());
        assert!(rule(|t| t["ruleId"] = json!("a/b")).check().is_err());
    }

    #[test]
    fn aew_15_no_data_waits_at_least_for_stale_after() {
        assert_eq!(rule(|_| ()).no_data_ms(), 900_000);
        assert_eq!(rule(|t| t["condition"]["windowMs"] = json!(3_600_000)).no_data_ms(), 10_950_000);
    }
}
