//! SPEC 5.5.8 and the table of 5.5.3, seen from the commits; and that what is over is over (A7, A37).

use super::{
    super::check::{Check, body, changes, facts, instant, list, of_the_end, text},
    history::{STREAM, Step, steps},
    machine,
};
use crate::journal::{Applied, End, Oracle, Verdict};
use opsloop_kernel::{Document, TenantId, Timestamp};
use opsloop_observability::events::kind;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub fn invariants() -> Vec<Box<dyn Oracle>> {
    vec![
        Check::<()>::of_commits("IAW I1", |_, commit| each(commit, resolved_with_a_cause)),
        Check::<()>::of_commits("IAW I2", |_, commit| log_without_gaps(commit)),
        Check::<()>::of_commits("IAW I3", |_, commit| each(commit, never_less_severe)),
        Check::of_commits("IAW I4", one_open_per_source),
        Check::<()>::of_commits("IAW I5", |_, commit| each(commit, times_in_order)),
        Check::of_commits("IAW I6", told_once),
        Check::<()>::of_commits("IAW states", |_, commit| each(commit, legal)),
        Check::<()>::of_commits("IAW end", |_, commit| each(commit, resolved_is_the_end)),
        Check::of_commits("IAW own clear", only_its_own_episode),
        of_the_end("IAW A7", |_, end| what_is_over_is_over(end)),
        Check::of_both("IAW A37", remember_clears, every_clear_reached_its_source),
    ]
}

/// Every incident that a commit writes is held to the rule.
fn each(commit: &Applied, rule: fn(&Step<'_>) -> Verdict) -> Verdict {
    for step in steps(commit)? {
        rule(&step).map_err(|why| format!("{} of {}: {why}", step.id, commit.tenant))?;
    }
    Ok(())
}

fn resolved_with_a_cause(step: &Step<'_>) -> Verdict {
    let caused = step.after["rootCause"].is_object() && step.after["resolvedAt"].is_string();
    if step.is() == "Resolved" && !caused {
        return Err(format!("Resolved, and rootCause is {}", step.after["rootCause"]));
    }
    Ok(())
}

/// From 1, each entry once, and none ever changed.
fn log_without_gaps(commit: &Applied) -> Verdict {
    for change in changes(commit, STREAM, "log") {
        if change.before.is_some() {
            return Err(format!("{} is written again, or gone", change.id));
        }
    }
    let steps = steps(commit)?;
    for step in &steps {
        let last = |incident: &Value| incident["lastSeq"].as_u64().unwrap_or(0);
        let came: Vec<u64> = step.entries.iter().filter_map(|e| e["seq"].as_u64()).collect();
        let wanted: Vec<u64> = (last(step.before) + 1..=last(step.after)).collect();
        if came != wanted {
            return Err(format!("the log of {} gets {came:?}, its lastSeq wants {wanted:?}", step.id));
        }
    }
    let entries: usize = steps.iter().map(|s| s.entries.len()).sum();
    let written = changes(commit, STREAM, "log").count();
    if entries == written { Ok(()) } else { Err(format!("{written} entries, {entries} of incidents in this commit")) }
}

fn never_less_severe(step: &Step<'_>) -> Verdict {
    let (was, is) = (text(step.before, "severity"), text(step.after, "severity"));
    if machine::rank(is).is_none() || machine::rank(is) < machine::rank(was) {
        return Err(format!("severity {is} after `{was}`"));
    }
    Ok(())
}

/// A source of a tenant, as `kind|id`.
type Source = (TenantId, String);

/// By source: the incidents that hold it and are not resolved, and the one that its root names.
#[derive(Default)]
struct Holders {
    open: BTreeMap<Source, BTreeSet<String>>,
    roots: BTreeMap<Source, String>,
}

fn one_open_per_source(known: &mut Holders, commit: &Applied) -> Verdict {
    for change in changes(commit, STREAM, "open") {
        let source = change.id.0.strip_prefix("open|").unwrap_or_default().to_owned();
        let named = text(body(change.after.as_ref()), "incidentId").to_owned();
        known.roots.insert((commit.tenant.clone(), source), named);
    }
    for step in steps(commit)? {
        for s in list(step.after, "sources") {
            let source = (commit.tenant.clone(), format!("{}|{}", text(s, "source"), text(s, "sourceId")));
            let holders = known.open.entry(source.clone()).or_default();
            if step.is() == "Resolved" {
                holders.remove(step.id);
                continue;
            }
            holders.insert(step.id.to_owned());
            if holders.len() > 1 {
                return Err(format!("{source:?} is held by {holders:?}, none of them resolved"));
            }
            let root = known.roots.get(&source);
            if root.is_none_or(|r| r != step.id) {
                return Err(format!("{source:?} is held by {}, its root names {root:?}", step.id));
            }
        }
    }
    Ok(())
}

fn times_in_order(step: &Step<'_>) -> Verdict {
    let names = ["openedAt", "acknowledgedAt", "mitigatedAt", "resolvedAt"];
    let times = names.iter().filter_map(|n| Some((n, instant(step.after, n)?)));
    let times: Vec<(&&str, Timestamp)> = times.collect();
    match times.windows(2).find(|pair| pair[1].1 < pair[0].1) {
        Some(pair) => Err(format!("{pair:?} in this order")),
        None => Ok(()),
    }
}

/// `IncidentOpened` with the opening, `IncidentResolved` with the resolution, and neither ever again.
fn told_once(told: &mut BTreeSet<(TenantId, String, &'static str)>, commit: &Applied) -> Verdict {
    for kind in [kind::INCIDENT_OPENED, kind::INCIDENT_RESOLVED] {
        for e in facts(commit, kind) {
            let id = text(&e.payload.0, "incidentId").to_owned();
            if !told.insert((commit.tenant.clone(), id.clone(), kind)) {
                return Err(format!("{kind} of {id} a second time"));
            }
        }
    }
    if commit.owed.iter().any(|e| e.payload_ref.is_some()) {
        return Ok(());
    }
    for step in steps(commit)? {
        let owed = |kind| facts(commit, kind).filter(|e| text(&e.payload.0, "incidentId") == step.id).count();
        let resolves = step.is() == "Resolved" && step.was() != "Resolved";
        let moves = step.transitions().count() + usize::from(step.opens());
        let wanted = [usize::from(step.opens()), usize::from(resolves), moves];
        let found = [kind::INCIDENT_OPENED, kind::INCIDENT_RESOLVED, kind::INCIDENT_TRANSITIONED].map(owed);
        if found != wanted {
            return Err(format!("{}: opened, resolved, moved {wanted:?} times, told {found:?}", step.id));
        }
    }
    Ok(())
}

/// Marks of clears, by tenant.
type Marks = BTreeSet<(TenantId, String)>;

/// An episode leaves an incident that goes on only by a clear of its own, or one of all up to a time (A9).
fn only_its_own_episode(marks: &mut Marks, commit: &Applied) -> Verdict {
    let came = changes(commit, STREAM, "cleared").filter(|c| c.after.is_some());
    marks.extend(came.map(|c| (commit.tenant.clone(), c.id.0.clone())));
    for step in steps(commit)?.iter().filter(|s| s.is() != "Resolved") {
        for source in list(step.before, "sources") {
            let same = |s: &&Value| s["source"] == source["source"] && s["sourceId"] == source["sourceId"];
            let left = list(step.after, "sources").iter().find(same).map_or(&[][..], |s| list(s, "episodes"));
            for episode in list(source, "episodes") {
                let (rule, id) = (text(episode, "rule"), text(episode, "episodeId"));
                let goes_on = left.iter().any(|e| text(e, "rule") == rule && text(e, "episodeId") == id);
                let is_marked = |mark: String| marks.contains(&(commit.tenant.clone(), mark));
                if !goes_on && !is_marked(mark_of(source, rule, id)) && !is_marked(mark_of(source, "", "")) {
                    return Err(format!("{} lets go of {episode}, which no clear has ended (A9)", step.id));
                }
            }
        }
    }
    Ok(())
}

/// The transitions in the log lead from the state before to the state after, each by the table.
fn legal(step: &Step<'_>) -> Verdict {
    let mut at = step.was();
    if step.opens() {
        let first = step.entries.first().map_or("", |e| text(e, "kind"));
        if first != "opened" {
            return Err(format!("its log begins with `{first}`"));
        }
        at = "Open";
    }
    for (from, to) in step.transitions() {
        if from != at || !machine::leads(from, to) {
            return Err(format!("from {from} to {to} in {at}"));
        }
        at = to;
    }
    if at != step.is() {
        return Err(format!("its log leads to {at}, it is {}", step.is()));
    }
    let critical = text(step.after, "severity") == "critical";
    if critical && matches!(at, "Open") { Err("critical, and nobody is called".into()) } else { Ok(()) }
}

/// Notes may be added; nothing else.
fn resolved_is_the_end(step: &Step<'_>) -> Verdict {
    if step.was() != "Resolved" {
        return Ok(());
    }
    let noted = step.entries.iter().all(|e| text(e, "kind") == "note");
    let same = |name: &&String| step.before[name.as_str()] == step.after[name.as_str()];
    let may = ["postMortemNotes", "lastSeq", "version"];
    let names = step.after.as_object().into_iter().flat_map(|o| o.keys()).filter(|n| !may.contains(&n.as_str()));
    let changed: Vec<&String> = names.filter(|n| !same(n)).collect();
    if noted && changed.is_empty() { Ok(()) } else { Err(format!("resolved, and {changed:?} changed")) }
}

/// No incident that is not resolved holds an episode whose clear has come, whatever came first.
fn what_is_over_is_over(end: &End<'_>) -> Verdict {
    let here = || end.documents.iter().filter(|d| d.stream.name == STREAM);
    let marks = here().filter(|d| d.document.kind == "cleared");
    let marks: BTreeMap<(&TenantId, &str), Option<Timestamp>> =
        marks.map(|d| ((&d.tenant, d.document.id.0.as_str()), instant(&d.document.body.0, "at"))).collect();
    for incident in here().filter(|d| d.document.kind == "incident") {
        let (tenant, body) = (&incident.tenant, &incident.document.body.0);
        for source in list(body, "sources").iter().filter(|_| text(body, "status") != "Resolved") {
            for episode in list(source, "episodes") {
                let mark = mark_of(source, text(episode, "rule"), text(episode, "episodeId"));
                let until = marks.get(&(tenant, mark_of(source, "", "").as_str())).copied().flatten();
                let over = until.is_some_and(|u| instant(episode, "at").is_some_and(|at| at <= u));
                if over || marks.contains_key(&(tenant, mark.as_str())) {
                    return Err(format!("{tenant}: {} holds {episode}, which is over", text(body, "incidentId")));
                }
            }
        }
    }
    Ok(())
}

fn mark_of(source: &Value, rule: &str, episode: &str) -> String {
    format!("cleared|{}|{}|{rule}|{episode}", text(source, "source"), text(source, "sourceId"))
}

/// Clears that we owed, as the ids of their marks, and the events that said so.
type Clears = BTreeMap<(TenantId, String), String>;

fn remember_clears(clears: &mut Clears, commit: &Applied) -> Verdict {
    for e in commit.owed.iter().filter(|e| e.payload_ref.is_none()) {
        let payload = &e.payload.0;
        let mark = match e.event_type.as_str() {
            kind::ALERT_RESOLVED => {
                let id = format!("{}:{}", text(payload, "ruleId"), text(payload, "fingerprint"));
                format!("cleared|alert|{id}||{}", text(payload, "episodeId"))
            }
            kind::SLO_RECOVERED => {
                let (slo, rule) = (text(payload, "sloId"), text(payload, "rule"));
                format!("cleared|slo|{slo}|{rule}|{}", text(payload, "episodeId"))
            }
            _ => continue,
        };
        clears.insert((commit.tenant.clone(), mark), e.event_id.to_string());
    }
    Ok(())
}

/// But for those that died, which the dead letters keep, and those that no broker takes (A16).
fn every_clear_reached_its_source(clears: &Clears, end: &End<'_>) -> Verdict {
    let marks: BTreeSet<(&TenantId, &str)> = end
        .documents
        .iter()
        .filter(|d| d.stream.name == STREAM)
        .map(|d| (&d.tenant, d.document.id.0.as_str()))
        .collect();
    let dead = end.dead.get("IncidentAnalysisWorker").map_or(&[][..], Vec::as_slice);
    let stuck = |event: &str| end.documents.iter().any(|d| d.document.kind == "stuck" && owes(&d.document, event));
    for ((tenant, mark), event) in clears {
        let died = || dead.iter().any(|d| d.delivered.message.id.split(':').next() == Some(event));
        if !marks.contains(&(tenant, mark.as_str())) && !died() && !stuck(event) {
            return Err(format!("{tenant}: the clear {event} left no mark {mark}"));
        }
    }
    Ok(())
}

fn owes(document: &Document, event: &str) -> bool {
    let messages = document.body.0.get("messages").and_then(Value::as_array);
    messages.into_iter().flatten().any(|m| text(m, "id") == event)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
