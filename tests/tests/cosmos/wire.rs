//! What goes over the wire, and what lies in the container.

use super::bed::*;
use opsloop_kernel::{
    Committed, Container, Directory, Refusal, Store, Stream, Timestamp, Write, ids, ports::Within, signal,
};
use opsloop_tests::cosmos::{Recorded, cosmos_host};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn p15_marker_writes_and_outbox_are_one_request() {
    let bed = Bed::ready().await;
    bed.commit(None, vec![create("root", json!(1))]).await.unwrap();
    let etag = bed.etag("root").await;
    let before = bed.requests().len();
    let owed = |n: u8| Write::Put(document(&format!("owed|{n}"), json!({})).due("outbox", START));
    let writes = vec![save("root", json!(2), &etag), create("log|1", json!({})), owed(1), owed(2)];
    let committed = bed.commit(Some("seen|w|evt-1|k"), writes).await.unwrap();
    assert!(matches!(committed, Committed::Applied(etags) if etags.len() == 4));
    let requests = bed.requests();
    assert_eq!(requests.len(), before + 1);
    let headers = &requests[before]["headers"];
    assert_eq!(headers["x-ms-cosmos-batch-atomic"], "True");
    assert_eq!(headers["x-ms-documentdb-partitionkey"], r#"["acme","rules"]"#);
    assert_eq!(requests[before]["status"], 200);
}

#[tokio::test]
async fn p14_a_store_connects_when_it_is_first_used_and_once_for_all_who_come_together() {
    let bed = Bed::new();
    assert!(cosmos_host().requests(&bed.database).is_empty());
    let gets = futures::future::join_all((0..20).map(|_| bed.get("none"))).await;
    assert!(gets.iter().all(|g| *g == Ok(None)), "{gets:?}");
    let path = format!("/dbs/{}/colls/state", bed.database);
    let resolved = cosmos_host().requests(&bed.database).iter().filter(|r| r["path"] == path).count();
    assert_eq!(resolved, 1);
}

#[tokio::test]
async fn a_connect_that_failed_is_tried_again_at_the_next_use() {
    let bed = Bed::new();
    cosmos_host().fault(&json!({ "status": 503, "pathContains": format!("/dbs/{}/colls/state", bed.database) }));
    let fault = bed.get("none").await.unwrap_err();
    assert!(fault.is_store_outage(), "{fault:?}");
    bed.mend();
    assert_eq!(bed.get("none").await, Ok(None));
}

#[tokio::test]
async fn a_document_lies_there_as_the_design_says() {
    let bed = Bed::ready().await;
    let at: Timestamp = "2026-11-21T10:00:05.250Z".parse().unwrap();
    let body = json!({ "n": [1, 1.0, 0.1, u64::MAX], "text": "=" });
    let full = document("a|1", body).due("Alerts", at).expires(START + Duration::from_secs(60));
    bed.commit(None, vec![Write::Put(full), create("b", json!({}))]).await.unwrap();
    let mut kept = cosmos_host().documents(&bed.database, Container::State);
    kept.sort_by_key(|k| k["id"].to_string());
    for document in &mut kept {
        document.as_object_mut().unwrap().retain(|name, _| !name.starts_with('_'));
    }
    let shard = ids::shard(&acme(), &stream());
    let due = json!({ "what": "Alerts", "at": "2026-11-21T10:00:05.250Z", "shard": shard,
        "key": "acme rules 1795255205250 a|1" });
    assert_eq!(
        kept,
        [
            json!({ "id": "a|1", "tenantId": "acme", "stream": "rules", "kind": "test", "v": 1, "ttl": 61,
                "expires": "2026-11-21T10:01:00.000Z", "due": due,
                "body": { "n": [1, "=1", 0.1, "=18446744073709551615"], "text": "==" } }),
            json!({ "id": "b", "tenantId": "acme", "stream": "rules", "kind": "test", "v": 1, "body": {} }),
        ]
    );
}

#[tokio::test]
async fn the_template_makes_the_containers_that_the_adapter_uses() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../bicep/modules/state.bicep");
    let template = std::fs::read_to_string(path).unwrap();
    let containers = Container::ALL.map(|c| format!("'{}'", c.name())).join(", ");
    let key = opsloop_azure::cosmos::PARTITION_KEY.map(|p| format!("'{p}'")).join(", ");
    let database = opsloop_azure::cosmos::DATABASE;
    for said in [
        format!("for name in [{containers}]"),
        format!("paths: [{key}], kind: 'MultiHash'"),
        format!("resource: {{ id: '{database}' }}"),
        "defaultTtl: -1".to_owned(),
        "{ path: '/tenantId/?' }, { path: '/stream/?' }, { path: '/due/*' }".to_owned(),
    ] {
        assert!(template.contains(&said), "no `{said}` in the template");
    }
}

#[tokio::test]
async fn a17_what_a_batch_does_not_take_is_refused_and_not_sent() {
    let bed = Bed::ready().await;
    let before = bed.requests().len();
    let many = (0..101).map(|n| create(&format!("d|{n}"), json!({}))).collect();
    let refused = bed.commit(None, many).await.unwrap();
    assert!(matches!(refused, Committed::Refused(Refusal::TooLarge { size: 101, limit: 100, .. })), "{refused:?}");
    let large = |id: &str| create(id, json!("x".repeat(700_000)));
    let refused = bed.commit(None, vec![large("a"), large("b"), large("c")]).await.unwrap();
    assert!(matches!(refused, Committed::Refused(Refusal::TooLarge { .. })), "{refused:?}");
    let elsewhere = Stream::new(Container::State, "a b");
    let there = commit_in(&elsewhere, None, vec![create("a", json!(0))]);
    let refused = bed.store.commit(&there).await.unwrap();
    assert!(matches!(refused, Committed::Refused(Refusal::InvalidPayload { .. })), "{refused:?}");
    assert_eq!(bed.requests().len(), before);
}

#[tokio::test]
async fn a17_what_the_service_finds_too_large_is_refused_and_not_tried_again() {
    let bed = Bed::ready().await;
    let before = bed.requests().len();
    // As the adapter keeps them these are a quarter larger than they were counted.
    let ones = |id: &str| create(id, json!(vec![1.0; 230_000]));
    let refused = bed.commit(None, vec![ones("a"), ones("b")]).await.unwrap();
    assert!(matches!(refused, Committed::Refused(Refusal::TooLarge { .. })), "{refused:?}");
    assert_eq!(bed.requests().len(), before + 1);
    assert!(bed.all().await.is_empty());
}

#[tokio::test]
async fn the_request_units_of_every_operation_are_recorded() {
    let database = cosmos_host().database();
    let recorded = Arc::new(Recorded::default());
    let clock = Arc::new(opsloop_embedded::clock::VirtualClock::at(START));
    let mut options = cosmos_host().options(&database, clock);
    options.recorder = recorded.clone();
    let store = opsloop_azure::cosmos::CosmosStore::new(options);
    let writes = vec![create("a", json!({})), Write::Put(document("b", json!({})).due("Alerts", START))];
    store.commit(&commit(None, writes)).await.unwrap();
    let etag = store.get(&acme(), &stream(), &id("a")).await.unwrap().unwrap().etag;
    assert_eq!(all_of(&store, &stream()).await.len(), 2);
    assert_eq!(store.due(&"Alerts".into(), START, Within::All, None, 9).await.unwrap().found.len(), 1);
    store.paid(&acme(), &stream(), &id("a"), &etag).await.unwrap();
    let notes = recorded.notes();
    let charged: Vec<Value> = notes
        .iter()
        .filter(|n| n.signal.name == signal::COSMOS_CHARGE.name)
        .map(|n| {
            assert!(n.value > 0.0, "{n:?}");
            json!(n.labels.iter().map(|(_, value)| value).collect::<Vec<_>>())
        })
        .collect();
    let expected = [["commit", "state"], ["get", "state"], ["list", "state"], ["due", "all"], ["paid", "state"]];
    assert_eq!(charged, expected.map(|e| json!(e)));
    let timed = notes.iter().filter(|n| n.signal.name == signal::COSMOS_SECONDS.name).count();
    assert_eq!(timed, expected.len());
}
