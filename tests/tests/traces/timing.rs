//! When a record is announced (SPEC 5.1.4(7)).

use super::world::{DAY, T, TRACE, World, after, batch, batches, seconds, span, spans_body, strings, tenant, trace};
use bytes::Bytes;
use opsloop_kernel::{Blobs, BoxFuture, Fault, Refusal, Stop, TelemetrySignal, Timestamp, message::property};
use opsloop_observability::events::Completeness;
use opsloop_shell::{delivery::batch_of, invocation::Received};

fn three() -> Vec<serde_json::Value> {
    vec![span(0xa, 0, 0, 100), span(0xb, 0xa, 10, 60), span(0xc, 0xa, 60, 90)]
}

#[tokio::test]
async fn tiw_01_a_complete_trace_is_one_record_after_ten_seconds() {
    let mut w = World::new();
    w.deliver(batch(&three(), seconds(0))).await;
    assert_eq!(w.due().await, Some(seconds(10)));
    w.tick(after(9_999)).await;
    assert!(w.told.is_empty());
    w.ticks(10, 200).await;

    let record = w.record().await.unwrap();
    assert_eq!((record.span_count, record.duration_ms, record.revision), (3, 100, 1));
    assert_eq!(record.completeness, Completeness::Complete);
    assert_eq!(record.anomalies, [""; 0]);
    assert_eq!(w.told.len(), 1);
    let event = &w.told[0];
    assert_eq!((event.event_type.as_str(), event.revision, event.occurred_at), ("TraceRecorded", 1, seconds(10)));
    assert_eq!(event.partition_key, TRACE);
    // Vectors of SPEC 3.2 and 5.1.6: a root, with the trace and the correlation of the trace (A25).
    assert_eq!(event.trace_id, trace());
    assert_eq!(event.correlation_id.as_str(), "corr-7b707513-d302-5f9b-bbdf-7139c4f1414a");
    assert_eq!((event.causation_depth, &event.causation_id), (0, &None));
    assert_eq!(event.idempotency_key, opsloop_kernel::ids::key("trace-recorded", &tenant(), [TRACE]));
}

#[tokio::test]
async fn tiw_04_an_orphan_is_held_for_a_minute_and_revised_when_its_root_comes() {
    let mut w = World::new();
    w.deliver(batch(&[span(0xb, 0xa, 10, 60)], seconds(0))).await;
    w.ticks(0, 70).await;
    w.deliver(batch(&[span(0xa, 0, 0, 100)], seconds(75))).await;
    w.ticks(80, 200).await;

    let (one, two) = (&w.events()[0], &w.events()[1]);
    assert_eq!(w.told.len(), 2);
    assert_eq!(
        (one.revision, one.completeness, one.anomalies.clone()),
        (1, Completeness::Partial, vec!["missing_parent:1".to_owned()])
    );
    assert_eq!((two.revision, two.completeness), (2, Completeness::Complete));
    assert_eq!((w.told[0].occurred_at, w.told[1].occurred_at), (seconds(60), seconds(85)));
    assert_ne!(w.told[0].event_id, w.told[1].event_id);
    assert_eq!(w.told[0].idempotency_key, w.told[1].idempotency_key);
}

#[tokio::test]
async fn tiw_12_a_late_tick_makes_the_revisions_of_a_calm_run_a62() {
    async fn run(ticks: &[i64]) -> World {
        let mut w = World::new();
        w.deliver(batch(&three(), seconds(0))).await;
        let mut came = false;
        for at in ticks {
            if *at >= 25 && !came {
                w.deliver(batch(&[span(0xd, 0xa, 90, 95)], seconds(25))).await;
                came = true;
            }
            w.tick(seconds(*at)).await;
        }
        w
    }
    let calm = run(&[0, 10, 20, 30, 40, 50]).await;
    let late = run(&[5, 40, 50]).await;
    let occurred: Vec<Timestamp> = late.told.iter().map(|e| e.occurred_at).collect();
    assert_eq!(occurred, [seconds(10), seconds(35)]);
    assert_eq!(late.events().iter().map(|e| (e.revision, e.span_count)).collect::<Vec<_>>(), [(1, 3), (2, 4)]);
    let ids = |w: &World| w.told.iter().map(|e| (e.event_id.clone(), e.payload.clone())).collect::<Vec<_>>();
    assert_eq!(ids(&calm), ids(&late));
    assert_eq!(calm.documents(), late.documents());
}

struct Nowhere;
impl Blobs for Nowhere {
    fn put<'a>(&'a self, _: &'a str, _: Bytes, _: Timestamp) -> BoxFuture<'a, Result<String, Fault>> {
        Box::pin(async { Err(Fault::Unavailable { dependency: Fault::BLOBS }) })
    }
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Fault>> {
        Box::pin(async { Ok(None) })
    }
}

#[tokio::test]
async fn tiw_12_a_batch_of_a_trace_that_is_gone_is_expired_a68() {
    let body = spans_body(strings(&[]), &three());
    let (received, _) = batches(TelemetrySignal::Traces, &body, seconds(0), None);
    let properties = [
        (property::TENANT, "acme".to_owned()),
        (property::RECEIVED_AT, seconds(0).to_string()),
        (property::BATCH_ID, received.batch_id.clone()),
        (property::PART, "0".to_owned()),
        (property::ENCODING, "zstd".to_owned()),
    ];
    let message = Received {
        body: received.parts[0].bytes.clone(),
        message_id: format!("{}|0", received.batch_id),
        content_type: None,
        deliveries: 1,
        enqueued_at: None,
        properties: properties.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
    };
    let late = batch_of("otlp-traces", &message, &Nowhere, seconds(0).plus(7 * DAY)).await;
    assert!(matches!(late, Err(Stop::Refusal(Refusal::Expired { .. }))), "{late:?}");
    assert!(batch_of("otlp-traces", &message, &Nowhere, seconds(0).plus(4 * DAY)).await.is_ok());
}

#[tokio::test]
async fn a68_all_documents_of_a_trace_leave_at_one_instant() {
    let mut w = World::new();
    w.deliver(batch(&three(), seconds(0))).await;
    w.ticks(10, 30).await;
    w.deliver(batch(&[span(0xd, 0xa, 90, 95)], seconds(40))).await;
    w.ticks(40, 60).await;
    let instants: Vec<_> = w.documents().into_values().map(|d| d.expires).collect();
    assert!(instants.len() >= 4);
    assert!(instants.iter().all(|e| *e == Some(seconds(0).plus(7 * DAY))), "{instants:?}");
}

/// A batch that was on its way for long revises the record, and nothing is due before what was done already.
#[tokio::test]
async fn a_revision_is_never_due_before_the_one_before_it() {
    let mut w = World::new();
    w.deliver(batch(&three(), seconds(0))).await;
    w.tick(seconds(10)).await;
    w.deliver(batch(&[span(0xd, 0xa, 90, 95)], seconds(-2))).await;
    assert_eq!(w.due().await, Some(seconds(10)));
    w.tick(seconds(20)).await;
    assert_eq!(
        w.told.iter().map(|e| (e.revision, e.occurred_at)).collect::<Vec<_>>(),
        [(1, seconds(10)), (2, seconds(10))]
    );
}

#[tokio::test]
async fn a_trickle_is_announced_after_a_minute_at_the_latest() {
    let mut w = World::new();
    w.deliver(batch(&[span(1, 0, 0, 100)], seconds(0))).await;
    for n in 1..10 {
        let at = n * 8;
        w.ticks((at / 10) * 10, at).await;
        w.deliver(batch(&[span(n as u64 + 1, 1, 10, 20)], seconds(at))).await;
    }
    w.ticks(70, 200).await;
    let occurred: Vec<i64> = w.told.iter().map(|e| (e.occurred_at.millis() - T) / 1_000).collect();
    // 0 … 56 in the first revision, held at 60; 64 and 72 in the second, settled at 82.
    assert_eq!(occurred, [60, 82]);
    assert_eq!(w.events().iter().map(|e| e.span_count).collect::<Vec<_>>(), [8, 10]);
}

#[tokio::test]
async fn at_most_ten_revisions_and_later_changes_are_stored_without_event() {
    let mut w = World::new();
    for n in 0..13 {
        w.deliver(batch(&[span(n + 1, u64::from(n > 0), 0, 100)], seconds(n as i64 * 100))).await;
        w.ticks(n as i64 * 100 + 10, n as i64 * 100 + 90).await;
    }
    assert_eq!(w.told.len(), 10);
    assert_eq!(w.due().await, None);
    assert_eq!(w.spans().await.spans.len(), 13);
}

#[tokio::test]
async fn what_comes_a_day_later_is_dropped_and_counted() {
    let mut w = World::new();
    w.deliver(batch(&three(), seconds(0))).await;
    w.tick(seconds(10)).await;
    let before = w.documents();
    w.deliver(batch(&[span(0xd, 0xa, 90, 95)], seconds(0).plus(DAY).plus_millis(1))).await;
    assert_eq!((w.count("late_dropped_total"), w.documents()), (1.0, before));
    w.deliver(batch(&[span(0xe, 0xa, 90, 95)], seconds(0).plus(DAY))).await;
    assert_eq!((w.count("late_dropped_total"), w.due().await), (1.0, Some(seconds(10).plus(DAY))));
}

/// A late delivery is judged by the instant at which its batch was received, not by that at which it is handled.
#[tokio::test]
async fn env_07_spans_are_judged_by_the_instant_of_receipt_a42() {
    let six_days = 6 * 86_400_000;
    let body = spans_body(strings(&[]), &[span(1, 0, -six_days, -six_days + 100)]);
    let (_, made) = batches(TelemetrySignal::Traces, &body, seconds(0), None);
    let (mut prompt, mut late) = (World::new(), World::new());
    prompt.deliver(made[0].clone()).await;
    late.clock.advance_to(seconds(0).plus(4 * DAY));
    late.deliver(made[0].clone()).await;
    assert_eq!(prompt.documents(), late.documents());
    assert_eq!(late.spans().await.spans.len(), 1);
}
