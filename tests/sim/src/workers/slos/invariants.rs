//! SPEC 5.4.7 and the rules of 5.4.4, seen from the commits: the status of each minute, the root, breaches and
//! recoveries as they are owed.

use super::super::check::{Check, body, changes, facts, instant, is_true, list, of_the_end, text};
use crate::journal::{Applied, End, Oracle, Verdict};
use opsloop_kernel::{
    TenantId, Timestamp,
    window::{MINUTE_MS, allowed_lateness},
};
use opsloop_observability::events::{Severity, kind};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const STREAM: &str = "slos";

pub fn invariants() -> Vec<Box<dyn Oracle>> {
    vec![
        Check::<()>::of_commits("SLO I1", |_, commit| each(commit, only_closed_windows)),
        Check::<()>::of_commits("SLO I2", |_, commit| each(commit, budget_within_one)),
        Check::of_commits("SLO I3", alternate),
        Check::<()>::of_commits("SLO I4", |_, commit| each(commit, nothing_costs_nothing)),
        Check::<()>::of_commits("SLO stale", |_, commit| stale_keeps_the_state(commit)),
        Check::<()>::of_commits("SLO inhibition", |_, commit| the_severe_inhibits(commit)),
        Check::<()>::of_commits("SLO slots", |_, commit| in_order(commit)),
        of_the_end("SLO rest", |_, end| nothing_burns_without_its_slo(end)),
    ]
}

/// Every status that is written is held to the rule.
fn each(commit: &Applied, rule: fn(&Value) -> Verdict) -> Verdict {
    for change in changes(commit, STREAM, "status") {
        if change.after.is_some() {
            rule(body(change.after.as_ref())).map_err(|why| format!("{}: {why}", change.id))?;
        }
    }
    Ok(())
}

/// What is counted lies in windows that were closed at the slot. Without events `asOf` is the first slot.
fn only_closed_windows(status: &Value) -> Verdict {
    let (Some(slot), Some(as_of)) = (instant(status, "minute"), instant(status, "asOf")) else {
        return Err("no `minute` or no `asOf`".into());
    };
    let closed = as_of.plus(allowed_lateness(MINUTE_MS)) <= slot;
    let counted = number(status, "totalEvents") > 0.0;
    if counted && !closed { Err(format!("the slot {slot} has read up to {as_of}")) } else { Ok(()) }
}

fn budget_within_one(status: &Value) -> Verdict {
    let remaining = number(status, "budgetRemaining");
    if remaining <= 1.0 { Ok(()) } else { Err(format!("{remaining} of the budget remain")) }
}

fn nothing_costs_nothing(status: &Value) -> Verdict {
    let [total, good, consumed, remaining] =
        ["totalEvents", "goodEvents", "budgetConsumed", "budgetRemaining"].map(|name| number(status, name));
    if total == 0.0 && (consumed != 0.0 || remaining != 1.0) {
        return Err(format!("without traffic {consumed} is consumed, {remaining} remains"));
    }
    if (good + consumed - total).abs() > 1e-6 { Err(format!("{good} + {consumed} are not {total}")) } else { Ok(()) }
}

fn number(status: &Value, name: &str) -> f64 {
    status[name].as_f64().unwrap_or(f64::NAN)
}

/// Of one SLO and one of its rules, the empty one being the budget.
type Of = (TenantId, String, String);

/// Breaches and recoveries of one rule take turns, and a recovery is that of the breach before it.
fn alternate(active: &mut BTreeMap<Of, String>, commit: &Applied) -> Verdict {
    for e in commit.owed.iter().filter(|e| e.payload_ref.is_none()) {
        let payload = &e.payload.0;
        let of = || (commit.tenant.clone(), text(payload, "sloId").to_owned(), text(payload, "rule").to_owned());
        let episode = text(payload, "episodeId").to_owned();
        match e.event_type.as_str() {
            kind::SLO_BREACHED => {
                if let Some(before) = active.insert(of(), episode.clone()) {
                    return Err(format!("{:?} breaches in {episode} while {before} goes on", of()));
                }
            }
            kind::SLO_RECOVERED => {
                let before = active.remove(&of());
                if before.as_ref() != Some(&episode) {
                    return Err(format!("{:?} recovers from {episode}, active is {before:?}", of()));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A slot on stale data activates and recovers nothing (SPEC 5.4.4(4)).
fn stale_keeps_the_state(commit: &Applied) -> Verdict {
    let statuses: Vec<&Value> = changes(commit, STREAM, "status").map(|c| body(c.after.as_ref())).collect();
    for change in changes(commit, STREAM, "slots") {
        let (before, after) = (body(change.before.as_ref()), body(change.after.as_ref()));
        let of_it = |s: &&&Value| s["sloId"] == after["sloId"] && is_true(&s["freshness"], "stale");
        let Some(status) = statuses.iter().find(of_it) else { continue };
        let episodes = |root: &Value| -> Vec<(Value, Value)> {
            list(root, "active").iter().map(|a| (a["name"].clone(), a["since"].clone())).collect()
        };
        let kept = episodes(before) == episodes(after) && before["exhaustedSince"] == after["exhaustedSince"];
        if !kept {
            let slot = text(status, "minute");
            return Err(format!("{}: the slot {slot} is stale, and {before} became {after}", change.id));
        }
    }
    Ok(())
}

/// A lesser burn rule is not announced while a more severe one is active (SPEC 5.4.4(5)).
fn the_severe_inhibits(commit: &Applied) -> Verdict {
    for e in facts(commit, kind::SLO_BREACHED).filter(|e| e.payload.0["rule"].is_string()) {
        let of_it = |root: &&Value| root["sloId"] == e.payload.0["sloId"];
        let Some(root) = changes(commit, STREAM, "slots").map(|c| body(c.after.as_ref())).find(of_it) else { continue };
        let own = severity(&e.payload.0);
        if let Some(more) = list(root, "active").iter().find(|a| severity(a) > own) {
            return Err(format!("{} breaches beside {more}, which inhibits it", e.payload.0["rule"]));
        }
    }
    Ok(())
}

fn severity(of: &Value) -> Option<Severity> {
    Severity::deserialize(&of["severity"]).ok()
}

/// Every slot once, and in order: one status for each.
fn in_order(commit: &Applied) -> Verdict {
    for change in changes(commit, STREAM, "slots") {
        let last = |document| -> Option<Timestamp> { instant(body(document), "lastSlot") };
        if let (Some(before), Some(after)) = (last(change.before.as_ref()), last(change.after.as_ref()))
            && after < before
        {
            return Err(format!("{}: the slot {after} after {before}", change.id));
        }
    }
    Ok(())
}

fn nothing_burns_without_its_slo(end: &End<'_>) -> Verdict {
    let here = || end.documents.iter().filter(|d| d.stream.name == STREAM);
    let is_live = |slo: &Value| is_true(slo, "enabled") && !is_true(slo, "deleted");
    let slos = here().filter(|d| d.document.kind == "slo" && is_live(&d.document.body.0));
    let live: BTreeSet<(&TenantId, &str)> = slos.map(|d| (&d.tenant, text(&d.document.body.0, "sloId"))).collect();
    for root in here().filter(|d| d.document.kind == "slots") {
        let body = &root.document.body.0;
        let goes_on = !list(body, "active").is_empty() || body["exhaustedSince"].is_string();
        if goes_on && !live.contains(&(&root.tenant, text(body, "sloId"))) {
            return Err(format!("{}: the SLO of {body} is disabled or gone", root.tenant));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
