//! `AlertTriggered` and `AlertResolved`: keys, context and payload (SPEC 5.3.5, 9.1).

use super::{
    instance::{Episode, Instance},
    rule::AlertRule,
};
use crate::{
    events::{AlertResolved, AlertTriggered, ClearReason, kind},
    series::source::{label_environment, label_id},
};
use opsloop_kernel::{About, Bears, Body, Fact, Freshness, TenantId, Timestamp, ids::KeyParts};

pub fn triggered(tenant: &TenantId, rule: &AlertRule, instance: &Instance, repeat: bool, slot: Timestamp) -> Fact {
    let payload = AlertTriggered {
        rule_id: rule.rule_id.clone(),
        rule_version: rule.version,
        name: rule.name.clone(),
        fingerprint: instance.fingerprint.clone(),
        severity: rule.severity,
        labels: rule.labelled(&instance.labels),
        annotations: rule.annotations.clone(),
        value: instance.value,
        threshold: instance.threshold,
        operator: instance.operator.map(|op| op.name().to_owned()),
        active_at: instance.active_at,
        fired_at: instance.fired_at.unwrap_or(slot),
        window_start: slot,
        episode_id: instance.episode_id(),
        repeat,
        suppressed_by: instance.suppressed_by.clone(),
        runbook_url: rule.runbook_url.clone(),
    };
    let parts = [rule.rule_id.clone(), instance.fingerprint.clone(), slot.millis().to_string()];
    Fact {
        kind: kind::ALERT_TRIGGERED,
        key: KeyParts::new("alert-trigger", tenant, parts),
        revision: 0,
        occurred_at: slot,
        context: Bears::Slot { scope: rule.rule_id.clone(), slot },
        about: about(rule, instance, Some(instance.freshness.clone())),
        payload: Body::of(&payload),
    }
}

/// A clear that follows from somebody's act rests on no window and bears no freshness (SPEC 3.11).
pub fn resolved(
    tenant: &TenantId,
    rule: &AlertRule,
    instance: &Instance,
    episode: &Episode,
    reason: ClearReason,
    slot: Timestamp,
) -> Fact {
    let episode_id = episode.active_at.millis().to_string();
    let payload = AlertResolved {
        rule_id: rule.rule_id.clone(),
        fingerprint: instance.fingerprint.clone(),
        labels: rule.labelled(&instance.labels),
        episode_id: episode_id.clone(),
        active_at: episode.active_at,
        fired_at: episode.fired_at,
        resolved_at: slot,
        last_value: Some(episode.value),
        reason,
    };
    let from_windows = matches!(reason, ClearReason::ConditionCleared | ClearReason::NoDataOk);
    let freshness = from_windows.then(|| instance.freshness.clone());
    Fact {
        kind: kind::ALERT_RESOLVED,
        key: KeyParts::new("alert-resolved", tenant, [rule.rule_id.clone(), instance.fingerprint.clone(), episode_id]),
        revision: 0,
        occurred_at: slot,
        context: Bears::Slot { scope: rule.rule_id.clone(), slot },
        about: about(rule, instance, freshness),
        payload: Body::of(&payload),
    }
}

fn about(rule: &AlertRule, instance: &Instance, freshness: Option<Freshness>) -> About {
    About {
        subject: format!("AlertRule/{}", rule.rule_id),
        partition_key: format!("{}:{}", rule.rule_id, instance.fingerprint),
        project: rule.project_id.clone().or_else(|| label_id(&instance.labels, "projectId")),
        module: label_id(&instance.labels, "moduleId"),
        environment: label_environment(&instance.labels),
        freshness,
        ..About::default()
    }
}
