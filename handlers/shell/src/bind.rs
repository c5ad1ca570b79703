//! Binds a decision to its stream: derives the ids of its facts, adds marker and outbox, lays out the batches
//! (DESIGN 5, steps 8 and 9).

use bytes::Bytes;
use opsloop_kernel::{
    Bears, Commit, Context, Decision, Document, Envelope, Fact, Mutant, Refusal, SpanId, Spec, Stream, TenantId,
    Timestamp, Write,
    document::{BATCH_BYTES_MAX, BATCH_OPERATIONS_MAX, Body, DOCUMENT_BYTES_MAX},
    envelope::{ENVELOPE_BYTES_MAX, PayloadRef, blob_uri},
    ids,
    json::sha256_hex,
    message::{Destination, Message, property},
    mutant,
    ports::Seen,
    traceparent::Traceparent,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Markers outlast every replay (A15).
pub const MARKER_LIFE: Duration = Duration::from_secs(35 * 24 * 3600);
/// Due after the commit: by then the hint has published, or it never will (SPEC 3.5).
const OWED_DUE: Duration = Duration::from_secs(30);
/// A list of messages in one outbox document (DESIGN 5).
const OWED_BYTES_MAX: usize = 256 * 1024;
/// Beyond this the largest payloads of a commit move to the object store (SPEC 4.1).
const OUTBOX_BYTES_MAX: usize = 1024 * 1024;

pub const WHAT_OUTBOX: &str = "outbox";
pub const WHAT_STUCK: &str = "stuck";
pub const KIND_EFFECT: &str = "Effect";

/// What is being decided about, as far as identity goes.
pub struct Cause<'a> {
    pub spec: &'static Spec,
    pub tenant: &'a TenantId,
    pub stream: &'a Stream,
    /// The unit's key as text.
    pub key: &'a str,
    /// The event behind it; none for batches and due units, which are roots.
    pub event: Option<&'a Envelope>,
    /// The marker's event id, where the trigger's dedup is by marker.
    pub marker: Option<&'a str>,
    /// SHA-256 of a command's body (A53).
    pub command: Option<&'a str>,
    pub at: Timestamp,
    pub now: Timestamp,
}

/// The messages that a commit owes, as they lie in the outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Owed {
    pub committed_at: Timestamp,
    pub messages: Vec<OwedMessage>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwedMessage {
    pub id: String,
    pub to: Destination,
    pub properties: BTreeMap<String, String>,
    pub envelope: Body,
}

impl OwedMessage {
    pub fn message(&self) -> Message {
        Message {
            id: self.id.clone(),
            to: self.to.clone(),
            properties: self.properties.clone(),
            content_type: "application/json".into(),
            body: serde_json::to_vec(&self.envelope).unwrap_or_default().into(),
            not_before: None,
        }
    }
}

/// A decision, laid out.
#[derive(Debug)]
pub struct Bound {
    /// Objects to store before anything is committed.
    pub blobs: Vec<(String, Bytes)>,
    pub ahead: Vec<Commit>,
    /// The batch that counts; `None` where there is nothing to commit.
    pub last: Option<Commit>,
    /// The outbox documents of `last`, which are its last writes.
    pub owed: Vec<(Document, Owed)>,
}

pub fn bind(cause: &Cause<'_>, decision: &Decision) -> Result<Bound, Refusal> {
    let mut blobs = Vec::new();
    let envelopes = facts_of(cause, decision, &mut blobs)?;
    let owed = outbox(cause, envelopes);
    let mut writes = decision.writes.clone();
    writes.extend(owed.iter().map(|(d, _)| Write::Put(d.clone())));
    let marked = cause.marker.filter(|_| !mutant::is(Mutant::NoMarker));
    let marker = marked.map(|id| marker_of(cause, id, decision));
    check_documents(decision.ahead.iter().chain(&writes))?;
    check_batch(&writes, marker.is_some())?;
    let ahead = batches(cause, &decision.ahead);
    let commit = Commit { tenant: cause.tenant.clone(), stream: cause.stream.clone(), marker, writes };
    let last = (commit.marker.is_some() || !commit.writes.is_empty()).then_some(commit);
    Ok(torn(Bound { blobs, ahead, last, owed }))
}

/// One batch it stays, but for the two defects that take the outbox out of it: to go before or after what counts.
fn torn(mut bound: Bound) -> Bound {
    let before = mutant::is(Mutant::OutboxInAWriteAhead);
    if !(before || mutant::is(Mutant::OutboxOutsideTheBatch)) || bound.owed.is_empty() {
        return bound;
    }
    if let Some(mut whole) = bound.last.take() {
        let owed = whole.writes.split_off(whole.writes.len() - bound.owed.len());
        let outbox = Commit { marker: None, writes: owed, ..whole.clone() };
        let (first, last) = if before { (outbox, whole) } else { (whole, outbox) };
        bound.ahead.push(first);
        bound.last = Some(last);
    }
    bound
}

/// `seen|worker|eventId|key`, the key percent-encoded (A39, A51).
pub fn marker_id(worker: &str, event: &str, key: &str) -> String {
    format!("seen|{worker}|{}|{}", ids::percent(event), ids::percent(key))
}

fn marker_of(cause: &Cause<'_>, event: &str, decision: &Decision) -> Document {
    let life = if mutant::is(Mutant::MarkerExpiresBeforeItsHorizon) { MARKER_LIFE / 7 } else { MARKER_LIFE };
    let seen = Seen { body_sha256: cause.command.map(str::to_owned), answer: decision.answer.clone() };
    Document::new(marker_id(cause.spec.name, event, cause.key), "seen", &seen).expires(cause.now + life)
}

fn facts_of(
    cause: &Cause<'_>,
    decision: &Decision,
    blobs: &mut Vec<(String, Bytes)>,
) -> Result<Vec<OwedMessage>, Refusal> {
    let mut envelopes: Vec<(Envelope, BTreeMap<&'static str, String>)> = decision
        .facts
        .iter()
        .map(|f| (envelope_of(cause, f), f.about.properties.clone()))
        .chain(decision.effects.iter().map(|e| (effect_of(cause, e), audience(cause.spec.name))))
        .collect();
    check_payloads(&mut envelopes, blobs, cause.tenant);
    for (e, _) in &envelopes {
        let size = e.encode().len();
        if size > ENVELOPE_BYTES_MAX {
            return Err(Refusal::TooLarge { what: "the envelope of a fact", size, limit: ENVELOPE_BYTES_MAX });
        }
    }
    Ok(envelopes.into_iter().map(|(e, extra)| owed_message(&e, extra)).collect())
}

fn audience(worker: &str) -> BTreeMap<&'static str, String> {
    BTreeMap::from([(property::AUDIENCE, worker.to_owned())])
}

/// Claim check: what is beyond the hard limit, and the largest first while the outbox would exceed its share.
fn check_payloads(
    envelopes: &mut [(Envelope, BTreeMap<&'static str, String>)],
    blobs: &mut Vec<(String, Bytes)>,
    tenant: &TenantId,
) {
    let mut sizes: Vec<(usize, usize)> =
        envelopes.iter().enumerate().map(|(n, (e, _))| (e.encode().len(), n)).collect();
    let mut total: usize = sizes.iter().map(|(s, _)| s).sum();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    for (size, n) in sizes {
        if size <= ENVELOPE_BYTES_MAX && total <= OUTBOX_BYTES_MAX {
            return;
        }
        let envelope = &mut envelopes[n].0;
        let bytes = Bytes::from(serde_json::to_vec(&envelope.payload).unwrap_or_default());
        let sha256 = sha256_hex(&bytes);
        let name = format!("payload/{tenant}/{sha256}");
        envelope.payload_ref = Some(PayloadRef { uri: blob_uri(&name), sha256, bytes: bytes.len() as u64 });
        envelope.payload = Body(serde_json::json!({}));
        total -= bytes.len().min(total);
        blobs.push((name, bytes));
    }
}

fn envelope_of(cause: &Cause<'_>, fact: &Fact) -> Envelope {
    let key = fact.key.key();
    let drawn = mutant::is(Mutant::IdsDrawn).then(|| mutant::draw().to_string());
    let event_id = ids::event_id(fact.kind, cause.tenant, drawn.as_ref().unwrap_or(&key), fact.revision);
    let origin = origin_of(cause, &fact.context);
    let about = &fact.about;
    let id_of_subject = about.subject.split_once('/').map_or(about.subject.as_str(), |(_, id)| id);
    Envelope {
        traceparent: Some(traceparent(&origin.context, event_id.as_str())),
        event_id,
        event_type: fact.kind.to_owned(),
        event_version: 1,
        tenant_id: cause.tenant.clone(),
        project_id: about.project.clone(),
        module_id: about.module.clone(),
        environment: about.environment.clone(),
        trace_id: origin.context.trace_id,
        correlation_id: origin.context.correlation_id,
        causation_id: origin.causation,
        causation_depth: origin.depth,
        occurred_at: fact.occurred_at,
        recorded_at: cause.now,
        source: source_of(cause.spec),
        subject: about.subject.clone(),
        partition_key: if about.partition_key.is_empty() { id_of_subject } else { &about.partition_key }.to_owned(),
        idempotency_key: key,
        revision: fact.revision,
        tracestate: None,
        dimensions: about.dimensions.clone(),
        freshness: about.freshness.clone(),
        payload: fact.payload.clone(),
        payload_ref: None,
    }
}

pub fn source_of(spec: &Spec) -> String {
    format!("urn:factory:{}:{}", spec.platform.name(), spec.component)
}

struct Origin {
    context: Context,
    causation: Option<opsloop_kernel::EventId>,
    depth: u8,
}

/// Whose trace a fact continues (A47). A slot is a root, whichever event brought it forward; what continues an event
/// is one deeper than it. Ticks and batches cause nothing: what they find due or bring is a root.
fn origin_of(cause: &Cause<'_>, bears: &Bears) -> Origin {
    let event = cause.event.filter(|e| !e.tenant_id.is_platform());
    let caused = |context: Context| Origin {
        context,
        causation: event.map(|e| e.event_id.clone()),
        depth: event.map_or(0, |e| e.causation_depth.saturating_add(1)),
    };
    match (bears, event) {
        (Bears::Slot { scope, slot }, _) => {
            Origin { context: slot_context(cause.spec.name, cause.tenant, scope, *slot), causation: None, depth: 0 }
        }
        (Bears::Of(context), _) => caused(context.clone()),
        (Bears::Inherit { correlation }, Some(e)) => caused(Context {
            trace_id: e.trace_id.clone(),
            correlation_id: correlation.clone().unwrap_or_else(|| e.correlation_id.clone()),
        }),
        (Bears::Inherit { correlation }, None) => {
            let own = slot_context(cause.spec.name, cause.tenant, cause.key, cause.at);
            caused(Context {
                correlation_id: correlation.clone().unwrap_or(own.correlation_id),
                trace_id: own.trace_id,
            })
        }
    }
}

fn slot_context(worker: &str, tenant: &TenantId, scope: &str, slot: Timestamp) -> Context {
    Context {
        trace_id: ids::unit_trace(worker, slot, tenant, scope),
        correlation_id: ids::run_correlation(tenant, worker, scope, slot),
    }
}

/// The span that produced the event is named by the event: its id is no part of equality (SPEC 4.1).
fn traceparent(context: &Context, event: &str) -> String {
    let head: String = sha256_hex(event.as_bytes()).chars().take(16).collect();
    match SpanId::parse(head) {
        Ok(span_id) => Traceparent { trace_id: context.trace_id.clone(), span_id, flags: 1 }.to_string(),
        Err(_) => String::new(),
    }
}

fn effect_of(cause: &Cause<'_>, effect: &opsloop_kernel::Effect) -> Envelope {
    let at = cause.at;
    let id = ids::effect_id(cause.spec.name, cause.tenant, &cause.stream.name, cause.key, &effect.name, at);
    let origin = origin_of(cause, &Bears::Inherit { correlation: None });
    let payload = serde_json::json!({
        "worker": cause.spec.name, "stream": cause.stream.name, "key": cause.key, "name": effect.name, "at": at,
        "body": effect.body,
    });
    let at_text = at.millis().to_string();
    let parts = [cause.spec.name, &cause.stream.name, cause.key, &effect.name, &at_text];
    Envelope {
        traceparent: Some(traceparent(&origin.context, id.as_str())),
        event_id: id,
        event_type: KIND_EFFECT.to_owned(),
        event_version: 1,
        tenant_id: cause.tenant.clone(),
        project_id: None,
        module_id: None,
        environment: None,
        trace_id: origin.context.trace_id,
        correlation_id: origin.context.correlation_id,
        causation_id: origin.causation,
        causation_depth: origin.depth,
        occurred_at: at,
        recorded_at: cause.now,
        source: source_of(cause.spec),
        subject: format!("Effect/{}", effect.name),
        partition_key: cause.key.to_owned(),
        idempotency_key: ids::key("effect", cause.tenant, parts),
        revision: 0,
        tracestate: None,
        dimensions: BTreeMap::new(),
        freshness: None,
        payload: Body(payload),
        payload_ref: None,
    }
}

/// The broker properties of an envelope (SPEC 4.3).
pub fn properties_of(envelope: &Envelope) -> BTreeMap<String, String> {
    let mut p = BTreeMap::from([
        (property::KIND.to_owned(), envelope.event_type.clone()),
        (property::VERSION.to_owned(), envelope.event_version.to_string()),
        (property::TENANT.to_owned(), envelope.tenant_id.to_string()),
        (property::CORRELATION_ID.to_owned(), envelope.correlation_id.to_string()),
    ]);
    if let Some(t) = &envelope.traceparent {
        p.insert(property::TRACEPARENT.to_owned(), t.clone());
    }
    p
}

fn owed_message(envelope: &Envelope, extra: BTreeMap<&'static str, String>) -> OwedMessage {
    let mut properties = properties_of(envelope);
    properties.extend(extra.into_iter().map(|(k, v)| (k.to_owned(), v)));
    OwedMessage { id: envelope.event_id.to_string(), to: Destination::Topic, properties, envelope: Body::of(envelope) }
}

/// Lists of messages, each a document of its own.
fn outbox(cause: &Cause<'_>, messages: Vec<OwedMessage>) -> Vec<(Document, Owed)> {
    let mut lists: Vec<(usize, Vec<OwedMessage>)> = Vec::new();
    for m in messages {
        let size = serde_json::to_vec(&m).map_or(0, |v| v.len());
        match lists.last_mut() {
            Some((sum, list)) if *sum + size <= OWED_BYTES_MAX => {
                *sum += size;
                list.push(m);
            }
            _ => lists.push((size, vec![m])),
        }
    }
    lists.into_iter().map(|(_, messages)| owed_document(cause.now, messages)).collect()
}

/// The outbox document of these messages, named by their ids (A51).
pub fn owed_document(committed_at: Timestamp, messages: Vec<OwedMessage>) -> (Document, Owed) {
    let id = ids::owed_id(messages.iter().map(|m| m.id.as_str()));
    let owed = Owed { committed_at, messages };
    (Document::new(id, "owed", &owed).due(WHAT_OUTBOX, committed_at + OWED_DUE), owed)
}

fn check_documents<'a>(writes: impl Iterator<Item = &'a Write>) -> Result<(), Refusal> {
    for w in writes {
        let size = w.size();
        if size > DOCUMENT_BYTES_MAX {
            return Err(Refusal::TooLarge { what: "a document", size, limit: DOCUMENT_BYTES_MAX });
        }
    }
    Ok(())
}

fn check_batch(writes: &[Write], marked: bool) -> Result<(), Refusal> {
    let operations = writes.len() + usize::from(marked);
    if operations > BATCH_OPERATIONS_MAX {
        let limit = BATCH_OPERATIONS_MAX;
        return Err(Refusal::TooLarge { what: "the operations of a commit", size: operations, limit });
    }
    let size: usize = writes.iter().map(Write::size).sum();
    if size > BATCH_BYTES_MAX {
        return Err(Refusal::TooLarge { what: "a commit", size, limit: BATCH_BYTES_MAX });
    }
    Ok(())
}

/// Writes ahead, in as few batches as hold them (A64).
fn batches(cause: &Cause<'_>, writes: &[Write]) -> Vec<Commit> {
    let mut out: Vec<Commit> = Vec::new();
    let mut room = 0;
    for w in writes {
        let size = w.size();
        match out.last_mut() {
            Some(c) if c.writes.len() < BATCH_OPERATIONS_MAX && size <= room => {
                room -= size;
                c.writes.push(w.clone());
            }
            _ => {
                room = BATCH_BYTES_MAX.saturating_sub(size);
                let (tenant, stream) = (cause.tenant.clone(), cause.stream.clone());
                out.push(Commit { tenant, stream, marker: None, writes: vec![w.clone()] });
            }
        }
    }
    out
}
