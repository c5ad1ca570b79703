//! A fact that no message takes travels by reference (DESIGN 6), and whoever consumes it reads what was said.

use opsloop_shell::{Catalogue, delivery, invocation::Received};
use opsloop_tests::{
    World,
    probe::{self, COUNTED, Probe, Seen, Thing},
    world::{START, at},
};

#[tokio::test]
async fn a_fact_beyond_an_envelope_is_read_by_its_consumers() {
    let world = World::new(Catalogue::default().worker(Probe::default()));
    let seen = Seen { thing: "a".into(), amount: 1, weight: 250_000, ..Seen::default() };
    world.send(&probe::seen("1", "acme", at(START), &seen)).await;
    world.drain().await;
    let fact = world.events(COUNTED).remove(0);
    assert!(fact.payload_ref.is_some() && fact.encode().len() < 10_000);
    let received = Received {
        body: fact.encode().into(),
        message_id: fact.event_id.to_string(),
        content_type: None,
        deliveries: 1,
        enqueued_at: None,
        properties: Default::default(),
    };
    let read = delivery::event_of(&received, &*world.shell.ports.blobs, world.now()).await.unwrap();
    assert_eq!(read.read::<Thing>().unwrap().ballast.len(), seen.weight);
}
