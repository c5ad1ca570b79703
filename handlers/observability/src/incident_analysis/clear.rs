//! A clear meets the same root as its triggers: it leaves its mark, its episode known or not, and ends the episode
//! where the incident holds it (SPEC 5.5.4, A7, A37, A40). Missing data never ends anything (SPEC 3.11).

use super::{
    change::{Change, Says},
    facts::Teller,
    incident::{Cleared, EntryKind, Episode, Incident, Loaded, Root, SourceId, doc},
    input::{Clear, Ends, Mention},
    view::SourceView,
};
use crate::events::ClearReason;
use opsloop_kernel::{Decision, DocId, Document, Mutant, TenantId, Timestamp, Write, mutant};

/// Marks outlive every replay (SPEC 3.6: 30 d).
pub const KEPT_MS: i64 = 35 * 86_400_000;

pub(super) fn decide(tenant: &TenantId, c: &Clear, view: &SourceView, at: Timestamp) -> Decision {
    if c.stale && !is_an_act(c.reason) && !mutant::is(Mutant::RecoveryOnStaleData) {
        return Decision::because("stale-clear");
    }
    if !view.policy.takes(c.source.source) && view.root.is_none() {
        return Decision::because("not-in-policy");
    }
    let known = match c.ends {
        Ends::Episode { .. } => view.cleared.as_ref(),
        Ends::Until => view.cleared_until.as_ref().filter(|k| k.body.at >= c.at),
    };
    if known.is_some() {
        return Decision::because("already-cleared");
    }
    let open = view.named.as_ref().filter(|i| !i.body.is_resolved());
    let ended = open.map_or_else(Vec::new, |i| ended(c, &i.body));
    if ended.is_empty() && mutant::is(Mutant::ClearLeavesNoMark) {
        return Decision::because("cleared-unknown");
    }
    let decision = Decision::because(if ended.is_empty() { "cleared-unknown" } else { "cleared" })
        .write(mark(c, view, !ended.is_empty()))
        .write(root(&c.source, view, at));
    match open {
        Some(open) if !ended.is_empty() => {
            let mut change = Change::of(open, &view.policy, Teller { tenant, due: false });
            change.end(&c.source, &ended, c.at);
            change.into(decision)
        }
        _ => decision,
    }
}

/// A retraction that is taken back: told in the log, its episode stays over.
pub(super) fn taken_back(tenant: &TenantId, m: &Mention, view: &SourceView, at: Timestamp) -> Decision {
    let Some(open) = view.named.as_ref().filter(|i| !i.body.is_resolved()) else {
        return Decision::because("taken-back-unknown");
    };
    let mut change = Change::of(open, &view.policy, Teller { tenant, due: false });
    let (source, episode_id) = (Some(m.source.clone()), Some(m.episode_id.clone()));
    let reason = Some("retraction_taken_back".to_owned());
    change.append(EntryKind::Note, at, Says { source, episode_id, reason, ..Says::default() });
    change.into(Decision::because("taken-back")).write(root(&m.source, view, at))
}

/// Somebody's act, or the explicit exception of a rule; not missing data (SPEC 3.11).
fn is_an_act(reason: Option<ClearReason>) -> bool {
    reason.is_some_and(|r| r != ClearReason::ConditionCleared)
}

fn ended(c: &Clear, incident: &Incident) -> Vec<Episode> {
    let held = incident.source(&c.source).map_or(&[][..], |s| &s.episodes);
    let ends = |e: &&Episode| match &c.ends {
        Ends::Episode { .. } if mutant::is(Mutant::ClearEndsTheWholeSource) => true,
        Ends::Episode { rule, episode_id } => e.is(rule.as_deref(), episode_id),
        Ends::Until => e.at <= c.at,
    };
    held.iter().filter(ends).cloned().collect()
}

/// Where the mark of the clear lies.
pub fn mark_id(c: &Clear) -> DocId {
    match &c.ends {
        Ends::Episode { rule, episode_id } => doc::cleared(&c.source, rule.as_deref(), episode_id),
        Ends::Until => doc::cleared(&c.source, None, ""),
    }
}

fn mark(c: &Clear, view: &SourceView, logged: bool) -> Write {
    let older = match c.ends {
        Ends::Episode { .. } => None,
        Ends::Until => view.cleared_until.as_ref(),
    };
    let document =
        Document::new(mark_id(c), "cleared", &Cleared { at: c.at, logged }).expires(c.at.plus_millis(KEPT_MS));
    Write::Save(document, older.map(|k| k.etag.clone()))
}

/// Moved by every clear, also where there is no incident: its trigger may be deciding at this instant (A37).
fn root(source: &SourceId, view: &SourceView, at: Timestamp) -> Write {
    let kept = at.plus_millis(KEPT_MS);
    let etag = view.root.as_ref().map(|r: &Loaded<Root>| r.etag.clone());
    let body = view.root.as_ref().map_or_else(Root::default, |r| r.body.clone());
    let expires = view.root.as_ref().and_then(|r| r.expires).map_or(kept, |e| e.max(kept));
    Write::Save(Document::new(doc::root(source), "open", &body).expires(expires), etag)
}
