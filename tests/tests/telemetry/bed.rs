//! A world with the smallest worker behind the production router, and the calls that the host would make.

use base64::{Engine, engine::general_purpose::STANDARD};
use opsloop_app::workers::Otlp;
use opsloop_kernel::Envelope;
use opsloop_shell::{
    Catalogue,
    access::Access,
    bind::properties_of,
    otlp::Receiver,
    router::{self, Flush, Served},
};
use opsloop_tests::{
    World,
    http::call,
    probe::{self, NAME, Probe, Seen},
    world::{START, at},
};
use serde_json::{Value, json};
use std::sync::Arc;

pub fn world() -> World {
    World::new(Catalogue::default().worker(Probe::default()))
}

pub fn router_of(world: &World, flush: Option<Flush>) -> axum::Router {
    let served =
        Served::new(world.shell.clone(), Access::Local, Receiver::new(Arc::new(Otlp)), || "# EOF\n".to_owned());
    let served = match flush {
        Some(flush) => served.flushing(flush),
        None => served,
    };
    router::router(Arc::new(served))
}

pub fn event(id: &str, traceparent: Option<&str>, seen: &Seen) -> Envelope {
    Envelope { traceparent: traceparent.map(str::to_owned), ..probe::seen(id, "acme", at(START), seen) }
}

pub fn thing(name: &str) -> Seen {
    Seen { thing: name.into(), amount: 1, ..Seen::default() }
}

/// The host's JSON for a message of the bus.
pub fn invocation(envelope: &Envelope) -> Value {
    json!({
        "Data": { "msg": STANDARD.encode(envelope.encode()) },
        "Metadata": {
            "MessageId": format!("\"{}\"", envelope.event_id),
            "DeliveryCount": "1",
            "ApplicationProperties": properties_of(envelope),
        },
    })
}

/// One message through the router, as the host would post it, with the header that the host adds (P18).
pub async fn deliver(router: &axum::Router, envelope: &Envelope) -> u16 {
    let host = [("traceparent", "00-11111111111111111111111111111111-2222222222222222-00")];
    call(router, "POST", &format!("/{NAME}"), &host, invocation(envelope).to_string()).await.status
}
