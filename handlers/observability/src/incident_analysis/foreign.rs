//! The sources that open incidents by a tenant's policy only: cost, drift, deployment, secret (SPEC 5.5.4, gap G-40).
//! Their payloads are read as far as an incident needs them.

use super::{
    incident::SourceKind,
    input::{Clear, Ends, Mention, Said, What, some, source, trigger},
};
use crate::events::{Severity, kind};
use opsloop_kernel::{Envelope, Refusal, Timestamp};
use serde::Deserialize;

pub(super) fn of_event(e: &Envelope) -> Result<Option<What>, Refusal> {
    Ok(some(match e.event_type.as_str() {
        kind::COST_ANOMALY_DETECTED => cost_anomaly(e)?,
        kind::RUNTIME_DRIFT_DETECTED => drift_detected(e)?,
        kind::RUNTIME_DRIFT_RESOLVED => drift_resolved(e)?,
        kind::RUNTIME_DEPLOYMENT_ROLLED_BACK => rolled_back(e)?,
        kind::SECRET_ROTATION_FAILED => rotation_failed(e)?,
        kind::SECRET_ROTATED => rotated(e)?,
        _ => vec![],
    }))
}

/// Severity `info` opens nothing (SPEC 5.5.4(1)).
fn opening(t: super::input::Trigger) -> Vec<Said> {
    if t.severity == Severity::Info { vec![] } else { vec![Said::Trigger(Box::new(t))] }
}

/// Revision 0 triggers; a retraction clears, and one that is taken back is only told (SPEC 5.9.6).
fn cost_anomaly(e: &Envelope) -> Result<Vec<Said>, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Anomaly {
        anomaly_id: String,
        category: String,
        day: String,
        severity: Severity,
        #[serde(default)]
        retracted: bool,
    }
    let a: Anomaly = e.read()?;
    let id = source(SourceKind::Cost, a.anomaly_id);
    if a.retracted {
        let ends = Ends::Episode { rule: None, episode_id: a.day };
        let at = e.occurred_at.floor_millis();
        return Ok(vec![Said::Clear(Clear { source: id, ends, at, stale: false, reason: None })]);
    }
    if e.revision > 0 {
        return Ok(vec![Said::TakenBack(Mention { source: id, episode_id: a.day })]);
    }
    let title = format!("Cost anomaly of {} on {}", a.category, a.day);
    Ok(opening(trigger(e, id, a.day, a.severity, title)))
}

/// Its own trigger first, then the clear of what it supersedes: of that it names the hash, not the episode.
fn drift_detected(e: &Envelope) -> Result<Vec<Said>, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Finding {
        finding_hash: String,
        resource_id: String,
        kind: String,
        severity: Severity,
        #[serde(default)]
        supersedes: Option<String>,
    }
    let f: Finding = e.read()?;
    let superseded = f.supersedes.filter(|hash| *hash != f.finding_hash);
    let title = format!("Drift of {}: {}", f.resource_id, f.kind);
    let id = source(SourceKind::Drift, f.finding_hash);
    let mut said = opening(trigger(e, id, e.revision.to_string(), f.severity, title));
    said.extend(superseded.map(|hash| {
        let at = e.occurred_at.floor_millis();
        Said::Clear(Clear {
            source: source(SourceKind::Drift, hash),
            ends: Ends::Until,
            at,
            stale: false,
            reason: None,
        })
    }));
    Ok(said)
}

fn drift_resolved(e: &Envelope) -> Result<Vec<Said>, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Resolved {
        finding_hash: String,
    }
    let r: Resolved = e.read()?;
    Ok(vec![Said::Clear(Clear {
        source: source(SourceKind::Drift, r.finding_hash),
        ends: Ends::Episode { rule: None, episode_id: e.revision.to_string() },
        at: e.occurred_at.floor_millis(),
        stale: false,
        reason: None,
    })])
}

/// The payload has no severity: a release that had to be taken back is high.
fn rolled_back(e: &Envelope) -> Result<Vec<Said>, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct RolledBack {
        deployment_id: String,
        reason: String,
    }
    let r: RolledBack = e.read()?;
    let title = format!("Deployment {} rolled back: {}", r.deployment_id, r.reason);
    let id = source(SourceKind::Deployment, r.deployment_id.clone());
    Ok(opening(trigger(e, id, r.deployment_id, Severity::High, title)))
}

fn rotation_failed(e: &Envelope) -> Result<Vec<Said>, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failed {
        secret_binding_id: String,
        rotation_id: String,
        step: String,
        severity: Severity,
    }
    let f: Failed = e.read()?;
    let title = format!("Rotation of {} failed at {}", f.secret_binding_id, f.step);
    let id = source(SourceKind::Secret, f.secret_binding_id);
    Ok(opening(trigger(e, id, f.rotation_id, f.severity, title)))
}

/// A rotation that succeeded ends every failure before it.
fn rotated(e: &Envelope) -> Result<Vec<Said>, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Rotated {
        secret_binding_id: String,
        rotated_at: Timestamp,
    }
    let r: Rotated = e.read()?;
    Ok(vec![Said::Clear(Clear {
        source: source(SourceKind::Secret, r.secret_binding_id),
        ends: Ends::Until,
        at: r.rotated_at.floor_millis(),
        stale: false,
        reason: None,
    })])
}
