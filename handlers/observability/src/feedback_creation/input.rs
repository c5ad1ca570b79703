//! What the worker is told: incidents, anomalies, traces with signals, and people (SPEC 5.7.1).

use super::attribution::Artifact;
use crate::events::{
    FeedbackCategory, FeedbackSource, IncidentResolved, Ref, RuntimeSignal, Severity, TraceRecorded, kind,
};
use opsloop_kernel::{DueUnits, Envelope, Refusal, TenantId, Timestamp, TraceId, ident};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const CREATE_FEEDBACK_ITEM: &str = "CreateFeedbackItem";
/// Distinct fingerprints that are counted of one trace, the first by kind and start: a trace of 50,000 spans could
/// bear thousands.
const SIGNALS_MAX: usize = 50;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    Resolved { origin: Origin, incident: Box<IncidentResolved> },
    Anomaly { origin: Origin, anomaly: Box<CostAnomaly> },
    Traced { origin: Origin, trace: Traced },
    Asked { origin: Origin, asked: Box<NewFeedback> },
    Due(DueUnits),
}

/// What the envelope says beside its payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    pub tenant: TenantId,
    pub event_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    pub trace_id: TraceId,
    pub occurred_at: Timestamp,
    pub revision: u32,
    #[serde(default)]
    pub dimensions: BTreeMap<String, String>,
}

/// A trace with signals, as far as feedback needs it; one signal per fingerprint, for a trace counts once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Traced {
    pub trace_id: TraceId,
    pub revision: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub root_span_name: Option<String>,
    pub signals: BTreeMap<String, RuntimeSignal>,
}

/// `CostAnomalyDetected` (SPEC 9.1), as far as feedback needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CostAnomaly {
    pub anomaly_id: String,
    pub category: String,
    pub day: String,
    pub direction: Direction,
    pub severity: Severity,
    #[serde(default)]
    pub retracted: bool,
    #[serde(default)]
    pub contributors: Vec<CostContributor>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Spike,
    Drop,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostContributor {
    #[serde(rename = "ref")]
    pub reference: Ref,
    pub impact: Impact,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    pub amount_micros: i64,
    pub currency: String,
}

/// The command `CreateFeedbackItem`: what a human or an agent has to say. Whoever names an artifact is believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewFeedback {
    #[serde(default = "human")]
    pub source: FeedbackSource,
    pub title: String,
    #[serde(default)]
    pub summary: String,
    /// −1 to 1.
    pub sentiment: f64,
    #[serde(default = "info")]
    pub severity: Severity,
    /// Without one: reliability (SPEC 5.7.3(5)).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub category: Option<FeedbackCategory>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub artifact_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skill_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace_id: Option<TraceId>,
    #[serde(default)]
    pub evidence: Vec<Ref>,
}
fn human() -> FeedbackSource {
    FeedbackSource::Human
}
fn info() -> Severity {
    Severity::Info
}

impl NewFeedback {
    /// What is wrong with it, for the person who sent it.
    pub fn check(&self) -> Result<(), String> {
        if !matches!(self.source, FeedbackSource::Human | FeedbackSource::Agent) {
            return Err("`source` is neither human nor agent".into());
        }
        if self.title.trim().is_empty() {
            return Err("`title` is empty".into());
        }
        if !(-1.0..=1.0).contains(&self.sentiment) {
            return Err("`sentiment` is not between -1 and 1".into());
        }
        for (name, slug) in [("projectId", &self.project_id), ("moduleId", &self.module_id)] {
            if slug.as_deref().is_some_and(|s| !ident::is_slug(s)) {
                return Err(format!("`{name}` is not an id"));
            }
        }
        for (name, id) in [("artifactId", &self.artifact_id), ("agentId", &self.agent_id), ("skillId", &self.skill_id)]
        {
            if id.as_deref().is_some_and(|s| !ident::is_user_id(s)) {
                return Err(format!("`{name}` is not an id"));
            }
        }
        Ok(())
    }
    pub fn named(&self) -> Option<Artifact> {
        let artifact_id = self.artifact_id.clone()?;
        Some(Artifact { artifact_id, agent_id: self.agent_id.clone(), skill_id: self.skill_id.clone() })
    }
}

impl Input {
    /// `None`: not for us.
    pub fn of(envelope: &Envelope) -> Result<Option<Self>, Refusal> {
        let origin = Origin::of(envelope);
        Ok(match envelope.event_type.as_str() {
            kind::INCIDENT_RESOLVED => Some(Self::Resolved { origin, incident: Box::new(envelope.read()?) }),
            kind::COST_ANOMALY_DETECTED => Some(Self::Anomaly { origin, anomaly: Box::new(envelope.read()?) }),
            kind::TRACE_RECORDED => Traced::of(envelope.read()?)?.map(|trace| Self::Traced { origin, trace }),
            CREATE_FEEDBACK_ITEM => {
                let asked: NewFeedback = envelope.read()?;
                asked.check().map_err(Refusal::payload)?;
                let origin = origin.about(&asked);
                Some(Self::Asked { origin, asked: Box::new(asked) })
            }
            _ => None,
        })
    }
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Resolved { origin, .. }
            | Self::Anomaly { origin, .. }
            | Self::Traced { origin, .. }
            | Self::Asked { origin, .. } => Some(origin),
            Self::Due(_) => None,
        }
    }
}

impl Origin {
    fn of(e: &Envelope) -> Self {
        Self {
            tenant: e.tenant_id.clone(),
            event_id: e.event_id.to_string(),
            project: e.project_id.clone(),
            module: e.module_id.clone(),
            environment: e.environment.clone(),
            trace_id: e.trace_id.clone(),
            occurred_at: e.occurred_at,
            revision: e.revision,
            dimensions: e.dimensions.clone(),
        }
    }
    /// A command says itself what it is about; its envelope fills the gaps.
    fn about(mut self, asked: &NewFeedback) -> Self {
        self.project = asked.project_id.clone().or(self.project);
        self.module = asked.module_id.clone().or(self.module);
        self
    }
}

impl Traced {
    fn of(recorded: TraceRecorded) -> Result<Option<Self>, Refusal> {
        let mut signals = BTreeMap::new();
        for signal in recorded.signals {
            if !ident::is_user_id(&signal.fingerprint) {
                return Err(Refusal::payload("a `fingerprint` is not an id"));
            }
            if signals.len() < SIGNALS_MAX {
                signals.entry(signal.fingerprint.clone()).or_insert(signal);
            }
        }
        let traced = Self {
            trace_id: recorded.trace_id,
            revision: recorded.revision,
            module_id: recorded.module_id,
            root_span_name: recorded.root_span_name,
            signals,
        };
        Ok((!traced.signals.is_empty()).then_some(traced))
    }
}
