//! The host on the embedded broker and a virtual clock: what `local` puts together.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod host_support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use host_support::lab::*;
use host_support::*;
use opsloop_embedded::broker::{Broker, Settings, Subscription, Topology};
use opsloop_embedded::clock::VirtualClock;
use opsloop_embedded::host::{Drained, Entity, Host};
use opsloop_kernel::message::{TOPIC, property};
use opsloop_kernel::{Destination, Message, Timestamp};
use serde_json::{Value, json};

const START: Timestamp = Timestamp::from_millis(1_795_255_200_000);

fn message(id: &str, kind: &str) -> Message {
    Message {
        id: id.to_owned(),
        to: Destination::Topic,
        properties: BTreeMap::from([(property::KIND.to_owned(), kind.to_owned())]),
        content_type: "application/json".to_owned(),
        body: "{}".into(),
        not_before: None,
    }
}

fn on_subscription(name: &str) -> Value {
    json!({"bindings": [{"type": "serviceBusTrigger", "direction": "in", "name": "msg", "dataType": "binary",
        "topicName": TOPIC, "subscriptionName": name}]})
}

fn broker(clock: &Arc<VirtualClock>) -> Arc<Broker> {
    let topology = Topology::new(["pages"], [Subscription::new("Incidents", ["AlertTriggered"])]);
    Arc::new(Broker::in_memory(&topology, Settings::default(), clock.clone()).unwrap())
}

/// The function fails always; another one reads what became of its messages.
#[tokio::test]
async fn what_always_fails_is_delivered_five_times_and_becomes_a_dead_letter() {
    let functions =
        [("Dead", on_subscription("Incidents/$DeadLetterQueue")), ("Incidents", on_subscription("Incidents"))];
    let failing = || Script::answer("HTTP/1.1 422 X\r\nContent-Length: 0\r\n\r\n");
    let mut lab = lab(json!({}), &functions, move |index| if index < 5 { failing() } else { Script::ok() }).await;
    let clock = Arc::new(VirtualClock::at(START));
    let broker = broker(&clock);
    broker.send(&[message("evt-1", "AlertTriggered"), message("evt-2", "NobodyWantsThis")]).await.unwrap();
    lab.options.source = Arc::clone(&broker) as _;
    lab.options.clock = Arc::clone(&clock) as _;
    let host = Host::start(lab.options).await.unwrap();
    assert_eq!(host.drain().await, Drained { succeeded: 1, failed: 5 });
    let bodies: Vec<Value> =
        lab.stub.requests().iter().map(|request| serde_json::from_slice(&parts(request).body).unwrap()).collect();
    let counts: Vec<&str> = bodies.iter().map(|body| body["Metadata"]["DeliveryCount"].as_str().unwrap()).collect();
    assert_eq!(counts[..5], ["1", "2", "3", "4", "5"]);
    let dead = &bodies[5]["Metadata"];
    assert_eq!(dead["sys"]["MethodName"], "Dead");
    assert_eq!(dead["ApplicationProperties"]["DeadLetterReason"], "MaxDeliveryCountExceeded");
    let left = broker.counts(&Entity::subscription(TOPIC, "Incidents")).await.unwrap();
    assert_eq!((left.active, left.locked, left.dead), (0, 0, 0));
    host.stop().await;
}

/// The loop of `local --virtual-clock`: to the next due instant or scheduled message, fire, drain.
#[tokio::test]
async fn a_virtual_hour_takes_no_time() {
    let functions = [("Incidents", on_subscription("Incidents")), ("Tick", timer("0 */5 * * * *"))];
    let mut lab = lab(json!({}), &functions, |_| Script::ok()).await;
    let clock = Arc::new(VirtualClock::at(START));
    let broker = broker(&clock);
    let later = START.plus(Duration::from_secs(1_000));
    broker.send(&[Message { not_before: Some(later), ..message("evt-1", "AlertTriggered") }]).await.unwrap();
    lab.options.source = Arc::clone(&broker) as _;
    lab.options.clock = Arc::clone(&clock) as _;
    let host = Host::start(lab.options).await.unwrap();
    let end = START.plus(Duration::from_secs(3_600));
    let (mut ticks, mut delivered) = (0, 0);
    loop {
        let tick = host.next_timer().map(|at| Timestamp::from_millis(at.as_millisecond()));
        let wake = broker.next_wake().await.unwrap();
        let Some(at) = tick.into_iter().chain(wake).min().filter(|at| *at <= end) else { break };
        clock.advance_to(at);
        ticks += host.fire_due(jiff::Timestamp::from_millisecond(at.millis()).unwrap()).await;
        delivered += host.drain().await.succeeded;
    }
    assert_eq!((ticks, delivered), (12, 1));
    assert_eq!(host.in_flight(), 0);
    host.stop().await;
}
