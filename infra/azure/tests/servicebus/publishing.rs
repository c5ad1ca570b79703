//! Sending when nothing goes wrong, and messages that are wrong.

use super::bed::{Bed, START, broker, event, incidents, queue, to_queue};
use futures::future;
use opsloop_azure::servicebus::BusError;
use opsloop_embedded::{broker::Held, clock::VirtualClock, host::Entity};
use opsloop_kernel::{Message, Outcome, Timestamp, ports::Publisher};
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn a_message_arrives_with_everything_it_says() {
    let bed = Bed::new().await;
    bed.accepted(&[event("evt-1")]).await;
    let held = bed.held(&incidents()).await;
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].delivered.message, event("evt-1"));
}

#[tokio::test]
async fn a_thousand_callers_share_one_connection_and_one_link() {
    let bed = Bed::new().await;
    let messages: Vec<Message> = (0..1_000).map(|n| event(format!("evt-{n}"))).collect();
    let sent = future::join_all(messages.iter().map(|m| bed.bus.publish(std::slice::from_ref(m)))).await;
    assert!(sent.iter().all(|outcome| *outcome == Ok(vec![Outcome::Accepted])));
    assert_eq!(bed.ids(&incidents()).await.len(), 1_000);
    assert_eq!((bed.front().faults().connections(), bed.front().faults().links()), (1, 1));
}

#[tokio::test]
async fn a_thousand_messages_of_one_call_arrive_in_their_order() {
    let bed = Bed::new().await;
    let messages: Vec<Message> =
        (0..1_000).map(|n| to_queue("otlp-traces", format!("b|{n}"), (n * 37) % 4_000)).collect();
    bed.accepted(&messages).await;
    let arrived: Vec<Message> = messages_of(bed.held(&queue("otlp-traces")).await);
    assert_eq!(arrived, messages);
}

#[tokio::test]
async fn of_a_batch_only_the_message_that_is_too_large_is_rejected() {
    let bed = Bed::new().await;
    let sizes = [10, 200_000, 300_000, 200_000, 10];
    let messages: Vec<Message> =
        sizes.iter().enumerate().map(|(n, s)| to_queue("pages", format!("p{n}"), *s)).collect();
    let outcomes = bed.bus.publish(&messages).await.unwrap();
    let rejected: Vec<bool> = outcomes.iter().map(|o| matches!(o, Outcome::Rejected { .. })).collect();
    assert_eq!(rejected, [false, false, true, false, false]);
    assert_eq!(bed.ids(&queue("pages")).await, ["p0", "p1", "p3", "p4"]);
    assert_eq!(bed.front().faults().links(), 1, "the link outlives a message that is too large for it");
}

#[tokio::test]
async fn what_goes_to_an_entity_that_is_not_there_is_rejected_and_the_rest_arrives() {
    let bed = Bed::new().await;
    let outcomes = bed.bus.publish(&[to_queue("nowhere", "n", 1), event("evt-1")]).await.unwrap();
    let Outcome::Rejected { why } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(why.contains("nowhere"), "{why}");
    assert_eq!(outcomes[1], Outcome::Accepted);
    assert_eq!(bed.ids(&incidents()).await, ["evt-1"]);
}

#[tokio::test]
async fn a_message_id_that_the_service_would_not_take_is_rejected() {
    let bed = Bed::new().await;
    let outcomes = bed.bus.publish(&[event("i".repeat(129)), event("i".repeat(128))]).await.unwrap();
    assert!(matches!(&outcomes[0], Outcome::Rejected { why } if why.contains("128")), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Accepted);
}

#[tokio::test]
async fn a_scheduled_message_is_there_at_its_instant_and_not_before() {
    let bed = Bed::new().await;
    let at = START.plus(Duration::from_secs(90));
    bed.accepted(&[Message { not_before: Some(at), ..event("later") }, event("now")]).await;
    let entity = incidents();
    let take = || bed.broker.receive(&entity, 10, Duration::ZERO);
    let first: Vec<String> = messages_of(take().await.unwrap()).into_iter().map(|m| m.id).collect();
    assert_eq!(first, ["now"]);
    bed.clock.advance_to(at);
    let then = messages_of(take().await.unwrap());
    assert!(then.iter().any(|m| m.id == "later" && m.not_before == Some(at)), "{then:?}");
}

#[tokio::test]
async fn a_repeated_message_id_is_accepted_and_there_once() {
    let bed = Bed::new().await;
    bed.accepted(&[event("evt-1"), event("evt-1")]).await;
    bed.accepted(&[event("evt-1")]).await;
    assert_eq!(bed.ids(&incidents()).await, ["evt-1"]);
}

#[tokio::test]
async fn nothing_to_send_asks_nothing_of_the_network() {
    let bed = Bed::new().await;
    assert_eq!(bed.bus.publish(&[]).await, Ok(vec![]));
    assert_eq!(bed.front().faults().connections(), 0);
}

#[tokio::test]
async fn a_ping_says_that_everything_is_there() {
    let bed = Bed::new().await;
    assert_eq!(bed.bus.ping().await, Ok(()));
    bed.accepted(&[event("evt-1")]).await;
    assert_eq!(bed.front().faults().connections(), 1);
}

#[tokio::test]
async fn a_ping_that_is_refused_says_which_role_is_missing() {
    let bed = Bed::new().await;
    bed.front().faults().refuse_tokens(1);
    let refused = bed.bus.ping().await.unwrap_err();
    assert!(matches!(refused, BusError::Unauthorized { .. }), "{refused:?}");
    assert!(refused.to_string().contains("Azure Service Bus Data Sender"), "{refused}");
}

#[tokio::test]
async fn the_embedded_port_and_amqp_deliver_the_same() {
    let at: Timestamp = START.plus(Duration::from_secs(5));
    let mut messages: Vec<Message> = (0..40).map(|n| event(format!("evt-{n}"))).collect();
    messages.push(event("evt-3"));
    messages.push(Message { not_before: Some(at), ..event("scheduled") });
    messages.push(Message { body: vec![0, 159, 146, 150].into(), content_type: String::new(), ..event("binary") });
    messages.push(Message { properties: [("kind".to_owned(), "Übung ✓".to_owned())].into(), ..event("for nobody") });
    messages.extend((0..20).map(|n| to_queue("pages", format!("p{n}"), n * 500)));
    messages.push(to_queue("pages", "", 3));
    messages.push(to_queue("nowhere", "n", 1));

    let bed = Bed::new().await;
    let embedded = broker(&Arc::new(VirtualClock::at(START)));
    let (over_amqp, in_process) =
        (bed.bus.publish(&messages).await.unwrap(), embedded.publish(&messages).await.unwrap());
    let accepted = |outcomes: &[Outcome]| outcomes.iter().map(|o| *o == Outcome::Accepted).collect::<Vec<_>>();
    assert_eq!(accepted(&over_amqp), accepted(&in_process));
    for entity in [incidents(), queue("pages"), queue("otlp-traces")] {
        let expected: Vec<_> = embedded.peek(&entity, -1, 1_000).await.unwrap();
        assert_eq!(seen(bed.held(&entity).await), seen(expected), "{}", name(&entity));
    }
}

/// Beside the sequence numbers, which two entities that are filled at one time share.
fn seen(held: Vec<Held>) -> Vec<(Message, Option<Timestamp>, u32)> {
    held.into_iter().map(|h| (h.delivered.message, h.delivered.enqueued_at, h.delivered.deliveries)).collect()
}

fn name(entity: &Entity) -> &str {
    &entity.name
}

fn messages_of(held: Vec<Held>) -> Vec<Message> {
    held.into_iter().map(|h| h.delivered.message).collect()
}
