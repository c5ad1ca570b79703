//! Many commits at once, with faults among them: every unit takes effect once, and the end is that of a calm store.

use super::bed::*;
use opsloop_embedded::store::MemoryStore;
use opsloop_kernel::{Committed, Container, ETag, Store, Stream};
use opsloop_tests::cosmos::cosmos_host;
use serde_json::{Value, json};
use std::sync::Arc;

/// One unit, as the shell commits it: decided on what is read, once more where that was raced or the store failed.
/// Gives whether it was this caller's commit that was seen to be applied.
async fn settle(store: &dyn Store, stream: &Stream, n: usize, by: &str) -> bool {
    for _ in 0..200 {
        let Ok(root) = store.get(&acme(), stream, &id("root")).await else { continue };
        let (count, etag): (u64, Option<ETag>) = match root {
            Some(root) => (root.read().unwrap(), Some(root.etag)),
            None => (0, None),
        };
        let next = document("root", json!(count + 1));
        let writes =
            vec![opsloop_kernel::Write::Save(next, etag), create(&format!("effect|{n:04}"), json!({ "by": by }))];
        match store.commit(&commit_in(stream, Some(&format!("seen|{n:04}")), writes)).await {
            Ok(Committed::Applied(_)) => return true,
            Ok(Committed::Duplicate) => return false,
            Ok(Committed::Raced) | Err(_) => {}
            Ok(Committed::Refused(refusal)) => panic!("{refusal:?}"),
        }
    }
    panic!("unit {n} of {} was not settled", stream.name);
}

fn without_author(all: Vec<(String, Value)>) -> Vec<(String, Value)> {
    all.into_iter().map(|(id, body)| (id, if body.is_object() { json!({}) } else { body })).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fnd_08_of_two_clients_that_commit_the_same_unit_a_thousand_times_one_takes_effect_each_time() {
    let bed = Bed::ready().await;
    let (one, two) = (Arc::new(bed.other()), Arc::new(bed.other()));
    let streams = (0..10).map(|n| Stream::new(Container::State, format!("race/{n}")));
    let racing = streams.map(|stream| {
        let (one, two) = (one.clone(), two.clone());
        tokio::spawn(async move {
            for n in 0..100 {
                let both = tokio::join!(settle(&*one, &stream, n, "one"), settle(&*two, &stream, n, "two"));
                assert!(both.0 ^ both.1, "unit {n}: {both:?}");
            }
            let all = all_of(&*one, &stream).await;
            assert_eq!(all.len(), 201);
            assert_eq!(all.iter().find(|(id, _)| id == "root").unwrap().1, json!(100));
        })
    });
    for task in racing.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p15_under_faults_of_every_kind_the_documents_end_as_those_of_a_calm_store() {
    const UNITS: usize = 60;
    let bed = Bed::ready().await;
    let docs = format!("/dbs/{}/colls/state/docs", bed.database);
    for round in 0..12 {
        for status in [503, 500, 408, 449, 0, 429] {
            let lost = status != 429 && round % 2 == 0;
            let header = json!(["x-ms-cosmos-is-batch-request", "True"]);
            cosmos_host()
                .fault(&json!({ "status": status, "retryAfterMs": 2, "count": 1, "skip": 2, "afterCommit": lost,
                "method": "POST", "pathContains": docs, "header": header }));
        }
    }
    let calm = MemoryStore::new(bed.clock.clone());
    let (one, two) = (Arc::new(bed.other()), Arc::new(bed.other()));
    let streams: Vec<Stream> = (0..4).map(|n| Stream::new(Container::State, format!("storm/{n}"))).collect();
    let storms = streams.iter().cloned().map(|stream| {
        let (one, two) = (one.clone(), two.clone());
        tokio::spawn(async move {
            for n in 0..UNITS {
                tokio::join!(settle(&*one, &stream, n, "one"), settle(&*two, &stream, n, "two"));
            }
        })
    });
    for task in storms.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    bed.mend();
    for stream in &streams {
        for n in 0..UNITS {
            assert!(settle(&calm, stream, n, "one").await);
        }
        let (stormy, calm) = (all_of(&bed.store, stream).await, all_of(&calm, stream).await);
        assert_eq!(without_author(stormy), without_author(calm), "{}", stream.name);
    }
    let faulty = |r: &&Value| !matches!(r["status"].as_u64(), Some(200 | 201 | 204 | 207 | 304 | 404));
    assert!(bed.requests().iter().filter(faulty).count() >= 60, "the storm was none");
}
