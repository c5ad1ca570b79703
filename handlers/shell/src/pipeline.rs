//! accept → plan → admit → observe → decide → bind → commit, for one delivery (DESIGN 5, steps 3 to 9).

use crate::{
    Ports,
    bind::{self, Bound, Cause},
    relay, spans,
};
use futures::{StreamExt, stream};
use opsloop_kernel::{
    Answer, Commit, Committed, Decision, Document, Envelope, Fault, Halt, Incoming, Moment, Mutant, Note, Refusal,
    Scope, Stop, Stored, TenantId, Timestamp, Unit, Worker, mutant, ports::Seen, signal,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Mutex};
use tracing::Instrument;

/// Chains of one delivery beside each other.
const CHAINS_AT_ONCE: usize = 8;
/// Lost races are decided again at once this often for each unit of a chain, counted over all of it (SPEC 3.5); then
/// they are the settlement's.
const RACES_AT_ONCE: usize = 3;

/// One delivery to run through a worker.
pub struct Job<'a> {
    pub incoming: &'a Incoming,
    /// Whose message it is: the guard lets it reach for no other tenant. `platform`: ticks and pages.
    pub whose: &'a TenantId,
    pub event: Option<&'a Envelope>,
    /// The event id of markers; none where the trigger's dedup is natural.
    pub marker: Option<&'a str>,
    /// SHA-256 of the body, of a command over HTTP.
    pub command: Option<&'a str>,
    pub moment: Timestamp,
    /// Units (by their text) that failed in an earlier round: their chains rest.
    pub resting: &'a Mutex<BTreeSet<String>>,
    pub ports: &'a Ports,
}

/// How one unit ended.
#[derive(Debug)]
pub enum Settled {
    /// Decided and, where there was something to commit, committed.
    Applied {
        reason: &'static str,
        committed: bool,
        facts: Vec<&'static str>,
        answer: Option<Answer>,
    },
    /// The marker was there; a command's answer is the one it keeps.
    Duplicate {
        seen: Seen,
    },
    Again {
        at: Timestamp,
        reason: &'static str,
    },
    Stopped(Stop),
}

/// How a delivery went: ignored, or its units.
#[derive(Debug)]
pub enum Ran {
    Ignored,
    Refused(Refusal),
    Units(Vec<Settled>),
}

pub async fn run<W: Worker>(worker: &W, job: &Job<'_>) -> Ran {
    let input = match worker.accept(job.incoming) {
        Ok(Some(input)) => input,
        Ok(None) => return Ran::Ignored,
        Err(refusal) => return Ran::Refused(refusal),
    };
    let chains = W::plan(&input).into_iter().filter(|chain| !rests(chain, job)).collect::<Vec<_>>();
    if chains.is_empty() {
        return Ran::Ignored;
    }
    let input = &input;
    let settled: Vec<Vec<Settled>> = stream::iter(chains)
        .map(|chain| async move { run_chain(worker, &chain, input, job).await })
        .buffered(CHAINS_AT_ONCE)
        .collect()
        .await;
    Ran::Units(settled.into_iter().flatten().collect())
}

/// The text by which a unit is known across rounds.
fn text_of<K: std::fmt::Display>(unit: &Unit<K>) -> String {
    format!("{}|{}|{}", unit.tenant, unit.stream.name, unit.key)
}

fn rests<K: std::fmt::Display>(chain: &[Unit<K>], job: &Job<'_>) -> bool {
    job.resting.lock().is_ok_and(|resting| chain.iter().any(|u| resting.contains(&text_of(u))))
}

/// A unit of a chain relies on what those before it have decided, so one that lost a race is decided again together
/// with them: what it then sees, they must have seen. How each ended is what its first end was.
async fn run_chain<W: Worker>(worker: &W, chain: &[Unit<W::Key>], input: &W::Input, job: &Job<'_>) -> Vec<Settled> {
    let mut out = Vec::with_capacity(chain.len());
    let mut races = 0;
    let mut n = 0;
    while let Some(unit) = chain.get(n) {
        let settled = match try_unit(worker, unit, input, job).await {
            Ok(Some(settled)) => settled,
            Ok(None) if races < RACES_AT_ONCE * chain.len() => {
                races += 1;
                n = 0;
                continue;
            }
            Ok(None) => Settled::Stopped(Fault::Raced.into()),
            Err(stop) => Settled::Stopped(stop),
        };
        let ends = matches!(settled, Settled::Stopped(_) | Settled::Again { .. });
        if ends || n == out.len() {
            out.push(settled);
        }
        if ends && !mutant::is(Mutant::ChainGoesOnAfterAFailure) {
            if let Ok(mut resting) = job.resting.lock() {
                resting.insert(text_of(unit));
            }
            break;
        }
        n += 1;
    }
    out
}

/// `None`: a race was lost, and nothing of it was applied.
async fn try_unit<W: Worker>(
    worker: &W,
    unit: &Unit<W::Key>,
    input: &W::Input,
    job: &Job<'_>,
) -> Result<Option<Settled>, Stop> {
    let scope = Scope::admit(job.whose, &unit.tenant, &*job.ports.store)?;
    let at = Moment(unit.due.filter(|_| !mutant::is(Mutant::MomentFromTheTick)).unwrap_or(job.moment));
    let view = worker.observe(unit, input, &scope).await?;
    let decision = match W::decide(unit, input, &view, at) {
        Ok(decision) => decision,
        Err(Halt::Refused(refusal)) => return Err(refusal.into()),
        Err(Halt::Again { at, reason }) => return Ok(Some(Settled::Again { at, reason })),
    };
    let key = unit.key.to_string();
    let cause = Cause {
        spec: &W::SPEC,
        tenant: &unit.tenant,
        stream: &unit.stream,
        key: &key,
        event: job.event,
        marker: job.marker,
        command: job.command,
        at: at.0,
        now: job.ports.clock.now(),
    };
    let bound = bind::bind(&cause, &decision)?;
    match commit(W::SPEC.name, &bound, job.ports).await? {
        Committed::Applied(etags) => {
            note(W::SPEC.name, &decision.notes, job.ports);
            let publishing: Vec<_> = bound.owed.iter().map(|(_, owed)| spans::publishes(W::SPEC.name, owed)).collect();
            relay::hint(&bound, &etags, &unit.tenant, &unit.stream, job.ports).await;
            drop(publishing);
            Ok(Some(applied(decision, &bound)))
        }
        Committed::Duplicate => Ok(Some(Settled::Duplicate { seen: seen(&scope, unit, &bound).await? })),
        Committed::Raced => Ok(None),
        Committed::Refused(refusal) => Err(refusal.into()),
    }
}

fn applied(decision: Decision, bound: &Bound) -> Settled {
    Settled::Applied {
        reason: decision.reason,
        committed: bound.last.as_ref().is_some_and(|c| !c.writes.is_empty()),
        facts: decision.facts.iter().map(|f| f.kind).collect(),
        answer: decision.answer,
    }
}

async fn commit(worker: &'static str, bound: &Bound, ports: &Ports) -> Result<Committed, Fault> {
    if bound.last.is_none() && bound.ahead.is_empty() && bound.blobs.is_empty() {
        return Ok(Committed::Applied(vec![]));
    }
    let span = spans::commit(worker);
    let committed = commit_all(bound, ports).instrument(span.clone()).await;
    if committed.is_err() {
        span.record("otel.status_code", "error");
    }
    committed
}

/// Objects first, then what is written ahead, then the batch that counts: only that one makes it so (A64).
async fn commit_all(bound: &Bound, ports: &Ports) -> Result<Committed, Fault> {
    for (name, bytes) in &bound.blobs {
        ports.blobs.put(name, bytes.clone(), ports.clock.now() + bind::MARKER_LIFE).await?;
    }
    for batch in &bound.ahead {
        match ports.store.commit(batch).await? {
            Committed::Applied(_) => {}
            other => return Ok(other),
        }
    }
    match &bound.last {
        Some(batch) => ports.store.commit(batch).await,
        None => Ok(Committed::Applied(vec![])),
    }
}

/// What the marker of an applied unit keeps.
async fn seen<K>(scope: &Scope<'_>, unit: &Unit<K>, bound: &Bound) -> Result<Seen, Stop> {
    let Some(Commit { marker: Some(Document { id, .. }), .. }) = &bound.last else {
        return Ok(Seen { body_sha256: None, answer: None });
    };
    let stored: Option<Stored> = scope.get(&unit.stream, id).await?;
    Ok(stored.map_or(Ok(Seen { body_sha256: None, answer: None }), |s| s.read())?)
}

fn note(worker: &str, notes: &[Note], ports: &Ports) {
    for n in notes {
        ports.recorder.record(worker, n);
    }
}

/// Counts the end of a delivery.
pub fn count(worker: &str, event_type: &str, outcome: &str, ports: &Ports) {
    let note = Note::count(&signal::MESSAGES, 1).label("event_type", event_type).label("outcome", outcome);
    ports.recorder.record(worker, &note);
}

/// How long a delivery took, by the shell's clock.
pub fn time(worker: &str, event_type: &str, duration_ms: i64, ports: &Ports) {
    let labels = vec![("event_type", event_type.to_owned())];
    let value = duration_ms.max(0) as f64 / 1000.0;
    ports.recorder.record(worker, &Note { signal: &signal::HANDLER_SECONDS, labels, value });
}

/// One golden case `{unit, input, view, at}` through `decide` alone.
pub fn explain<W: Worker>(case: &Value) -> Result<Value, String> {
    let part = |name: &str| case.get(name).cloned().unwrap_or(Value::Null);
    let unit = unit_of::<W::Key>(&part("unit"))?;
    let input: W::Input = serde_json::from_value(part("input")).map_err(|e| format!("input: {e}"))?;
    let view: W::View = serde_json::from_value(part("view")).map_err(|e| format!("view: {e}"))?;
    let at: Timestamp = serde_json::from_value(part("at")).map_err(|e| format!("at: {e}"))?;
    Ok(match W::decide(&unit, &input, &view, Moment(at)) {
        Ok(decision) => serde_json::to_value(decision).map_err(|e| e.to_string())?,
        Err(halt) => json!({ "halt": halt }),
    })
}

/// A unit as golden cases spell it: `{tenant, stream: {container, name}, key, due?}`.
pub fn unit_of<K: opsloop_kernel::UnitKey>(value: &Value) -> Result<Unit<K>, String> {
    #[derive(serde::Deserialize)]
    struct Text {
        tenant: TenantId,
        stream: opsloop_kernel::Stream,
        key: String,
        #[serde(default)]
        due: Option<Timestamp>,
    }
    let text: Text = serde_json::from_value(value.clone()).map_err(|e| format!("unit: {e}"))?;
    let key = text.key.parse().map_err(|e: K::Err| format!("unit.key: {e}"))?;
    Ok(Unit { tenant: text.tenant, stream: text.stream, key, due: text.due })
}
