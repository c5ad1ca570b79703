//! Scheduled messages, and receivers that wait without asking again and again.

use super::bed::*;
use futures::{FutureExt, future::join_all};
use opsloop_embedded::host::{LockToken, Source, SourceError, Value};
use opsloop_kernel::Publisher;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

both! {
    async fn what_is_scheduled_is_there_from_its_instant_on_and_was_enqueued_then(bed: &Bed) {
        let later = START.plus_millis(5_000);
        bed.send(&[at(queued("later"), later), queued("now"), at(queued("past"), START)]).await;
        assert_eq!(ids(&bed.take(&queue(), 9).await), ["now", "past"]);
        bed.advance(Duration::from_millis(4_999));
        assert!(bed.take(&queue(), 9).await.is_empty());
        bed.advance(Duration::from_secs(3));
        let held = bed.one(&queue()).await;
        assert_eq!(held.delivered.message.id, "later");
        assert_eq!((held.delivered.enqueued_at, held.delivered.message.not_before), (Some(later), Some(later)));
    }

    async fn a24_next_wake_is_the_earliest_schedule_or_end_of_a_lock(bed: &Bed) {
        assert_eq!(bed.broker.next_wake().await.unwrap(), None);
        bed.send(&[queued("now"), at(queued("s"), START + LOCK * 2), at(event("e", "SloBreached"), START + LOCK * 3)]).await;
        assert_eq!(bed.broker.next_wake().await.unwrap(), Some(START + LOCK * 2));
        let held = bed.one(&queue()).await;
        assert_eq!(bed.broker.next_wake().await.unwrap(), Some(START + LOCK));
        bed.broker.complete(held.lock).await.unwrap();
        assert_eq!(bed.broker.next_wake().await.unwrap(), Some(START + LOCK * 2));
        bed.advance(LOCK * 2);
        bed.broker.complete(bed.one(&queue()).await.lock).await.unwrap();
        assert_eq!(bed.broker.next_wake().await.unwrap(), Some(START + LOCK * 3));
    }

    async fn a_receiver_that_waits_gets_what_is_published(bed: &Bed) {
        let entity = queue();
        let waiting = bed.broker.receive(&entity, 10, LONG);
        let publishing = async {
            tokio::task::yield_now().await;
            bed.send(&[queued("a")]).await;
        };
        let (received, ()) = tokio::join!(waiting, publishing);
        assert_eq!(ids(&received.unwrap()), ["a"]);
        assert_eq!(bed.clock.now(), START, "without any time");
    }

    async fn a_receiver_that_waits_gets_what_is_abandoned_or_dies(bed: &Bed) {
        bed.send(&[queued("a")]).await;
        let (entity, dead) = (queue(), graves(&queue()));
        let held = bed.one(&entity).await;
        let (received, ()) = tokio::join!(bed.broker.receive(&entity, 1, LONG), async {
            tokio::task::yield_now().await;
            bed.broker.abandon(held.lock).await.unwrap();
        });
        bed.broker.dead_letter(received.unwrap()[0].lock, "tests", "").await.unwrap();
        bed.send(&[queued("b")]).await;
        let held = bed.one(&entity).await;
        bed.take(&dead, 1).await;
        let (received, ()) = tokio::join!(bed.broker.receive(&dead, 1, LONG), async {
            tokio::task::yield_now().await;
            bed.broker.dead_letter(held.lock, "tests", "").await.unwrap();
        });
        assert_eq!(ids(&received.unwrap()), ["b"]);
    }

    async fn a_receiver_that_waits_wakes_when_a_schedule_or_a_lock_ends(bed: &Bed) {
        bed.send(&[queued("locked"), at(queued("later"), START.plus_millis(5_000))]).await;
        bed.one(&queue()).await;
        let entity = queue();
        for (advance, id) in [(5_000, "later"), (55_000, "locked")] {
            let (received, ()) = tokio::join!(bed.broker.receive(&entity, 1, LONG * 10), async {
                settled(bed).await;
                bed.advance(Duration::from_millis(advance));
            });
            assert_eq!(ids(&received.unwrap()), [id]);
        }
    }

    async fn an_earlier_schedule_is_not_missed_by_who_waits_for_a_later_one(bed: &Bed) {
        let entity = queue();
        bed.send(&[at(queued("later"), START.plus_millis(9_000))]).await;
        let (received, ()) = tokio::join!(bed.broker.receive(&entity, 1, LONG), async {
            settled(bed).await;
            bed.send(&[at(queued("sooner"), START.plus_millis(1_000))]).await;
            settled(bed).await;
            bed.advance(Duration::from_secs(1));
        });
        assert_eq!(ids(&received.unwrap()), ["sooner"]);
    }

    async fn who_waits_in_vain_gets_nothing_when_the_wait_is_over(bed: &Bed) {
        let entity = queue();
        let (received, ()) = tokio::join!(bed.broker.receive(&entity, 1, LONG), async {
            settled(bed).await;
            bed.advance(LONG);
        });
        assert!(received.unwrap().is_empty());
    }

    async fn receivers_beside_each_other_share_what_there_is(bed: &Bed) {
        let messages: Vec<_> = (0..200).map(|n| queued(&format!("m{n}"))).collect();
        let entity = queue();
        let receivers = join_all((0..8).map(|_| async {
            let mut mine = Vec::new();
            while mine.len() < 25 {
                let held = bed.broker.receive(&entity, 25 - mine.len(), LONG).await.unwrap();
                for one in &held {
                    bed.broker.complete(one.lock).await.unwrap();
                }
                mine.extend(ids(&held));
            }
            mine
        }));
        let publishing = async {
            for part in messages.chunks(7) {
                bed.broker.publish(part).await.unwrap();
            }
        };
        let (received, ()) = tokio::join!(receivers, publishing);
        let mut all: Vec<String> = received.concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 200);
    }

    async fn the_host_sees_what_service_bus_would_show_it(bed: &Bed) {
        let source: &dyn Source = &bed.broker;
        bed.send(&[with(event("evt-1", "SloBreached"), "correlationId", "corr-1")]).await;
        let entity = of("Incidents");
        let delivered = source.receive(&entity, 1, Duration::ZERO).await.unwrap().remove(0);
        assert_eq!(delivered.message_id.as_deref(), Some("evt-1"));
        assert_eq!(delivered.correlation_id.as_deref(), Some("corr-1"));
        assert_eq!(delivered.content_type.as_deref(), Some("application/json"));
        assert!(delivered.properties.contains(&("kind".to_owned(), Value::text("SloBreached"))));
        assert_eq!((delivered.delivery_count, delivered.dead_letter_source), (1, None));
        let lock = delivered.lock.unwrap();
        assert_eq!(source.renew(&entity, &lock).await.unwrap(), delivered.locked_until.unwrap());
        source.abandon(&entity, &lock).await.unwrap();
        assert_eq!(source.complete(&entity, &lock).await, Err(SourceError::LockLost));
        assert_eq!(source.complete(&entity, &LockToken("?".into())).await, Err(SourceError::LockLost));
        let held = bed.one(&entity).await;
        bed.broker.dead_letter(held.lock, "tests", "why").await.unwrap();
        let dead = source.receive(&graves(&entity), 1, Duration::ZERO).await.unwrap().remove(0);
        assert_eq!(dead.dead_letter_source.as_deref(), Some("events/subscriptions/Incidents"));
        assert!(dead.properties.contains(&("DeadLetterErrorDescription".to_owned(), Value::text("why"))));
        source.complete(&graves(&entity), &dead.lock.unwrap()).await.unwrap();
        assert_eq!(source.receive(&of("Nobody"), 1, Duration::ZERO).await.err(), Some(SourceError::NoSuchEntity));
    }
}

/// Until the receiver has looked in vain and sleeps.
async fn settled(bed: &Bed) {
    while bed.clock.next_wake().is_none() {
        tokio::task::yield_now().await;
    }
}

/// The simulator has an executor of its own: in memory nothing waits for a thread or for the real clock.
#[test]
fn in_memory_every_call_is_done_when_it_is_first_polled() {
    let bed = Bed::memory();
    assert!(bed.broker.send(&[queued("a")]).now_or_never().unwrap().is_ok());
    let held = bed.broker.receive(&queue(), 1, LONG).now_or_never().unwrap().unwrap();
    assert!(bed.broker.complete(held[0].lock).now_or_never().unwrap().is_ok());
    let entity = queue();
    let mut waiting = Box::pin(bed.broker.receive(&entity, 1, LONG));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert!(bed.broker.send(&[queued("b")]).now_or_never().unwrap().is_ok());
    assert_eq!(waiting.now_or_never().unwrap().unwrap().len(), 1);
}
