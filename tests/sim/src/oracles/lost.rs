//! Nothing accepted is lost (SPEC 13.1(1), 3.5, 3.6): at rest an event has its markers with every worker that must take
//! it, a command its marker, a telemetry batch its chunks; what must die is dead with its reason and bytes, and nothing
//! else is dead.

use super::{
    causes::command,
    reading::{self, marker, property, text},
    taken,
};
use crate::{
    journal::{Applied, End, Oracle, Verdict},
    plan::{Arrival, Offer},
};
use opsloop_kernel::{
    Destination, Envelope, Message, TenantId,
    ids::{digest, percent},
    message::{DeadLetter, QUEUE_LOGS, QUEUE_METRICS, property as name},
};
use serde::Deserialize as _;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct NothingLost {
    /// Units decided, by tenant, worker and event.
    decided: BTreeMap<(TenantId, String, String), BTreeSet<String>>,
    /// Chunks ever stored, by tenant, as `chunk_of` names them.
    chunks: BTreeSet<(String, String)>,
    facts: Vec<Envelope>,
    batches: Vec<Message>,
    /// Worker and event of what is to be tried again after the end.
    put_off: BTreeSet<(String, String)>,
}

impl Oracle for NothingLost {
    fn name(&self) -> &'static str {
        "nothing lost"
    }

    fn applied(&mut self, commit: &Applied) -> Verdict {
        for change in commit.changes.iter().filter(|c| c.after.is_some()) {
            match change.kind() {
                "seen" => {
                    if let Some((worker, event, unit)) = marker(&change.id) {
                        let key = (commit.tenant.clone(), worker.to_owned(), event.to_owned());
                        self.decided.entry(key).or_default().insert(unit.to_owned());
                    }
                }
                "chunk" | "log-chunk" => {
                    self.chunks.insert((commit.tenant.to_string(), chunk_of(&change.id.0)));
                }
                _ => {}
            }
        }
        self.facts.extend(commit.owed.iter().filter(|e| !taken::by(e).is_empty()).cloned());
        Ok(())
    }

    fn published(&mut self, message: &Message) -> Verdict {
        let telemetry = matches!(&message.to, Destination::Queue(q)
            if matches!(q.as_str(), QUEUE_METRICS | QUEUE_LOGS));
        if telemetry && reading::hop(message).is_none() {
            self.batches.push(message.clone());
        }
        Ok(())
    }

    fn at_rest(&mut self, end: &End<'_>) -> Verdict {
        died(end)?;
        let stuck = stuck(end);
        self.put_off = end.scheduled.iter().filter_map(|id| put_off(id)).collect();
        for fact in &self.facts {
            match stuck.get(fact.event_id.as_str()) {
                Some(kept) => is_kept(fact, kept)?,
                None => self.event(&fact.tenant_id, fact)?,
            }
        }
        for (arrival, _) in end.plan.arrivals.iter().zip(end.accepted).filter(|(_, accepted)| **accepted) {
            match &arrival.offer {
                Offer::Event(e) => self.event(&arrival.tenant, e)?,
                Offer::Command { method, path, key, expect, .. } => {
                    let changes = *method != opsloop_kernel::http::Method::Get && !path.starts_with("/v1/dead-letters");
                    if changes && expect.iter().all(|s| *s < 400) {
                        self.command(&arrival.tenant, method.name(), path, key)?;
                    }
                }
                Offer::Otlp { .. } | Offer::Hostile { .. } => {}
            }
        }
        let hostile: BTreeSet<&str> = hostiles(end).map(|(_, h)| h.id).collect();
        self.batches.iter().filter(|b| !hostile.contains(b.id.as_str())).try_for_each(|b| self.batch(b))
    }
}

impl NothingLost {
    fn event(&self, tenant: &TenantId, e: &Envelope) -> Verdict {
        for (worker, units) in taken::by(e) {
            let key = (tenant.clone(), worker.to_owned(), e.event_id.to_string());
            let decided = self.decided.get(&key).map_or(0, BTreeSet::len);
            if decided < units && !self.put_off.contains(&(key.1, key.2)) {
                let what = format!("{} {} of {tenant}", e.event_type, e.event_id);
                return Err(format!("{what} is lost: {worker} has decided {decided} of {units} units"));
            }
        }
        Ok(())
    }

    fn command(&self, tenant: &TenantId, method: &str, path: &str, key: &str) -> Verdict {
        let id = command(tenant, method, path, key);
        if self.decided.keys().any(|(t, _, event)| t == tenant && event == id.as_str()) {
            return Ok(());
        }
        Err(format!("{method} {path} ({key}, {id}) of {tenant} was accepted and is lost"))
    }

    /// The first chunk of a batch names it, in whichever stream it lies. Not of spans: a batch that only repeats what a
    /// trace has is not stored; that all spans are there, the traces' own invariants see to.
    fn batch(&self, batch: &Message) -> Verdict {
        let (id, part) = (property(batch, name::BATCH_ID), property(batch, name::PART));
        let metrics = batch.to == Destination::Queue(QUEUE_METRICS.into());
        let chunk = if metrics {
            format!("raw|{}|{part}", percent(id))
        } else {
            format!("chunk|{}", &digest([format!("{id}|{part}").as_str(), "0"])[..16])
        };
        let tenant = property(batch, name::TENANT);
        if self.chunks.contains(&(tenant.to_owned(), chunk)) {
            return Ok(());
        }
        Err(format!("the batch {} of {tenant} in {:?} is lost: nothing of it was stored", batch.id, batch.to))
    }
}

fn put_off(id: &str) -> Option<(String, String)> {
    reading::copy_id(id).map(|(event, worker, _)| (worker.to_owned(), event.to_owned()))
}

/// `chunk|<id>` as it is; `raw|<window>|<batch>|<part>` without the window and the number of its own document.
fn chunk_of(id: &str) -> String {
    match id.split('|').collect::<Vec<_>>().as_slice() {
        ["raw", _, batch, part, ..] => format!("raw|{batch}|{part}"),
        _ => id.to_owned(),
    }
}

/// What no broker takes waits for an operator (A16), by message id.
fn stuck<'a>(end: &End<'a>) -> BTreeMap<&'a str, &'a Value> {
    let documents = end.documents.iter().filter(|d| d.document.kind == "stuck");
    let lists = documents.filter_map(|d| d.document.body.0.get("messages")?.as_array());
    lists.flatten().map(|m| (text(m, "id"), m)).collect()
}

/// With everything that was owed, so that it can still be sent.
fn is_kept(fact: &Envelope, kept: &Value) -> Verdict {
    let envelope = kept.get("envelope").and_then(|e| Envelope::deserialize(e).ok());
    if envelope.is_some_and(|e| reading::plain(&e) == reading::plain(fact)) {
        return Ok(());
    }
    Err(format!("{} {} of {} is stuck otherwise than owed", fact.event_type, fact.event_id, fact.tenant_id))
}

const EXHAUSTED: &str = "max_attempts_exceeded";

struct Hostile<'a> {
    id: &'a str,
    body: &'a [u8],
    dies: Option<&'static str>,
}

fn hostiles<'a>(end: &End<'a>) -> impl Iterator<Item = (usize, Hostile<'a>)> {
    let of = |(n, a): (usize, &'a Arrival)| match &a.offer {
        Offer::Hostile { id, body, dies, .. } => Some((n, Hostile { id, body, dies: *dies })),
        _ => None,
    };
    end.plan.arrivals.iter().enumerate().filter_map(of)
}

/// Whether the dead letter is of this message: itself or a copy of it.
fn is_of(dead: &DeadLetter, id: &str) -> bool {
    let own = &dead.delivered.message.id;
    own == id || reading::copy_id(own).is_some_and(|(original, ..)| original == id)
}

/// Exactly those die that must.
fn died(end: &End<'_>) -> Verdict {
    let all: Vec<&DeadLetter> = end.dead.values().flatten().collect();
    for (_, h) in hostiles(end).filter(|(n, h)| h.dies.is_some() && end.accepted.get(*n) == Some(&true)) {
        if !all.iter().any(|d| is_of(d, h.id) && d.delivered.message.body == h.body) {
            return Err(format!("{} must die as {} and did not, or not with its bytes", h.id, h.dies.unwrap_or("-")));
        }
    }
    for dead in all {
        let message = &dead.delivered.message;
        let wanted =
            hostiles(end).filter(|(_, h)| is_of(dead, h.id) && message.body == h.body).find_map(|(_, h)| h.dies);
        let said = reason(end, dead);
        match wanted {
            None => {
                let why = said.unwrap_or(&dead.reason);
                return Err(format!("{} {} is dead in {}: {why}", property(message, "kind"), message.id, dead.handler));
            }
            // One that meets faults at all of its attempts dies of them before anybody looks into it.
            Some(wanted) if said.is_some_and(|s| s != wanted && s != EXHAUSTED) => {
                return Err(format!("{} died as {}, not as {wanted}", message.id, said.unwrap_or_default()));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// As the record beside the dead letter has it; that one is best effort (A31).
fn reason<'a>(end: &End<'a>, dead: &DeadLetter) -> Option<&'a str> {
    let message = &dead.delivered.message;
    let tenant = TenantId::parse(property(message, name::TENANT)).unwrap_or_else(|_| TenantId::platform());
    let records = end.documents.iter().filter(|d| d.document.kind == "dead-letter" && d.tenant == tenant);
    let mut of_message = records.map(|d| &d.document.body.0).filter(|r| text(r, "messageId") == message.id);
    of_message.next().map(|r| text(r, "reason"))
}

#[cfg(test)]
#[path = "lost_tests.rs"]
mod tests;
