//! What is due of an incident: enrichment at +30 s and +2 min, and the end of `confirmMs` (SPEC 5.5.4, A62). A due
//! instant that the incident no longer has gives nothing.

use super::{
    change::{self, Change, Says},
    enrich,
    facts::Teller,
    incident::EntryKind,
    input::SYSTEM,
    machine::{self, Resolution},
    view::IncidentView,
};
use opsloop_kernel::{Decision, TenantId, Timestamp};

pub(super) fn decide(tenant: &TenantId, view: &IncidentView, due: Option<Timestamp>, at: Timestamp) -> Decision {
    let Some(found) = &view.incident else { return Decision::because("gone") };
    if found.due.is_none() || found.due != due {
        return Decision::because("due-moved");
    }
    let mut change = Change::of(found, &view.policy, Teller { tenant, due: true });
    let mut reason = "nothing-new";
    if change.incident.plan.enrich_at.iter().any(|t| *t <= at) {
        change.incident.plan.enrich_at.retain(|t| *t > at);
        if enrich::apply(&mut change.incident, &view.evidence) {
            change.append(EntryKind::Enriched, at, Says::default());
            reason = "enriched";
        }
    }
    if change.incident.plan.confirm_at.is_some_and(|t| t <= at) {
        change.incident.plan.confirm_at = None;
        if resolve_by_itself(&mut change, view, at) {
            reason = "self-recovered";
        }
    }
    change.into(Decision::because(reason))
}

/// Only where the policy says so: never by default (gap G-13).
fn resolve_by_itself(change: &mut Change<'_>, view: &IncidentView, at: Timestamp) -> bool {
    let cause = change::self_recovered(SYSTEM);
    let by = Resolution { root_cause: Some(&cause), ..Resolution::default() };
    if !view.policy.auto_resolve {
        return false;
    }
    match machine::may_resolve(&change.incident, by, &view.policy, at) {
        Ok(cause) => {
            change.resolve(cause, at, SYSTEM, Some("confirmed".to_owned()));
            true
        }
        Err(_) => false,
    }
}
