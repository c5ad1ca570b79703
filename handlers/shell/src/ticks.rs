//! Ticks and pages: due documents are the only timers (A62, SPEC 3.8).
//!
//! A tick asks the directory what of its worker is due and hands over all due documents of a stream together. What
//! fails stays due; nothing here leaves a copy or a dead letter, but for a page that goes on.

use crate::{
    Ports, Shell,
    catalogue::AnyWorker,
    copies::{self, Home},
    delivery::{self, CopyState},
    invocation::{Received, Timer},
    pipeline::{self, Job, Ran, Settled},
    settle::Settlement,
};
use futures::{StreamExt, stream};
use opsloop_kernel::{
    Destination, Envelope, Fault, Found, Incoming, Message, Note, Refusal, Source, Stop, Stream, TenantId, Timestamp,
    Trigger,
    document::{Body, What},
    ids,
    incoming::{DueUnits, FoundDue},
    message::QUEUE_PAGES,
    ports::{DUE_OF_A_STREAM_MAX, DueList, Within},
    signal,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeSet, sync::Mutex};

/// So many due documents are handled at once; of more the first tick in a minute publishes pages.
const AT_ONCE_MAX: usize = 200;
const STREAMS_AT_ONCE: usize = 8;
/// A timer may come early by this much (A11).
const EARLY_MS: i64 = 1_000;
const LOOP_MS: i64 = 60_000;
const ROUNDS_MAX: u32 = 1_000;
const MINUTE_S: i64 = 60;

pub const KIND_PAGE: &str = "TickPage";

/// Up to when documents are due (A11): `Next` when that is not in the future and not past due; else now, floored to
/// the timer's cadence and offset.
pub fn due_of(timer: &Timer, cadence_s: u32, offset_s: u32, now: Timestamp) -> Timestamp {
    let latest = now.plus_millis(EARLY_MS);
    match timer.next {
        Some(next) if next <= latest && !timer.past_due => next,
        _ => latest.floor_to(i64::from(cadence_s) * 1000, i64::from(offset_s) * 1000),
    }
}

/// What a tick or page did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    pub applied: usize,
    pub failed: usize,
    pub pages: usize,
}

/// A timer's function: everything that is due of its worker, or 64 pages.
pub async fn tick(shell: &Shell, worker: &dyn AnyWorker, trigger: &Trigger, timer: &Timer) -> Ticked {
    let Source::Timer { cadence_s, offset_s, .. } = trigger.source else { return Ticked::default() };
    let ports = &shell.ports;
    let due = due_of(timer, cadence_s, offset_s, ports.clock.now());
    let what: What = Cow::Borrowed(worker.spec().name);
    let found = match ports.directory.due(&what, due, Within::All, None, AT_ONCE_MAX + 1).await {
        Ok(found) => found,
        Err(fault) => return failed(worker, &fault, ports),
    };
    if found.found.len() <= AT_ONCE_MAX && !found.more {
        return work(worker, trigger, due, found.found, ports).await;
    }
    let into_minute = (due.millis() / 1000 - i64::from(offset_s)).rem_euclid(MINUTE_S);
    if into_minute >= i64::from(cadence_s) {
        return Ticked::default(); // the pages of this minute have it
    }
    publish_pages(trigger.function, due, ports).await.unwrap_or_else(|fault| failed(worker, &fault, ports))
}

fn failed(worker: &dyn AnyWorker, fault: &Fault, ports: &Ports) -> Ticked {
    tracing::warn!(worker = worker.spec().name, fault = fault.kind(), "a tick failed; what is due stays due");
    pipeline::count(worker.spec().name, "Tick", "failed", ports);
    Ticked { failed: 1, ..Ticked::default() }
}

#[derive(Serialize, Deserialize)]
struct PagePayload {
    function: String,
    due: Timestamp,
    shard: u8,
}

async fn publish_pages(function: &str, due: Timestamp, ports: &Ports) -> Result<Ticked, Fault> {
    let pages: Vec<Message> = (0..ids::SHARDS).map(|shard| page(function, due, shard, ports.clock.now())).collect();
    let outcomes = ports.publisher.publish(&pages).await?;
    Ok(Ticked { pages: outcomes.len(), ..Ticked::default() })
}

fn page(function: &str, due: Timestamp, shard: u8, now: Timestamp) -> Message {
    let id = ids::page_id(function, due, shard);
    let platform = TenantId::platform();
    let payload = PagePayload { function: function.to_owned(), due, shard };
    let envelope = Envelope {
        event_type: KIND_PAGE.to_owned(),
        event_version: 1,
        trace_id: ids::tick_trace(&ids::tick_id(function, due)),
        correlation_id: ids::run_correlation(&platform, function, "", due),
        causation_id: None,
        causation_depth: 0,
        occurred_at: due,
        recorded_at: now,
        source: "urn:factory:orchestration:ticks".into(),
        subject: format!("Tick/{function}"),
        partition_key: function.to_owned(),
        idempotency_key: ids::key("tick-page", &platform, [function, &due.millis().to_string(), &shard.to_string()]),
        revision: 0,
        traceparent: None,
        tracestate: None,
        dimensions: Default::default(),
        freshness: None,
        payload: Body::of(&payload),
        payload_ref: None,
        project_id: None,
        module_id: None,
        environment: None,
        tenant_id: platform,
        event_id: id.clone(),
    };
    Message {
        id: id.to_string(),
        to: Destination::Queue(QUEUE_PAGES.into()),
        properties: crate::bind::properties_of(&envelope),
        content_type: "application/json".into(),
        body: envelope.encode().into(),
        not_before: None,
    }
}

/// A page goes through its shard for at most 60 s, then copies itself with the position `after` (A49).
pub async fn handle_page(shell: &Shell, received: &Received) -> Settlement {
    let ports = &shell.ports;
    let state = CopyState::of(&received.properties);
    let (payload, after) = match read_page(received, &state, ports).await {
        Ok(page) => page,
        Err(Stop::Refusal(refusal)) => return Settlement::Refused(refusal),
        Err(Stop::Fault(fault)) => return Settlement::Failed(fault),
    };
    let Some((worker, trigger)) = shell.catalogue.function(&payload.function) else {
        return Settlement::Done { outcome: "ignored" };
    };
    match go_through(worker, trigger, &payload, after, ports).await {
        Some(position) => go_on(received, &state, &position, ports).await,
        None => Settlement::Done { outcome: "processed" },
    }
}

type Position = (TenantId, Stream);

async fn read_page(
    received: &Received,
    state: &CopyState,
    ports: &Ports,
) -> Result<(PagePayload, Option<Position>), Stop> {
    let envelope = delivery::event_of(received, &*ports.blobs, ports.clock.now()).await?;
    if !envelope.tenant_id.is_platform() || envelope.event_type != KIND_PAGE {
        let (envelope, target) = (envelope.tenant_id, TenantId::platform());
        return Err(Refusal::TenantViolation { envelope, target }.into());
    }
    let after = state.after.as_deref().map(serde_json::from_str).transpose().map_err(Refusal::envelope)?;
    Ok((envelope.read()?, after))
}

/// Handles answer after answer; `Some` is the last stream done when the time is over.
async fn go_through(
    worker: &dyn AnyWorker,
    trigger: &Trigger,
    page: &PagePayload,
    mut after: Option<Position>,
    ports: &Ports,
) -> Option<Position> {
    let began = ports.clock.now();
    let what: What = Cow::Borrowed(worker.spec().name);
    loop {
        let from = after.as_ref().map(|(t, s)| (t, s));
        let within = Within::Shard(page.shard);
        let answer: DueList = match ports.directory.due(&what, page.due, within, from, AT_ONCE_MAX).await {
            Ok(answer) => answer,
            Err(fault) => {
                failed(worker, &fault, ports);
                return None;
            }
        };
        after = answer.found.last().map(|f| (f.tenant.clone(), f.stream.clone())).or(after);
        work(worker, trigger, page.due, answer.found, ports).await;
        if !answer.more {
            return None;
        }
        if ports.clock.now().millis_since(began) >= LOOP_MS {
            return after;
        }
    }
}

async fn go_on(received: &Received, state: &CopyState, position: &Position, ports: &Ports) -> Settlement {
    let after = serde_json::to_string(position).ok();
    let state = CopyState { after, ..state.clone() };
    let copy = copies::copy_of(received, crate::catalogue::TICK_PAGES, Home::Queue(QUEUE_PAGES), &state, None);
    match copies::publish(copy, &*ports.publisher).await {
        Ok(()) => Settlement::Done { outcome: "processed" },
        // The next tick finds what is left; a page that is answered 503 would only do its part again.
        Err(_) => Settlement::Done { outcome: "failed" },
    }
}

/// The due documents found, stream by stream.
async fn work(worker: &dyn AnyWorker, trigger: &Trigger, due: Timestamp, found: Vec<Found>, ports: &Ports) -> Ticked {
    let done: Vec<Ticked> = stream::iter(by_stream(found))
        .map(|(tenant, stream, found)| work_stream(worker, trigger, due, tenant, stream, found, ports))
        .buffered(STREAMS_AT_ONCE)
        .collect()
        .await;
    done.into_iter().fold(Ticked::default(), |sum, t| Ticked {
        applied: sum.applied + t.applied,
        failed: sum.failed + t.failed,
        pages: 0,
    })
}

fn by_stream(found: Vec<Found>) -> Vec<(TenantId, Stream, Vec<FoundDue>)> {
    let mut out: Vec<(TenantId, Stream, Vec<FoundDue>)> = Vec::new();
    for f in found {
        let due = FoundDue { id: f.id, at: f.at };
        match out.last_mut() {
            Some((t, s, list)) if *t == f.tenant && *s == f.stream => list.push(due),
            _ => out.push((f.tenant, f.stream, vec![due])),
        }
    }
    out
}

/// Rounds of one stream: what is due in it again is planned anew, without the chains that hold what failed, until
/// nothing is or a round has committed nothing.
async fn work_stream(
    worker: &dyn AnyWorker,
    trigger: &Trigger,
    tick: Timestamp,
    tenant: TenantId,
    stream: Stream,
    mut found: Vec<FoundDue>,
    ports: &Ports,
) -> Ticked {
    let began = ports.clock.now();
    let platform = TenantId::platform();
    let resting = Mutex::new(BTreeSet::new());
    let mut sum = Ticked::default();
    for _ in 0..ROUNDS_MAX {
        let units = DueUnits { tick, tenant: tenant.clone(), stream: stream.clone(), found };
        let incoming = Incoming::Due(units);
        let job = Job {
            incoming: &incoming,
            whose: &platform,
            event: None,
            marker: None,
            command: None,
            moment: tick,
            resting: &resting,
            ports,
        };
        let (round, committed) = account(worker, trigger, worker.run(&job).await, ports);
        sum.applied += round.applied;
        sum.failed += round.failed;
        if !committed || ports.clock.now().millis_since(began) >= LOOP_MS {
            break;
        }
        found = match due_again(worker, tick, &tenant, &stream, ports).await {
            Ok(found) if !found.is_empty() => found,
            Ok(_) => break,
            Err(fault) => {
                sum.failed += failed(worker, &fault, ports).failed;
                break;
            }
        };
    }
    sum
}

async fn due_again(
    worker: &dyn AnyWorker,
    tick: Timestamp,
    tenant: &TenantId,
    stream: &Stream,
    ports: &Ports,
) -> Result<Vec<FoundDue>, Fault> {
    let what: What = Cow::Borrowed(worker.spec().name);
    let within = Within::Stream(tenant, stream);
    let answer = ports.directory.due(&what, tick, within, None, DUE_OF_A_STREAM_MAX).await?;
    Ok(answer.found.into_iter().map(|f| FoundDue { id: f.id, at: f.at }).collect())
}

/// Counts a round; whether it committed anything.
fn account(worker: &dyn AnyWorker, trigger: &Trigger, ran: Ran, ports: &Ports) -> (Ticked, bool) {
    let name = worker.spec().name;
    let mut ticked = Ticked::default();
    let mut committed = false;
    let units = match ran {
        Ran::Ignored => vec![],
        Ran::Refused(refusal) => vec![Settled::Stopped(refusal.into())],
        Ran::Units(units) => units,
    };
    for unit in units {
        match unit {
            Settled::Applied { committed: c, reason, .. } => {
                committed |= c;
                ticked.applied += usize::from(c);
                tracing::debug!(worker = name, function = trigger.function, reason, committed = c, "a due unit");
                if !c {
                    ports.recorder.record(name, &Note::count(&signal::TICK_SKIPPED, 1));
                }
            }
            Settled::Stopped(stop) => {
                ticked.failed += 1;
                pipeline::count(name, "Tick", "failed", ports);
                stuck_or_late(name, &stop, ports);
            }
            Settled::Duplicate { .. } | Settled::Again { .. } => {}
        }
    }
    (ticked, committed)
}

/// A refusal in a due unit is a defect: somebody must look, and it stays due.
fn stuck_or_late(worker: &str, stop: &Stop, ports: &Ports) {
    match stop {
        Stop::Refusal(refusal) => {
            ports.recorder.record(worker, &Note::count(&signal::UNIT_STUCK, 1));
            tracing::error!(worker, reason = refusal.code(), error = %refusal, "unit_stuck");
        }
        Stop::Fault(fault) => tracing::warn!(worker, fault = fault.kind(), "a due unit stays due"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }
    fn timer(next: Option<&str>, past_due: bool) -> Timer {
        Timer { next: next.map(at), past_due }
    }

    #[test]
    fn a11_due_is_the_planned_instant_unless_it_is_to_come() {
        let now = at("2026-11-21T10:00:17.500Z");
        let planned = timer(Some("2026-11-21T10:00:15Z"), false);
        assert_eq!(due_of(&planned, 15, 0, now), at("2026-11-21T10:00:15Z"));
        let early = timer(Some("2026-11-21T10:00:18Z"), false);
        assert_eq!(due_of(&early, 15, 0, now), at("2026-11-21T10:00:18Z"));
        let on_startup = timer(Some("2026-11-21T10:00:30Z"), false);
        assert_eq!(due_of(&on_startup, 15, 0, now), at("2026-11-21T10:00:15Z"));
        let missed = timer(Some("2026-11-21T09:58:30Z"), true);
        assert_eq!(due_of(&missed, 60, 30, now), at("2026-11-21T09:59:30Z"));
        assert_eq!(due_of(&timer(None, false), 10, 0, now), at("2026-11-21T10:00:10Z"));
    }
}
