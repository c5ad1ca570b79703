//! Dead letters: how messages get there, and how an operator gets them out.

use super::bed::*;
use opsloop_kernel::{Timestamp, message::DeadLetter, ports::DeadLetters};
use std::time::Duration;

async fn listed(bed: &Bed, handler: &str, after: i64, limit: usize) -> Vec<DeadLetter> {
    DeadLetters::peek(&bed.broker, handler, after, limit).await.unwrap()
}

async fn die(bed: &Bed, entity: &opsloop_embedded::host::Entity) -> Timestamp {
    for delivery in 1..=5 {
        let held = bed.one(entity).await;
        assert_eq!(held.delivered.deliveries, delivery);
        bed.advance(Duration::from_secs(1));
        bed.broker.abandon(held.lock).await.unwrap();
    }
    bed.clock.now()
}

both! {
    async fn after_five_deliveries_a_message_is_a_dead_letter_with_its_bytes_unchanged(bed: &Bed) {
        let sent = with(event("evt-1", "SloBreached"), "tenant", "acme");
        bed.send(std::slice::from_ref(&sent)).await;
        let died = die(bed, &of("Incidents")).await;
        assert!(bed.take(&of("Incidents"), 9).await.is_empty());
        let dead = listed(bed, "Incidents", -1, 10).await;
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0].delivered.message, sent);
        assert_eq!((dead[0].handler.as_str(), dead[0].delivered.deliveries, dead[0].dead_at), ("Incidents", 5, died));
        assert_eq!(dead[0].reason, "MaxDeliveryCountExceeded");
        assert!(dead[0].description.contains('5'));
    }

    async fn a_lock_that_runs_out_for_the_fifth_time_kills_too_at_that_instant(bed: &Bed) {
        bed.send(&[queued("a")]).await;
        for _ in 0..5 {
            bed.one(&queue()).await;
            bed.advance(LOCK);
        }
        bed.advance(Duration::from_secs(7));
        assert!(bed.take(&queue(), 9).await.is_empty());
        let dead = listed(bed, "otlp-traces", -1, 10).await;
        assert_eq!(dead[0].reason, "MaxDeliveryCountExceeded");
        assert_eq!(dead[0].dead_at, START + LOCK * 5);
    }

    async fn a_dead_letter_may_be_made_at_once_with_its_reason(bed: &Bed) {
        bed.send(&[queued("a")]).await;
        let held = bed.one(&queue()).await;
        bed.broker.dead_letter(held.lock, "invalid_payload", "no such field").await.unwrap();
        let dead = listed(bed, "otlp-traces", -1, 10).await;
        assert_eq!((dead[0].reason.as_str(), dead[0].description.as_str()), ("invalid_payload", "no such field"));
        assert_eq!((dead[0].delivered.deliveries, dead[0].dead_at), (1, START));
    }

    async fn dead_letters_are_listed_by_sequence_and_completed_by_it(bed: &Bed) {
        for n in 0..5 {
            bed.send(&[queued(&format!("m{n}"))]).await;
            let held = bed.one(&queue()).await;
            bed.broker.dead_letter(held.lock, "tests", "").await.unwrap();
        }
        let (mut walked, mut after) = (Vec::new(), -1);
        loop {
            let page = listed(bed, "otlp-traces", after, 2).await;
            let Some(last) = page.last() else { break };
            after = last.sequence;
            walked.extend(page);
        }
        assert_eq!(walked.iter().map(|d| d.delivered.message.id.as_str()).collect::<Vec<_>>(), ["m0", "m1", "m2", "m3", "m4"]);
        // Of another handler: nothing happens. Twice: the second is nothing.
        DeadLetters::complete(&bed.broker, "pages", walked[2].sequence).await.unwrap();
        assert_eq!(listed(bed, "otlp-traces", -1, 10).await.len(), 5);
        for _ in 0..2 {
            DeadLetters::complete(&bed.broker, "otlp-traces", walked[2].sequence).await.unwrap();
        }
        let left = listed(bed, "otlp-traces", -1, 10).await;
        assert_eq!(left.iter().map(|d| d.delivered.message.id.as_str()).collect::<Vec<_>>(), ["m0", "m1", "m3", "m4"]);
    }

    async fn completing_a_dead_letter_never_touches_a_living_message(bed: &Bed) {
        bed.send(&[event("evt-1", "AlertTriggered")]).await;
        let (mine, theirs) = (bed.one(&of("Incidents")).await, bed.one(&of("Quality")).await);
        bed.broker.dead_letter(mine.lock, "tests", "").await.unwrap();
        DeadLetters::complete(&bed.broker, "Quality", theirs.sequence).await.unwrap();
        DeadLetters::complete(&bed.broker, "Incidents", theirs.sequence).await.unwrap();
        DeadLetters::complete(&bed.broker, "Incidents", mine.sequence).await.unwrap();
        bed.broker.abandon(theirs.lock).await.unwrap();
        assert_eq!(bed.one(&of("Quality")).await.delivered.message.body, event("evt-1", "").body);
    }

    /// A function on `<entity>/$DeadLetterQueue`: no delivery is its last, and a dead letter cannot die once more.
    async fn the_dead_letters_are_an_entity_of_their_own(bed: &Bed) {
        bed.send(&[queued("a")]).await;
        die(bed, &queue()).await;
        let graves = opsloop_embedded::host::Entity::queue("otlp-traces/$DeadLetterQueue");
        for delivery in 6..=14 {
            let held = bed.one(&graves).await;
            assert_eq!(held.delivered.deliveries, delivery);
            assert_eq!(held.died.unwrap().reason, "MaxDeliveryCountExceeded");
            match delivery % 3 {
                0 => bed.broker.abandon(held.lock).await.unwrap(),
                1 => bed.broker.dead_letter(held.lock, "again", "").await.unwrap(),
                _ => bed.advance(LOCK),
            }
        }
        let held = bed.one(&graves).await;
        bed.broker.complete(held.lock).await.unwrap();
        assert!(listed(bed, "otlp-traces", -1, 9).await.is_empty());
    }

    async fn who_waits_for_dead_letters_gets_what_a_lock_kills_when_it_runs_out(bed: &Bed) {
        bed.send(&[queued("a")]).await;
        for _ in 0..4 {
            let held = bed.one(&queue()).await;
            bed.broker.abandon(held.lock).await.unwrap();
        }
        bed.one(&queue()).await;
        let graves = graves(&queue());
        assert!(bed.take(&graves, 9).await.is_empty());
        bed.advance(LOCK);
        assert_eq!(ids(&bed.take(&graves, 9).await), ["a"], "nobody looked into the queue itself");
        // Also where there was nothing to wait for when it looked last.
        bed.broker.complete(bed.broker.peek(&graves, -1, 9).await.unwrap()[0].lock).await.unwrap();
        bed.send(&[queued("b")]).await;
        assert!(bed.take(&graves, 9).await.is_empty());
        for _ in 0..5 {
            bed.one(&queue()).await;
            bed.advance(LOCK);
        }
        assert_eq!(ids(&bed.take(&graves, 9).await), ["b"]);
    }

    async fn dead_letters_are_never_removed_by_time(bed: &Bed) {
        bed.send(&[queued("a")]).await;
        die(bed, &queue()).await;
        bed.advance(Duration::from_secs(400 * 86_400));
        bed.send(&[queued("b")]).await;
        assert_eq!(listed(bed, "otlp-traces", -1, 9).await.len(), 1);
    }
}
