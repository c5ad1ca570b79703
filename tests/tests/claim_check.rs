//! A fact that no message takes travels by reference (DESIGN 6), and whoever consumes it reads what was said: over the
//! embedded blobs, over Azure's, and when they are gone or down.

use opsloop_azure::{
    blob::{AzureBlobs, Options},
    identity::Identity,
};
use opsloop_embedded::clock::WallClock;
use opsloop_kernel::{
    Body, Clock, Container, Envelope, Stream, Timestamp,
    envelope::{PayloadRef, blob_uri},
    message::property,
};
use opsloop_shell::{Catalogue, access::Access, delivery, invocation::Received};
use opsloop_tests::{
    World,
    http::{call, router_of},
    probe::{self, COUNTED, NAME, Probe, Seen, Thing},
    world::{START, at},
};
use serde_json::json;
use std::sync::Arc;

/// Port 1 of this machine: nothing listens on it.
const DOWN: &str = "http://127.0.0.1:1/devstoreaccount1";

/// Blobs of Azure at this endpoint, instead of the embedded ones.
fn over(world: &mut World, endpoint: &str, clock: Arc<dyn Clock>) {
    let options = Options {
        endpoint: endpoint.parse().unwrap(),
        container: "claims".into(),
        credential: Identity::Loopback.credential().unwrap(),
        clock,
    };
    world.shell.ports.blobs = Arc::new(AzureBlobs::new(options).unwrap());
}

fn azurite(world: &mut World) {
    let endpoint = std::env::var("AZURITE_URL").expect("AZURITE_URL: run tests/clients/azurite.sh");
    let clock = world.clock.clone();
    over(world, &endpoint, clock);
}

fn counting() -> World {
    World::new(Catalogue::default().worker(Probe::default()))
}

fn platform() -> World {
    World::new(opsloop_app::workers::catalogue(&Default::default()))
}

async fn read_of(world: &World, fact: &Envelope) -> Thing {
    let received = Received {
        body: fact.encode().into(),
        message_id: fact.event_id.to_string(),
        content_type: None,
        deliveries: 1,
        enqueued_at: None,
        properties: Default::default(),
    };
    let read = delivery::event_of(&received, &*world.shell.ports.blobs, world.now()).await.unwrap();
    read.read().unwrap()
}

/// A thing that has become so heavy is announced, and read by who hears of it.
async fn announced(world: &World, weight: usize) {
    let seen = Seen { thing: "a".into(), amount: 1, weight, ..Seen::default() };
    world.send(&probe::seen("1", "acme", at(START), &seen)).await;
    world.drain().await;
    let fact = world.events(COUNTED).remove(0);
    assert!(fact.payload_ref.is_some() && fact.encode().len() < 10_000);
    assert_eq!(read_of(world, &fact).await.ballast.len(), weight);
}

#[tokio::test]
async fn a_fact_beyond_an_envelope_is_read_by_its_consumers() {
    announced(&counting(), 250_000).await;
}

#[tokio::test]
#[ignore = "needs Azurite: tests/clients/azurite.sh"]
async fn env_04_a_payload_of_300_kib_lies_in_blob_storage() {
    let mut world = counting();
    azurite(&mut world);
    announced(&world, 300 * 1024).await;
}

/// An event whose payload is the object of this name.
fn by_reference(name: &str) -> Envelope {
    let mut event = probe::seen("1", "acme", at(START), &Seen { thing: "a".into(), amount: 1, ..Seen::default() });
    event.payload = Body(json!({}));
    event.payload_ref = Some(PayloadRef { uri: blob_uri(name), sha256: "0".repeat(64), bytes: 7 });
    event
}

#[tokio::test]
#[ignore = "needs Azurite: tests/clients/azurite.sh"]
async fn env_04_a_payload_that_is_not_there_is_a_dead_letter_at_once() {
    let mut world = counting();
    azurite(&mut world);
    world.send(&by_reference("payload/acme/never-put")).await;
    world.drain().await;
    assert_eq!((world.dead(NAME).await.len(), world.copies().len()), (1, 0));
    assert_eq!(world.listed("acme").await[0].reason, "payload_missing");
}

#[tokio::test]
async fn env_04_a_payload_that_cannot_be_reached_is_tried_again() {
    let mut world = counting();
    over(&mut world, DOWN, Arc::new(WallClock));
    world.send(&by_reference("payload/acme/0a1b")).await;
    world.drain().await;
    assert_eq!((world.dead(NAME).await.len(), world.copies().len()), (0, 1));
}

/// One span that no compression makes small enough for a message, from a request of three mebibytes.
fn large_request(now: Timestamp) -> Vec<u8> {
    let mut state = 7u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:016x}", state ^ (state >> 29))
    };
    let text: String = (0..3 * 1024 * 1024 / 16).map(|_| draw()).collect();
    let (start, end) = (now.nanos().to_string(), (now.nanos() + 1).to_string());
    let attribute = json!({"key": "ballast", "value": {"stringValue": text}});
    json!({"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": [{
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "op", "kind": 2,
        "startTimeUnixNano": start, "endTimeUnixNano": end, "attributes": [attribute]}]}]}]})
    .to_string()
    .into_bytes()
}

async fn posted(world: &World) -> u16 {
    let headers = [("content-type", "application/json")];
    let body = large_request(world.now());
    call(&router_of(world, Access::Local), "POST", "/v1/traces", &headers, body).await.status
}

#[tokio::test]
#[ignore = "needs Azurite: tests/clients/azurite.sh"]
async fn a_request_of_three_mebibytes_lies_in_blob_storage_and_is_stored() {
    let mut world = platform();
    azurite(&mut world);
    assert_eq!(posted(&world).await, 200);
    let published = world.bus.published.lock().unwrap().clone();
    let batch = published.iter().find(|m| m.properties.contains_key(property::PAYLOAD_REF)).unwrap();
    let reference: PayloadRef = serde_json::from_str(&batch.properties[property::PAYLOAD_REF]).unwrap();
    assert!(batch.body.is_empty() && reference.bytes > 1_000_000, "{reference:?}");
    world.drain().await;
    let trace = Stream::new(Container::Telemetry, "trace/5b8efff798038103d269b633813fc60c");
    assert!(world.dump().iter().any(|d| d.stream == trace && d.document.kind == "chunk"));
}

#[tokio::test]
async fn a_request_that_cannot_be_kept_is_not_accepted() {
    let mut world = platform();
    over(&mut world, DOWN, Arc::new(WallClock));
    assert_eq!(posted(&world).await, 503);
    assert!(world.bus.published.lock().unwrap().is_empty());
}
