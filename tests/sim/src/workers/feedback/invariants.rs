//! SPEC 5.7.7, seen from the commits: one item for everything that was told, immutable, and of its own tenant.

use super::super::check::{Check, body, facts, list, text};
use crate::journal::{Applied, Change, Oracle, Verdict};
use opsloop_kernel::{TenantId, TraceId};
use opsloop_observability::{
    events::{FeedbackSource, kind},
    feedback_creation::item::feedback_item_id,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const ITEM: &str = "feedback-item";
/// What of the shares of contributors may be lost to rounding.
const ROUNDING: f64 = 1e-9;

pub fn invariants() -> Vec<Box<dyn Oracle>> {
    vec![
        Check::of_commits("FCW I1", one_of_each),
        Check::<()>::of_commits("FCW I2", |_, commit| each(commit, |_, item| has_a_trace(item))),
        Check::<()>::of_commits("FCW I3", |_, commit| each(commit, |_, item| shares_make_a_whole(item))),
        Check::of_commits("FCW I4", nothing_of_others),
        Check::<()>::of_commits("FCW revisions", |_, commit| the_latest_counts(commit)),
        Check::<()>::of_commits("FCW items", |_, commit| immutable_and_told(commit)),
    ]
}

fn items(commit: &Applied) -> impl Iterator<Item = &Change> {
    let here = commit.stream.name.starts_with("feedback/");
    commit.changes.iter().filter(move |c| here && c.kind() == ITEM)
}

fn each(commit: &Applied, rule: fn(&TenantId, &Value) -> Verdict) -> Verdict {
    for change in items(commit).filter(|c| c.after.is_some()) {
        rule(&commit.tenant, body(change.after.as_ref())).map_err(|why| format!("{}: {why}", change.id))?;
    }
    Ok(())
}

/// Of a tenant, by (source, sourceId): the document of its item, withdrawn or not.
fn one_of_each(known: &mut BTreeMap<(TenantId, String, String), String>, commit: &Applied) -> Verdict {
    for change in items(commit).filter(|c| c.before.is_none()) {
        let item = body(change.after.as_ref());
        let (source, source_id) = (text(item, "source").to_owned(), text(item, "sourceId").to_owned());
        let of = (commit.tenant.clone(), source, source_id);
        if let Some(before) = known.insert(of.clone(), change.id.to_string()) {
            return Err(format!("{of:?} has {before}, and now {}", change.id));
        }
    }
    Ok(())
}

fn has_a_trace(item: &Value) -> Verdict {
    TraceId::parse(text(item, "traceId")).map(|_| ())
}

fn shares_make_a_whole(item: &Value) -> Verdict {
    let contributors = list(&item["attribution"], "contributors");
    let sum: f64 = contributors.iter().filter_map(|c| c["share"].as_f64()).sum();
    if !contributors.is_empty() && (sum - 1.0).abs() > ROUNDING {
        return Err(format!("the shares sum to {sum}"));
    }
    let confidence = item["attribution"]["confidence"].as_f64().unwrap_or(f64::NAN);
    if (0.0..=1.0).contains(&confidence) { Ok(()) } else { Err(format!("confidence {confidence}")) }
}

/// Incidents bear their tenant in their id: one that another tenant has is not named. Nor is the item's own id another's.
fn nothing_of_others(incidents: &mut BTreeMap<String, BTreeSet<TenantId>>, commit: &Applied) -> Verdict {
    if commit.stream.name == "incidents" {
        for change in commit.changes.iter().filter(|c| c.kind() == "incident") {
            let id = text(body(change.after.as_ref()), "incidentId").to_owned();
            incidents.entry(id).or_default().insert(commit.tenant.clone());
        }
    }
    for change in items(commit).filter(|c| c.after.is_some()) {
        let item = body(change.after.as_ref());
        let evidence = list(item, "evidence").iter().filter(|r| text(r, "kind") == "incident").map(|r| text(r, "id"));
        let of_incident = (text(item, "source") == "incident").then(|| text(item, "sourceId"));
        for id in evidence.chain(of_incident) {
            if !incidents.get(id).is_some_and(|tenants| tenants.contains(&commit.tenant)) {
                return Err(format!("{} of {} names {id}, known of {:?}", change.id, commit.tenant, incidents.get(id)));
            }
        }
        let source: Result<FeedbackSource, _> = serde_json::from_value(item["source"].clone());
        let own = source.map(|s| feedback_item_id(&commit.tenant, s, text(item, "sourceId")));
        if own.as_deref().ok() != item["feedbackItemId"].as_str() {
            return Err(format!("{} is not derived from its tenant and source: {own:?}", change.id));
        }
    }
    Ok(())
}

/// Only `withdrawn` ever changes, and each state is told in the commit that makes it.
fn immutable_and_told(commit: &Applied) -> Verdict {
    for change in items(commit) {
        let (before, after) = (body(change.before.as_ref()), body(change.after.as_ref()));
        if after.is_null() {
            return Err(format!("{} is deleted", change.id));
        }
        let fields = || before.as_object().into_iter().chain(after.as_object()).flat_map(|o| o.keys());
        let moved = fields().find(|n| *n != "withdrawn" && before[n.as_str()] != after[n.as_str()]);
        if let Some(name) = moved.filter(|_| !before.is_null()) {
            return Err(format!("{}: `{name}` was {}, is {}", change.id, before[name.as_str()], after[name.as_str()]));
        }
        let told = facts(commit, kind::FEEDBACK_ITEM_CREATED).filter(|e| e.payload.0 == *after).count();
        let checked = commit.owed.iter().any(|e| e.payload_ref.is_some());
        if told != 1 && !checked {
            return Err(format!("{} is told {told} times", change.id));
        }
    }
    Ok(())
}

/// The revision that a source was decided by never falls, whatever comes last (A34).
fn the_latest_counts(commit: &Applied) -> Verdict {
    for change in commit.changes.iter().filter(|c| c.kind() == "feedback-root") {
        let of = |d| body(d)["revision"].as_u64();
        if let (Some(was), Some(is)) = (of(change.before.as_ref()), of(change.after.as_ref()))
            && is <= was
        {
            return Err(format!("{}: revision {is} after {was}", change.id));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
