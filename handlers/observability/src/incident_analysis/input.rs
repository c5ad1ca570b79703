//! What comes in, in the worker's own words: every source becomes a trigger or a clear (the table of SPEC 5.5.4), every
//! request a command. A pure function of the envelope: policy is looked at later (A6).

use super::{
    incident::{SourceId, SourceKind},
    machine::Cause,
};
use crate::events::{AlertResolved, AlertTriggered, BreachKind, ClearReason, RootCause, Severity};
use crate::events::{SloBreached, SloRecovered, kind};
use opsloop_kernel::{CorrelationId, DueUnits, Envelope, Refusal, TenantId, Timestamp, TraceId, ident};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Whose it is: of the envelope or of the stored key, never of a payload.
    pub tenant: TenantId,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// Of one event, in order; each of another source.
    Said(Vec<Said>),
    Deployed(Deployed),
    Asked(Asked),
    Due(DueUnits),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Said {
    Trigger(Box<Trigger>),
    Clear(Clear),
    /// A retraction was taken back: told, no more.
    TakenBack(Mention),
}
impl Said {
    pub fn source(&self) -> &SourceId {
        match self {
            Self::Trigger(t) => &t.source,
            Self::Clear(c) => &c.source,
            Self::TakenBack(m) => &m.source,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    pub source: SourceId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    pub episode_id: String,
    /// `occurredAt`.
    pub at: Timestamp,
    /// Since when it goes on.
    pub active_at: Timestamp,
    pub severity: Severity,
    pub title: String,
    #[serde(default)]
    pub repeat: bool,
    #[serde(default)]
    pub stale: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    pub trace_id: TraceId,
    pub correlation_id: CorrelationId,
    pub actor: String,
}

/// What a clear ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ends {
    #[serde(rename_all = "camelCase")]
    Episode {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        rule: Option<String>,
        episode_id: String,
    },
    /// Every episode that began by then.
    Until,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clear {
    pub source: SourceId,
    pub ends: Ends,
    pub at: Timestamp,
    #[serde(default)]
    pub stale: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<ClearReason>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mention {
    pub source: SourceId,
    pub episode_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployed {
    pub deployment_id: String,
    pub completed_at: Timestamp,
    pub environment: String,
    pub modules: Vec<String>,
    /// The artifact that was deployed of a module, where that is said: feedback is attributed to it (SPEC 5.7.3(4)).
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub artifacts: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    pub incident_id: String,
    pub actor: String,
    pub what: Ask,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ask {
    #[serde(rename_all = "camelCase")]
    Move {
        to: Move,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<String>,
    },
    #[serde(rename_all = "camelCase")]
    Resolve {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        root_cause: Option<RootCause>,
        #[serde(default)]
        force: bool,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<String>,
    },
    Note {
        text: String,
    },
}

/// The moves that need nothing but the right state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Move {
    Acknowledge,
    Begin,
    Mitigate,
    Engage,
}
impl Move {
    pub fn cause(self) -> Cause {
        match self {
            Self::Acknowledge => Cause::Acknowledge,
            Self::Begin => Cause::Begin,
            Self::Mitigate => Cause::Mitigate,
            Self::Engage => Cause::Engage,
        }
    }
}

/// `None`: of a kind or content that touches no incident.
pub fn of_event(e: &Envelope) -> Result<Option<What>, Refusal> {
    let said = match e.event_type.as_str() {
        kind::ALERT_TRIGGERED => alert_triggered(e)?,
        kind::ALERT_RESOLVED => vec![alert_resolved(e)?],
        kind::SLO_BREACHED => slo_breached(e)?,
        kind::SLO_RECOVERED => vec![slo_recovered(e)?],
        kind::RUNTIME_DEPLOYMENT_COMPLETED => return deployed(e),
        _ => return super::foreign::of_event(e),
    };
    Ok(some(said))
}

pub(super) fn some(said: Vec<Said>) -> Option<What> {
    if said.is_empty() { None } else { Some(What::Said(said)) }
}

/// What a trigger takes from its envelope alone; the instant is that of the event.
pub(super) fn trigger(
    e: &Envelope,
    source: SourceId,
    episode_id: String,
    severity: Severity,
    title: String,
) -> Trigger {
    let at = e.occurred_at.floor_millis();
    Trigger {
        source,
        rule: None,
        episode_id,
        at,
        active_at: at,
        severity,
        title: clipped(&title),
        repeat: false,
        stale: is_stale(e),
        project_id: e.project_id.clone(),
        module_id: e.module_id.clone(),
        environment: e.environment.clone(),
        trace_id: e.trace_id.clone(),
        correlation_id: e.correlation_id.clone(),
        actor: SYSTEM.to_owned(),
    }
}

/// Who does what nobody asked for.
pub const SYSTEM: &str = "system";
/// A title is a line, not a page.
pub const TITLE_CHARS_MAX: usize = 200;

pub(super) fn clipped(title: &str) -> String {
    title.chars().take(TITLE_CHARS_MAX).collect()
}

pub(super) fn source(source: SourceKind, source_id: impl Into<String>) -> SourceId {
    SourceId { source, source_id: source_id.into() }
}

fn is_stale(e: &Envelope) -> bool {
    e.freshness.as_ref().is_some_and(|f| f.stale)
}

/// Suppressed alerts and mere information open nothing (SPEC 5.5.4(1)).
fn alert_triggered(e: &Envelope) -> Result<Vec<Said>, Refusal> {
    let a: AlertTriggered = e.read()?;
    if a.suppressed_by.is_some() || a.severity == Severity::Info {
        return Ok(vec![]);
    }
    let id = source(SourceKind::Alert, format!("{}:{}", a.rule_id, a.fingerprint));
    let mut t = trigger(e, id, a.episode_id, a.severity, a.name);
    t.active_at = a.active_at;
    t.repeat = a.repeat;
    let label = |name: &str| Some(a.labels.get(name)).filter(|v| ident::is_slug(v)).map(str::to_owned);
    t.project_id = t.project_id.or_else(|| label("projectId"));
    t.module_id = t.module_id.or_else(|| label("moduleId"));
    t.environment = t.environment.or_else(|| ident::environment_of(a.labels.get("environment")).map(str::to_owned));
    Ok(vec![Said::Trigger(Box::new(t))])
}

fn alert_resolved(e: &Envelope) -> Result<Said, Refusal> {
    let a: AlertResolved = e.read()?;
    Ok(Said::Clear(Clear {
        source: source(SourceKind::Alert, format!("{}:{}", a.rule_id, a.fingerprint)),
        ends: Ends::Episode { rule: None, episode_id: a.episode_id },
        at: e.occurred_at.floor_millis(),
        stale: is_stale(e),
        reason: Some(a.reason),
    }))
}

fn slo_breached(e: &Envelope) -> Result<Vec<Said>, Refusal> {
    let s: SloBreached = e.read()?;
    if s.severity == Severity::Info {
        return Ok(vec![]);
    }
    let (rule, what) = match s.kind {
        BreachKind::Burn => (s.rule, "burns its budget"),
        BreachKind::BudgetExhausted => (None, "has exhausted its budget"),
    };
    let id = source(SourceKind::Slo, s.slo_id);
    let mut t = trigger(e, id, s.episode_id, s.severity, format!("{} {what}", s.name));
    t.rule = rule;
    t.active_at = s.since;
    t.module_id = t.module_id.or_else(|| s.module_id.filter(|m| ident::is_slug(m)));
    Ok(vec![Said::Trigger(Box::new(t))])
}

fn slo_recovered(e: &Envelope) -> Result<Said, Refusal> {
    let s: SloRecovered = e.read()?;
    let rule = if s.kind == BreachKind::Burn { s.rule } else { None };
    Ok(Said::Clear(Clear {
        source: source(SourceKind::Slo, s.slo_id),
        ends: Ends::Episode { rule, episode_id: s.episode_id },
        at: e.occurred_at.floor_millis(),
        stale: is_stale(e),
        reason: Some(s.reason),
    }))
}

/// A deployment opens nothing: the newest of each module is kept, to be suspected. One that changed nothing is not.
fn deployed(e: &Envelope) -> Result<Option<What>, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Service {
        module_id: String,
        artifact_id: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Completed {
        deployment_id: String,
        completed_at: Timestamp,
        #[serde(default)]
        noop: bool,
        services: Vec<Service>,
    }
    let c: Completed = e.read()?;
    let Some(environment) = e.environment.clone().filter(|_| !c.noop) else { return Ok(None) };
    // Of several services of a module the first that names one.
    let mut artifacts = BTreeMap::new();
    for service in &c.services {
        if let Some(artifact) = &service.artifact_id {
            artifacts.entry(service.module_id.clone()).or_insert_with(|| artifact.clone());
        }
    }
    let mut modules: Vec<String> = c.services.into_iter().map(|s| s.module_id).collect();
    modules.sort();
    modules.dedup();
    if modules.is_empty() {
        return Ok(None);
    }
    let completed_at = c.completed_at.floor_millis();
    let deployment_id = c.deployment_id;
    Ok(Some(What::Deployed(Deployed { deployment_id, completed_at, environment, modules, artifacts })))
}
