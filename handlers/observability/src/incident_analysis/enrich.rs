//! Enrichment (SPEC 5.5.4(5)): what the traces of the module say of the time around the trigger, and which deployment
//! went before. It never delays opening: the incident is open when the evidence is looked for.

use super::incident::{Incident, LastDeployment};
use crate::{
    events::{LogRefs, TraceRef, TraceStatus},
    trace_ingestion::Entry,
};
use opsloop_kernel::{Timestamp, TraceId};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

/// Traces that an incident names.
pub const LINEAGE_MAX: usize = 5;
/// Traces are looked for from so long before `activeAt`.
pub const LOOK_BACK_MS: i64 = 5 * 60_000;
/// Of a trouble older than that the newest hours are looked through.
pub const HOURS_MAX: i64 = 6;
/// Entries of the index that are looked at of one hour; a busier module is judged by these.
pub const ENTRIES_MAX: usize = 2_000;
/// Services are named, not listed without end.
pub const SERVICES_MAX: usize = 100;

/// What was found at a try.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// The first five, in order.
    pub traces: Vec<TraceSeen>,
    pub deployed: Option<LastDeployment>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceSeen {
    pub trace_id: TraceId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub root_span_name: Option<String>,
    pub status: TraceStatus,
    pub duration_ms: u64,
    pub services: Vec<String>,
    #[serde(default)]
    pub logs: LogRefs,
}

impl TraceSeen {
    /// As the index has it; its logs are read for those that are named only.
    pub(super) fn of(entry: Entry) -> Self {
        Self {
            trace_id: entry.trace_id,
            root_span_name: Some(entry.root_span_name).filter(|name| !name.is_empty()),
            status: entry.status,
            duration_ms: entry.duration_ms,
            services: entry.services,
            logs: LogRefs::default(),
        }
    }
}

/// Errors first, then the longest, then the smallest id; the first five.
pub fn foremost(mut traces: Vec<TraceSeen>) -> Vec<TraceSeen> {
    traces.sort_by(|a, b| rank(a).cmp(&rank(b)));
    traces.truncate(LINEAGE_MAX);
    traces
}

fn rank(t: &TraceSeen) -> (bool, Reverse<u64>, &TraceId) {
    (t.status != TraceStatus::Error, Reverse(t.duration_ms), &t.trace_id)
}

/// The newest deployment, if it completed at most an hour before the trouble began.
pub fn suspect(deployed: Option<&LastDeployment>, active_at: Timestamp) -> Option<String> {
    let newest = deployed?;
    let before_ms = active_at.millis_since(newest.completed_at);
    (0..=super::trigger::SUSPECTED_WITHIN_MS).contains(&before_ms).then(|| newest.deployment_id.clone())
}

/// Whether the incident knows more than before. What was found once stays where a later try finds nothing.
pub(super) fn apply(incident: &mut Incident, evidence: &Evidence) -> bool {
    let before = (incident.trace_lineage.clone(), incident.impacted_services.clone());
    let suspected_before = incident.suspected_deployment_id.clone();
    if !evidence.traces.is_empty() {
        incident.trace_lineage = evidence.traces.iter().map(reference).collect();
        incident.trace_id = evidence.traces.first().map(|t| t.trace_id.clone());
        let mut services: Vec<String> = evidence.traces.iter().flat_map(|t| t.services.clone()).collect();
        services.sort();
        services.dedup();
        services.truncate(SERVICES_MAX);
        incident.impacted_services = services;
    }
    if let Some(id) = suspect(evidence.deployed.as_ref(), incident.active_at) {
        incident.suspected_deployment_id = Some(id);
    }
    before != (incident.trace_lineage.clone(), incident.impacted_services.clone())
        || suspected_before != incident.suspected_deployment_id
}

fn reference(t: &TraceSeen) -> TraceRef {
    TraceRef {
        trace_id: t.trace_id.clone(),
        root_span_name: t.root_span_name.clone(),
        status: t.status,
        duration_ms: t.duration_ms,
        logs: t.logs.clone(),
    }
}
