//! Clients receive: credit, locks, outcomes, and what they do over `$management`.

use super::peer::*;
use opsloop_embedded::{amqp::codec::Value, host::Entity};
use opsloop_kernel::{Destination, Message};
use std::time::Duration;

async fn sent(bed: &Bed, ids: &[&str]) {
    for id in ids {
        let (id, to) = ((*id).to_owned(), Destination::Queue("jobs".to_owned()));
        let body = b"body".to_vec().into();
        let message = Message { id, to, properties: [].into(), content_type: String::new(), body, not_before: None };
        bed.broker.send(&[message]).await.unwrap();
    }
}

fn dead() -> Entity {
    Entity { dead_letters: true, ..jobs() }
}

fn id_of(frame: &Frame) -> String {
    section(&sections(&frame.payload), 0x73).field(0).as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_delivery_is_locked_under_a_guid_and_complete_removes_it() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    peer.receiver(0, "jobs", 0).await;
    peer.credit(0, 0, 5, false).await;
    sent(&bed, &["a"]).await;
    let delivery = peer.expect(TRANSFER).await;
    assert_eq!(delivery.fields.field(2).as_binary().unwrap().len(), 16);
    let sections = sections(&delivery.payload);
    let annotations = section(&sections, 0x72);
    let until = (START + LOCK).millis();
    assert_eq!(annotations.member("x-opt-locked-until"), &Value::Timestamp(until));
    assert_eq!(annotations.member("x-opt-enqueued-time"), &Value::Timestamp(START.millis()));
    assert!(annotations.member("x-opt-sequence-number").as_i64().is_some());
    peer.settle(0, accepted()).await;
    assert_eq!(peer.outcome().await, (0x24, None));
    assert!(bed.broker.peek(&jobs(), -1, 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn types_sections_and_body_come_back_as_they_were_sent() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    let properties = vec![
        ("kind", Value::text("AlertTriggered")),
        ("int", Value::I32(-3)),
        ("long", Value::I64(1 << 40)),
        ("byte", Value::U8(9)),
        ("flag", Value::Bool(true)),
        ("when", Value::Timestamp(1_795_255_200_123)),
        ("bytes", Value::Binary(vec![0, 255])),
        ("uuid", Value::Uuid([3; 16])),
        ("ratio", Value::F64(0.1)),
    ];
    let mut bytes = Vec::new();
    Value::described(0x70, Value::List(vec![Value::Null, Value::U8(7), Value::U32(60_000)])).encode(&mut bytes);
    Value::described(0x72, Value::Map(vec![(Value::symbol("x-opt-partition-key"), Value::text("p"))]))
        .encode(&mut bytes);
    let head = bytes.len();
    let fields = vec![Value::U64(42), Value::Null, Value::text("to"), Value::text("subject")];
    Value::described(0x73, Value::List(fields)).encode(&mut bytes);
    let map = properties.into_iter().map(|(name, value)| (Value::text(name), value)).collect();
    Value::described(0x74, Value::Map(map)).encode(&mut bytes);
    let body = Value::Map(vec![(Value::text("n"), Value::List(vec![Value::I8(-1), Value::Null]))]);
    Value::described(0x77, body).encode(&mut bytes);
    peer.sender(0, "events").await;
    peer.transfer(0, 0, 0, &bytes).await;
    peer.outcome().await;
    peer.receiver(1, "events/Subscriptions/incidents", 1).await;
    peer.credit(1, 0, 1, false).await;
    let delivery = peer.expect(TRANSFER).await;
    assert!(delivery.payload.ends_with(&bytes[head..]), "properties and body, byte for byte");
    let sections = sections(&delivery.payload);
    assert_eq!(section(&sections, 0x70).field(1), &Value::U8(7));
    assert_eq!(section(&sections, 0x70).field(2), &Value::U32(60_000));
    assert_eq!(section(&sections, 0x72).member("x-opt-partition-key"), &Value::text("p"));
    assert!(bed.broker.peek(&incidents(), -1, 1).await.unwrap().is_empty(), "receive-and-delete");
}

#[tokio::test]
async fn a_large_delivery_comes_in_frames_that_the_client_can_take() {
    let bed = Bed::new().await;
    let mut peer = Peer::opened(&bed, 512).await;
    let to = Destination::Queue("jobs".to_owned());
    let body = vec![9; 5_000].into();
    let message =
        Message { id: "big".into(), to, properties: [].into(), content_type: String::new(), body, not_before: None };
    bed.broker.send(&[message]).await.unwrap();
    peer.receiver(0, "jobs", 1).await;
    peer.credit(0, 0, 1, false).await;
    let mut whole = Vec::new();
    loop {
        let frame = peer.expect(TRANSFER).await;
        assert!(frame.size <= 512);
        whole.extend(&frame.payload);
        if !frame.fields.field(5).is_true() {
            break;
        }
    }
    assert_eq!(section(&sections(&whole), 0x75), &Value::Binary(vec![9; 5_000]));
}

#[tokio::test]
async fn frames_wait_for_the_window_of_the_session() {
    let bed = Bed::new().await;
    let mut peer = Peer::connected(&bed).await;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    peer.socket.write_all(b"AMQP\0\x01\0\0").await.unwrap();
    peer.socket.read_exact(&mut [0; 8]).await.unwrap();
    peer.send(OPEN, vec![Value::text("peer")], &[]).await;
    peer.send(BEGIN, begin(2), &[]).await;
    peer.expect(OPEN).await;
    peer.expect(BEGIN).await;
    sent(&bed, &["a", "b", "c", "d"]).await;
    peer.receiver(0, "jobs", 1).await;
    let mut fields = vec![Value::U32(0), Value::U32(2), Value::U32(0), Value::U32(9), Value::U32(0), Value::U32(0)];
    fields.extend([Value::U32(10), Value::Null, Value::Null, Value::Bool(true)]);
    peer.send(FLOW, fields, &[]).await;
    assert_eq!((id_of(&peer.expect(TRANSFER).await), id_of(&peer.expect(TRANSFER).await)), ("a".into(), "b".into()));
    // The next one comes when the window says so: asked for an echo, nothing but that comes.
    let flow = |next: u32, window: u32, echo: bool| {
        let mut fields = vec![Value::U32(next), Value::U32(window), Value::U32(0), Value::U32(9)];
        fields.resize(9, Value::Null);
        fields.push(Value::Bool(echo));
        fields
    };
    peer.send(FLOW, flow(2, 0, true), &[]).await;
    assert_eq!(peer.next().await.unwrap().code, FLOW);
    peer.send(FLOW, flow(2, 2, false), &[]).await;
    assert_eq!((id_of(&peer.expect(TRANSFER).await), id_of(&peer.expect(TRANSFER).await)), ("c".into(), "d".into()));
}

#[tokio::test]
async fn who_drains_gets_what_there_is_and_then_the_rest_of_the_credit_back() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    sent(&bed, &["a", "b"]).await;
    peer.receiver(0, "jobs", 0).await;
    peer.credit(0, 0, 10, true).await;
    assert_eq!(id_of(&peer.expect(TRANSFER).await), "a");
    assert_eq!(id_of(&peer.expect(TRANSFER).await), "b");
    let flow = peer.next().await.unwrap();
    assert_eq!((flow.code, flow.fields.field(5), flow.fields.field(6)), (FLOW, &Value::U32(10), &Value::U32(0)));
    assert!(flow.fields.field(8).is_true());
    // Also who has waited in vain.
    peer.credit(0, 10, 3, false).await;
    peer.credit(0, 10, 3, true).await;
    let flow = peer.next().await.unwrap();
    assert_eq!((flow.code, flow.fields.field(5)), (FLOW, &Value::U32(13)));
}

#[tokio::test]
async fn outcomes_are_echoed_and_a_rejection_that_worked_has_no_error() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    sent(&bed, &["a"]).await;
    peer.receiver(0, "jobs", 0).await;
    peer.credit(0, 0, 1, false).await;
    peer.expect(TRANSFER).await;
    let changed = Value::map([("tries", Value::I32(1))]);
    let abandoned = Value::described(0x27, Value::List(vec![Value::Bool(true), Value::Bool(false), changed]));
    peer.settle(0, abandoned).await;
    assert_eq!(peer.outcome().await, (0x27, None));
    peer.credit(0, 1, 1, false).await;
    let again = peer.expect(TRANSFER).await;
    let read = sections(&again.payload);
    assert_eq!(section(&read, 0x70).field(4), &Value::U32(1), "delivered once before");
    assert_eq!(section(&read, 0x74).member("tries"), &Value::I32(1));
    let info = Value::map([
        ("DeadLetterReason", Value::text("SchemaInvalid")),
        ("DeadLetterErrorDescription", Value::text("why")),
    ]);
    let error =
        Value::described(0x1d, Value::List(vec![Value::symbol("com.microsoft:dead-letter"), Value::Null, info]));
    peer.settle(1, Value::described(0x25, Value::List(vec![error]))).await;
    assert_eq!(peer.outcome().await, (0x25, None));
    peer.receiver(1, "jobs/$DeadLetterQueue", 0).await;
    peer.credit(1, 0, 1, false).await;
    let grave = sections(&peer.expect(TRANSFER).await.payload);
    assert_eq!(section(&grave, 0x74).member("DeadLetterReason"), &Value::text("SchemaInvalid"));
    assert_eq!(section(&grave, 0x74).member("DeadLetterErrorDescription"), &Value::text("why"));
    assert_eq!(section(&grave, 0x74).member("tries"), &Value::I32(1));
    assert_eq!(section(&grave, 0x72).member("x-opt-deadletter-source"), &Value::text("jobs"));
    assert_eq!(bed.broker.peek(&dead(), -1, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_lock_that_ran_out_settles_nothing_and_says_so() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    sent(&bed, &["a"]).await;
    peer.receiver(0, "jobs", 0).await;
    peer.credit(0, 0, 1, false).await;
    peer.expect(TRANSFER).await;
    bed.clock.advance(LOCK);
    peer.settle(0, accepted()).await;
    assert_eq!(peer.outcome().await, (0x25, Some("com.microsoft:message-lock-lost".to_owned())));
    peer.credit(0, 1, 1, false).await;
    assert_eq!(id_of(&peer.expect(TRANSFER).await), "a");
}

#[tokio::test]
async fn a_client_that_waits_gets_what_comes_later_and_what_was_scheduled() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    peer.receiver(0, "jobs", 1).await;
    peer.credit(0, 0, 10, false).await;
    let to = Destination::Queue("jobs".to_owned());
    let not_before = Some(START + Duration::from_secs(30));
    let message = Message {
        id: "later".into(),
        to,
        properties: [].into(),
        content_type: String::new(),
        body: "x".into(),
        not_before,
    };
    bed.broker.send(&[message]).await.unwrap();
    sent(&bed, &["now"]).await;
    assert_eq!(id_of(&peer.expect(TRANSFER).await), "now");
    bed.clock.advance(Duration::from_secs(30));
    assert_eq!(id_of(&peer.expect(TRANSFER).await), "later");
}

#[tokio::test]
async fn what_was_not_sent_when_the_link_ends_is_available_at_once_and_has_not_counted() {
    let bed = Bed::new().await;
    let mut peer = Peer::connected(&bed).await;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    peer.socket.write_all(b"AMQP\0\x01\0\0").await.unwrap();
    peer.socket.read_exact(&mut [0; 8]).await.unwrap();
    peer.send(OPEN, vec![Value::text("peer")], &[]).await;
    peer.send(BEGIN, begin(0), &[]).await; // a window that is closed
    peer.expect(OPEN).await;
    peer.expect(BEGIN).await;
    sent(&bed, &["a", "b"]).await;
    peer.receiver(0, "jobs", 0).await;
    let mut fields = vec![Value::U32(0), Value::U32(0), Value::U32(0), Value::U32(9), Value::U32(0), Value::U32(0)];
    fields.push(Value::U32(10));
    peer.send(FLOW, fields, &[]).await;
    peer.send(DETACH, vec![Value::U32(0), Value::Bool(true)], &[]).await;
    peer.expect(DETACH).await;
    let held = bed.broker.receive(&jobs(), 1, Duration::from_secs(1)).await.unwrap();
    assert_eq!((held[0].delivered.message.id.as_str(), held[0].delivered.deliveries), ("a", 1));
}

async fn managed(bed: &Bed, address: &str) -> Peer {
    let mut peer = bed.peer().await;
    peer.sender(0, &format!("{address}/$management")).await;
    peer.receiver(1, &format!("{address}/$management"), 1).await;
    peer.credit(1, 0, 100, false).await;
    peer
}

fn status(said: &Value) -> i64 {
    said.member("statusCode").as_i64().unwrap()
}

#[tokio::test]
async fn messages_are_peeked_renewed_and_settled_by_their_numbers() {
    let bed = Bed::new().await;
    sent(&bed, &["a", "b"]).await;
    let mut peer = managed(&bed, "jobs").await;
    let from = |n: i64| Value::map([("from-sequence-number", Value::I64(n)), ("message-count", Value::I32(10))]);
    let (said, body) = peer.ask(0, 0, "com.microsoft:peek-message", from(0)).await;
    assert_eq!((status(&said), body.member("messages").items().len()), (200, 2));
    let (said, _) = peer.ask(0, 1, "com.microsoft:peek-message", from(1_000)).await;
    assert_eq!(status(&said), 204);
    let held = bed.broker.receive(&jobs(), 1, Duration::ZERO).await.unwrap().remove(0);
    let token = Value::Uuid(held.lock.as_u128().to_be_bytes());
    let tokens = || Value::map([("lock-tokens", Value::Array(vec![token.clone()]))]);
    bed.clock.advance(Duration::from_secs(10));
    let (said, body) = peer.ask(0, 2, "com.microsoft:renew-lock", tokens()).await;
    let until = Value::Timestamp((START + Duration::from_secs(10) + LOCK).millis());
    assert_eq!((status(&said), body.member("expirations").items()), (200, &[until][..]));
    bed.clock.advance(LOCK);
    let (said, _) = peer.ask(0, 3, "com.microsoft:renew-lock", tokens()).await;
    assert_eq!(status(&said), 410);
    let (said, _) = peer.ask(0, 4, "com.microsoft:set-session-state", Value::Null).await;
    assert_eq!(status(&said), 501);
}

#[tokio::test]
async fn what_is_deferred_is_delivered_to_who_asks_for_its_number() {
    let bed = Bed::new().await;
    sent(&bed, &["a"]).await;
    let mut peer = managed(&bed, "jobs").await;
    peer.receiver(2, "jobs", 0).await;
    peer.credit(2, 0, 5, false).await;
    let sequence =
        section(&sections(&peer.expect(TRANSFER).await.payload), 0x72).member("x-opt-sequence-number").clone();
    peer.settle(0, Value::described(0x27, Value::List(vec![Value::Bool(true), Value::Bool(true)]))).await;
    assert_eq!(peer.outcome().await, (0x27, None));
    assert!(bed.broker.receive(&jobs(), 1, Duration::ZERO).await.unwrap().is_empty());
    let ask = || {
        let numbers = Value::Array(vec![sequence.clone()]);
        Value::map([("sequence-numbers", numbers), ("receiver-settle-mode", Value::U32(1))])
    };
    let (said, body) = peer.ask(0, 0, "com.microsoft:receive-by-sequence-number", ask()).await;
    assert_eq!(status(&said), 200);
    let token = body.member("messages").items()[0].member("lock-token").clone();
    // Its lock runs out: it is still deferred.
    bed.clock.advance(LOCK);
    let (said, body) = peer.ask(0, 1, "com.microsoft:receive-by-sequence-number", ask()).await;
    assert_eq!(status(&said), 200);
    assert_ne!(body.member("messages").items()[0].member("lock-token"), &token);
    let token = body.member("messages").items()[0].member("lock-token").clone();
    let settle =
        Value::map([("disposition-status", Value::text("completed")), ("lock-tokens", Value::Array(vec![token]))]);
    assert_eq!(status(&peer.ask(0, 2, "com.microsoft:update-disposition", settle.clone()).await.0), 200);
    assert_eq!(status(&peer.ask(0, 3, "com.microsoft:update-disposition", settle).await.0), 410);
    assert_eq!(status(&peer.ask(0, 4, "com.microsoft:receive-by-sequence-number", ask()).await.0), 404);
}

#[tokio::test]
async fn what_is_scheduled_on_the_topic_is_called_off_for_every_subscription() {
    let bed = Bed::new().await;
    let mut peer = managed(&bed, "events").await;
    let at = START + Duration::from_secs(60);
    let message = |id: &str| {
        let mut bytes = Vec::new();
        let annotation = (Value::symbol("x-opt-scheduled-enqueue-time"), Value::Timestamp(at.millis()));
        Value::described(0x72, Value::Map(vec![annotation])).encode(&mut bytes);
        bytes.extend(alert(id));
        Value::map([("message", Value::Binary(bytes))])
    };
    let body = Value::map([("messages", Value::List(vec![message("a"), message("b")]))]);
    let (said, body) = peer.ask(0, 0, "com.microsoft:schedule-message", body).await;
    let numbers = body.member("sequence-numbers").items().to_vec();
    assert_eq!((status(&said), numbers.len()), (200, 2));
    let cancel = || Value::map([("sequence-numbers", Value::Array(vec![numbers[0].clone()]))]);
    assert_eq!(status(&peer.ask(0, 1, "com.microsoft:cancel-scheduled-message", cancel()).await.0), 200);
    assert_eq!(status(&peer.ask(0, 2, "com.microsoft:cancel-scheduled-message", cancel()).await.0), 404);
    bed.clock.advance(Duration::from_secs(60));
    for of in ["incidents", "feedback"] {
        let held = bed.broker.receive(&Entity::subscription("events", of), 9, Duration::ZERO).await.unwrap();
        assert_eq!(held.iter().map(|h| h.delivered.message.id.as_str()).collect::<Vec<_>>(), ["b"], "{of}");
    }
}

#[tokio::test]
async fn what_is_too_old_is_a_dead_letter() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    peer.sender(0, "jobs").await;
    let mut bytes = Value::described(0x70, Value::List(vec![Value::Null, Value::Null, Value::U32(5_000)])).to_bytes();
    bytes.extend(message("old", vec![], b"x"));
    peer.transfer(0, 0, 0, &bytes).await;
    peer.outcome().await;
    assert_eq!(bed.broker.next_wake().await.unwrap(), Some(START + Duration::from_secs(5)));
    bed.clock.advance(Duration::from_secs(5));
    assert!(bed.broker.receive(&jobs(), 1, Duration::ZERO).await.unwrap().is_empty());
    let held = bed.broker.receive(&dead(), 1, Duration::ZERO).await.unwrap().remove(0);
    assert_eq!(held.died.unwrap().reason, "TTLExpiredException");
}
