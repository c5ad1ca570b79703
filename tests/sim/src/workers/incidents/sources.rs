//! Payloads of the sources of SPEC 5.5.4, shaped as their producers shape them; the names are never ours.

use super::{
    super::outside::{Place, Said},
    Target,
};
use crate::rng::Rng;
use opsloop_kernel::Timestamp;
use opsloop_observability::events::kind;
use serde_json::{Value, json};

/// `info` is taken and opens nothing.
pub fn severity(rng: &mut Rng) -> &'static str {
    rng.pick::<&str>(&["warning", "warning", "high", "high", "high", "critical", "info"])
}

fn episode(since: Timestamp) -> String {
    since.millis().to_string()
}

#[derive(Clone, Debug)]
pub struct Alert {
    pub rule: String,
    pub place: Place,
    pub active_at: Timestamp,
}

impl Alert {
    const FINGERPRINT: &'static str = "f00dfeed12345678";

    pub fn target(&self) -> Target {
        let source_id = format!("{}:{}", self.rule, Self::FINGERPRINT);
        Target { source: "alert", source_id, episode_id: episode(self.active_at) }
    }
    pub fn fires(&self, rng: &mut Rng, after_ms: i64, repeat: bool) -> Said {
        let at = self.active_at.plus_millis(after_ms);
        let mut payload = json!({
            "ruleId": self.rule, "ruleVersion": 1, "name": format!("outside {}", self.rule),
            "fingerprint": Self::FINGERPRINT, "severity": severity(rng),
            "labels": {"environment": self.place.environment, "moduleId": self.place.module}, "annotations": {},
            "value": 0.62, "threshold": 0.5, "operator": "gt", "activeAt": self.active_at, "firedAt": self.active_at,
            "windowStart": at, "episodeId": episode(self.active_at), "repeat": repeat,
        });
        // What begins an episode is heard: a repeat that comes after its clear does not begin it (SPEC 5.5.4(2)).
        if !repeat && payload["severity"] == "info" {
            payload["severity"] = json!("warning");
        }
        if repeat && rng.hit(0.08) {
            payload["suppressedBy"] = json!({"kind": "silence", "id": "sil-outside"});
        }
        Said { stale: rng.hit(0.1), ..Said::new(kind::ALERT_TRIGGERED, self.place, at, payload) }
    }
    /// A stale one says that data is missing: it ends nothing (SPEC 3.11).
    pub fn clears(&self, after_ms: i64, stale: bool) -> Said {
        let at = self.active_at.plus_millis(after_ms);
        let payload = json!({
            "ruleId": self.rule, "fingerprint": Self::FINGERPRINT, "labels": {},
            "episodeId": episode(self.active_at), "activeAt": self.active_at, "firedAt": self.active_at,
            "resolvedAt": at, "reason": "condition_cleared",
        });
        Said { stale, ..Said::new(kind::ALERT_RESOLVED, self.place, at, payload) }
    }
}

/// A rule of an SLO; the empty one is its budget.
#[derive(Clone, Debug)]
pub struct Burn {
    pub slo: String,
    pub rule: &'static str,
    pub place: Place,
    pub since: Timestamp,
}

impl Burn {
    fn named(&self) -> (Option<&'static str>, &'static str) {
        if self.rule.is_empty() { (None, "budget_exhausted") } else { (Some(self.rule), "burn") }
    }
    pub fn target(&self) -> Target {
        Target { source: "slo", source_id: self.slo.clone(), episode_id: episode(self.since) }
    }
    pub fn breaches(&self, rng: &mut Rng) -> Said {
        let (rule, what) = self.named();
        let payload = json!({
            "sloId": self.slo, "name": "outside", "kind": what, "rule": rule, "severity": severity(rng),
            "objective": 0.99, "periodDays": 30, "badEvents": 100.0, "totalEvents": 5000.0, "budgetRemaining": 0.4,
            "episodeId": episode(self.since), "since": self.since,
        });
        Said::new(kind::SLO_BREACHED, self.place, self.since, payload)
    }
    pub fn recovers(&self, after_ms: i64) -> Said {
        let ((rule, what), at) = (self.named(), self.since.plus_millis(after_ms));
        let payload = json!({
            "sloId": self.slo, "kind": what, "rule": rule, "episodeId": episode(self.since), "since": self.since,
            "recoveredAt": at, "budgetRemaining": 0.5, "reason": "condition_cleared",
        });
        Said::new(kind::SLO_RECOVERED, self.place, at, payload)
    }
}

#[derive(Clone, Debug)]
pub struct Anomaly {
    pub id: String,
    pub place: Place,
    pub at: Timestamp,
    pub severity: &'static str,
    pub direction: &'static str,
}

impl Anomaly {
    const DAY: &'static str = "2026-11-20";

    pub fn target(&self) -> Target {
        Target { source: "cost", source_id: self.id.clone(), episode_id: Self::DAY.to_owned() }
    }
    /// Odd revisions retract, even ones take that back.
    pub fn revision(&self, revision: u32) -> Said {
        let money = json!({"amountMicros": 80_000_000, "currency": "EUR"});
        let payload = json!({
            "anomalyId": self.id, "category": "compute", "day": Self::DAY, "direction": self.direction, "actual": money,
            "expected": money, "impact": money, "score": 16.0, "severity": self.severity, "provisional": false,
            "retracted": revision % 2 == 1, "levelShift": false, "baseline": {},
            "contributors": [{"ref": {"kind": "module", "id": self.place.module}, "impact": money}],
        });
        // Not on the grid of 15 s on which feedback looks for a view: two revisions that look at one instant are in no
        // order.
        let at = self.at.plus_millis(i64::from(revision) * 31_007);
        Said { revision, ..Said::new(kind::COST_ANOMALY_DETECTED, self.place, at, payload) }
    }
}

#[derive(Clone, Debug)]
pub struct Drift {
    pub hash: String,
    pub revision: u32,
    pub place: Place,
    pub at: Timestamp,
}

impl Drift {
    pub fn target(&self) -> Target {
        Target { source: "drift", source_id: self.hash.clone(), episode_id: self.revision.to_string() }
    }
    pub fn detected(&self, severity: &str, supersedes: Option<&str>) -> Said {
        let payload = json!({
            "findingHash": self.hash, "resourceId": "svc-1", "kind": "image", "severity": severity,
            "supersedes": supersedes,
        });
        Said { revision: self.revision, ..Said::new(kind::RUNTIME_DRIFT_DETECTED, self.place, self.at, payload) }
    }
    pub fn resolved(&self, after_ms: i64) -> Said {
        let payload = json!({"findingHash": self.hash, "resourceId": "svc-1", "by": "remediation"});
        let at = self.at.plus_millis(after_ms);
        Said { revision: self.revision, ..Said::new(kind::RUNTIME_DRIFT_RESOLVED, self.place, at, payload) }
    }
}

#[derive(Clone, Debug)]
pub struct Release {
    pub id: String,
    pub place: Place,
    pub at: Timestamp,
}

impl Release {
    pub fn target(&self) -> Target {
        Target { source: "deployment", source_id: self.id.clone(), episode_id: self.id.clone() }
    }
    pub fn completed(&self, noop: bool) -> Said {
        let payload = json!({
            "deploymentId": self.id, "environmentId": "env-1", "kind": "release", "completedAt": self.at, "noop": noop,
            "services": [{
                "serviceId": "svc-1", "moduleId": self.place.module, "image": "x", "version": "2", "replicas": 2,
                "artifactId": format!("art-{}", self.id),
            }],
        });
        Said::new(kind::RUNTIME_DEPLOYMENT_COMPLETED, self.place, self.at, payload)
    }
    pub fn rolled_back(&self, after_ms: i64) -> Said {
        let payload = json!({"deploymentId": self.id, "reason": "error_rate"});
        Said::new(kind::RUNTIME_DEPLOYMENT_ROLLED_BACK, self.place, self.at.plus_millis(after_ms), payload)
    }
}

#[derive(Clone, Debug)]
pub struct Rotation {
    pub binding: String,
    pub id: String,
    pub place: Place,
    pub at: Timestamp,
}

impl Rotation {
    pub fn target(&self) -> Target {
        Target { source: "secret", source_id: self.binding.clone(), episode_id: self.id.clone() }
    }
    pub fn failed(&self, severity: &str) -> Said {
        let payload = self.payload(json!({"step": "verify", "severity": severity}));
        Said::new(kind::SECRET_ROTATION_FAILED, self.place, self.at, payload)
    }
    pub fn done(&self, after_ms: i64) -> Said {
        let at = self.at.plus_millis(after_ms);
        Said::new(kind::SECRET_ROTATED, self.place, at, self.payload(json!({"rotatedAt": at})))
    }
    fn payload(&self, mut more: Value) -> Value {
        more["secretBindingId"] = json!(self.binding);
        more["rotationId"] = json!(self.id);
        more
    }
}
