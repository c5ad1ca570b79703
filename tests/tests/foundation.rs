//! FND-02 … FND-17 (SPEC 3.14) and ENV-03, -04, -07: the shell with the smallest worker.

use opsloop_kernel::{Envelope, Fault, Timestamp, ids, message::property};
use opsloop_shell::Catalogue;
use opsloop_tests::{
    World,
    probe::{self, COUNTED, NAME, Probe, Seen, TICK, Thing},
    world::{START, at, state},
};
use serde_json::json;
use std::{sync::atomic::Ordering, time::Duration};

fn world() -> (World, Probe) {
    let probe = Probe::default();
    (World::new(Catalogue::default().worker(probe.clone())), probe)
}
fn thing(name: &str, amount: u64) -> Seen {
    Seen { thing: name.into(), amount, ..Seen::default() }
}
fn event(id: &str, seen: &Seen) -> Envelope {
    probe::seen(id, "acme", at(START), seen)
}
async fn count(world: &World, name: &str) -> u64 {
    let stored = world.get("acme", &probe::stream_of(name), &probe::doc_of(name)).await;
    stored.map_or(0, |s| s.read::<Thing>().unwrap().count)
}
fn outcome(world: &World, outcome: &str) -> f64 {
    world.recorded.sum(&["worker_messages_total", &format!("outcome={outcome}")])
}
fn unavailable() -> Fault {
    Fault::Unavailable { dependency: "scanner" }
}

#[tokio::test]
async fn fnd_02_a_crash_before_the_answer_changes_nothing() {
    let (world, _) = world();
    *world.crashes.lock().unwrap() = 1;
    world.send(&event("1", &thing("a", 1))).await;
    world.drain().await;
    assert_eq!(count(&world, "a").await, 1);
    assert_eq!((outcome(&world, "processed"), outcome(&world, "duplicate")), (1.0, 1.0));
    assert_eq!((world.events(COUNTED).len(), world.owed()), (1, 0));
}

#[tokio::test]
async fn fnd_03_a_crash_between_publish_and_delete_publishes_the_same_event_again_a63() {
    let (world, _) = world();
    world.faults().never_paid.store(true, Ordering::SeqCst);
    world.send(&event("1", &thing("a", 1))).await;
    world.drain().await;
    assert_eq!(world.owed(), 1, "accepted, but not deleted");
    world.faults().never_paid.store(false, Ordering::SeqCst);
    world.advance(Duration::from_secs(60)).await;
    assert_eq!(world.owed(), 0);
    let published = world.bus.published.lock().unwrap();
    let ids: Vec<_> = published.iter().map(|m| m.id.clone()).collect();
    assert_eq!(ids.len(), 2, "once by the hint, once by the sweep");
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn a51_a_slow_relay_never_deletes_what_a_newer_commit_owes() {
    let (world, _) = world();
    world.bus.down.store(true, Ordering::SeqCst);
    world.send(&event("1", &thing("a", 1))).await;
    world.drain().await;
    let owed = world.dump().into_iter().find(|d| d.document.kind == "owed").unwrap();
    // Another commit writes the same document anew: the etag that the slow relay has is old.
    world.put("acme", &owed.stream, owed.document.clone()).await;
    let store = &world.shell.ports.store;
    let paid = store.paid(&owed.tenant, &owed.stream, &owed.document.id, &owed.etag).await;
    assert!(paid.is_err() || world.owed() == 1);
    assert_eq!(world.owed(), 1);
}

#[tokio::test]
async fn fnd_04_five_attempts_then_one_dead_letter_with_the_original_bytes() {
    let (world, probe) = world();
    *probe.down.lock().unwrap() = Some(unavailable());
    let sent = event("1", &thing("a", 1));
    world.send(&sent).await;
    world.drain().await;
    for (seconds, attempts) in [(1, 2), (2, 3), (4, 4), (8, 5)] {
        world.advance(Duration::from_millis(seconds * 1000 - 1)).await;
        assert_eq!(attempts_of(&world), attempts - 1, "not before its instant");
        world.advance(Duration::from_millis(1)).await;
        assert_eq!(attempts_of(&world), attempts);
    }
    assert_eq!(world.now().millis_since(at(START)), 15_000);
    let dead = world.dead(NAME).await;
    assert_eq!((dead.len(), &dead[0].delivered.message.body[..]), (1, &sent.encode()[..]));
    let listed = world.listed("acme").await;
    assert_eq!((listed[0].attempts, listed[0].reason.as_str()), (5, "max_attempts_exceeded"));
}
/// Attempts that ran: redeliveries of the last one are not run.
fn attempts_of(world: &World) -> u32 {
    1 + world.copies().len() as u32
        - u32::from(world.copies().iter().any(|c| c.not_before.is_some_and(|t| t > world.now())))
}

#[tokio::test]
async fn fnd_05_a_throttled_message_waits_as_long_as_it_was_told() {
    let (world, probe) = world();
    *probe.down.lock().unwrap() = Some(Fault::Throttled { retry_after: Duration::from_secs(30) });
    world.send(&event("1", &thing("a", 1))).await;
    world.drain().await;
    *probe.down.lock().unwrap() = None;
    world.advance(Duration::from_millis(29_999)).await;
    assert_eq!(count(&world, "a").await, 0);
    world.advance(Duration::from_millis(1)).await;
    assert_eq!(count(&world, "a").await, 1);
}

#[tokio::test]
async fn fnd_06_a_foreign_tenant_is_refused_at_once_a31() {
    let (world, _) = world();
    let globex = Some(opsloop_tests::world::tenant("globex"));
    world.send(&event("1", &Seen { of: globex, ..thing("a", 1) })).await;
    world.drain().await;
    assert_eq!(world.dead(NAME).await.len(), 1);
    let listed = world.listed("acme").await;
    assert_eq!((listed[0].reason.as_str(), listed[0].attempts), ("tenant_violation", 1));
    assert_eq!(world.recorded.sum(&["tenant_violations_total"]), 1.0, "counted at the first delivery only");
    let written: Vec<_> = world.dump().into_iter().map(|d| d.document.kind).collect();
    assert_eq!(written, ["dead-letter"], "the record of its reason, and nothing else");
}

#[tokio::test]
async fn fnd_07_a_dead_letter_replayed_twice_has_one_effect() {
    let (world, probe) = world();
    *probe.down.lock().unwrap() = Some(unavailable());
    world.send(&event("1", &thing("a", 1))).await;
    world.advance(Duration::from_secs(20)).await;
    *probe.down.lock().unwrap() = None;
    let dead = world.dead(NAME).await;
    let id = ids::handle_of([NAME, &dead[0].delivered.message.id]);
    let acme = opsloop_tests::world::tenant("acme");
    // The second replay finds the dead letter again: its completion was lost.
    let first = opsloop_shell::dead_letters::replay(&world.shell, &acme, &id).await.unwrap();
    assert!(first.is_some());
    world.drain().await;
    world
        .send_raw("again", dead[0].delivered.message.properties.clone(), dead[0].delivered.message.body.to_vec())
        .await;
    world.drain().await;
    assert_eq!((count(&world, "a").await, world.events(COUNTED).len()), (1, 1));
    assert_eq!(world.dead(NAME).await.len(), 0);
}

#[tokio::test]
async fn fnd_08_two_replicas_from_one_version_have_one_effect_each() {
    let (world, _) = world();
    let world = std::sync::Arc::new(world);
    let (other, second) = (world.clone(), event("2", &thing("a", 10)));
    *world.faults().before_commit.lock().unwrap() = Some(Box::new(move || {
        Box::pin(async move {
            other.send(&second).await;
            other.drain().await;
        })
    }));
    world.send(&event("1", &thing("a", 1))).await;
    world.drain().await;
    assert_eq!(count(&world, "a").await, 11, "the loser decided again on the new state");
    let mut revisions: Vec<_> = world.events(COUNTED).iter().map(|e| e.revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, [10, 11]);
}

#[tokio::test]
async fn fnd_09_a_causation_loop_is_refused() {
    let (world, _) = world();
    let mut looped = serde_json::to_value(event("1", &thing("a", 1))).unwrap();
    looped["causationId"] = json!("evt-0");
    looped["causationDepth"] = json!(17);
    world.send_raw("evt-1", Default::default(), looped.to_string().into_bytes()).await;
    // Without properties no filter takes it: it is addressed.
    let properties = [("audience".to_owned(), NAME.to_owned()), ("tenant".to_owned(), "acme".to_owned())];
    world.send_raw("evt-2", properties.into(), looped.to_string().into_bytes()).await;
    world.drain().await;
    assert_eq!(world.listed("acme").await[0].reason, "causation_loop");
}

#[tokio::test]
async fn fnd_11_two_orders_end_in_one_state() {
    let mut ends = Vec::new();
    for order in [["1", "2"], ["2", "1"]] {
        let (world, _) = world();
        for id in order {
            world.send(&event(id, &thing(&format!("t{id}"), 1))).await;
            world.drain().await;
        }
        let mut events: Vec<_> = world.events(COUNTED).iter().map(|e| e.event_id.to_string()).collect();
        events.sort();
        let state: Vec<_> = world.dump().into_iter().map(|d| (d.document.id, d.document.body)).collect();
        ends.push((events, state));
    }
    assert_eq!(ends[0], ends[1]);
}

#[tokio::test]
async fn fnd_12_no_two_copies_of_a_delivery_share_an_id_a36_a3() {
    let (world, probe) = world();
    let world = std::sync::Arc::new(world);
    let ready = at(START).plus_millis(30_000);
    world.send(&event("1", &Seen { not_before: Some(ready), ..thing("a", 1) })).await;
    *probe.down.lock().unwrap() = Some(Fault::Raced);
    world.drain().await; // raced: h1
    world.advance(Duration::from_secs(2)).await; // raced again: h2
    *probe.down.lock().unwrap() = None;
    world.advance(Duration::from_secs(2)).await; // deferred: h3
    *probe.down.lock().unwrap() = Some(unavailable());
    world.advance(Duration::from_secs(60)).await; // fails to its dead letter: h4 … h7
    let dead = world.dead(NAME).await;
    assert_eq!(dead.len(), 1);
    *probe.down.lock().unwrap() = None;
    let id = ids::handle_of([NAME, &dead[0].delivered.message.id]);
    opsloop_shell::dead_letters::replay(&world.shell, &opsloop_tests::world::tenant("acme"), &id).await.unwrap();
    world.advance(Duration::from_secs(60)).await;
    let copies: Vec<String> = world.copies().into_iter().map(|c| c.id).collect();
    let expected: Vec<String> = (1..=copies.len() as u32).map(|hop| ids::copy_id("evt-1", NAME, hop)).collect();
    assert_eq!(copies, expected, "no repetition");
    assert!(copies.len() >= 8);
    assert_eq!(count(&world, "a").await, 1, "the broker dropped none");
}

#[tokio::test]
async fn a12_races_use_up_no_attempt() {
    let (world, probe) = world();
    *probe.down.lock().unwrap() = Some(Fault::Raced);
    world.send(&event("1", &thing("a", 1))).await;
    world.advance(Duration::from_secs(60)).await;
    assert!(world.copies().len() > 5 && world.copies().iter().all(|c| c.properties[property::ATTEMPT] == "1"));
    *probe.down.lock().unwrap() = None;
    world.advance(Duration::from_secs(2)).await;
    assert_eq!((count(&world, "a").await, world.dead(NAME).await.len()), (1, 0));
}

#[tokio::test]
async fn fnd_13_nothing_leaves_a_marker_and_ignored_leaves_none_a39() {
    let (world, _) = world();
    let at_least = Seen { at_least: 5, ..thing("a", 1) };
    *world.crashes.lock().unwrap() = 1;
    world.send(&event("1", &at_least)).await;
    // Between the two deliveries the state moves on, so that it would now decide otherwise.
    let (function, _) = (NAME, ());
    let received = opsloop_shell::invocation::Received {
        body: event("1", &at_least).encode().into(),
        message_id: "evt-1".into(),
        content_type: None,
        deliveries: 1,
        enqueued_at: None,
        properties: Default::default(),
    };
    assert_eq!(world.handle(function, &received).await, 200);
    world.send(&event("2", &thing("a", 7))).await;
    world.drain().await;
    assert_eq!(count(&world, "a").await, 7, "the redelivery of the first did nothing");
    assert!(outcome(&world, "duplicate") >= 1.0);
    let before = world.dump().len();
    world.send(&event("3", &Seen::default())).await;
    world.drain().await;
    assert_eq!((outcome(&world, "ignored"), world.dump().len()), (1.0, before));
}

#[tokio::test]
async fn fnd_14_a_failing_tick_leaves_its_document_due_and_an_event_dies_a54() {
    let (world, probe) = world();
    world.send(&event("1", &Seen { wake: Some(at(START)), ..thing("a", 1) })).await;
    world.drain().await;
    *probe.down.lock().unwrap() = Some(unavailable());
    assert_eq!(world.tick(TICK).await.failed, 1);
    assert_eq!((world.copies().len(), world.dead(NAME).await.len()), (0, 0));
    world.send(&event("2", &thing("b", 1))).await;
    world.advance(Duration::from_secs(20)).await;
    assert_eq!((world.copies().len(), world.dead(NAME).await.len()), (4, 1));
    *probe.down.lock().unwrap() = None;
    assert_eq!(world.tick(TICK).await.applied, 1, "it was still due");
}

#[tokio::test]
async fn fnd_15_after_an_outage_the_first_tick_decides_once_with_the_due_instant_a62() {
    let ids_of = |outage: bool| async move {
        let (world, _) = world();
        world.send(&event("1", &Seen { wake: Some(at(START).plus_millis(15_000)), ..thing("a", 1) })).await;
        world.drain().await;
        world.faults().down.store(outage, Ordering::SeqCst);
        world.advance(Duration::from_secs(20 * 60)).await;
        world.faults().down.store(false, Ordering::SeqCst);
        world.advance(Duration::from_secs(60)).await;
        assert_eq!((world.copies().len(), world.dead(NAME).await.len()), (0, 0));
        world.events(COUNTED).iter().map(|e| (e.event_id.to_string(), e.occurred_at)).collect::<Vec<_>>()
    };
    let (calm, disturbed) = (ids_of(false).await, ids_of(true).await);
    assert_eq!(calm, disturbed);
    assert_eq!((calm.len(), calm[1].1), (2, at("2026-11-21T10:00:15Z")));
}

#[tokio::test]
async fn fnd_16_more_than_200_due_documents_are_paged_a49_a10() {
    let (world, _) = world();
    for n in 0..250 {
        let name = format!("g{n}/x");
        let document = opsloop_kernel::Document::new(probe::doc_of(&name), "thing", &Thing::default());
        world.put("acme", &probe::stream_of(&name), document.due(NAME, at(START))).await;
    }
    let first = world.tick(TICK).await;
    assert_eq!((first.pages, first.applied), (64, 0));
    world.clock.advance_to(at(START).plus_millis(15_000));
    assert_eq!(world.tick(TICK).await, Default::default(), "a later tick of the minute does nothing");
    world.drain().await;
    let woken = world.events(COUNTED);
    assert_eq!(woken.len(), 250);
    assert!(woken.iter().all(|e| e.occurred_at == at(START)), "the moment is the document's, not the page's");
    world.clock.advance_to(at(START).plus_millis(60_000));
    assert_eq!(world.tick(TICK).await, Default::default(), "each was decided once");
}

#[tokio::test]
async fn fnd_16_two_hundred_make_no_page() {
    let (world, _) = world();
    for n in 0..200 {
        let document = opsloop_kernel::Document::new(format!("thing|{n}"), "thing", &Thing::default());
        world.put("acme", &state("things/things"), document.due(NAME, at(START))).await;
    }
    let ticked = world.tick(TICK).await;
    assert_eq!((ticked.pages, ticked.applied), (0, 200));
}

#[tokio::test]
async fn fnd_17_a_lost_reply_is_absorbed_by_the_marker_a59() {
    let (world, _) = world();
    world.faults().lose_replies.store(1, Ordering::SeqCst);
    world.send(&event("1", &thing("a", 1))).await;
    world.advance(Duration::from_secs(60)).await;
    assert_eq!((count(&world, "a").await, world.events(COUNTED).len(), world.owed()), (1, 1, 0));
}

#[tokio::test]
async fn a13_an_outage_of_the_store_is_outlasted() {
    let (world, _) = world();
    world.faults().fail_commits.store(4, Ordering::SeqCst);
    world.send(&event("1", &thing("a", 1))).await;
    world.advance(Duration::from_secs(130)).await;
    assert_eq!((count(&world, "a").await, world.dead(NAME).await.len()), (1, 0));
}

#[tokio::test]
async fn a16_a_rejected_message_is_stuck_alone() {
    let (world, _) = world();
    world.bus.down.store(true, Ordering::SeqCst);
    world.send(&event("1", &thing("a", 1))).await;
    world.drain().await;
    // The next sweep finds a message that the broker will never take: it is too large.
    let owed = world.dump().into_iter().find(|d| d.document.kind == "owed").unwrap();
    let mut body: serde_json::Value = owed.document.body.0.clone();
    let mut huge = body["messages"][0].clone();
    huge["id"] = json!("evt-huge");
    huge["envelope"] = json!("x".repeat(300 * 1024));
    body["messages"].as_array_mut().unwrap().push(huge);
    let document = opsloop_kernel::Document { body: opsloop_kernel::Body(body), ..owed.document.clone() };
    world.put("acme", &owed.stream, document).await;
    world.bus.down.store(false, Ordering::SeqCst);
    world.advance(Duration::from_secs(60)).await;
    assert_eq!(world.owed(), 0);
    assert_eq!(world.events(COUNTED).len(), 1, "the other went on");
    let stuck: Vec<_> = world.dump().into_iter().filter(|d| d.document.kind == "stuck").collect();
    assert_eq!((stuck.len(), world.recorded.sum(&["outbox_stuck_total"])), (1, 1.0));
    assert_eq!(stuck[0].document.due.as_ref().unwrap().what, "stuck");
}

#[tokio::test]
async fn env_03_newer_fields_are_ignored_and_unknown_kinds_too_a20() {
    let (world, _) = world();
    let mut newer = serde_json::to_value(event("1", &thing("a", 1))).unwrap();
    newer["eventVersion"] = json!(2);
    newer["payload"]["addedLater"] = json!(true);
    let properties = [("audience".to_owned(), NAME.to_owned())];
    world.send_raw("evt-1", properties.clone().into(), newer.to_string().into_bytes()).await;
    let mut unknown = serde_json::to_value(event("2", &thing("a", 1))).unwrap();
    unknown["eventType"] = json!("ThingSeenV2");
    world.send_raw("evt-2", properties.into(), unknown.to_string().into_bytes()).await;
    world.drain().await;
    assert_eq!((count(&world, "a").await, outcome(&world, "ignored")), (1, 1.0));
}

#[tokio::test]
async fn env_04_a_payload_that_is_gone_is_a_refusal_and_one_that_differs_too() {
    let (world, _) = world();
    let mut referring = serde_json::to_value(event("1", &thing("a", 1))).unwrap();
    let payload = serde_json::to_vec(&referring["payload"]).unwrap();
    let sha256 = opsloop_kernel::json::sha256_hex(&payload);
    referring["payload"] = json!({});
    referring["payloadRef"] = json!({"uri": "nowhere", "sha256": sha256, "bytes": payload.len()});
    let properties = [("audience".to_owned(), NAME.to_owned()), ("tenant".to_owned(), "acme".to_owned())];
    world.send_raw("evt-1", properties.clone().into(), referring.to_string().into_bytes()).await;
    world.drain().await;
    assert_eq!(world.listed("acme").await[0].reason, "payload_missing");
    let expires = world.now() + Duration::from_secs(3600);
    let uri = world.shell.ports.blobs.put("p", payload.into(), expires).await.unwrap();
    referring["eventId"] = json!("evt-2");
    referring["payloadRef"]["uri"] = json!(uri);
    world.send_raw("evt-2", properties.into(), referring.to_string().into_bytes()).await;
    world.drain().await;
    assert_eq!(count(&world, "a").await, 1);
}

#[tokio::test]
async fn a15_what_is_older_than_the_markers_is_not_taken_again() {
    let (world, _) = world();
    let old = probe::seen("1", "acme", at(START) - Duration::from_secs(31 * 24 * 3600), &thing("a", 1));
    world.send(&old).await;
    world.drain().await;
    assert_eq!((count(&world, "a").await, world.listed("acme").await[0].reason.as_str()), (0, "expired"));
}

#[tokio::test]
async fn every_message_twice_and_shuffled_has_one_effect_each() {
    let (mut world, _) = world();
    world.twice = true;
    for n in 0..20 {
        world.send(&event(&format!("e{n}"), &thing(&format!("t{}", n % 3), 1))).await;
    }
    world.advance(Duration::from_secs(120)).await;
    let sum = count(&world, "t0").await + count(&world, "t1").await + count(&world, "t2").await;
    assert_eq!((sum, world.events(COUNTED).len()), (20, 20));
}

#[tokio::test]
async fn a47_a52_a_fact_continues_the_event_and_a_due_unit_is_a_root() {
    let (world, _) = world();
    let sent = event("1", &Seen { wake: Some(at(START).plus_millis(15_000)), ..thing("a", 1) });
    world.send(&sent).await;
    world.advance(Duration::from_secs(30)).await;
    let facts = world.events(COUNTED);
    assert_eq!((&facts[0].trace_id, facts[0].causation_id.as_ref()), (&sent.trace_id, Some(&sent.event_id)));
    assert_eq!((facts[0].causation_depth, &facts[0].correlation_id), (1, &sent.correlation_id));
    assert_eq!((facts[1].causation_depth, facts[1].causation_id.as_ref()), (0, None));
    assert_ne!(facts[1].trace_id, sent.trace_id);
    assert_eq!(facts[1].occurred_at, Timestamp::from_millis(at(START).millis() + 15_000))
}
