//! Dead letters: shown, replayed as the shell does it (a copy with an id of its own, then the completion), and gone.

use super::bed::{Bed, event, incidents, queue, to_queue};
use opsloop_embedded::host::Entity;
use opsloop_kernel::{Destination, Message, ports::DeadLetters};
use std::time::Duration;

fn dead(of: &Entity) -> Entity {
    Entity { dead_letters: true, ..of.clone() }
}

/// Sends them, and lets all of them die.
async fn kill(bed: &Bed, entity: &Entity, messages: &[Message]) {
    bed.accepted(messages).await;
    for held in bed.broker.receive(entity, messages.len(), Duration::ZERO).await.unwrap() {
        bed.broker.dead_letter(held.lock, "invalid_payload", "it makes no sense").await.unwrap();
    }
}

#[tokio::test]
async fn a_dead_letter_shows_the_message_and_why_it_died() {
    let bed = Bed::new().await;
    kill(&bed, &incidents(), &[event("evt-1"), event("evt-2")]).await;
    let found = bed.bus.peek("Incidents", -1, 200).await.unwrap();
    let ids: Vec<&str> = found.iter().map(|d| d.delivered.message.id.as_str()).collect();
    assert_eq!(ids, ["evt-1", "evt-2"]);
    assert_eq!(found[0].delivered.message, event("evt-1"));
    assert_eq!((found[0].reason.as_str(), found[0].description.as_str()), ("invalid_payload", "it makes no sense"));
    assert_eq!((found[0].handler.as_str(), found[0].delivered.deliveries), ("Incidents", 1));
    assert_eq!(bed.bus.peek("Incidents", found[0].sequence, 200).await.unwrap(), found[1..]);
    assert_eq!(bed.bus.peek("Incidents", found[1].sequence, 200).await.unwrap(), []);
    assert_eq!(bed.bus.peek("Incidents", -1, 1).await.unwrap(), found[..1]);
}

#[tokio::test]
async fn a_replayed_dead_letter_is_delivered_again_and_the_others_stay() {
    let bed = Bed::new().await;
    let messages: Vec<Message> = (0..250).map(|n| to_queue("pages", format!("p{n}"), 10)).collect();
    kill(&bed, &queue("pages"), &messages).await;
    // The last of them: all others are received before it, and released.
    let mut after = -1;
    let mut found = Vec::new();
    loop {
        let page = bed.bus.peek("pages", after, 200).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.sequence;
        found.extend(page);
    }
    assert_eq!(found.len(), 250);
    let last = &found[249];
    assert_eq!(last.delivered.message.to, Destination::Queue("pages".into()));
    bed.accepted(&[Message { id: "p249:pages:h1".into(), ..last.delivered.message.clone() }]).await;
    bed.bus.complete("pages", last.sequence).await.unwrap();
    assert_eq!(bed.ids(&queue("pages")).await, ["p249:pages:h1"]);
    let left = bed.broker.receive(&dead(&queue("pages")), 1_000, Duration::ZERO).await.unwrap();
    let ids: Vec<&str> = left.iter().map(|held| held.delivered.message.id.as_str()).collect();
    assert_eq!(ids.len(), 249, "the others are free again");
    assert!(!ids.contains(&"p249"));
}

#[tokio::test]
async fn a_dead_letter_in_the_middle_leaves_none_of_the_others_locked() {
    let bed = Bed::new().await;
    let messages: Vec<Message> = (0..120).map(|n| to_queue("pages", format!("p{n}"), 10)).collect();
    kill(&bed, &queue("pages"), &messages).await;
    let sequence = bed.bus.peek("pages", -1, 200).await.unwrap()[30].sequence;
    bed.bus.complete("pages", sequence).await.unwrap();
    let left = bed.broker.receive(&dead(&queue("pages")), 1_000, Duration::ZERO).await.unwrap();
    assert_eq!(left.len(), 119);
}

#[tokio::test]
async fn a_dead_letter_that_somebody_else_holds_is_a_fault_and_stays() {
    let bed = Bed::new().await;
    kill(&bed, &incidents(), &[event("evt-1"), event("evt-2")]).await;
    let theirs = bed.broker.receive(&dead(&incidents()), 1, Duration::ZERO).await.unwrap();
    assert!(bed.bus.complete("Incidents", theirs[0].sequence).await.is_err());
    bed.broker.abandon(theirs[0].lock).await.unwrap();
    bed.bus.complete("Incidents", theirs[0].sequence).await.unwrap();
    assert_eq!(bed.ids(&dead(&incidents())).await, ["evt-2"]);
}

#[tokio::test]
async fn a_dead_letter_that_is_gone_is_completed_already() {
    let bed = Bed::new().await;
    kill(&bed, &incidents(), &[event("evt-1")]).await;
    let sequence = bed.bus.peek("Incidents", -1, 10).await.unwrap()[0].sequence;
    bed.bus.complete("Incidents", sequence).await.unwrap();
    bed.bus.complete("Incidents", sequence).await.unwrap();
    assert_eq!(bed.ids(&dead(&incidents())).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_handler_that_the_catalogue_does_not_know_is_a_fault() {
    let bed = Bed::new().await;
    assert!(bed.bus.peek("Nobody", -1, 10).await.is_err());
    assert_eq!(bed.front().faults().connections(), 0);
}
