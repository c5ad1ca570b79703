//! Spans that come twice, in pieces, in any order (SPEC 5.1.4(4), 5.1.6).

use super::world::{T, World, after, batch, batches, seconds, span, spans_body, strings, tenant, with};
use opsloop_kernel::{TelemetrySignal, TraceId};
use opsloop_observability::trace_ingestion::{list_index, read_head, read_spans};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

fn three() -> Vec<Value> {
    vec![span(0xa, 0, 0, 100), span(0xb, 0xa, 10, 60), span(0xc, 0xa, 60, 90)]
}

#[tokio::test]
async fn tiw_02_a_repeated_batch_is_stored_once() {
    let mut w = World::new();
    for _ in 0..3 {
        w.deliver(batch(&three(), seconds(0))).await;
    }
    // The same spans in other bytes, a second later: duplicates, which do not re-arm the timer.
    let (_, again) = batches(
        TelemetrySignal::Traces,
        &spans_body(strings(&[("service.name", "mod-api")]), &three().into_iter().rev().collect::<Vec<_>>()),
        seconds(1),
        None,
    );
    assert_eq!(w.count("telemetry_duplicates_total"), 6.0);
    let before = w.documents();
    w.deliver(again[0].clone()).await;
    assert_eq!((w.count("telemetry_duplicates_total"), w.documents() == before), (9.0, true));
    w.ticks(10, 100).await;
    assert_eq!((w.told.len(), w.record().await.unwrap().span_count), (1, 3));
    assert_eq!(w.told[0].occurred_at, seconds(10));
}

#[tokio::test]
async fn tiw_03_all_six_orders_give_one_content() {
    let spans = three();
    let mut hashes = vec![];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut w = World::new();
        for n in order {
            w.deliver(batch(&[spans[n].clone()], after(n as i64 * 100))).await;
        }
        w.ticks(0, 100).await;
        assert_eq!(w.told.len(), 1);
        hashes.push((w.record().await.unwrap().content_hash, w.documents(), w.told[0].event_id.clone()));
    }
    assert!(hashes.windows(2).all(|h| h[0].0 == h[1].0 && h[0].2 == h[1].2));
    // Whatever came first, the documents are the same; when they leave goes by the first that came.
    let bodies = |n: usize| hashes[n].1.values().map(|d| (d.body.clone(), d.due.clone())).collect::<Vec<_>>();
    assert!((1..6).all(|n| bodies(n) == bodies(0)));
}

#[tokio::test]
async fn tiw_07_of_two_versions_the_longer_one_stays() {
    for order in [[100, 120], [120, 100]] {
        let mut w = World::new();
        for end in order {
            w.deliver(batch(&[span(0xa, 0, 0, end)], seconds(0))).await;
        }
        w.ticks(10, 100).await;
        assert_eq!(w.count("span_conflict_total"), 1.0);
        let record = w.record().await.unwrap();
        assert_eq!((record.span_count, record.duration_ms), (1, 120));
        let spans = w.spans().await.spans;
        assert_eq!((spans.len(), spans[0].duration_ms), (1, 120));
    }
}

#[tokio::test]
async fn tiw_08_a_store_that_fails_and_recovers_gives_one_record_and_a_replay_the_same() {
    let mut calm = World::new();
    calm.deliver(batch(&three(), seconds(0))).await;
    calm.ticks(10, 60).await;

    for failures in [3, 5] {
        let mut w = World::new();
        w.store.failures.store(failures, Ordering::SeqCst);
        let message = batch(&three(), seconds(0));
        let mut attempts = 0;
        while attempts < 5 && w.try_deliver(message.clone()).await.is_err() {
            attempts += 1;
        }
        assert_eq!(attempts, failures);
        if attempts == 5 {
            assert!(w.documents().is_empty(), "the dead letter left nothing behind");
            w.deliver(message).await; // replayed
        }
        w.ticks(10, 60).await;
        assert_eq!(w.documents(), calm.documents());
        assert_eq!((w.told.len(), &w.told[0].event_id), (1, &calm.told[0].event_id));
    }
}

#[tokio::test]
async fn tiw_11_a_crash_between_two_traces_of_a_batch_is_made_good() {
    let other = "5bf92f3577b34da6a3ce929d0e0e4736";
    let mut spans = three();
    spans.extend(three().into_iter().map(|s| with(s, json!({"traceId": other}))));
    let mut w = World::new();
    let message = batch(&spans, seconds(0));
    w.deliver_chains(message.clone(), 1).await;
    let first = w.documents();
    w.deliver(message).await;
    assert_eq!(w.count("telemetry_duplicates_total"), 3.0);
    assert!(first.iter().all(|(id, d)| w.documents().get(id) == Some(d)), "nothing changed in the first");
    w.ticks(10, 100).await;
    let mut told: Vec<_> = w.events().into_iter().map(|e| (e.trace_id.to_string(), e.span_count)).collect();
    told.sort();
    assert_eq!(told, [(super::world::TRACE.to_owned(), 3), (other.to_owned(), 3)]);
}

#[tokio::test]
async fn tiw_13_a_trace_beyond_the_lists_of_its_head_is_whole_and_settles_again_a57() {
    let mut w = World::new();
    w.lawful = false; // each of these decisions is as the others, and their views are long
    let part = |n: u64| -> Vec<Value> {
        (0..500).map(|k| n * 500 + k + 1).map(|id| span(id, u64::from(id > 1), 0, 100)).collect()
    };
    for n in 0..18 {
        w.deliver(batch(&part(n), after(n as i64 * 100))).await;
    }
    w.ticks(0, 60).await;
    let record = w.record().await.unwrap();
    assert_eq!((record.span_count, record.revision, w.told.len()), (9_000, 1, 1));
    assert_eq!(w.due().await, None);

    let before = w.documents();
    w.deliver(batch(&part(17), after(1_700))).await;
    assert_eq!(w.documents(), before, "an old batch again");

    let body = spans_body(strings(&[("service.name", "mod-api")]), &part(17).into_iter().rev().collect::<Vec<_>>());
    let (_, made) = batches(TelemetrySignal::Traces, &body, seconds(100), None);
    for b in made {
        w.deliver(b).await;
    }
    assert_eq!(w.due().await, Some(seconds(110)), "settles again");
    w.ticks(110, 200).await;
    assert_eq!((w.record().await.unwrap(), w.told.len()), (record, 1));

    let tenant = tenant();
    let head = read_head(&w.scope(&tenant), &super::world::trace()).await.unwrap().unwrap();
    assert_eq!((head.known.0.len(), head.more_known), (8_000, true));
}

#[tokio::test]
async fn spans_are_read_in_pages_by_time() {
    let mut w = World::new();
    let spans: Vec<Value> = (1..=10).map(|id| span(id, u64::from(id > 1), 200 - id as i64, 300)).collect();
    w.deliver(batch(&spans[..5], seconds(0))).await;
    w.deliver(batch(&spans[5..], seconds(1))).await;
    let tenant = tenant();
    let (mut ids, mut after, mut pages) = (vec![], None, 0);
    loop {
        let page = read_spans(&w.scope(&tenant), &super::world::trace(), 4, after.as_deref()).await.unwrap();
        ids.extend(page.spans.iter().map(|s| u64::from_str_radix(s.span_id.as_str(), 16).unwrap()));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((pages, ids), (3, (1..=10).rev().collect()));
}

/// What others look traces up by (A48): module, and root within its module.
#[tokio::test]
async fn a48_the_index_lists_the_traces_of_a_module_and_of_its_root() {
    use opsloop_observability::trace_ingestion::index::{module_prefix, root_prefix};
    let mut w = World::new();
    let module = |m: &str| json!({"attributes": strings(&[("factory.module.id", m)])});
    for n in 1..=3u64 {
        let id = format!("{n:02x}{}", "0".repeat(29) + "1");
        let of = |s: Value| with(s, json!({"traceId": id}));
        let child = with(span(2, 1, 10, 20), module(if n == 3 { "db" } else { "cache" }));
        let root = with(span(1, 0, 0, 100), json!({"name": if n == 1 { "GET /a" } else { "GET /b" }}));
        w.deliver(batch(&[of(root), of(child)], seconds(0))).await;
    }
    w.deliver(batch(&[with(span(7, 6, 0, 5), json!({"traceId": "09".repeat(16)}))], seconds(0))).await; // no root
    w.ticks(10, 60).await;
    assert_eq!(w.told.len(), 4);
    let tenant = tenant();
    let scope = w.scope(&tenant);
    let hour = opsloop_kernel::Timestamp::from_millis(T);
    let n = async |prefix: String| list_index(&scope, hour, &prefix, 100).await.unwrap().len();
    assert_eq!(n(module_prefix(Some("mod-api"))).await, 3);
    assert_eq!(n(module_prefix(Some("cache"))).await, 2);
    assert_eq!(n(root_prefix(Some("mod-api"), "GET /a")).await, 1);
    assert_eq!(n(root_prefix(Some("mod-api"), "GET /b")).await, 2);
    assert_eq!(n(module_prefix(None)).await, 0);
    let one = &list_index(&scope, hour, &root_prefix(Some("mod-api"), "GET /a"), 9).await.unwrap()[0];
    assert_eq!(
        (one.trace_id.clone(), one.revision, one.duration_ms),
        (TraceId::parse(format!("01{}1", "0".repeat(29))).unwrap(), 1, 100)
    );
    assert_eq!(one.services, ["cache", "mod-api"]);
}

/// A crash between index and head repeats both, and changes nothing that stands.
#[tokio::test]
async fn a48_a_crash_after_the_index_is_made_good_by_the_next_tick() {
    let (mut calm, mut w) = (World::new(), World::new());
    for world in [&mut calm, &mut w] {
        world.deliver(batch(&three(), seconds(0))).await;
    }
    calm.tick(seconds(10)).await;
    w.tick_index_only(seconds(10)).await;
    assert!(w.told.is_empty());
    w.tick(seconds(20)).await;
    assert_eq!(w.documents(), calm.documents());
    assert_eq!((w.told.len(), &w.told[0].event_id), (1, &calm.told[0].event_id));
    assert!(w.reasons.ends_with(&["indexed", "indexed", "recorded"]));
}
