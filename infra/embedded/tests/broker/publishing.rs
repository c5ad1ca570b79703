//! What is taken, what is passed on to whom, and what the duplicate window drops.

use super::bed::*;
use bytes::Bytes;
use opsloop_embedded::{
    broker::{Broker, Settings, Topology},
    host::Entity,
};
use opsloop_kernel::{Destination, Message, Outcome, ids as derived, message::property};
use std::time::Duration;

both! {
    async fn a23_a_subscription_gets_its_kinds_and_nothing_else(bed: &Bed) {
        bed.send(&[event("a", "AlertTriggered"), event("s", "SloBreached"), event("r", "IncidentResolved"),
            event("x", "Unheard"), message("kindless", Destination::Topic)]).await;
        assert_eq!(bed.ids(&of("Incidents")).await, ["a", "s"]);
        assert_eq!(bed.ids(&of("Quality")).await, ["a", "r"]);
        assert_eq!(bed.ids(&of("Feedback")).await, ["r"]);
        assert!(bed.ids(&queue()).await.is_empty());
    }

    async fn a23_a_property_narrows_the_kind_that_it_is_declared_for(bed: &Bed) {
        let recorded = |id: &str| event(id, "TraceRecorded");
        bed.send(&[with(recorded("yes"), "signals", "true"), with(recorded("no"), "signals", "false"), recorded("none"),
            event("other", "IncidentResolved")]).await;
        assert_eq!(bed.ids(&of("Feedback")).await, ["yes", "other"]);
    }

    async fn a23_a_message_with_an_audience_reaches_that_worker_only(bed: &Bed) {
        let copy = |id: &str, to: &str| with(event(id, "AlertTriggered"), property::AUDIENCE, to);
        bed.send(&[copy("q", "Quality"), copy("f", "Feedback"), copy("nobody", "Gone")]).await;
        assert_eq!(bed.ids(&of("Incidents")).await, Vec::<String>::new());
        assert_eq!(bed.ids(&of("Quality")).await, ["q"]);
        assert_eq!(bed.ids(&of("Feedback")).await, ["f"], "whatever its kind");
    }

    async fn what_is_received_is_what_was_sent(bed: &Bed) {
        let mut sent = with(queued("batch|0"), property::TENANT, "acme");
        sent.body = Bytes::from((0..=255).collect::<Vec<u8>>());
        sent.content_type = "application/x-protobuf".to_owned();
        bed.send(std::slice::from_ref(&sent)).await;
        bed.advance(Duration::from_millis(5));
        let held = bed.one(&queue()).await;
        assert_eq!(held.delivered.message, sent);
        assert_eq!((held.delivered.deliveries, held.delivered.enqueued_at), (1, Some(START)));
        assert_eq!(held.locked_until, START.plus_millis(60_005));
    }

    async fn messages_come_in_the_order_in_which_they_were_sent_in_batches(bed: &Bed) {
        let sent: Vec<Message> = (0..250).map(|n| queued(&format!("m{n:03}"))).collect();
        bed.send(&sent).await;
        let mut received = Vec::new();
        for batch in [100, 100, 50, 0] {
            let held = bed.take(&queue(), 100).await;
            assert_eq!(held.len(), batch);
            received.extend(ids(&held));
        }
        assert_eq!(received, sent.iter().map(|m| m.id.clone()).collect::<Vec<_>>());
    }

    async fn a16_what_is_refused_is_refused_alone_and_for_good(bed: &Bed) {
        let mut large = queued("large");
        large.body = Bytes::from(vec![0; 256 * 1024]);
        let messages = [queued("a"), large, message("lost", Destination::Queue("no-such".into())),
            queued(&"x".repeat(129)), queued("b")];
        let outcomes = bed.broker.send(&messages).await.unwrap();
        let rejected: Vec<bool> = outcomes.iter().map(|o| matches!(o, Outcome::Rejected { .. })).collect();
        assert_eq!(rejected, [false, true, true, true, false]);
        assert_eq!(bed.ids(&queue()).await, ["a", "b"]);
    }

    /// Repeated because the outbox was not deleted (FND-03): one id, one copy, whoever took the first already.
    async fn a63_a_message_published_twice_within_ten_minutes_is_delivered_once(bed: &Bed) {
        bed.send(&[event("evt-1", "AlertTriggered")]).await;
        let held = bed.one(&of("Incidents")).await;
        bed.broker.complete(held.lock).await.unwrap();
        bed.advance(Duration::from_millis(599_999));
        bed.send(&[event("evt-1", "AlertTriggered")]).await;
        assert!(bed.ids(&of("Incidents")).await.is_empty());
        assert_eq!(bed.ids(&of("Quality")).await, ["evt-1"]);
        bed.advance(Duration::from_millis(1));
        bed.send(&[event("evt-1", "AlertTriggered"), event("evt-1", "AlertTriggered")]).await;
        assert_eq!(bed.ids(&of("Incidents")).await, ["evt-1"]);
        assert_eq!(bed.ids(&of("Quality")).await, ["evt-1", "evt-1"]);
    }

    /// [A3]: a copy under the id of its original is accepted and lost.
    async fn a3_a_copy_with_the_same_id_inside_the_window_is_dropped_with_its_own_it_is_not(bed: &Bed) {
        bed.send(&[event("evt-1", "AlertTriggered")]).await;
        let original = bed.one(&of("Incidents")).await;
        let copy = |id: &str| with(at(event(id, "AlertTriggered"), START.plus_millis(1_000)), property::AUDIENCE, "Incidents");
        bed.send(&[copy("evt-1"), copy(&derived::copy_id("evt-1", "Incidents", 1))]).await;
        bed.broker.complete(original.lock).await.unwrap();
        bed.advance(Duration::from_secs(1));
        assert_eq!(ids(&bed.take(&of("Incidents"), 9).await), ["evt-1:Incidents:h1"]);
    }

    async fn a36_the_window_is_of_what_a_message_was_sent_to(bed: &Bed) {
        let other = message("m", Destination::Queue("pages".to_owned()));
        bed.send(&[queued("m"), other, event("m", "AlertTriggered"), queued("m")]).await;
        assert_eq!(bed.ids(&queue()).await, ["m"]);
        assert_eq!(bed.ids(&Entity::queue("pages")).await, ["m"]);
        assert_eq!(bed.ids(&of("Incidents")).await, ["m"]);
    }

    /// [A36]: copied twice after lost races, then deferred, dead, replayed and deferred again, all within ten minutes.
    async fn fnd_12_a_of_the_copies_of_one_message_the_broker_drops_none(bed: &Bed) {
        bed.send(&[event("evt-1", "AlertTriggered")]).await;
        let mut held = bed.one(&of("Incidents")).await;
        for hop in 1..=6_u32 {
            assert_eq!(held.delivered.deliveries, 1);
            let copy = with(event(&derived::copy_id("evt-1", "Incidents", hop), "AlertTriggered"), property::AUDIENCE, "Incidents");
            // The answer to the publish is lost, so the same copy is published again: that one is dropped.
            let copy = at(copy, bed.clock.now() + Duration::from_secs(2));
            bed.send(std::slice::from_ref(&copy)).await;
            bed.send(std::slice::from_ref(&copy)).await;
            if hop == 4 {
                bed.broker.dead_letter(held.lock, "tests", "").await.unwrap();
            } else {
                bed.broker.complete(held.lock).await.unwrap();
            }
            bed.advance(Duration::from_secs(2));
            held = bed.one(&of("Incidents")).await;
            assert_eq!(held.delivered.message.id, format!("evt-1:Incidents:h{hop}"));
        }
        assert_eq!(bed.ids(&of("Quality")).await, ["evt-1"], "copies are for one worker");
    }

    async fn a_message_without_an_id_is_never_a_duplicate(bed: &Bed) {
        bed.send(&[queued(""), queued("")]).await;
        assert_eq!(bed.take(&queue(), 9).await.len(), 2);
    }

    async fn ids_leave_the_window_and_messages_their_table_when_they_are_over(bed: &Bed) {
        let messages: Vec<Message> = (0..50).map(|n| event(&format!("m{n}"), "AlertTriggered")).collect();
        bed.send(&messages).await;
        for worker in ["Incidents", "Quality"] {
            for held in bed.take(&of(worker), 100).await {
                bed.broker.complete(held.lock).await.unwrap();
            }
        }
        bed.advance(Duration::from_secs(601));
        bed.send(&[event("last", "Unheard")]).await;
        let Some(folder) = &bed.folder else { return };
        let file = rusqlite::Connection::open(folder.path().join("broker.sqlite3")).unwrap();
        let count = |table: &str| -> i64 {
            file.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0)).unwrap()
        };
        assert_eq!((count("seen"), count("messages"), count("copies")), (1, 0, 0));
    }
}

#[tokio::test]
async fn the_topology_is_read_as_the_catalogue_says_it() {
    let rendered = r#"{"topic": "events", "queues": ["pages"], "maxDeliveryCount": 2, "functions": [], "subscriptions": [
        {"name": "W", "kinds": ["A"], "filter": {"kind": "A", "property": "p", "value": "1"}, "sqlFilter": "…",
         "maxDeliveryCount": 2}, {"name": "V", "kinds": ["A"], "filter": null}]}"#;
    let topology: Topology = serde_json::from_str(rendered).unwrap();
    let bed = Bed::memory();
    let broker = Broker::in_memory(&topology, Settings::default(), bed.clock.clone()).unwrap();
    broker.send(&[event("a", "A"), with(event("b", "A"), "p", "1")]).await.unwrap();
    assert_eq!(ids(&broker.peek(&of("W"), -1, 9).await.unwrap()), ["b"]);
    assert_eq!(ids(&broker.peek(&of("V"), -1, 9).await.unwrap()), ["a", "b"]);
    for _ in 0..2 {
        let held = broker.receive(&of("W"), 1, Duration::ZERO).await.unwrap().remove(0);
        broker.abandon(held.lock).await.unwrap();
    }
    assert_eq!(broker.counts(&of("W")).await.unwrap().dead, 1);
}
