//! What a decision looks at, read through the tenant's scope. What is named first is read first (SPEC 3.13): a root
//! before the incident that it names, a group before its incidents.

use super::{
    clear,
    enrich::{self, Evidence, TraceSeen},
    incident::{Cleared, Group, Incident, LastDeployment, Loaded, Root, SourceKind, doc, stream},
    input::{Clear, Ends, Said, Trigger},
    policy::IncidentPolicy,
    trigger,
    view::{IncidentView, SourceView, View},
};
use crate::{
    log_ingestion,
    trace_ingestion::{Entry, index, list_index},
};
use opsloop_kernel::{DocId, Scope, Stop, Timestamp, TraceId, window::HOUR_MS};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Incidents of one episode that operators may have resolved while it went on.
const EPISODE_INCIDENTS_MAX: u32 = 1_000;

async fn load<T: DeserializeOwned>(scope: &Scope<'_>, id: &DocId) -> Result<Option<Loaded<T>>, Stop> {
    match scope.get(&stream(), id).await? {
        Some(stored) => Ok(Some(Loaded::of(&stored)?)),
        None => Ok(None),
    }
}

pub(super) async fn source(scope: &Scope<'_>, said: &Said, policy: &IncidentPolicy) -> Result<View, Stop> {
    let mut view = SourceView { policy: policy.clone(), n: 1, ..SourceView::default() };
    view.root = load::<Root>(scope, &doc::root(said.source())).await?;
    if let Some(id) = view.root.as_ref().and_then(|r| r.body.incident_id.as_ref()) {
        view.named = load::<Incident>(scope, &doc::incident(id)).await?;
    }
    match said {
        Said::Trigger(t) => of_trigger(scope, t, &mut view).await?,
        Said::Clear(c) => of_clear(scope, c, &mut view).await?,
        Said::TakenBack(_) => {}
    }
    Ok(View::Source(Box::new(view)))
}

async fn of_clear(scope: &Scope<'_>, c: &Clear, view: &mut SourceView) -> Result<(), Stop> {
    let mark = load::<Cleared>(scope, &clear::mark_id(c)).await?;
    match c.ends {
        Ends::Episode { .. } => view.cleared = mark,
        Ends::Until => view.cleared_until = mark,
    }
    Ok(())
}

async fn of_trigger(scope: &Scope<'_>, t: &Trigger, view: &mut SourceView) -> Result<(), Stop> {
    view.cleared = load(scope, &doc::cleared(&t.source, t.rule.as_deref(), &t.episode_id)).await?;
    if matches!(t.source.source, SourceKind::Secret | SourceKind::Drift) {
        view.cleared_until = load(scope, &doc::cleared(&t.source, None, "")).await?;
    }
    if view.named.as_ref().is_some_and(|i| !i.body.is_resolved()) {
        return Ok(());
    }
    view.group = load::<Group>(scope, &doc::group(&trigger::group_key(t, &view.policy))).await?;
    let recent = view.group.as_ref().map(|g| g.body.recent.clone()).unwrap_or_default();
    for one in recent {
        let near = t.at.millis_since(one.opened_at).abs() <= trigger::CORRELATION_WINDOW_MS;
        if near && let Some(incident) = load(scope, &doc::incident(&one.incident_id)).await? {
            view.grouped.push(incident);
        }
    }
    view.n = free(scope, t).await?;
    view.deployed = deployment(scope, t.environment.as_deref(), t.module_id.as_deref()).await?;
    Ok(())
}

/// The smallest `n` whose incident does not exist (A8).
async fn free(scope: &Scope<'_>, t: &Trigger) -> Result<u32, Stop> {
    for n in 1..EPISODE_INCIDENTS_MAX {
        let id = trigger::incident_id(scope.tenant(), t, n);
        if scope.get(&stream(), &doc::incident(&id)).await?.is_none() {
            return Ok(n);
        }
    }
    Ok(EPISODE_INCIDENTS_MAX)
}

async fn deployment(
    scope: &Scope<'_>,
    environment: Option<&str>,
    module: Option<&str>,
) -> Result<Option<LastDeployment>, Stop> {
    let (Some(environment), Some(module)) = (environment, module) else { return Ok(None) };
    let found: Option<Loaded<LastDeployment>> = load(scope, &doc::deployed(environment, module)).await?;
    Ok(found.map(|d| d.body))
}

pub(super) async fn deployed(scope: &Scope<'_>, environment: &str, module: &str) -> Result<View, Stop> {
    Ok(View::Deployed(load(scope, &doc::deployed(environment, module)).await?))
}

/// `due`: the instant of what is due of it, for which the evidence is looked up; none for a command.
pub(super) async fn incident(
    scope: &Scope<'_>,
    id: &str,
    due: Option<Timestamp>,
    policy: &IncidentPolicy,
) -> Result<View, Stop> {
    let mut view = IncidentView { policy: policy.clone(), ..IncidentView::default() };
    view.incident = load::<Incident>(scope, &doc::incident(id)).await?;
    if let (Some(found), Some(at)) = (&view.incident, due)
        && found.body.plan.enrich_at.iter().any(|t| *t <= at)
    {
        view.evidence = evidence(scope, &found.body, at).await?;
    }
    Ok(View::Incident(Box::new(view)))
}

async fn evidence(scope: &Scope<'_>, i: &Incident, at: Timestamp) -> Result<Evidence, Stop> {
    let deployed = deployment(scope, i.environment.as_deref(), i.module_id.as_deref()).await?;
    let Some(module) = i.module_id.as_deref() else { return Ok(Evidence { traces: vec![], deployed }) };
    let mut traces =
        enrich::foremost(indexed(scope, module, i.active_at.plus_millis(-enrich::LOOK_BACK_MS), at).await?);
    for trace in &mut traces {
        trace.logs = log_ingestion::log_refs(scope, &trace.trace_id).await?;
    }
    Ok(Evidence { traces, deployed })
}

/// The traces of a module that were announced from then to then, each as its newest revision says.
async fn indexed(scope: &Scope<'_>, module: &str, from: Timestamp, until: Timestamp) -> Result<Vec<TraceSeen>, Stop> {
    let prefix = index::module_prefix(Some(module));
    let earliest = until.plus_millis(-(enrich::HOURS_MAX - 1) * HOUR_MS);
    let mut hour = from.max(earliest).floor_to(HOUR_MS, 0);
    let mut newest: BTreeMap<TraceId, Entry> = BTreeMap::new();
    while hour <= until {
        for entry in list_index(scope, hour, &prefix, enrich::ENTRIES_MAX).await? {
            let within = from <= entry.at && entry.at <= until;
            if within && newest.get(&entry.trace_id).is_none_or(|known| known.revision < entry.revision) {
                newest.insert(entry.trace_id.clone(), entry);
            }
        }
        hour = hour.plus_millis(HOUR_MS);
    }
    Ok(newest.into_values().map(TraceSeen::of).collect())
}
