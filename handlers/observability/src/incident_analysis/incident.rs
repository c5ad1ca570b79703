//! The incident and what belongs to it: the documents of the tenant's stream `incidents` (SPEC 5.5.2, 3.13).

use crate::events::{IncidentStatus, Ref, RootCause, Severity, TraceRef};
use opsloop_kernel::{Container, CorrelationId, DocId, ETag, Stored, Stream, Timestamp, TraceId, ids::percent};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{fmt, str::FromStr};

/// All incidents of a tenant, so that two rules that fire together meet (A6).
pub fn stream() -> Stream {
    Stream::new(Container::State, "incidents")
}

/// What can open an incident (SPEC 5.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    Alert,
    Slo,
    Cost,
    Drift,
    Deployment,
    Secret,
    Manual,
}

impl SourceKind {
    pub const ALL: [Self; 7] =
        [Self::Alert, Self::Slo, Self::Cost, Self::Drift, Self::Deployment, Self::Secret, Self::Manual];

    pub fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Slo => "slo",
            Self::Cost => "cost",
            Self::Drift => "drift",
            Self::Deployment => "deployment",
            Self::Secret => "secret",
            Self::Manual => "manual",
        }
    }
    /// A source without a clear holds no episodes and is never active.
    pub fn can_clear(self) -> bool {
        !matches!(self, Self::Deployment | Self::Manual)
    }
    /// Alerts and SLOs never join by trace: theirs are those of their slots (SPEC 3.9, A25).
    pub fn joins_by_trace(self) -> bool {
        !matches!(self, Self::Alert | Self::Slo)
    }
}
impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
impl FromStr for SourceKind {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|k| k.name() == s).ok_or_else(|| format!("`{s}` is no source of incidents"))
    }
}

/// Who says it: one alert of one rule, one SLO, one anomaly, … Triggers and clears of one share a unit (A37).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceId {
    pub source: SourceKind,
    pub source_id: String,
}

/// One going-on of a source; only SLOs have several rules (A9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Episode {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    pub episode_id: String,
    pub at: Timestamp,
}
impl Episode {
    pub fn is(&self, rule: Option<&str>, episode_id: &str) -> bool {
        self.rule.as_deref() == rule && self.episode_id == episode_id
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    pub source: SourceKind,
    pub source_id: String,
    /// Those that go on.
    pub episodes: Vec<Episode>,
    pub active: bool,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub count: u64,
    /// Since when no episode goes on that confirmation waits for; meaningless while one does.
    pub quiet_since: Timestamp,
}

impl Source {
    pub fn is(&self, id: &SourceId) -> bool {
        self.source == id.source && self.source_id == id.source_id
    }
    /// Confirmation waits for every episode but that of an exhausted budget, which lasts for days (SPEC 5.5.3).
    pub fn is_quiet(&self) -> bool {
        self.episodes.iter().all(|e| self.is_of_budget(e))
    }
    pub fn is_of_budget(&self, episode: &Episode) -> bool {
        self.source == SourceKind::Slo && episode.rule.is_none()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostMortemNote {
    pub at: Timestamp,
    pub actor: String,
    pub text: String,
}

/// The instants at which the incident wants to be looked at; the earliest is the `due` of its document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub enrich_at: Vec<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confirm_at: Option<Timestamp>,
}
impl Plan {
    pub fn next(&self) -> Option<Timestamp> {
        self.enrich_at.iter().copied().chain(self.confirm_at).min()
    }
}

/// The document `incident|<id>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    pub incident_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    pub title: String,
    pub severity: Severity,
    pub status: IncidentStatus,
    pub sources: Vec<Source>,
    pub group_key: String,
    /// The first of the lineage.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace_id: Option<TraceId>,
    pub trace_lineage: Vec<TraceRef>,
    pub impacted_services: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suspected_deployment_id: Option<String>,
    pub active_at: Timestamp,
    pub opened_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acknowledged_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mitigated_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolved_at: Option<Timestamp>,
    /// When the status was entered; no transition is dated before it (I5).
    pub entered_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub root_cause: Option<RootCause>,
    pub last_seq: u64,
    pub transitions: u64,
    pub escalations: u32,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub post_mortem_notes: Vec<PostMortemNote>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous_incident_id: Option<String>,
    /// That of the trigger which opened it: all events of the incident bear it (SPEC 3.9).
    pub correlation_id: CorrelationId,
    /// The trace of that trigger, which what is due of the incident continues.
    pub opened_by_trace: TraceId,
    pub opened_on_stale: bool,
    #[serde(default)]
    pub plan: Plan,
    pub version: u64,
}

impl Incident {
    pub fn is_resolved(&self) -> bool {
        self.status == IncidentStatus::Resolved
    }
    pub fn source(&self, id: &SourceId) -> Option<&Source> {
        self.sources.iter().find(|s| s.is(id))
    }
    pub fn is_active(&self) -> bool {
        self.sources.iter().any(|s| s.active)
    }
    /// Since when nothing goes on that confirmation waits for; `None` while something does.
    pub fn quiet_since(&self) -> Option<Timestamp> {
        if !self.sources.iter().all(Source::is_quiet) {
            return None;
        }
        self.sources.iter().map(|s| s.quiet_since).max()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    Opened,
    Trigger,
    Cleared,
    Transition,
    Enriched,
    EscalationStep,
    Note,
    SeverityChanged,
    Attached,
}

/// An entry of the log, the document `log|<incidentId>|<seq>` (A58).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    pub seq: u64,
    pub at: Timestamp,
    pub kind: EntryKind,
    pub actor: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<IncidentStatus>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<IncidentStatus>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The source it speaks of.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<Ref>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub episode_id: Option<String>,
}

/// The root of a source, `open|<source>|<sourceId>`. Whether its incident is open, the incident says itself (A69).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Root {
    /// None where only clears have come so far.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incident_id: Option<String>,
    /// Which incident of its episode it is (A8).
    pub n: u32,
}

/// The mark of a clear, `cleared|<source>|<sourceId>|<rule>|<episodeId>`; with an empty episode it covers all that
/// began by `at` (A40).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    pub at: Timestamp,
    /// Whether a log has it: it is appended once.
    pub logged: bool,
}

/// The newest incidents of a group, `group|<groupKey>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub recent: Vec<Recent>,
}
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recent {
    pub opened_at: Timestamp,
    pub incident_id: String,
}

/// The newest deployment of a module, `deployed|<environment>|<moduleId>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastDeployment {
    pub completed_at: Timestamp,
    pub deployment_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub artifact_id: Option<String>,
}

/// A document as it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loaded<T> {
    pub body: T,
    pub etag: ETag,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub due: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
}
impl<T: DeserializeOwned> Loaded<T> {
    pub fn of(stored: &Stored) -> Result<Self, opsloop_kernel::Refusal> {
        Ok(Self {
            body: stored.read()?,
            etag: stored.etag.clone(),
            due: stored.document.due.as_ref().map(|d| d.at),
            expires: stored.document.expires,
        })
    }
}

/// Ids of the documents; user text is percent-encoded (A51).
pub mod doc {
    use super::{DocId, SourceId, percent};

    pub const INCIDENTS: &str = "incident|";

    pub fn incident(id: &str) -> DocId {
        DocId(format!("{INCIDENTS}{}", percent(id)))
    }
    pub fn log(id: &str, seq: u64) -> DocId {
        DocId(format!("{}{seq:010}", logs(id)))
    }
    pub fn logs(id: &str) -> String {
        format!("log|{}|", percent(id))
    }
    pub fn root(id: &SourceId) -> DocId {
        DocId(format!("open|{}|{}", id.source, percent(&id.source_id)))
    }
    pub fn cleared(id: &SourceId, rule: Option<&str>, episode_id: &str) -> DocId {
        let rule = percent(rule.unwrap_or_default());
        DocId(format!("cleared|{}|{}|{rule}|{}", id.source, percent(&id.source_id), percent(episode_id)))
    }
    pub fn group(key: &str) -> DocId {
        DocId(format!("group|{}", percent(key)))
    }
    pub fn deployed(environment: &str, module: &str) -> DocId {
        DocId(format!("deployed|{}|{}", percent(environment), percent(module)))
    }
}
