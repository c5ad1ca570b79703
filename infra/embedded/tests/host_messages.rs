//! How messages are received, shown and settled.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod host_support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use host_support::lab::*;
use host_support::*;
use opsloop_embedded::host::{
    BodyFraming, BusIdentity, Delivered, Drained, Host, HostClock as _, LockToken, Pace, Value as Net,
};
use serde_json::json;

#[tokio::test]
async fn a_hundred_messages_are_a_hundred_requests_at_once() {
    let extra = json!({"serviceBus": {"maxConcurrentCalls": 100}});
    let lab = lab(extra, &[("Bus", bus_function(None, false))], |_| Script {
        delay: Duration::from_millis(400),
        ..Script::ok()
    })
    .await;
    (0..100).for_each(|n| lab.source.push(message(&n.to_string())));
    let host = Host::start(lab.options).await.unwrap();
    let started = Instant::now();
    assert_eq!(host.drain().await, Drained { succeeded: 100, failed: 0 });
    assert!(started.elapsed() < Duration::from_secs(20), "beside each other: one after the other takes 40 s");
    assert_eq!(lab.stub.connections.load(Ordering::Relaxed), 101, "one for each, and the probe's");
    host.stop().await;
}

#[tokio::test]
async fn calls_one_after_the_other_share_a_connection_and_are_reported_at_once() {
    let extra = json!({"serviceBus": {"maxConcurrentCalls": 1}});
    let lab = lab(extra, &[("Bus", bus_function(None, false))], |_| Script::ok()).await;
    (0..30).for_each(|n| lab.source.push(message(&n.to_string())));
    let host = Host::start(lab.options).await.unwrap();
    host.ready().await;
    let started = Instant::now();
    assert_eq!(host.drain().await.succeeded, 30);
    assert!(started.elapsed() < Duration::from_secs(3), "5 to 10 ms each on the real host");
    assert_eq!(lab.stub.connections.load(Ordering::Relaxed), 2);
    host.stop().await;
}

#[tokio::test]
async fn a_batch_is_settled_whole() {
    let bad = Delivered { body: bytes::Bytes::from_static(b"no JSON"), ..message("bad") };
    for (data_type, messages, wanted, calls) in [
        (Some("binary"), vec![message("a"), message("b")], "completed", 1),
        (None, vec![message("a"), bad], "abandoned", 0),
    ] {
        let lab = lab(json!({}), &[("Batch", bus_function(data_type, true))], |_| Script::ok()).await;
        messages.into_iter().for_each(|message| lab.source.push(message));
        let host = Host::start(lab.options).await.unwrap();
        host.drain().await;
        let settled = lab.source.settled();
        assert_eq!(settled.len(), 2);
        assert!(settled.iter().all(|(_, what)| *what == wanted), "{settled:?}");
        assert_eq!(lab.stub.requests().len(), calls);
        host.stop().await;
    }
}

#[tokio::test]
async fn without_auto_completion_nobody_settles_a_success() {
    let extra = json!({"serviceBus": {"autoCompleteMessages": false}});
    let lab = lab(extra, &[("Bus", bus_function(None, false))], |_| Script::ok()).await;
    lab.source.push(message("a"));
    let host = Host::start(lab.options).await.unwrap();
    assert_eq!(host.drain().await.succeeded, 1);
    assert!(lab.source.settled().is_empty());
    host.stop().await;
}

#[tokio::test]
async fn the_lock_of_a_running_message_is_renewed() {
    let mut lab = lab(json!({}), &[("Bus", bus_function(None, false))], |_| Script {
        delay: Duration::from_millis(300),
        ..Script::ok()
    })
    .await;
    lab.options.pace = Pace::Wall;
    let until = lab.clock.now() + Duration::from_secs(30);
    lab.source.push(Delivered { locked_until: Some(until), ..message("a") });
    let (clock, source) = (Arc::clone(&lab.clock), Arc::clone(&lab.source));
    let host = Host::start(lab.options).await.unwrap();
    until_true(|| lab.stub.requests().len() == 1).await;
    clock.stepped.advance_to(until - Duration::from_secs(10));
    until_true(|| source.settled().len() >= 2).await;
    assert_eq!(source.settled()[..2], [("a".to_owned(), "renewed"), ("a".to_owned(), "completed")]);
    host.stop().await;
}

#[tokio::test]
async fn harsh_chunks_are_cut_inside_characters() {
    let mut lab = lab(json!({}), &[("Bus", bus_function(None, false))], |_| Script::ok()).await;
    lab.options.framing = BodyFraming::Harsh;
    lab.source.push(Delivered { body: bytes::Bytes::from("ž".repeat(50)), ..message("a") });
    let host = Host::start(lab.options).await.unwrap();
    host.drain().await;
    let sent = parts(&lab.stub.requests()[0]);
    assert!(sent.chunks.iter().all(|size| *size <= 13));
    assert!(String::from_utf8(sent.body).unwrap().contains(&"ž".repeat(50)));
    host.stop().await;
}

/// What was computed from the host's source; our message functions get `sb_single_binary.json`.
#[tokio::test]
async fn single_binary_messages_look_as_derived() {
    for name in ["sb_single_binary", "sb_single_binary_protobuf", "sb_single_binary_redelivery", "sb_dlq_binary"] {
        let wanted = Net::parse(&std::fs::read_to_string(golden(&format!("derived/{name}.json"))).unwrap()).unwrap();
        let Net::Object(parsed) = &wanted else { panic!() };
        let (data, metadata) = (&parsed[0].1, &parsed[1].1);
        let get = |name: &str| match metadata {
            Net::Object(members) => members.iter().find(|(have, _)| have == name).map(|(_, value)| value.clone()),
            _ => None,
        };
        let text = |name: &str| match get(name) {
            Some(Net::String(text)) => Some(text.trim_matches('"').to_owned()),
            _ => None,
        };
        let instant = |name: &str| at(&text(name).unwrap());
        let body = match data {
            Net::Object(members) => match &members[0].1 {
                Net::String(body) => body.clone(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        let properties = match get("ApplicationProperties") {
            Some(Net::Object(members)) => members,
            other => panic!("{other:?}"),
        };
        use base64::Engine as _;
        let message = Delivered {
            lock: text("LockToken").map(LockToken),
            body: base64::engine::general_purpose::STANDARD.decode(body).unwrap().into(),
            message_id: text("MessageId"),
            content_type: text("ContentType"),
            subject: text("Subject"),
            correlation_id: text("CorrelationId"),
            dead_letter_source: text("DeadLetterSource"),
            properties,
            delivery_count: text("DeliveryCount").unwrap().parse().unwrap(),
            sequence_number: text("SequenceNumber").unwrap().parse().unwrap(),
            enqueued_at: instant("EnqueuedTime"),
            expires_at: Some(instant("ExpiresAt")),
            ..Delivered::default()
        };
        let mut lab = lab(json!({}), &[("Bus", bus_function(Some("binary"), false))], |_| Script::ok()).await;
        lab.source.push(message);
        lab.options.client = BusIdentity {
            namespace: "example.servicebus.windows.net".to_owned(),
            identifier: "example.servicebus.windows.net-0f8fad5b-d9cb-469f-a165-70867728950e".to_owned(),
        };
        let host = Host::start(lab.options).await.unwrap();
        host.drain().await;
        let sent = String::from_utf8(parts(&lab.stub.requests()[0]).body).unwrap();
        let (sent, wanted) = (sent.split(",\"sys\":").next().unwrap().to_owned(), wanted.to_json());
        assert_eq!(sent, wanted.split(",\"sys\":").next().unwrap(), "{name}");
        host.stop().await;
    }
}
