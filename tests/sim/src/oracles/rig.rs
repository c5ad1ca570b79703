//! Hand-made commits, messages and ends, with which each oracle is broken once.

use crate::{
    journal::{Applied, Change, End, Oracle},
    plan::{Arrival, Cast, Offer, Plan},
};
use bytes::Bytes;
use opsloop_embedded::store::Dumped;
use opsloop_kernel::{
    Container, CorrelationId, Destination, DocId, Document, ETag, Envelope, EventId, Message, Stream, TenantId,
    Timestamp, TraceId,
    document::Body,
    ids,
    message::{DeadLetter, Delivered},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub fn at(text: &str) -> Timestamp {
    format!("2026-11-21T{text}Z").parse().unwrap()
}
pub fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}
pub fn event(id: &str) -> EventId {
    EventId::parse(id).unwrap()
}

pub fn cast() -> Cast {
    Cast {
        tenants: vec![tenant("acme"), tenant("globex")],
        twins: false,
        projects: vec![],
        modules: vec![],
        start: at("10:00:00"),
        end: at("10:10:00"),
        rest: at("11:00:00"),
        metric_buckets: 1,
        later: vec![],
    }
}

/// A fact as our workers make them, a root.
pub fn fact(kind: &str, about: &str, payload: Value) -> Envelope {
    let acme = tenant("acme");
    let key = ids::key("test", &acme, [kind, about]);
    Envelope {
        event_id: ids::event_id(kind, &acme, &key, 0),
        event_type: kind.to_owned(),
        event_version: 1,
        tenant_id: acme,
        project_id: None,
        module_id: None,
        environment: None,
        trace_id: TraceId::parse("4bf92f3577b34da6a3ce929d0e0e4736").unwrap(),
        correlation_id: CorrelationId::parse("corr-0d6f7a52-6c5e-4f0c-8a55-0f8a2f5f2b11").unwrap(),
        causation_id: None,
        causation_depth: 0,
        occurred_at: at("10:05:00"),
        recorded_at: at("10:05:01"),
        source: "urn:factory:observability:test".into(),
        subject: format!("Thing/{about}"),
        partition_key: about.to_owned(),
        idempotency_key: key,
        revision: 0,
        traceparent: None,
        tracestate: None,
        dimensions: BTreeMap::new(),
        freshness: None,
        payload: Body(payload),
        payload_ref: None,
    }
}

pub fn caused(mut envelope: Envelope, cause: &Envelope) -> Envelope {
    envelope.causation_id = Some(cause.event_id.clone());
    envelope.causation_depth = cause.causation_depth + 1;
    envelope
}

pub fn message(envelope: &Envelope) -> Message {
    let properties = [("kind", envelope.event_type.clone()), ("tenant", envelope.tenant_id.to_string())];
    Message {
        id: envelope.event_id.to_string(),
        to: Destination::Topic,
        properties: properties.map(|(k, v)| (k.to_owned(), v)).into(),
        content_type: "application/json".into(),
        body: envelope.encode().into(),
        not_before: None,
    }
}

pub fn copy(original: &Message, worker: &str, hop: u32, attempt: u32) -> Message {
    let mut copy = original.clone();
    copy.id = ids::copy_id(&original.id, worker, hop);
    for (name, value) in [("hop", hop.to_string()), ("attempt", attempt.to_string()), ("audience", worker.to_owned())] {
        copy.properties.insert(name.into(), value);
    }
    copy
}

pub fn stream() -> Stream {
    Stream::new(Container::State, "incidents")
}

pub fn commit(changes: Vec<Change>, owed: Vec<Envelope>) -> Applied {
    Applied { turn: 1, at: at("10:05:01"), tenant: tenant("acme"), stream: stream(), marker: None, changes, owed }
}

/// A commit of this worker about this event.
pub fn about(worker: &str, cause: &str, mut commit: Applied) -> Applied {
    let id = DocId(format!("seen|{worker}|{cause}|unit"));
    let expires = commit.at.plus_millis(35 * 86_400_000);
    commit.changes.push(saved(Document::new(id.clone(), "seen", &json!({})).expires(expires)));
    commit.marker = Some(id);
    commit
}

pub fn saved(document: Document) -> Change {
    Change { id: document.id.clone(), before: None, after: Some(document) }
}

pub fn dumped(document: Document) -> Dumped {
    Dumped { tenant: tenant("acme"), stream: stream(), document, etag: ETag("1".into()) }
}

pub fn dead(handler: &str, message: &Message, reason: &str) -> DeadLetter {
    let delivered = Delivered { message: message.clone(), deliveries: 1, enqueued_at: None };
    let (handler, reason) = (handler.to_owned(), reason.to_owned());
    DeadLetter { handler, sequence: 1, delivered, reason, description: String::new(), dead_at: at("10:05:01") }
}

pub fn offer(offer: Offer) -> Arrival {
    Arrival { at: at("10:05:00"), tenant: tenant("acme"), offer }
}
pub fn hostile(id: &str, body: &'static [u8], dies: Option<&'static str>) -> Arrival {
    let (id, properties) = (id.to_owned(), BTreeMap::from([("tenant".to_owned(), "acme".to_owned())]));
    offer(Offer::Hostile { to: Destination::Topic, id, properties, body: Bytes::from_static(body), dies })
}

/// What an end is made of; nothing by default.
#[derive(Default)]
pub struct Ended {
    pub plan: Plan,
    pub documents: Vec<Dumped>,
    pub published: Vec<Message>,
    pub dead: BTreeMap<String, Vec<DeadLetter>>,
    pub scheduled: BTreeSet<String>,
}

impl Ended {
    pub fn with<T>(&self, look: impl FnOnce(&End<'_>) -> T) -> T {
        let (cast, accepted, recorded) = (cast(), vec![true; self.plan.arrivals.len()], BTreeMap::new());
        look(&End {
            cast: &cast,
            plan: &self.plan,
            documents: &self.documents,
            published: &self.published,
            dead: &self.dead,
            scheduled: &self.scheduled,
            accepted: &accepted,
            recorded: &recorded,
        })
    }
    pub fn judged(&self, oracle: &mut dyn Oracle) -> String {
        self.with(|end| oracle.at_rest(end)).err().unwrap_or_default()
    }
}

/// Asserts that the check fails, and with these words.
#[track_caller]
pub fn fails(verdict: crate::journal::Verdict, with: &str) {
    let said = verdict.expect_err("the check lets it pass");
    assert!(said.contains(with), "{said}");
}
