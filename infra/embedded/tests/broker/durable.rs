//! What survives the process, which always ends without a word (P12).

use super::bed::*;
use opsloop_embedded::broker::{Broker, BrokerError, Counts, Settings, Subscription, Topology};
use opsloop_kernel::ports::DeadLetters;
use std::{path::Path, time::Duration};

fn open(folder: &Path, topology: &Topology, bed: &Bed) -> Broker {
    Broker::open(folder, topology, Settings::default(), bed.clock.clone()).unwrap()
}

/// The files as a kill leaves them: what was written, with nothing closed or checkpointed.
fn killed(bed: &Bed) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in ["broker.sqlite3", "broker.sqlite3-wal"] {
        std::fs::copy(bed.folder.as_ref().unwrap().path().join(file), copy.path().join(file)).unwrap();
    }
    copy
}

#[tokio::test]
async fn what_was_accepted_is_there_after_a_kill_as_it_was() {
    let bed = Bed::file();
    bed.send(&[queued("a"), queued("b"), queued("c"), event("evt-1", "AlertTriggered")]).await;
    bed.send(&[at(queued("later"), START.plus_millis(5_000))]).await;
    bed.broker.complete(bed.take(&queue(), 1).await[0].lock).await.unwrap();
    let held = bed.take(&queue(), 1).await.remove(0);
    bed.broker.dead_letter(held.lock, "tests", "why").await.unwrap();
    let copy = killed(&bed);

    let again = open(copy.path(), &topology(), &bed);
    assert_eq!(again.totals().await.unwrap(), bed.broker.totals().await.unwrap());
    for entity in [queue(), graves(&queue()), of("Incidents"), of("Quality")] {
        let (before, after) = (bed.broker.peek(&entity, -1, 99).await, again.peek(&entity, -1, 99).await);
        assert_eq!(before, after, "{entity}");
    }
    let duplicate = [queued("a"), event("evt-1", "AlertTriggered")];
    again.send(&duplicate).await.unwrap();
    assert_eq!(again.totals().await.unwrap(), bed.broker.totals().await.unwrap(), "the duplicate window survives");
    bed.advance(Duration::from_secs(5));
    assert_eq!(ids(&again.receive(&queue(), 9, Duration::ZERO).await.unwrap()), ["c", "later"]);
}

#[tokio::test]
async fn the_locks_of_a_dead_process_end_when_the_broker_is_opened_and_their_deliveries_count() {
    let bed = Bed::file();
    bed.send(&[queued("a")]).await;
    let held = bed.one(&queue()).await;
    let copy = killed(&bed);
    let again = open(copy.path(), &topology(), &bed);
    assert_eq!(again.complete(held.lock).await, Err(BrokerError::LockLost));
    let next = again.receive(&queue(), 1, Duration::ZERO).await.unwrap().remove(0);
    assert_eq!(next.delivered.deliveries, 2);
    assert_ne!(next.lock, held.lock);
}

#[tokio::test]
async fn a_message_that_kills_its_process_five_times_is_a_dead_letter() {
    let (bed, folder) = (Bed::memory(), tempfile::tempdir().unwrap());
    open(folder.path(), &topology(), &bed).send(&[queued("poison")]).await.unwrap();
    for delivery in 1..=5 {
        let broker = open(folder.path(), &topology(), &bed);
        let held = broker.receive(&queue(), 9, Duration::ZERO).await.unwrap();
        assert_eq!(held[0].delivered.deliveries, delivery);
    }
    let broker = open(folder.path(), &topology(), &bed);
    assert!(broker.receive(&queue(), 9, Duration::ZERO).await.unwrap().is_empty());
    let dead = DeadLetters::peek(&broker, "otlp-traces", -1, 9).await.unwrap();
    assert_eq!((dead[0].reason.as_str(), dead[0].dead_at), ("MaxDeliveryCountExceeded", START));
}

#[tokio::test]
async fn an_entity_keeps_its_messages_while_the_topology_does_not_name_it() {
    let (bed, folder) = (Bed::memory(), tempfile::tempdir().unwrap());
    open(folder.path(), &topology(), &bed).send(&[queued("a"), event("e", "SloBreached")]).await.unwrap();
    let smaller = Topology::new(["pages"], [Subscription::new("Incidents", ["Other"])]);
    let between = open(folder.path(), &smaller, &bed);
    assert_eq!(between.receive(&queue(), 1, Duration::ZERO).await, Err(BrokerError::NoSuchEntity));
    between.send(&[event("f", "SloBreached")]).await.unwrap();
    drop(between);
    let again = open(folder.path(), &topology(), &bed);
    assert_eq!(ids(&again.peek(&queue(), -1, 9).await.unwrap()), ["a"]);
    assert_eq!(ids(&again.peek(&of("Incidents"), -1, 9).await.unwrap()), ["e"], "the filter of then counted then");
}

#[tokio::test]
async fn a_sequence_number_is_never_given_twice() {
    let (bed, folder) = (Bed::memory(), tempfile::tempdir().unwrap());
    let mut last = 0;
    for n in 0..3 {
        let broker = open(folder.path(), &topology(), &bed);
        broker.send(&[queued(&format!("m{n}"))]).await.unwrap();
        let held = broker.receive(&queue(), 1, Duration::ZERO).await.unwrap().remove(0);
        assert!(held.sequence > last);
        last = held.sequence;
        broker.complete(held.lock).await.unwrap();
        assert_eq!(broker.totals().await.unwrap(), Counts::default());
    }
}
