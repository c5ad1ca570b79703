//! Dead letters (SPEC 3.6, 14.4): the message lies in the broker's subqueue, its bytes untouched; why it does stands
//! in a small document beside its id.

use crate::{
    Ports, Shell,
    copies::{self, Home},
    delivery::{self, CopyState},
    invocation::Received,
};
use opsloop_kernel::{
    Commit, Container, DocId, Document, Fault, Note, Refusal, Source, Stream, TenantId, Timestamp, Write, ids,
    message::{DeadLetter, property},
    signal,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// As long as the markers: a replay after that is refused anyway (A15).
const RECORD_LIFE: Duration = Duration::from_secs(35 * 24 * 3600);
const PEEK: usize = 200;
/// Of one handler; beyond it an operator pages by handler.
const LISTED_MAX: usize = 1_000;

/// Why a message died, as far as the handler could say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub handler: String,
    pub message_id: String,
    pub reason: String,
    pub description: String,
    pub attempts: u32,
    pub first_failed_at: Timestamp,
    pub last_failed_at: Timestamp,
    pub error_kind: String,
}

/// A dead letter as operators see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    pub id: String,
    pub handler: String,
    pub message_id: String,
    pub tenant: String,
    pub kind: String,
    pub reason: String,
    pub description: String,
    pub attempts: u32,
    pub deliveries: u32,
    pub dead_at: Timestamp,
    pub bytes: usize,
}

/// Counts, audits and records a refusal; best effort: what cannot be recorded is still refused (A31).
pub async fn record(worker: &str, received: &Received, attempt: u32, refusal: &Refusal, ports: &Ports) {
    let code = refusal.code();
    ports.recorder.record(worker, &Note::count(&signal::DEAD_LETTERS, 1).label("reason", code));
    if let Refusal::TenantViolation { envelope, target } = refusal {
        ports.recorder.record(worker, &Note::count(&signal::TENANT_VIOLATIONS, 1));
        tracing::warn!(worker, tenant_id = %envelope, %target, "{}", signal::VIOLATION.name);
    }
    let event_id = delivery::original_id(received);
    tracing::warn!(worker, event_id, message_id = %received.message_id, reason = code, error = %refusal, "{}", signal::REFUSED.name);
    save(worker, received, attempt, code, &refusal.to_string(), code, ports).await;
}

/// The last attempt failed: the broker will dead-letter the message.
pub async fn record_exhausted(worker: &str, received: &Received, attempt: u32, fault: &Fault, ports: &Ports) {
    let reason = "max_attempts_exceeded";
    ports.recorder.record(worker, &Note::count(&signal::DEAD_LETTERS, 1).label("reason", reason));
    let description = format!("attempt {attempt} failed: {fault:?}");
    save(worker, received, attempt, reason, &description, fault.kind(), ports).await;
}

async fn save(
    worker: &str,
    received: &Received,
    attempts: u32,
    reason: &str,
    description: &str,
    error_kind: &str,
    ports: &Ports,
) {
    let now = ports.clock.now();
    let record = Record {
        handler: worker.to_owned(),
        message_id: received.message_id.clone(),
        reason: reason.to_owned(),
        description: description.chars().take(1_000).collect(),
        attempts,
        first_failed_at: received.enqueued_at.unwrap_or(now),
        last_failed_at: now,
        error_kind: error_kind.to_owned(),
    };
    let document = Document::new(record_id(&received.message_id), "dead-letter", &record).expires(now + RECORD_LIFE);
    let writes = vec![Write::Put(document)];
    let commit = Commit { tenant: delivery::tenant_of(received), stream: stream_of(worker), marker: None, writes };
    if let Err(fault) = ports.store.commit(&commit).await {
        tracing::warn!(worker, fault = fault.kind(), "the reason of a dead letter could not be recorded");
    }
}

fn stream_of(worker: &str) -> Stream {
    Stream::new(Container::State, format!("dead-letters/{worker}"))
}
fn record_id(message_id: &str) -> DocId {
    ids::percent(message_id).into()
}

/// The dead letters of a tenant, over all handlers, oldest first.
pub async fn list(shell: &Shell, tenant: &TenantId) -> Result<Vec<Listed>, Fault> {
    let mut out = Vec::new();
    for (handler, _) in handlers(shell) {
        for dead in of_handler(shell, handler, tenant).await? {
            out.push(listed(shell, tenant, &dead).await?);
        }
    }
    Ok(out)
}

/// Every handler that can have dead letters, with where its copies go home.
fn handlers(shell: &Shell) -> Vec<(&'static str, Home)> {
    let mut out = Vec::new();
    for (spec, trigger) in shell.catalogue.triggers() {
        match trigger.source {
            Source::Events { .. } => out.push((spec.name, Home::Subscription)),
            Source::Queue { name } => out.push((name, Home::Queue(name))),
            Source::Commands { .. } | Source::Timer { .. } => {}
        }
    }
    out.push((opsloop_kernel::message::QUEUE_PAGES, Home::Queue(opsloop_kernel::message::QUEUE_PAGES)));
    out
}

/// The worker behind a handler: a subscription bears its name, a queue has one.
fn worker_of(shell: &Shell, handler: &str) -> &'static str {
    let of_queue = |t: &opsloop_kernel::Trigger| matches!(t.source, Source::Queue { name } if name == handler);
    shell
        .catalogue
        .triggers()
        .find(|(spec, t)| spec.name == handler || of_queue(t))
        .map_or(crate::catalogue::TICK_PAGES, |(spec, _)| spec.name)
}

async fn of_handler(shell: &Shell, handler: &str, tenant: &TenantId) -> Result<Vec<DeadLetter>, Fault> {
    let (mut out, mut after) = (Vec::new(), -1);
    while out.len() < LISTED_MAX {
        let page = shell.ports.dead_letters.peek(handler, after, PEEK).await?;
        let Some(last) = page.last() else { break };
        after = last.sequence;
        out.extend(page.into_iter().filter(|d| belongs(d, tenant)));
    }
    Ok(out)
}

/// A message without a readable tenant belongs to the platform.
fn belongs(dead: &DeadLetter, tenant: &TenantId) -> bool {
    let named = dead.delivered.message.properties.get(property::TENANT).and_then(|t| TenantId::parse(t.clone()).ok());
    named.unwrap_or_else(TenantId::platform) == *tenant
}

async fn listed(shell: &Shell, tenant: &TenantId, dead: &DeadLetter) -> Result<Listed, Fault> {
    let message = &dead.delivered.message;
    let stream = stream_of(worker_of(shell, &dead.handler));
    let stored = shell.ports.store.get(tenant, &stream, &record_id(&message.id)).await?;
    let record: Option<Record> = stored.and_then(|s| s.read().ok());
    let kind = message.properties.get(property::KIND).cloned().unwrap_or_default();
    // Without a record the handler never got so far as to say why (A31).
    let (reason, description, attempts) = match record {
        Some(r) => (r.reason, r.description, r.attempts),
        None => ("poison".to_owned(), dead.description.clone(), 1),
    };
    Ok(Listed {
        id: ids::handle_of([dead.handler.as_str(), &message.id]),
        handler: dead.handler.clone(),
        message_id: message.id.clone(),
        tenant: tenant.to_string(),
        kind,
        reason,
        description,
        attempts,
        deliveries: dead.delivered.deliveries,
        dead_at: dead.dead_at,
        bytes: message.body.len(),
    })
}

/// Re-submits the stored bytes as attempt 1 with the next hop, to the handler that failed only (A36). The dead letter
/// goes once its copy is accepted; a crash between the two replays it twice, which the marker absorbs.
pub async fn replay(shell: &Shell, tenant: &TenantId, id: &str) -> Result<Option<Listed>, Fault> {
    for (handler, home) in handlers(shell) {
        for dead in of_handler(shell, handler, tenant).await? {
            if ids::handle_of([handler, &dead.delivered.message.id]) != id {
                continue;
            }
            let listed = listed(shell, tenant, &dead).await?;
            copies::publish(replayed(worker_of(shell, handler), home, &dead), &*shell.ports.publisher).await?;
            shell.ports.dead_letters.complete(handler, dead.sequence).await?;
            return Ok(Some(listed));
        }
    }
    Ok(None)
}

fn replayed(worker: &str, home: Home, dead: &DeadLetter) -> opsloop_kernel::Message {
    let message = &dead.delivered.message;
    let received = Received {
        body: message.body.clone(),
        message_id: message.id.clone(),
        content_type: Some(message.content_type.clone()),
        deliveries: dead.delivered.deliveries,
        enqueued_at: dead.delivered.enqueued_at,
        properties: message.properties.clone(),
    };
    let state = CopyState { attempt: 1, races: 0, first_at: None, ..CopyState::of(&received.properties) };
    let mut copy = copies::copy_of(&received, worker, home, &state, None);
    copy.properties.insert(property::REPLAY_OF.into(), message.id.clone());
    copy
}
