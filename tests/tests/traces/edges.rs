//! Batches that mean harm, or nothing.

use super::world::{World, after, batch, batches, seconds, span, spans_body, strings, tenant, trace, with};
use bytes::Bytes;
use opsloop_kernel::{Container, DocId, Fault, Incoming, Refusal, Stop, Store, Stream, TelemetrySignal, Worker, Write};
use opsloop_observability::{log_ingestion::LogIngestionWorker, trace_ingestion::TraceIngestionWorker};
use proptest::prelude::*;
use serde_json::json;

#[test]
fn what_cannot_be_decoded_is_refused_and_what_is_not_ours_ignored() {
    let mut bad = batch(&[span(1, 0, 0, 100)], seconds(0));
    bad.body = Bytes::from_static(b"\x0a\xff\xff\xff not protobuf");
    let worker = TraceIngestionWorker::default();
    assert!(matches!(worker.accept(&Incoming::Batch(bad.clone())), Err(Refusal::InvalidPayload { .. })));
    bad.signal = TelemetrySignal::Logs;
    assert_eq!(worker.accept(&Incoming::Batch(bad.clone())), Ok(None));
    assert!(matches!(LogIngestionWorker.accept(&Incoming::Batch(bad)), Err(Refusal::InvalidPayload { .. })));
}

#[tokio::test]
async fn numbers_that_json_cannot_say_are_kept_by_name() {
    let attributes =
        json!([{"key": "nan", "value": {"doubleValue": "NaN"}}, {"key": "big", "value": {"doubleValue": "-Infinity"}}]);
    let mut w = World::new();
    w.deliver(batch(&[with(span(1, 0, 0, 100), json!({"attributes": attributes}))], seconds(0))).await;
    w.ticks(10, 20).await;
    let span = w.spans().await.spans.remove(0);
    assert_eq!((span.attributes["nan"].clone(), span.attributes["big"].clone()), (json!("NaN"), json!("-Infinity")));
}

/// 3.5 MiB of text that does not compress, in one span: it keeps what it is, and loses what it tells.
#[tokio::test]
async fn a_span_beyond_a_chunk_is_kept_without_its_attributes() {
    let mut seed = 7u64;
    let mut noise = || {
        let mut text = String::new();
        while text.len() < 4_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(&format!("{seed:x}"));
        }
        text
    };
    let values: Vec<_> = (0..700).map(|_| json!({"stringValue": noise()})).collect();
    let huge = json!([{"key": "list", "value": {"arrayValue": {"values": values}}}]);
    let mut w = World::new();
    let body = spans_body(
        strings(&[("service.name", "mod-api")]),
        &[with(span(1, 0, 0, 100), json!({"attributes": huge})), span(2, 1, 0, 1)],
    );
    let (received, made) = batches(TelemetrySignal::Traces, &body, seconds(0), None);
    assert_eq!(received.items, 2);
    for b in made {
        w.deliver(b).await;
    }
    w.ticks(10, 20).await;
    assert_eq!(w.record().await.unwrap().span_count, 2);
    let spans = w.spans().await.spans;
    assert_eq!(
        (spans[0].dropped.attributes, spans[0].attributes.len(), spans[0].module_id.as_deref()),
        (1, 0, Some("mod-api"))
    );
    assert!(w.documents().values().all(|d| d.size() < 300_000));
}

/// 3 MiB that do not compress, of one trace in one batch: several commits, and all of it there once.
#[tokio::test]
async fn much_of_one_trace_goes_in_several_commits() {
    let mut seed = 11u64;
    let spans: Vec<_> = (1..=800u64)
        .map(|id| {
            let mut text = String::new();
            while text.len() < 3_500 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(&format!("{seed:x}"));
            }
            with(span(id, u64::from(id > 1), 0, 100), json!({"attributes": strings(&[("noise", &text)])}))
        })
        .collect();
    let body = spans_body(strings(&[]), &spans);
    let (_, made) = batches(TelemetrySignal::Traces, &body, seconds(0), None);
    // As one batch behind a receiver with larger messages.
    let whole = opsloop_observability::otlp::decode(
        TelemetrySignal::Traces,
        opsloop_observability::otlp::ContentType::Json,
        &body,
    );
    let mut one = made[0].clone();
    one.body = whole.unwrap().encode().into();
    let input = TraceIngestionWorker::default().accept(&Incoming::Batch(one.clone())).unwrap().unwrap();
    let chains = TraceIngestionWorker::plan(&input);
    assert!(chains.len() == 1 && chains[0].len() > 1, "one chain of several units");
    let mut w = World::new();
    w.deliver(one.clone()).await;
    w.deliver(one).await;
    w.ticks(10, 20).await;
    assert_eq!((w.record().await.unwrap().span_count, w.count("telemetry_duplicates_total")), (800, 800.0));
    assert!(w.documents().values().all(|d| d.size() < 300_000));
}

#[tokio::test]
async fn a5_a_view_that_lacks_a_chunk_of_the_head_is_a_lost_race() {
    let mut w = World::new();
    w.deliver(batch(&[span(1, 0, 0, 100)], seconds(0))).await;
    let stream = Stream::new(Container::Telemetry, format!("trace/{}", trace()));
    let chunk = w.documents().into_keys().find(|(_, id)| id.starts_with("chunk|")).unwrap().1;
    let etag = w.store.get(&tenant(), &stream, &DocId(chunk.clone())).await.unwrap().unwrap().etag;
    let gone = opsloop_kernel::Commit {
        tenant: tenant(),
        stream: stream.clone(),
        marker: None,
        writes: vec![Write::Delete(DocId(chunk), etag)],
    };
    w.store.commit(&gone).await.unwrap();
    let found = vec![opsloop_kernel::incoming::FoundDue { id: DocId::from("head"), at: seconds(10) }];
    let due = Incoming::Due(opsloop_kernel::DueUnits { tick: seconds(10), tenant: tenant(), stream, found });
    let worker = TraceIngestionWorker::default();
    let input = worker.accept(&due).unwrap().unwrap();
    let tenant = tenant();
    for unit in TraceIngestionWorker::plan(&input).remove(0) {
        let view = worker.observe(&unit, &input, &w.scope(&tenant)).await;
        assert_eq!(view, Err(Stop::Fault(Fault::Raced)));
    }
}

/// A due document that moved on, or is gone, gives nothing (SPEC 3.8).
#[tokio::test]
async fn a62_a_head_that_moved_on_gives_nothing() {
    let mut w = World::new();
    w.deliver(batch(&[span(1, 0, 0, 100)], seconds(0))).await;
    let before = w.documents();
    w.tick_index_only(after(9_000)).await;
    assert_eq!((w.documents(), w.reasons.last()), (before, Some(&"nothing-to-index")));
}

proptest! {
    #[test]
    fn random_batches_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut b = batch(&[span(1, 0, 0, 100)], seconds(0));
        b.body = bytes.into();
        let _ = TraceIngestionWorker::default().accept(&Incoming::Batch(b.clone()));
        b.signal = TelemetrySignal::Logs;
        let _ = LogIngestionWorker.accept(&Incoming::Batch(b));
    }
}
