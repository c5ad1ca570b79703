//! What the other platforms say: envelopes as they would make them, and when they arrive.

use crate::{
    plan::{Cast, Offer, Plan},
    rng::Rng,
};
use opsloop_kernel::{Body, Envelope, Freshness, TenantId, Timestamp, http::Method, ids};
use serde_json::Value;

/// Draws for every tenant; twins get the same draws. Only what is unique by contract differs between them: the ids of
/// events bear their tenant, as those of every producer do.
pub fn for_each_tenant(rng: &mut Rng, cast: &Cast, mut draw: impl FnMut(&mut Rng, &TenantId)) {
    let first = rng.clone();
    for tenant in &cast.tenants {
        if cast.twins {
            *rng = first.clone();
        }
        draw(rng, tenant);
    }
}

/// What events and commands are about.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub project: &'static str,
    pub module: &'static str,
    pub environment: &'static str,
}

impl Place {
    pub fn draw(rng: &mut Rng, cast: &Cast) -> Self {
        let environment = if rng.hit(0.7) { "prod" } else { "staging" };
        Self { project: *rng.pick(&cast.projects), module: *rng.pick(&cast.modules), environment }
    }
}

/// An instant inside the cast's time, in whole milliseconds.
pub fn moment(rng: &mut Rng, cast: &Cast) -> Timestamp {
    within(cast, cast.start.plus_millis(rng.between(0, cast.end.millis_since(cast.start))))
}

/// The nearest instant at which something may arrive.
pub fn within(cast: &Cast, at: Timestamp) -> Timestamp {
    at.max(cast.start).min(cast.end.plus_millis(-1)).floor_millis()
}

/// Speaks for one tenant.
pub struct Teller<'a> {
    pub cast: &'a Cast,
    pub tenant: &'a TenantId,
    pub plan: &'a mut Plan,
}

/// What an envelope says beside its payload.
#[derive(Clone, Debug)]
pub struct Said {
    pub kind: &'static str,
    pub place: Place,
    pub occurred_at: Timestamp,
    pub revision: u32,
    pub stale: bool,
    pub payload: Value,
}

impl Said {
    pub fn new(kind: &'static str, place: Place, occurred_at: Timestamp, payload: Value) -> Self {
        Self { kind, place, occurred_at, revision: 0, stale: false, payload }
    }
}

impl Teller<'_> {
    /// Arrives so much later than it happened, and never before it.
    pub fn say(&mut self, said: Said, delay_ms: i64) {
        let at = self.free(within(self.cast, said.occurred_at.plus_millis(delay_ms)));
        let occurred_at = said.occurred_at.min(at);
        let envelope = envelope(self.tenant, &Said { occurred_at, ..said });
        self.plan.offer(at, self.tenant, Offer::Event(Box::new(envelope)));
    }

    /// This instant, or the next at which nothing else is said: what comes at one instant is in no order. What would come
    /// after the end comes in its last second, in the order in which it was meant.
    fn free(&self, at: Timestamp) -> Timestamp {
        let taken = |at| self.plan.arrivals.iter().any(|a| a.at == at && a.tenant == *self.tenant);
        let mut at = at.min(self.cast.end.plus_millis(-1_000));
        while taken(at) {
            at = at.plus_millis(1);
        }
        at
    }

    /// A command; its key is the sender's own.
    pub fn ask(&mut self, at: Timestamp, command: Command) {
        let Command { method, path, body, key, expect } = command;
        let at = self.free(within(self.cast, at));
        self.plan.offer(at, self.tenant, Offer::Command { method, path, body, key, expect: expect.to_vec() });
    }
}

#[derive(Clone, Debug)]
pub struct Command {
    pub method: Method,
    pub path: String,
    pub body: Value,
    pub key: String,
    pub expect: &'static [u16],
}

/// An event whose identity follows from its content.
pub fn envelope(tenant: &TenantId, said: &Said) -> Envelope {
    let parts = [said.payload.to_string(), said.occurred_at.millis().to_string(), said.stale.to_string()];
    let key = ids::key(said.kind, tenant, parts);
    let event_id = ids::event_id(said.kind, tenant, &key, said.revision);
    let correlation_id = ids::command_correlation(tenant, &event_id);
    let stale = Freshness { as_of: said.occurred_at.plus_millis(-400_000), lag_ms: 400_000, stale: true, reason: None };
    Envelope {
        event_type: said.kind.to_owned(),
        event_version: 1,
        tenant_id: tenant.clone(),
        project_id: Some(said.place.project.to_owned()),
        module_id: Some(said.place.module.to_owned()),
        environment: Some(said.place.environment.to_owned()),
        trace_id: ids::correlation_trace(&correlation_id),
        correlation_id,
        causation_id: None,
        causation_depth: 0,
        occurred_at: said.occurred_at,
        recorded_at: said.occurred_at,
        source: "urn:factory:outside:sim".to_owned(),
        subject: format!("{}/{event_id}", said.kind),
        partition_key: event_id.to_string(),
        idempotency_key: key,
        revision: said.revision,
        traceparent: None,
        tracestate: None,
        dimensions: Default::default(),
        freshness: said.stale.then_some(stale),
        payload: Body(said.payload.clone()),
        payload_ref: None,
        event_id,
    }
}
