//! Clients send: what is taken, what is refused, and what a test lets go wrong.

use super::peer::*;
use opsloop_embedded::amqp::{OnSend, codec::Value};
use std::time::Duration;

const ACCEPTED: (u64, Option<String>) = (0x24, None);

async fn ids(bed: &Bed, of: &opsloop_embedded::host::Entity) -> Vec<String> {
    let held = bed.broker.peek(of, -1, 1_000).await.unwrap();
    held.into_iter().map(|h| h.delivered.message.id).collect()
}

#[tokio::test]
async fn what_is_sent_over_the_wire_is_what_the_platform_reads() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    peer.sender(0, "events").await;
    peer.transfer(0, 0, 0, &alert("evt-1")).await;
    assert_eq!(peer.outcome().await, ACCEPTED);
    let held = bed.broker.receive(&incidents(), 9, Duration::ZERO).await.unwrap().remove(0);
    let message = held.delivered.message;
    assert_eq!((message.id.as_str(), message.properties["kind"].as_str()), ("evt-1", "AlertTriggered"));
    assert_eq!(&message.body[..], b"body");
}

#[tokio::test]
async fn an_address_may_be_spelled_in_any_way() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    let spelled = ["events", "/Events", "amqps://somewhere:5671/EVENTS", "amqp://localhost/events/", "sb://x/events"];
    for (handle, address) in (0..).zip(spelled) {
        peer.sender(handle, address).await;
        peer.transfer(handle, handle, 0, &alert(&format!("evt-{handle}"))).await;
        assert_eq!(peer.outcome().await, ACCEPTED, "{address}");
    }
    assert_eq!(ids(&bed, &incidents()).await.len(), 5);
}

#[tokio::test]
async fn what_nobody_has_is_attached_without_an_end_and_detached_at_once() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    for (handle, address) in (0..).zip(["nowhere", "nowhere/$management", ""]) {
        let attach = peer.sender(handle, address).await;
        assert!(attach.fields.field(5).is_null() && attach.fields.field(6).is_null());
        let detach = peer.expect(DETACH).await;
        assert_eq!(condition(detach.fields.field(2)).unwrap(), "amqp:not-found", "{address}");
    }
    for (handle, address) in
        (3..).zip(["events", "events/subscriptions/nobody", "jobs/x", "other/subscriptions/incidents"])
    {
        peer.receiver(handle, address, 0).await;
        let detach = peer.expect(DETACH).await;
        assert_eq!(condition(detach.fields.field(2)).unwrap(), "amqp:not-found", "{address}");
    }
}

#[tokio::test]
async fn a_message_may_come_in_many_frames() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    peer.sender(0, "jobs").await;
    let bytes = message("big", vec![], &[7; 10_000]);
    let chunks: Vec<_> = bytes.chunks(999).collect();
    for (at, chunk) in chunks.iter().enumerate() {
        let mut fields = vec![Value::U32(0)];
        if at == 0 {
            fields.extend([Value::U32(0), Value::Binary(vec![1]), Value::U32(0)]);
        }
        fields.resize(5, Value::Null);
        fields.push(Value::Bool(at + 1 < chunks.len()));
        peer.send(TRANSFER, fields, chunk).await;
    }
    assert_eq!(peer.outcome().await, ACCEPTED);
    assert_eq!(bed.broker.peek(&jobs(), -1, 1).await.unwrap()[0].delivered.message.body.len(), 10_000);
}

#[tokio::test]
async fn what_is_too_large_ends_the_link_and_not_the_connection() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    let attach = peer.sender(0, "jobs").await;
    assert_eq!(attach.fields.field(10), &Value::U64(256 * 1024));
    let bytes = message("big", vec![], &vec![7; 256 * 1024]);
    for (at, chunk) in bytes.chunks(60_000).enumerate() {
        let mut fields = vec![Value::U32(0)];
        if at == 0 {
            fields.extend([Value::U32(0), Value::Binary(vec![1]), Value::U32(0)]);
        }
        fields.resize(5, Value::Null);
        fields.push(Value::Bool(true));
        peer.send(TRANSFER, fields, chunk).await;
    }
    assert_eq!(peer.outcome().await, (0x25, Some("amqp:link:message-size-exceeded".to_owned())));
    let detach = peer.expect(DETACH).await;
    assert_eq!(condition(detach.fields.field(2)).unwrap(), "amqp:link:message-size-exceeded");
    peer.sender(1, "jobs").await;
    peer.transfer(1, 1, 0, &message("small", vec![], b"")).await;
    assert_eq!(peer.outcome().await, ACCEPTED);
    assert_eq!(ids(&bed, &jobs()).await, ["small"]);
}

#[tokio::test]
async fn a_batch_is_taken_as_a_whole_or_not_at_all() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    peer.sender(0, "jobs").await;
    let batch = |ids: &[&str]| {
        let mut out = Vec::new();
        for id in ids {
            Value::described(0x75, Value::Binary(message(id, vec![], b"x"))).encode(&mut out);
        }
        out
    };
    peer.transfer(0, 0, 0x8001_3700, &batch(&["a", "b", "c"])).await;
    assert_eq!(peer.outcome().await, ACCEPTED);
    peer.transfer(0, 1, 0x8001_3700, &batch(&["d", &"too-long".repeat(20)])).await;
    assert_eq!(peer.outcome().await, (0x25, Some("com.microsoft:argument-error".to_owned())));
    assert_eq!(ids(&bed, &jobs()).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn what_is_no_message_is_rejected() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    peer.sender(0, "jobs").await;
    peer.transfer(0, 0, 0, b"\xff\xff").await;
    assert_eq!(peer.outcome().await, (0x25, Some("amqp:decode-error".to_owned())));
    peer.transfer(0, 1, 0x8001_3700, &message("a", vec![], b"this is not a message")).await;
    assert_eq!(peer.outcome().await, (0x25, Some("amqp:decode-error".to_owned())));
    assert!(ids(&bed, &jobs()).await.is_empty());
}

#[tokio::test]
async fn the_duplicate_window_drops_without_a_word() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    peer.sender(0, "jobs").await;
    for delivery in 0..3 {
        peer.transfer(0, delivery, 0, &message("same", vec![], b"x")).await;
        assert_eq!(peer.outcome().await, ACCEPTED);
    }
    assert_eq!(ids(&bed, &jobs()).await, ["same"]);
}

#[tokio::test]
async fn the_next_sends_go_wrong_as_a_test_wants_them_to() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    peer.sender(0, "jobs").await;
    bed.front.faults().on_sends([OnSend::Take, OnSend::busy(), OnSend::reject("amqp:not-allowed", "no")]);
    for (delivery, expected) in
        [(0, None), (1, Some("com.microsoft:server-busy")), (2, Some("amqp:not-allowed")), (3, None)]
    {
        peer.transfer(0, delivery, 0, &message(&format!("m{delivery}"), vec![], b"")).await;
        assert_eq!(peer.outcome().await.1.as_deref(), expected);
    }
    assert_eq!(ids(&bed, &jobs()).await, ["m0", "m3"]);
    bed.front.faults().on_sends([OnSend::LoseReply, OnSend::close_link("amqp:link:detach-forced", false)]);
    for delivery in 4..6 {
        peer.transfer(0, delivery, 0, &message(&format!("m{delivery}"), vec![], b"")).await;
    }
    let detach = peer.expect(DETACH).await;
    assert_eq!(condition(detach.fields.field(2)).unwrap(), "amqp:link:detach-forced");
    assert_eq!(ids(&bed, &jobs()).await, ["m0", "m3", "m4"], "taken, though nobody said so");
    bed.front.faults().on_sends([OnSend::CloseConnection { taken: true }]);
    peer.sender(1, "jobs").await;
    peer.transfer(1, 6, 0, &message("m6", vec![], b"")).await;
    assert!(std::iter::once(peer.next().await).all(|f| f.is_none_or(|f| f.code == FLOW)));
    assert!(peer.next().await.is_none());
    assert_eq!(ids(&bed, &jobs()).await, ["m0", "m3", "m4", "m6"]);
    assert_eq!((bed.front.faults().pending(), bed.front.faults().connections()), (0, 1));
}

#[tokio::test]
async fn a_token_is_taken_counted_and_not_kept() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    peer.sender(0, "$cbs").await;
    peer.receiver(1, "$cbs", 1).await;
    peer.credit(1, 0, 10, false).await;
    let claims = "eyJ0aWQiOiJhY21lIn0"; // {"tid":"acme"}
    let (said, _) = peer.ask(0, 0, "put-token", Value::text(format!("eyJ.{claims}.secret"))).await;
    assert_eq!(said.member("status-code"), &Value::I32(202));
    bed.front.faults().refuse_tokens(1);
    let (said, _) = peer.ask(0, 1, "put-token", Value::text("SharedAccessSignature x")).await;
    assert_eq!(said.member("status-code"), &Value::I32(401));
    let tokens = bed.front.faults().tokens();
    assert_eq!(tokens.iter().map(|t| t.tenant.as_deref()).collect::<Vec<_>>(), [Some("acme"), None]);
    assert!(!format!("{tokens:?}").contains("secret"));
}
