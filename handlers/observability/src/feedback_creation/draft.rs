//! What an incident, an anomaly, a person or a signal makes an item say (SPEC 5.7.3).

use super::{
    attribution::Artifact,
    evidence::{Day, Occurrence},
    input::{CostAnomaly, Direction, NewFeedback, Origin},
    item::Draft,
    tables,
};
use crate::events::{FeedbackCategory, FeedbackSource, IncidentResolved, Ref, Severity, SignalKind};
use opsloop_kernel::TraceId;
use serde::Serialize;
use std::collections::BTreeMap;

pub const STALE_INPUT: &str = "stale_input";

pub fn of_incident(origin: &Origin, incident: &IncidentResolved) -> Draft {
    let cause = &incident.root_cause;
    let category = tables::category_of_cause(cause.category);
    Draft {
        source: FeedbackSource::Incident,
        source_id: incident.incident_id.clone(),
        project_id: origin.project.clone(),
        module_id: origin.module.clone(),
        trace_id: incident.trace_lineage.first().map_or_else(|| origin.trace_id.clone(), |t| t.trace_id.clone()),
        category,
        severity: incident.severity,
        sentiment: tables::sentiment_of_incident(incident.severity, incident.opened_on_stale),
        title: format!("Incident of severity {} resolved: {}", word(&incident.severity), word(&cause.category)),
        summary: cause.summary.clone(),
        evidence: evidence_of_incident(incident),
        dimensions: origin.dimensions.clone(),
    }
}

/// The root cause names an artifact: nothing is better known.
pub fn named_by(incident: &IncidentResolved) -> Option<Artifact> {
    let cause = &incident.root_cause;
    let artifact_id = cause.artifact_id.clone()?;
    Some(Artifact { artifact_id, agent_id: cause.agent_id.clone(), skill_id: cause.skill_id.clone() })
}

/// The weightiest first, for what is beyond the limit is cut.
fn evidence_of_incident(incident: &IncidentResolved) -> Vec<Ref> {
    let mut evidence = vec![];
    if incident.opened_on_stale {
        evidence.push(reference(STALE_INPUT, &incident.incident_id));
    }
    evidence.push(reference("incident", &incident.incident_id));
    evidence.extend(incident.suspected_deployment_id.iter().map(|id| reference("deployment", id)));
    evidence.extend(incident.trace_lineage.iter().map(|t| reference("trace", t.trace_id.as_str())));
    evidence.extend(incident.sources.iter().map(|s| reference(&s.source, &s.source_id)));
    evidence.extend(incident.root_cause.evidence.iter().cloned());
    evidence
}

pub fn of_anomaly(origin: &Origin, anomaly: &CostAnomaly) -> Draft {
    let (severity, sentiment, what) = match anomaly.direction {
        Direction::Spike => (anomaly.severity, tables::sentiment_of_spike(anomaly.severity), "rose"),
        Direction::Drop => (Severity::Info, tables::sentiment_of_drop(), "fell"),
    };
    let strongest = anomaly.contributors.iter().max_by_key(|c| c.impact.amount_micros.unsigned_abs());
    let trace = strongest.filter(|c| c.reference.kind == "trace").and_then(|c| TraceId::parse(&c.reference.id).ok());
    let mut evidence = vec![reference("cost_anomaly", &anomaly.anomaly_id)];
    evidence.extend(anomaly.contributors.iter().map(|c| c.reference.clone()));
    Draft {
        source: FeedbackSource::CostAnomaly,
        source_id: anomaly.anomaly_id.clone(),
        project_id: origin.project.clone(),
        module_id: origin.module.clone(),
        trace_id: trace.unwrap_or_else(|| origin.trace_id.clone()),
        category: FeedbackCategory::Cost,
        severity,
        sentiment,
        title: format!("Cost of {} {what} on {}", anomaly.category, anomaly.day),
        summary: format!("The cost of {} {what} beyond what the weeks before let expect.", anomaly.category),
        evidence,
        dimensions: origin.dimensions.clone(),
    }
}

pub fn of_asked(origin: &Origin, asked: &NewFeedback) -> Draft {
    let said = [("agentId", &asked.agent_id), ("skillId", &asked.skill_id)];
    let dimensions = said.into_iter().filter_map(|(name, id)| Some((name.to_owned(), id.clone()?)));
    Draft {
        source: asked.source,
        source_id: origin.event_id.clone(),
        project_id: origin.project.clone(),
        module_id: origin.module.clone(),
        trace_id: asked.trace_id.clone().unwrap_or_else(|| origin.trace_id.clone()),
        category: asked.category.unwrap_or(FeedbackCategory::Reliability),
        severity: asked.severity,
        sentiment: tables::labelled(asked.sentiment),
        title: asked.title.trim().to_owned(),
        summary: asked.summary.clone(),
        evidence: asked.evidence.clone(),
        dimensions: dimensions.collect(),
    }
}

/// The earliest counted occurrence speaks for all of them.
pub fn of_signal(day: &Day, first: &Occurrence) -> Draft {
    let mut evidence = vec![reference("signal", &day.fingerprint)];
    evidence.extend(day.first.iter().map(|o| reference("trace", o.trace_id.as_str())));
    Draft {
        source: FeedbackSource::RuntimeSignal,
        source_id: day.source_id(),
        project_id: day.project_id.clone(),
        module_id: first.module_id.clone(),
        trace_id: first.trace_id.clone(),
        category: tables::category_of_signal(first.kind, first.error_type.as_deref()),
        severity: tables::severity_of_signal(first.kind),
        sentiment: tables::sentiment_of_signal(first.kind),
        title: format!("{} in {}", title_of(first.kind), first.module_id.as_deref().unwrap_or("an unnamed module")),
        summary: summary_of(first),
        evidence,
        dimensions: first.dimensions(),
    }
}

fn title_of(kind: SignalKind) -> &'static str {
    match kind {
        SignalKind::ErrorTrace => "Failing traces",
        SignalKind::LatencyOutlier => "Slow traces",
        SignalKind::RetryStorm => "Retry storms",
    }
}

fn summary_of(first: &Occurrence) -> String {
    let root = first.root_span_name.as_deref().unwrap_or("a trace without root");
    match (&first.error_type, first.kind) {
        (Some(error), SignalKind::ErrorTrace) => format!("{root}: {error} begins in `{}`.", first.span_name),
        (None, SignalKind::ErrorTrace) => format!("{root}: the error begins in `{}`.", first.span_name),
        (_, SignalKind::LatencyOutlier) => format!("{root}: `{}` takes longer than its threshold.", first.span_name),
        (_, SignalKind::RetryStorm) => format!("{root}: calls below `{}` fail again and again.", first.span_name),
    }
}

fn reference(kind: &str, id: &str) -> Ref {
    Ref { kind: kind.to_owned(), id: id.to_owned() }
}

/// The word that a value of an enum has on the wire.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        _ => String::new(),
    }
}

/// Agent and skill of a trace.
pub fn dimensions_of(agent: Option<&String>, skill: Option<&String>) -> BTreeMap<String, String> {
    let named = [("agentId", agent), ("skillId", skill)];
    named.into_iter().filter_map(|(name, id)| Some((name.to_owned(), id?.clone()))).collect()
}
