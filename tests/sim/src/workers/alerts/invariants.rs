//! SPEC 5.3.7 and the table of 5.3.4(3), seen from the commits: instances as they are stored, triggers and clears as
//! they are owed.

use super::super::check::{Check, body, changes, facts, instant, is_true, list, of_the_end, text};
use crate::journal::{Applied, Change, End, Oracle, Verdict};
use opsloop_kernel::{TenantId, Timestamp};
use opsloop_observability::events::kind;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const STREAM: &str = "rules";

pub fn invariants() -> Vec<Box<dyn Oracle>> {
    vec![
        Check::of_commits("AEW I1", alternate),
        Check::of_commits("AEW I2", not_before_for_ms),
        Check::of_commits("AEW I3", silence_resolves_nothing),
        Check::<()>::of_commits("AEW I4", |_, commit| nothing_raised_is_forgotten(commit)),
        Check::<()>::of_commits("AEW states", |_, commit| legal(commit)),
        Check::<()>::of_commits("AEW slots", |_, commit| in_order(commit)),
        of_the_end("AEW rest", |_, end| nothing_fires_without_its_rule(end)),
    ]
}

/// Of one instance: tenant, rule, fingerprint.
type Of = (TenantId, String, String);

fn of(commit: &Applied, payload: &Value) -> Of {
    (commit.tenant.clone(), text(payload, "ruleId").to_owned(), text(payload, "fingerprint").to_owned())
}

/// Triggers without `repeat` and clears take turns, and a clear is that of the trigger before it.
fn alternate(raised: &mut BTreeMap<Of, String>, commit: &Applied) -> Verdict {
    for e in &commit.owed {
        let (payload, episode) = (&e.payload.0, text(&e.payload.0, "episodeId").to_owned());
        if e.payload_ref.is_some() {
            continue;
        }
        match e.event_type.as_str() {
            kind::ALERT_TRIGGERED if is_true(payload, "repeat") => {
                let known = raised.get(&of(commit, payload));
                if known != Some(&episode) {
                    return Err(format!("{} repeats episode {episode}, raised is {known:?}", e.event_id));
                }
            }
            kind::ALERT_TRIGGERED => {
                if let Some(before) = raised.insert(of(commit, payload), episode.clone()) {
                    let of = of(commit, payload);
                    return Err(format!("{of:?} triggers episode {episode} while {before} is not resolved"));
                }
            }
            kind::ALERT_RESOLVED => {
                let before = raised.remove(&of(commit, payload));
                if before.as_ref() != Some(&episode) {
                    let of = of(commit, payload);
                    return Err(format!("{of:?} resolves episode {episode}, raised is {before:?}"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A rule as it was last committed.
#[derive(Clone, Debug, PartialEq)]
struct Rule {
    version: u64,
    for_ms: i64,
    policy: String,
}
#[derive(Default)]
struct Rules(BTreeMap<(TenantId, String), Rule>);

impl Rules {
    fn learn(&mut self, commit: &Applied) {
        for change in changes(commit, STREAM, "rule") {
            let rule = body(change.after.as_ref());
            if rule.is_null() {
                continue;
            }
            let id = (commit.tenant.clone(), text(rule, "ruleId").to_owned());
            let policy = text(rule, "noDataPolicy").to_owned();
            let (version, for_ms) = (rule["version"].as_u64().unwrap_or(0), rule["forMs"].as_i64().unwrap_or(0));
            self.0.insert(id, Rule { version, for_ms, policy });
        }
    }
    fn of(&self, commit: &Applied, payload: &Value) -> Result<&Rule, String> {
        let id = (commit.tenant.clone(), text(payload, "ruleId").to_owned());
        self.0.get(&id).ok_or_else(|| format!("{id:?} triggers, and no such rule was committed"))
    }
}

/// No trigger before `forMs` of truth: by the rule as it stands in this commit, and by the instance before it.
fn not_before_for_ms(rules: &mut Rules, commit: &Applied) -> Verdict {
    rules.learn(commit);
    for e in facts(commit, kind::ALERT_TRIGGERED) {
        let payload = &e.payload.0;
        if is_true(payload, "repeat") || text(&payload["labels"], "reason") == "no_data" {
            continue;
        }
        let rule = rules.of(commit, payload)?;
        if payload["ruleVersion"].as_u64() != Some(rule.version) {
            return Err(format!("{} is judged by {}, committed is {rule:?}", e.event_id, payload["ruleVersion"]));
        }
        let (Some(active), Some(slot)) = (instant(payload, "activeAt"), instant(payload, "windowStart")) else {
            return Err(format!("{} does not say since when", e.event_id));
        };
        let waited = slot.millis_since(active);
        if waited < rule.for_ms {
            return Err(format!("{} triggers after {waited} ms of truth, forMs is {}", e.event_id, rule.for_ms));
        }
        if rule.for_ms > 0 && !was_pending(commit, text(payload, "fingerprint"), active) {
            return Err(format!("{} triggers, and was not pending since {active} before", e.event_id));
        }
    }
    Ok(())
}

fn was_pending(commit: &Applied, fingerprint: &str, since: Timestamp) -> bool {
    let before = changes(commit, STREAM, "instances").flat_map(|c| list(body(c.before.as_ref()), "instances"));
    before.into_iter().any(|i| {
        text(i, "fingerprint") == fingerprint && text(i, "state") == "pending" && instant(i, "activeAt") == Some(since)
    })
}

/// Missing data resolves under `ok` alone, and what is too old resolves nothing.
fn silence_resolves_nothing(rules: &mut Rules, commit: &Applied) -> Verdict {
    rules.learn(commit);
    for e in facts(commit, kind::ALERT_RESOLVED) {
        let reason = text(&e.payload.0, "reason");
        let rule = rules.of(commit, &e.payload.0)?;
        if reason == "no_data_ok" && rule.policy != "ok" {
            return Err(format!("{} resolves for want of data, noDataPolicy is {}", e.event_id, rule.policy));
        }
        if reason == "condition_cleared" && e.freshness.as_ref().is_none_or(|f| f.stale) {
            return Err(format!("{} resolves on stale input: {:?}", e.event_id, e.freshness));
        }
    }
    Ok(())
}

fn is_raised(instance: &Value) -> bool {
    matches!(text(instance, "state"), "firing" | "recovering")
}

fn found<'a>(change: &'a Change, instance: &Value) -> Option<&'a Value> {
    let after = list(body(change.after.as_ref()), "instances");
    after.iter().find(|i| i["fingerprint"] == instance["fingerprint"])
}

/// What is raised stays raised in its episode until a clear of that episode is owed in the same commit.
fn nothing_raised_is_forgotten(commit: &Applied) -> Verdict {
    for change in changes(commit, STREAM, "instances") {
        for before in list(body(change.before.as_ref()), "instances").iter().filter(|i| is_raised(i)) {
            let goes_on = |i: &Value| is_raised(i) && i["activeAt"] == before["activeAt"];
            if found(change, before).is_some_and(goes_on) {
                continue;
            }
            let episode = instant(before, "activeAt").map(|t| t.millis().to_string());
            let fingerprint = text(before, "fingerprint");
            let clears =
                |p: &Value| text(p, "fingerprint") == fingerprint && p["episodeId"].as_str() == episode.as_deref();
            if !facts(commit, kind::ALERT_RESOLVED).any(|e| clears(&e.payload.0)) {
                let after = found(change, before).map_or("gone", |i| text(i, "state"));
                return Err(format!(
                    "{}: {fingerprint} was raised in {episode:?}, is {after}, and no clear is owed",
                    change.id
                ));
            }
        }
    }
    Ok(())
}

/// The table of SPEC 5.3.4(3), from one commit to the next.
fn legal(commit: &Applied) -> Verdict {
    for change in changes(commit, STREAM, "instances") {
        let had = list(body(change.before.as_ref()), "instances");
        for instance in list(body(change.after.as_ref()), "instances") {
            let before = had.iter().find(|i| i["fingerprint"] == instance["fingerprint"]);
            let (from, to) = (before.map_or("", |i| text(i, "state")), text(instance, "state"));
            let fits = match to {
                "pending" => from != "recovering",
                "firing" => true,
                "recovering" => matches!(from, "firing" | "recovering"),
                "inactive" => matches!(from, "firing" | "recovering" | "inactive"),
                _ => false,
            };
            let fired = matches!(to, "pending") || instance["firedAt"].is_string();
            let resolved = (to == "inactive") == instance["resolvedAt"].is_string();
            if !fits || !fired || !resolved {
                return Err(format!("{}: from `{from}` to {instance}", change.id));
            }
        }
    }
    Ok(())
}

/// Every slot once, and in order.
fn in_order(commit: &Applied) -> Verdict {
    for change in changes(commit, STREAM, "slots") {
        let last = |document| instant(body(document), "lastSlot");
        if let (Some(before), Some(after)) = (last(change.before.as_ref()), last(change.after.as_ref()))
            && after < before
        {
            return Err(format!("{}: the slot {after} after {before}", change.id));
        }
        let announces = facts(commit, kind::ALERT_TRIGGERED).next().is_some();
        if announces
            && last(change.before.as_ref()).is_some()
            && last(change.before.as_ref()) == last(change.after.as_ref())
        {
            return Err(format!("{}: triggers without a new slot", change.id));
        }
    }
    Ok(())
}

fn nothing_fires_without_its_rule(end: &End<'_>) -> Verdict {
    let here = || end.documents.iter().filter(|d| d.stream.name == STREAM);
    let is_live = |rule: &Value| is_true(rule, "enabled") && !is_true(rule, "deleted");
    let rules = here().filter(|d| d.document.kind == "rule" && is_live(&d.document.body.0));
    let live: BTreeSet<(&TenantId, &str)> = rules.map(|d| (&d.tenant, text(&d.document.body.0, "ruleId"))).collect();
    for chunk in here().filter(|d| d.document.kind == "instances") {
        let (rule, instances) = (text(&chunk.document.body.0, "ruleId"), list(&chunk.document.body.0, "instances"));
        let raised = instances.iter().find(|i| is_raised(i));
        if let Some(raised) = raised.filter(|_| !live.contains(&(&chunk.tenant, rule))) {
            return Err(format!("{}: {rule} is disabled or gone, and {raised} goes on", chunk.tenant));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
