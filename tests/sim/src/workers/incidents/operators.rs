//! What people do: they open incidents by hand, and command those that they can name, whether these exist yet or not.

use super::{
    super::outside::{Command, Place, Teller, moment},
    Target, sources,
};
use crate::rng::Rng;
use opsloop_kernel::{TenantId, http::Method, ids};
use serde_json::{Value, json};

const INCIDENTS: &str = "/v1/incidents";
/// Done; not there yet, or joined to another; not from that state.
const ANY: &[u16] = &[200, 404, 409];
/// Also: somebody else's words under the same key.
const ANY_OR_REUSED: &[u16] = &[200, 404, 409, 422];

/// `resolves`: whether they resolve, too. Which clears are told then depends on what came first.
pub fn act(rng: &mut Rng, teller: &mut Teller<'_>, place: Place, mut targets: Vec<Target>, resolves: bool) {
    if rng.hit(0.4) {
        targets.push(opened_by_hand(rng, teller, place));
    }
    if targets.is_empty() {
        return;
    }
    for n in 0..rng.between(1, 3) {
        let target = rng.pick(&targets).clone();
        one(rng, teller, &target, resolves, n);
    }
    if rng.hit(0.2) {
        not_theirs(rng, teller, &targets[0]);
    }
}

/// Resolved by hand while its alert goes on: what that says next opens the second incident of the episode (A8).
pub fn resolved_too_soon(rng: &mut Rng, teller: &mut Teller<'_>, place: Place) {
    let active_at = moment(rng, teller.cast);
    let alert = sources::Alert { rule: "ext-soon".to_owned(), place, active_at };
    let said = alert.fires(rng, 0, false);
    teller.say(said, 0);
    let id = alert.target().incident_id(teller.tenant, 1);
    let cause = json!({"category": "unknown", "summary": "it seems over", "evidence": []});
    let body = json!({"actor": "ann", "rootCause": cause, "force": true, "reason": "it seems over"});
    let (path, key) = (format!("{INCIDENTS}/{id}/resolve"), "op-soon".to_owned());
    let command = Command { method: Method::Post, path, body, key, expect: ANY };
    teller.ask(active_at.plus_millis(20_000), command);
    let said = alert.fires(rng, 40_000, true);
    teller.say(said, 0);
}

fn opened_by_hand(rng: &mut Rng, teller: &mut Teller<'_>, place: Place) -> Target {
    let (at, key) = (moment(rng, teller.cast), "by-hand".to_owned());
    let body = json!({
        "title": "customers call", "severity": rng.pick(&["critical", "high", "warning"]),
        "projectId": place.project, "moduleId": place.module, "environment": place.environment, "actor": "ann",
    });
    let command =
        Command { method: Method::Post, path: INCIDENTS.to_owned(), body, key: key.clone(), expect: &[200, 201] };
    if rng.hit(0.3) {
        let again = at.plus_millis(rng.between(0, 20_000));
        teller.ask(again, command.clone());
    }
    teller.ask(at, command);
    let id = ids::command_id(teller.tenant, Method::Post.name(), INCIDENTS, &key).to_string();
    Target { source: "manual", source_id: id.clone(), episode_id: id }
}

fn one(rng: &mut Rng, teller: &mut Teller<'_>, target: &Target, resolves: bool, n: i64) {
    let second = resolves && rng.hit(0.15);
    let id = target.incident_id(teller.tenant, if second { 2 } else { 1 });
    let verbs: &[&str] = &["acknowledge", "investigate", "mitigate", "engage", "notes", "resolve", "resolve"];
    let verb = *rng.pick(if resolves { verbs } else { &verbs[..5] });
    let at = moment(rng, teller.cast);
    let refused = verb == "notes" && rng.hit(0.2);
    let body = if refused { json!({}) } else { body(rng, verb) };
    let expect = if refused { &[400] } else { ANY_OR_REUSED };
    let expect = if verb == "notes" { expect } else { ANY };
    let (path, key) = (format!("{INCIDENTS}/{id}/{verb}"), format!("op-{n}"));
    let command = Command { method: Method::Post, path, body, key, expect };
    if rng.hit(0.3) {
        let again = at.plus_millis(rng.between(0, 30_000));
        // A note differs under the same key: only one of them is written.
        let other = if verb == "notes" && !refused { json!({"text": "in other words"}) } else { command.body.clone() };
        teller.ask(again, Command { body: other, ..command.clone() });
    }
    teller.ask(at, command);
}

fn body(rng: &mut Rng, verb: &str) -> Value {
    match verb {
        "notes" => json!({"text": "what was learnt", "actor": "ann"}),
        "resolve" => resolution(rng),
        _ => json!({"actor": "ann", "reason": "on it"}),
    }
}

fn resolution(rng: &mut Rng) -> Value {
    let category = rng.pick(&["code_defect", "configuration", "capacity", "dependency", "data", "security", "unknown"]);
    let mut body = json!({"actor": "ann"});
    if rng.hit(0.85) {
        body["rootCause"] = json!({"category": category, "summary": "found", "evidence": []});
        if rng.hit(0.5) {
            body["rootCause"]["artifactId"] = json!("art-9");
        }
    }
    if rng.hit(0.6) {
        body["force"] = json!(true);
        body["reason"] = json!("the customer says so");
    }
    body
}

/// An incident of another tenant is none (SPEC 3.10), and so is what is no id.
fn not_theirs(rng: &mut Rng, teller: &mut Teller<'_>, target: &Target) {
    let at = moment(rng, teller.cast);
    let others: Vec<&TenantId> = teller.cast.tenants.iter().filter(|t| *t != teller.tenant).collect();
    let id = match others.first() {
        Some(other) if target.source != "manual" => target.incident_id(other, 1),
        _ => "inc-".to_owned(),
    };
    let (path, body) = (format!("{INCIDENTS}/{id}/acknowledge"), json!({"actor": "ann"}));
    let key = "not-theirs".to_owned();
    teller.ask(at, Command { method: Method::Post, path, body, key, expect: &[404] });
}
