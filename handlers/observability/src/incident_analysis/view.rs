//! All that a decision may look at.

use super::{
    enrich::Evidence,
    incident::{Cleared, Group, Incident, LastDeployment, Loaded, Root},
    policy::IncidentPolicy,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum View {
    Source(Box<SourceView>),
    Incident(Box<IncidentView>),
    Deployed(Option<Loaded<LastDeployment>>),
}

/// Of a source's root: triggers and clears look at the same (A37).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceView {
    pub policy: IncidentPolicy,
    pub root: Option<Loaded<Root>>,
    /// The incident that the root names.
    pub named: Option<Loaded<Incident>>,
    /// The mark of the clear of this very episode.
    pub cleared: Option<Loaded<Cleared>>,
    /// The mark that covers all that began by its instant.
    pub cleared_until: Option<Loaded<Cleared>>,
    /// Of a trigger that finds no incident at its root: where it may belong.
    pub group: Option<Loaded<Group>>,
    pub grouped: Vec<Loaded<Incident>>,
    /// Incidents that share a trace with the trigger's correlation view; none: that is not ready (SPEC 5.5.4(5)).
    pub correlated: Option<Vec<Loaded<Incident>>>,
    /// The smallest `n` that is free for the incident of the episode (A8).
    pub n: u32,
    pub deployed: Option<LastDeployment>,
}

/// Of one incident: commands, and what is due of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IncidentView {
    pub policy: IncidentPolicy,
    pub incident: Option<Loaded<Incident>>,
    /// Read only where enrichment is due.
    pub evidence: Evidence,
}
