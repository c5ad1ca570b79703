//! A trigger meets its source's root: it is appended to the incident that is open, or joins a related one, or opens
//! one (SPEC 5.5.4(1) to (4)). The rule easily broken: an episode whose clear has come first never activates anything.

use super::{
    change::{Change, Says},
    facts::Teller,
    incident::{Cleared, EntryKind, Group, Incident, Loaded, Plan, Recent, Root, SourceKind, doc},
    input::Trigger,
    policy::{GroupBy, IncidentPolicy},
    view::SourceView,
};
use crate::events::IncidentStatus;
use opsloop_kernel::{Decision, Document, LabelSet, Mutant, TenantId, Timestamp, Write, ids, mutant};

/// Triggers of one group within it are one incident.
pub const CORRELATION_WINDOW_MS: i64 = 600_000;
/// An incident resolved by then is the one before.
pub const PREVIOUS_WITHIN_MS: i64 = 24 * 3_600_000;
/// Beyond, a related source opens an incident of its own (A69).
pub const SOURCES_MAX: usize = 1_000;
/// Incidents of a group that a trigger looks at: more are not opened within the window.
pub const GROUP_RECENT_MAX: usize = 20;
/// When enrichment is tried after opening.
pub const ENRICH_AFTER_MS: [i64; 2] = [30_000, 120_000];
/// A deployment is suspected that completed at most so long before.
pub const SUSPECTED_WITHIN_MS: i64 = 60 * 60_000;
/// What only the window needs outlives every replay.
const GROUP_KEPT_MS: i64 = super::clear::KEPT_MS;

pub(super) fn decide(tenant: &TenantId, t: &Trigger, view: &SourceView, at: Timestamp) -> Decision {
    if !view.policy.takes(t.source.source) {
        return Decision::because("not-in-policy");
    }
    let over = over(t, view);
    let teller = Teller { tenant, due: false };
    if let Some(open) = view.named.as_ref().filter(|i| !i.body.is_resolved()) {
        return append(t, view, open, over, at, teller);
    }
    // A late repeat of what is over, or a trigger of what a log has told to its end, is no news (A7, A40).
    if over.as_ref().is_some_and(|o| t.repeat || o.logged()) {
        return Decision::because("episode-over");
    }
    match related(t, view) {
        Some(found) => attach(t, view, found, over, at, teller),
        None => open(tenant, t, view, over, at, teller),
    }
}

/// That the episode has been cleared already.
pub(super) enum Over<'a> {
    Marked(&'a Loaded<Cleared>),
    /// By a clear that names no episode, of this instant.
    Until(Timestamp),
}
impl Over<'_> {
    fn since(&self) -> Timestamp {
        match self {
            Self::Marked(mark) => mark.body.at,
            Self::Until(at) => *at,
        }
    }
    fn logged(&self) -> bool {
        matches!(self, Self::Marked(mark) if mark.body.logged)
    }
}

fn over<'a>(t: &Trigger, view: &'a SourceView) -> Option<Over<'a>> {
    if let Some(mark) = &view.cleared {
        return Some(Over::Marked(mark));
    }
    let until = view.cleared_until.as_ref()?;
    (t.at <= until.body.at).then_some(Over::Until(until.body.at))
}

fn append(
    t: &Trigger,
    view: &SourceView,
    open: &Loaded<Incident>,
    over: Option<Over<'_>>,
    at: Timestamp,
    teller: Teller<'_>,
) -> Decision {
    let mut change = Change::of(open, &view.policy, teller);
    change.append(EntryKind::Trigger, at, Says::of(t));
    change.count_trigger(t, over.as_ref().map(Over::since));
    let reason = if over.is_some() { "already-cleared" } else { "already-open" };
    let mut decision = Decision::because(reason);
    match over {
        Some(over) => decision = tell(decision, &mut change, t, over, at),
        None => change.raise(t.severity, at),
    }
    let (id, n) = (open.body.incident_id.clone(), view.root.as_ref().map_or(1, |r| r.body.n));
    change.into(decision).write(root(t, view, id, n, at))
}

fn attach(
    t: &Trigger,
    view: &SourceView,
    found: &Loaded<Incident>,
    over: Option<Over<'_>>,
    at: Timestamp,
    teller: Teller<'_>,
) -> Decision {
    let mut change = Change::of(found, &view.policy, teller);
    change.append(EntryKind::Attached, at, Says::of(t));
    change.count_trigger(t, over.as_ref().map(Over::since));
    change.raise(t.severity, at);
    let mut decision = Decision::because("attached");
    if let Some(over) = over {
        decision = tell(decision, &mut change, t, over, at);
    }
    let id = found.body.incident_id.clone();
    decision = answer(decision, t, &change, 200);
    change.into(decision).write(root(t, view, id, 1, at)).write(group(t, view, None, at))
}

fn open(
    tenant: &TenantId,
    t: &Trigger,
    view: &SourceView,
    over: Option<Over<'_>>,
    at: Timestamp,
    teller: Teller<'_>,
) -> Decision {
    let n = if mutant::is(Mutant::SecondIncidentTakesTheFirstsId) { 1 } else { view.n.max(1) };
    let incident = new_incident(incident_id(tenant, t, n), t, view, at);
    let (id, recent) =
        (incident.incident_id.clone(), Recent { opened_at: at, incident_id: incident.incident_id.clone() });
    let mut change = Change::opening(incident, &view.policy, teller);
    change.open(at, t);
    change.append(EntryKind::Trigger, at, Says::of(t));
    change.count_trigger(t, over.as_ref().map(Over::since));
    change.escalate_if_critical(at, "critical");
    let mut decision = Decision::because("opened");
    if let Some(over) = over {
        decision = tell(decision, &mut change, t, over, at);
    }
    change.announce_opened(&t.source);
    decision = answer(decision, t, &change, 201);
    change.into(decision).write(root(t, view, id, n, at)).write(group(t, view, Some(recent), at))
}

/// Somebody who opens by hand is told which incident it became.
fn answer(decision: Decision, t: &Trigger, change: &Change<'_>, status: u16) -> Decision {
    if t.source.source != SourceKind::Manual {
        return decision;
    }
    decision.answer(status, &super::command::shown(&change.incident))
}

/// The clear that came first is appended where its trigger meets it, once.
fn tell(decision: Decision, change: &mut Change<'_>, t: &Trigger, over: Over<'_>, at: Timestamp) -> Decision {
    if over.logged() || (matches!(over, Over::Until(_)) && t.repeat) {
        return decision;
    }
    change.tell_cleared(t, at);
    match over {
        Over::Until(_) => decision,
        Over::Marked(mark) => {
            let body = Cleared { logged: true, ..mark.body.clone() };
            let id = doc::cleared(&t.source, t.rule.as_deref(), &t.episode_id);
            let mut document = Document::new(id, "cleared", &body);
            document.expires = mark.expires;
            decision.write(Write::Save(document, Some(mark.etag.clone())))
        }
    }
}

/// The oldest of those that it may join, then the smallest id.
fn related<'a>(t: &Trigger, view: &'a SourceView) -> Option<&'a Loaded<Incident>> {
    let key = group_key(t, &view.policy);
    let near = |i: &Incident| i.group_key == key && t.at.millis_since(i.opened_at).abs() <= CORRELATION_WINDOW_MS;
    let grouped = view.grouped.iter().filter(|i| near(&i.body));
    let by_trace = t.source.source.joins_by_trace().then_some(view.correlated.as_deref()).flatten().unwrap_or_default();
    grouped
        .chain(by_trace)
        .filter(|i| is_joinable(&i.body))
        .min_by(|a, b| (a.body.opened_at, &a.body.incident_id).cmp(&(b.body.opened_at, &b.body.incident_id)))
}

fn is_joinable(i: &Incident) -> bool {
    let goes_on = !matches!(i.status, IncidentStatus::Mitigated | IncidentStatus::Resolved);
    goes_on && i.sources.len() < SOURCES_MAX
}

/// The values of the policy's `groupBy`; an absent one is empty.
pub fn group_key(t: &Trigger, policy: &IncidentPolicy) -> String {
    let value = |by: &GroupBy| match by {
        GroupBy::ProjectId => ("projectId", t.project_id.clone().unwrap_or_default()),
        GroupBy::Environment => ("environment", t.environment.clone().unwrap_or_default()),
        GroupBy::ModuleId => ("moduleId", t.module_id.clone().unwrap_or_default()),
    };
    policy.group_by.iter().map(value).collect::<LabelSet>().canonical()
}

/// Derived from the episode; `n` is a part of it from the second on (A8).
pub fn incident_id(tenant: &TenantId, t: &Trigger, n: u32) -> String {
    let mut parts = vec![t.source.source.to_string(), t.source.source_id.clone(), t.episode_id.clone()];
    if n > 1 {
        parts.push(n.to_string());
    }
    ids::derived_id("inc", "incident", tenant, parts)
}

fn new_incident(incident_id: String, t: &Trigger, view: &SourceView, at: Timestamp) -> Incident {
    let previous = view
        .named
        .as_ref()
        .filter(|p| p.body.resolved_at.is_some_and(|resolved| at.millis_since(resolved) <= PREVIOUS_WITHIN_MS));
    Incident {
        incident_id,
        project_id: t.project_id.clone(),
        module_id: t.module_id.clone(),
        environment: t.environment.clone(),
        title: t.title.clone(),
        severity: t.severity,
        status: IncidentStatus::Open,
        sources: vec![],
        group_key: group_key(t, &view.policy),
        trace_id: None,
        trace_lineage: vec![],
        impacted_services: vec![],
        suspected_deployment_id: super::enrich::suspect(view.deployed.as_ref(), t.active_at),
        active_at: t.active_at,
        opened_at: at,
        acknowledged_at: None,
        mitigated_at: None,
        resolved_at: None,
        entered_at: at,
        root_cause: None,
        last_seq: 0,
        transitions: 0,
        escalations: 0,
        post_mortem_notes: vec![],
        previous_incident_id: previous.map(|p| p.body.incident_id.clone()),
        correlation_id: t.correlation_id.clone(),
        opened_by_trace: t.trace_id.clone(),
        opened_on_stale: t.stale,
        plan: Plan { enrich_at: ENRICH_AFTER_MS.map(|ms| at.plus_millis(ms)).to_vec(), confirm_at: None },
        version: 0,
    }
}

/// Kept as long as an incident after the last trigger (SPEC 5.5.7).
fn root(t: &Trigger, view: &SourceView, incident_id: String, n: u32, at: Timestamp) -> Write {
    let body = Root { incident_id: Some(incident_id), n };
    let kept = at.plus_millis(view.policy.kept_ms());
    let expires = view.root.as_ref().and_then(|r| r.expires).map_or(kept, |e| e.max(kept));
    let document = Document::new(doc::root(&t.source), "open", &body).expires(expires);
    Write::Save(document, view.root.as_ref().map(|r| r.etag.clone()))
}

/// Saved whenever an incident opens or a source joins one, so that two rules that fire together meet here.
fn group(t: &Trigger, view: &SourceView, opened: Option<Recent>, at: Timestamp) -> Write {
    let mut body = view.group.as_ref().map_or_else(Group::default, |g| g.body.clone());
    body.recent.extend(opened);
    body.recent.sort();
    let beyond = body.recent.len().saturating_sub(GROUP_RECENT_MAX);
    body.recent.drain(..beyond);
    let kept = at.plus_millis(GROUP_KEPT_MS);
    let expires = view.group.as_ref().and_then(|g| g.expires).map_or(kept, |e| e.max(kept));
    let document = Document::new(doc::group(&group_key(t, &view.policy)), "group", &body).expires(expires);
    Write::Save(document, view.group.as_ref().map(|g| g.etag.clone()))
}
