//! What a run is about, drawn from the seed before anything happens: who there is, and what they send when. The calm and
//! the disturbed run of a seed get the same plan.

use bytes::Bytes;
use opsloop_kernel::{
    Destination, Envelope, EventId, TelemetrySignal, TenantId, Timestamp, envelope::PayloadRef, http::Method,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Who plays, and when.
#[derive(Clone, Debug)]
pub struct Cast {
    pub tenants: Vec<TenantId>,
    /// All tenants get the same inputs, ids included: they must share nothing (E2E-08).
    pub twins: bool,
    pub projects: Vec<&'static str>,
    pub modules: Vec<&'static str>,
    /// Inputs arrive from here …
    pub start: Timestamp,
    /// … to here; a generator keeps its arrivals inside.
    pub end: Timestamp,
    /// Faults end at `end`; the run goes on in peace until here.
    pub rest: Timestamp,
    pub metric_buckets: u16,
    /// Instants long after that, at which old messages come once more.
    pub later: Vec<Timestamp>,
}

/// Something that somebody sends. The sender repeats it until it is accepted or refused for good.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at: Timestamp,
    pub tenant: TenantId,
    pub offer: Offer,
}

#[derive(Clone, Debug)]
pub enum Offer {
    /// OTLP protobuf to the receiver, as an exporter sends it.
    Otlp { signal: TelemetrySignal, body: Bytes },
    /// A command to the operator surface. `key` is its Idempotency-Key; `expect` the statuses that are right.
    Command { method: Method, path: String, body: Value, key: String, expect: Vec<u16> },
    /// An event of another platform, to the topic.
    Event(Box<Envelope>),
    /// What nobody should send: it must die with this reason (SPEC 3.6), its bytes untouched, or be ignored (`None`).
    Hostile {
        to: Destination,
        id: String,
        properties: BTreeMap<String, String>,
        body: Bytes,
        dies: Option<&'static str>,
    },
}

/// The inputs of a run, and what must come of them whatever happens.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub arrivals: Vec<Arrival>,
    /// Texts that must never be stored or emitted (SPEC 13.1(8)).
    pub secrets: Vec<String>,
    /// Per tenant, metric and statistic what the windows must add up to (the generator's own sums).
    pub totals: BTreeMap<(TenantId, String), f64>,
    /// Per tenant and trace the span ids that were sent.
    pub spans: BTreeMap<(TenantId, String), BTreeSet<String>>,
    /// Events that are sent with a reference in place of their payload.
    pub claims: BTreeMap<EventId, PayloadRef>,
    /// What is in the object store from the beginning, by name.
    pub blobs: Vec<(String, Bytes)>,
    /// Tenants whose operators resolve incidents while clears are on their way: which clears a log tells, and whether a
    /// trigger is told once more, is a matter of order there (SPEC 13.1(7)).
    pub contested: BTreeSet<TenantId>,
}

impl Plan {
    pub fn offer(&mut self, at: Timestamp, tenant: &TenantId, offer: Offer) {
        self.arrivals.push(Arrival { at, tenant: tenant.clone(), offer });
    }
}
