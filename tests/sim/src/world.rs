//! Production code on the ports of a run, and the invocations that the driver starts: futures that own all they need.

use crate::{
    plan::{Arrival, Offer, Plan},
    ports::{Bus, Documents, Objects, SimStore},
    shared::Shared,
    time::HandlersClock,
    workers::claims::by_reference,
};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use opsloop_embedded::broker::Topology;
use opsloop_kernel::{Body, BoxFuture, Delivered, Destination, Envelope, Message, Outcome, TenantId, Timestamp};
use opsloop_shell::{
    Catalogue, Jitter, Ports, Shell,
    access::Caller,
    api::{self, Call},
    bind::properties_of,
    catalogue::TICK_PAGES,
    dead_letters,
    invocation::{Received, Timer},
    otlp::{Codec, Receiver},
    relay, render, settle,
    ticks::{self, Ticked},
};
use std::sync::Arc;

/// The project of telemetry that names none.
pub const PROJECT: &str = "shop";

/// How many a run may have: in two, metrics lie apart; each costs its rounds in every minute.
pub const METRIC_BUCKETS: [u16; 2] = [1, 2];

/// What is the same in all runs: the production code that is simulated.
#[derive(Clone)]
pub struct Product {
    catalogues: [Arc<Catalogue>; METRIC_BUCKETS.len()],
    pub codec: Arc<dyn Codec>,
    pub topology: Topology,
}

impl Product {
    /// `catalogue` makes it for so many metric buckets.
    pub fn new(catalogue: impl Fn(u16) -> Catalogue, codec: Arc<dyn Codec>) -> Result<Self, String> {
        let catalogues = METRIC_BUCKETS.map(|buckets| Arc::new(catalogue(buckets)));
        let topology = serde_json::from_value(render::topology(&catalogues[0])).map_err(|e| e.to_string())?;
        Ok(Self { catalogues, codec, topology })
    }

    pub fn catalogue(&self, metric_buckets: u16) -> &Arc<Catalogue> {
        let that = self.catalogues.iter().find(|c| c.metric_buckets() == metric_buckets);
        that.unwrap_or(&self.catalogues[0])
    }
}

pub struct World {
    pub shell: Shell,
    receiver: Receiver,
    pub shared: Arc<Shared>,
    plan: Arc<Plan>,
}

/// How an invocation ended.
#[derive(Debug)]
pub enum Done {
    /// Of a message: the status that the host sees.
    Message(u16),
    Tick(Ticked),
    Sweep,
    Replay,
    Post(Posted),
}

#[derive(Debug)]
pub enum Posted {
    Accepted,
    /// To be sent again.
    NotYet,
    /// With what the sender was told.
    Refused(String),
}

pub type Invocation = BoxFuture<'static, Done>;

impl World {
    pub fn new(
        product: &Product,
        metric_buckets: u16,
        plan: Arc<Plan>,
        documents: Arc<dyn Documents>,
        shared: Arc<Shared>,
    ) -> Self {
        let store = Arc::new(SimStore { inner: documents, shared: shared.clone() });
        let bus = Arc::new(Bus(shared.clone()));
        let ports = Ports {
            store: store.clone(),
            directory: store,
            publisher: bus.clone(),
            clock: Arc::new(HandlersClock { time: shared.time.clone(), turns: shared.turns.clone() }),
            blobs: Arc::new(Objects(shared.clone())),
            backlog: bus.clone(),
            dead_letters: bus,
            recorder: shared.journal.clone(),
            jitter: Jitter::Spread,
        };
        let shell = Shell { catalogue: product.catalogue(metric_buckets).clone(), ports };
        Self { shell, receiver: Receiver::new(product.codec.clone()), shared, plan }
    }

    pub fn message(self: &Arc<Self>, function: String, delivered: &Delivered) -> Invocation {
        let (world, received) = (self.clone(), received(delivered));
        Box::pin(async move {
            if function == TICK_PAGES {
                return Done::Message(ticks::handle_page(&world.shell, &received).await.status());
            }
            let Some((worker, trigger)) = world.shell.catalogue.function(&function) else { return Done::Message(404) };
            Done::Message(settle::message(&world.shell, worker, trigger, &received).await.status())
        })
    }

    /// A run of a timer function that was planned for `due`.
    pub fn tick(self: &Arc<Self>, function: &'static str, due: Timestamp) -> Invocation {
        let world = self.clone();
        Box::pin(async move {
            let past_due = world.shared.time.now() > due;
            let Some((worker, trigger)) = world.shell.catalogue.function(function) else {
                return Done::Tick(Ticked::default());
            };
            Done::Tick(ticks::tick(&world.shell, worker, trigger, &Timer { next: Some(due), past_due }).await)
        })
    }

    pub fn sweep(self: &Arc<Self>, due: Timestamp) -> Invocation {
        let world = self.clone();
        Box::pin(async move {
            let _ = relay::sweep(due, &world.shell.ports).await;
            Done::Sweep
        })
    }

    /// What an operator does with the dead letters of a tenant: all of them, or those that may live.
    pub fn replay(self: &Arc<Self>, tenant: TenantId, all: bool) -> Invocation {
        let world = self.clone();
        Box::pin(async move {
            let listed = dead_letters::list(&world.shell, &tenant).await.unwrap_or_default();
            for dead in listed {
                if all || !world.is_hostile(&dead.message_id) {
                    let _ = dead_letters::replay(&world.shell, &tenant, &dead.id).await;
                }
            }
            Done::Replay
        })
    }

    fn is_hostile(&self, message_id: &str) -> bool {
        let original = message_id.split(":").next().unwrap_or_default();
        self.plan
            .arrivals
            .iter()
            .any(|a| matches!(&a.offer, Offer::Hostile { id, dies: Some(_), .. } if id == original))
    }

    pub fn post(self: &Arc<Self>, n: usize) -> Invocation {
        let world = self.clone();
        Box::pin(async move { Done::Post(world.posted(&world.plan.arrivals[n]).await) })
    }

    async fn posted(&self, arrival: &Arrival) -> Posted {
        let caller = Caller { tenant: arrival.tenant.clone(), project: Some(PROJECT.into()), subject: None };
        match &arrival.offer {
            Offer::Otlp { signal, body } => {
                let mut headers = HeaderMap::new();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
                let reply = self.receiver.receive(&self.shell, *signal, &headers, Ok(caller), Some(body.clone())).await;
                match reply.status.as_u16() {
                    200 => Posted::Accepted,
                    503 => Posted::NotYet,
                    other => Posted::Refused(format!("{other}: {}", String::from_utf8_lossy(&reply.body))),
                }
            }
            Offer::Command { method, path, body, key, expect } => {
                let call = Call {
                    method: *method,
                    path,
                    query: Default::default(),
                    body: Body(body.clone()),
                    caller: &caller,
                    idempotency: key.clone(),
                    traceparent: None,
                };
                let (status, text) = match api::call(&self.shell, &call).await {
                    Ok(reply) => (reply.answer.status, reply.answer.body.0.to_string()),
                    Err(problem) => (problem.status, problem.detail),
                };
                self.shared.say(|| format!("  {} {path} -> {status} {text}", method.name()));
                match status {
                    503 => Posted::NotYet,
                    _ if expect.contains(&status) => Posted::Accepted,
                    _ => Posted::Refused(format!("{} {path} answered {status} {text}", method.name())),
                }
            }
            Offer::Event(event) => {
                let claim = self.plan.claims.get(&event.event_id);
                let envelope = &claim.map_or_else(|| Envelope::clone(event), |c| by_reference(event, c));
                let message = Message {
                    id: envelope.event_id.to_string(),
                    to: Destination::Topic,
                    properties: properties_of(envelope),
                    content_type: "application/json".into(),
                    body: envelope.encode().into(),
                    not_before: None,
                };
                self.publish(message).await
            }
            Offer::Hostile { to, id, properties, body, .. } => {
                let message = Message {
                    id: id.clone(),
                    to: to.clone(),
                    properties: properties.clone(),
                    content_type: "application/json".into(),
                    body: body.clone(),
                    not_before: None,
                };
                self.publish(message).await
            }
        }
    }

    async fn publish(&self, message: Message) -> Posted {
        match Bus(self.shared.clone()).send(&[message], false).await.as_deref() {
            Ok([Outcome::Accepted]) => Posted::Accepted,
            Ok([Outcome::Rejected { why }]) => Posted::Refused(why.clone()),
            _ => Posted::NotYet,
        }
    }
}

/// What the host would hand over.
fn received(delivered: &Delivered) -> Received {
    let message = &delivered.message;
    Received {
        body: message.body.clone(),
        message_id: message.id.clone(),
        content_type: Some(message.content_type.clone()),
        deliveries: delivered.deliveries,
        enqueued_at: delivered.enqueued_at,
        properties: message.properties.clone(),
    }
}
