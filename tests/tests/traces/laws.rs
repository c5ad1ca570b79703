//! The invariants of SPEC 5.1.8, over random sets of spans in random batches, orders and repetitions.

use super::world::{World, after, batch, span, with};
use opsloop_observability::{events::Completeness, trace_ingestion::TraceRecord};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Few ids, so that versions meet, parents miss and cycles close.
fn any_span() -> impl Strategy<Value = Value> {
    (1u64..8, 0u64..9, 0i64..50, -5i64..60, 0i64..3, 0usize..3).prop_map(
        |(id, parent, start, length, status, module)| {
            let module = ["a", "b", "c"][module];
            with(
                span(id, parent, start, start + length),
                json!({
                    "status": {"code": status},
                    "attributes": [{"key": "factory.module.id", "value": {"stringValue": module}},
                        {"key": "factory.artifact.id", "value": {"stringValue": format!("art-{module}")}}],
                }),
            )
        },
    )
}

/// Batches, each with the second at which it is received.
fn any_batches() -> impl Strategy<Value = Vec<(Vec<Value>, i64)>> {
    prop::collection::vec((prop::collection::vec(any_span(), 1..5), 0i64..9), 1..6)
}

async fn run(batches: &[(Vec<Value>, i64)], order: &[usize]) -> World {
    let mut w = World::new();
    for n in order {
        let (spans, second) = &batches[*n];
        w.deliver(batch(spans, after(second * 1_000))).await;
    }
    w.ticks(10, 200).await;
    w
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// I1 to I4.
fn is_sound(record: &TraceRecord, ids: &BTreeSet<String>) -> Result<(), TestCaseError> {
    prop_assert!(record.ended_at >= record.started_at);
    prop_assert_eq!(record.span_count as usize, ids.len());
    if record.completeness == Completeness::Complete {
        prop_assert!(record.root_span_id.is_some());
        prop_assert!(record.anomalies.is_empty());
    }
    let shares: f64 = record.artifacts.iter().map(|a| a.self_time_share).sum();
    prop_assert!((0.0..=1.0 + 1e-9).contains(&shares));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// I5: the record is a function of the set of spans, and so are the documents and events.
    #[test]
    fn order_and_repetition_never_matter(batches in any_batches(), shuffle in Just(()).prop_perturb(|(), mut rng| rng.random::<u64>()), again in prop::collection::vec(any::<Index>(), 0..4)) {
        let calm: Vec<usize> = (0..batches.len()).collect();
        let mut order: Vec<usize> = calm.clone();
        order.extend(again.iter().map(|i| i.index(batches.len())));
        let len = order.len() as u64;
        for n in (1..order.len()).rev() {
            order.swap(n, (shuffle.rotate_left(n as u32 * 7) % len.min(n as u64 + 1)) as usize);
        }
        let (one, two) = block_on(async { (run(&batches, &calm).await, run(&batches, &order).await) });
        let bodies = |w: &World| w.documents().into_iter()
            .filter(|(_, d)| d.kind != "chunk")
            .map(|(id, d)| (id, d.due.clone(), without_lists(d.body.0))).collect::<Vec<_>>();
        prop_assert_eq!(bodies(&one), bodies(&two));
        let told = |w: &World| w.told.iter().map(|e| (e.event_id.clone(), e.occurred_at, e.payload.clone())).collect::<Vec<_>>();
        prop_assert_eq!(told(&one), told(&two));

        let ids: BTreeSet<String> = batches.iter().flat_map(|(s, _)| s).map(|s| s["spanId"].as_str().unwrap().to_owned()).collect();
        let record = block_on(one.record()).unwrap();
        is_sound(&record, &ids)?;
        let spans = block_on(one.spans()).spans;
        prop_assert_eq!(spans.len(), ids.len());
        prop_assert!(spans.iter().all(|s| s.trace_id == record.trace_id));
    }

    /// I3: complete means one root and a tree, told by walking up from every span.
    #[test]
    fn complete_is_a_tree(batches in any_batches()) {
        let w = block_on(run(&batches, &(0..batches.len()).collect::<Vec<_>>()));
        let record = block_on(w.record()).unwrap();
        let spans = block_on(w.spans()).spans;
        let parent = |id: &str| spans.iter().find(|s| s.span_id.as_str() == id).map(|s| s.parent_span_id.clone());
        let climbs = |from: &str| {
            let mut at = from.to_owned();
            for _ in 0..=spans.len() {
                match parent(&at) {
                    Some(Some(up)) => at = up.to_string(),
                    Some(None) => return Some(at),
                    None => return None,
                }
            }
            None
        };
        let tops: BTreeSet<Option<String>> = spans.iter().map(|s| climbs(s.span_id.as_str())).collect();
        let is_tree = tops.len() == 1 && tops.first().is_some_and(Option::is_some);
        prop_assert_eq!(record.completeness == Completeness::Complete, is_tree);
    }
}

/// Which of several batches with the same spans got its chunk stored is a matter of order; what they say is not.
fn without_lists(mut body: Value) -> Value {
    if let Some(head) = body.as_object_mut().filter(|h| h.contains_key("chunkCount")) {
        for list in ["chunks", "chunkCount"] {
            head.remove(list);
        }
    }
    body
}
