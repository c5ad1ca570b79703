//! Peek-lock: what is received is nobody else's until it is settled or the lock runs out.

use super::bed::*;
use opsloop_embedded::broker::{BrokerError, Counts};
use opsloop_kernel::ports::Backlog;
use std::time::Duration;

both! {
    async fn what_is_locked_is_not_delivered_and_what_is_completed_is_gone(bed: &Bed) {
        bed.send(&[queued("a"), queued("b")]).await;
        let first = bed.take(&queue(), 1).await.remove(0);
        let second = bed.one(&queue()).await;
        assert_eq!((first.delivered.message.id.as_str(), second.delivered.message.id.as_str()), ("a", "b"));
        assert!(bed.take(&queue(), 9).await.is_empty());
        bed.broker.complete(first.lock).await.unwrap();
        assert_eq!(bed.broker.complete(first.lock).await, Err(BrokerError::LockLost));
        assert_eq!(bed.ids(&queue()).await, ["b"]);
    }

    async fn what_is_abandoned_is_available_at_once_with_one_delivery_more(bed: &Bed) {
        bed.send(&[queued("a"), queued("b")]).await;
        let held = bed.take(&queue(), 1).await.remove(0);
        bed.broker.abandon(held.lock).await.unwrap();
        let again = bed.take(&queue(), 1).await.remove(0);
        assert_eq!((again.delivered.message.id.as_str(), again.delivered.deliveries), ("a", 2));
        assert_ne!(again.lock, held.lock);
        assert_eq!(bed.broker.complete(held.lock).await, Err(BrokerError::LockLost), "that lock is not this one");
        bed.broker.complete(again.lock).await.unwrap();
    }

    async fn a_lock_runs_out_and_settles_nothing_any_more(bed: &Bed) {
        bed.send(&[queued("a")]).await;
        let held = bed.one(&queue()).await;
        bed.advance(LOCK - Duration::from_millis(1));
        assert!(bed.take(&queue(), 9).await.is_empty());
        bed.advance(Duration::from_millis(1));
        assert_eq!(bed.broker.complete(held.lock).await, Err(BrokerError::LockLost));
        assert_eq!(bed.broker.renew(held.lock).await, Err(BrokerError::LockLost));
        let again = bed.one(&queue()).await;
        assert_eq!(again.delivered.deliveries, 2);
        assert_eq!(bed.broker.abandon(held.lock).await, Err(BrokerError::LockLost));
        bed.broker.complete(again.lock).await.unwrap();
    }

    async fn a_renewed_lock_holds_on(bed: &Bed) {
        bed.send(&[queued("a")]).await;
        let held = bed.one(&queue()).await;
        for n in 1..=5 {
            bed.advance(Duration::from_secs(59));
            let until = bed.broker.renew(held.lock).await.unwrap();
            assert_eq!(until, START + Duration::from_secs(59 * n) + LOCK);
            assert!(bed.take(&queue(), 9).await.is_empty());
        }
        bed.broker.complete(held.lock).await.unwrap();
        bed.advance(LOCK);
        assert!(bed.ids(&queue()).await.is_empty());
    }

    async fn each_subscription_settles_its_own_copy(bed: &Bed) {
        bed.send(&[event("evt-1", "AlertTriggered")]).await;
        let (mine, theirs) = (bed.one(&of("Incidents")).await, bed.one(&of("Quality")).await);
        assert_ne!(mine.lock, theirs.lock);
        bed.broker.complete(mine.lock).await.unwrap();
        bed.broker.abandon(theirs.lock).await.unwrap();
        assert!(bed.ids(&of("Incidents")).await.is_empty());
        assert_eq!(bed.one(&of("Quality")).await.delivered.message.body, event("evt-1", "").body);
    }

    async fn everything_is_counted_where_it_is(bed: &Bed) {
        bed.send(&[queued("a"), queued("b"), queued("c"), queued("d"), at(queued("s"), START.plus_millis(9))]).await;
        let held = bed.take(&queue(), 2).await;
        bed.broker.dead_letter(held[0].lock, "tests", "").await.unwrap();
        let counts = Counts { active: 2, locked: 1, scheduled: 1, dead: 1 };
        assert_eq!(bed.broker.counts(&queue()).await.unwrap(), counts);
        assert_eq!(bed.broker.totals().await.unwrap(), counts);
        assert_eq!(bed.broker.waiting("otlp-traces").await.unwrap(), 4, "what is not yet settled waits");
        assert_eq!(bed.broker.waiting("no-such").await.unwrap(), 0);
        bed.advance(LOCK);
        let later = Counts { active: 4, locked: 0, scheduled: 0, dead: 1 };
        assert_eq!(bed.broker.counts(&queue()).await.unwrap(), later);
        let graves = bed.take(&graves(&queue()), 1).await;
        assert_eq!(graves.len(), 1);
        assert_eq!(bed.broker.counts(&queue()).await.unwrap(), later, "a locked dead letter is dead");
    }

    async fn an_entity_that_there_is_not_is_said_so(bed: &Bed) {
        for entity in [of("Nobody"), opsloop_embedded::host::Entity::queue("no-such"),
            opsloop_embedded::host::Entity::subscription("other-topic", "Quality")] {
            assert_eq!(bed.broker.receive(&entity, 1, Duration::ZERO).await, Err(BrokerError::NoSuchEntity));
            assert_eq!(bed.broker.counts(&entity).await, Err(BrokerError::NoSuchEntity));
        }
        bed.send(&[queued("a")]).await;
        assert_eq!(bed.ids(&opsloop_embedded::host::Entity::queue("OTLP-Traces")).await, ["a"], "whatever its case");
    }
}
