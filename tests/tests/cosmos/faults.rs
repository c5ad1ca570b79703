//! The service fails, throttles, and loses replies: what a caller sees, and what is stored (P15).

use super::bed::*;
use opsloop_kernel::{Committed, Directory, Fault, Store, Write, ports::Within};
use serde_json::{Value, json};
use std::time::Duration;

/// Each fault as it comes from the service once; status 0 breaks the connection.
fn once() -> Vec<Value> {
    let throttled = json!({ "status": 429, "subStatus": 3200, "retryAfterMs": 5, "count": 1 });
    let failed = [503, 500, 408, 449, 0].map(|status| json!({ "status": status, "count": 1 }));
    std::iter::once(throttled).chain(failed).collect()
}

fn lost(mut fault: Value) -> Value {
    fault["afterCommit"] = json!(true);
    fault
}

#[tokio::test]
async fn a_request_that_fails_once_is_sent_again_and_its_commit_applied_once() {
    for fault in once() {
        let bed = Bed::ready().await;
        bed.fault(fault.clone());
        let committed = bed.commit(Some("seen|1"), vec![create("root", json!(1))]).await;
        assert!(matches!(committed, Ok(Committed::Applied(_))), "{fault}: {committed:?}");
        assert_eq!(bed.all().await, [("root".into(), json!(1)), ("seen|1".into(), json!({}))], "{fault}");
    }
}

#[tokio::test]
async fn p15_whose_reply_is_lost_meets_itself_and_its_marker_says_so() {
    for fault in once().into_iter().map(lost).filter(|f| f["status"] != 429) {
        let bed = Bed::ready().await;
        bed.fault(fault.clone());
        let mut committed = bed.commit(Some("seen|1"), vec![create("root", json!(1))]).await;
        // Whether the SDK sends it again or leaves that to the broker: nobody is told that it was raced.
        if committed.is_err() {
            committed = bed.commit(Some("seen|1"), vec![create("root", json!(1))]).await;
        }
        assert_eq!(committed, Ok(Committed::Duplicate), "{fault}");
        assert_eq!(bed.all().await, [("root".into(), json!(1)), ("seen|1".into(), json!({}))], "{fault}");
    }
}

#[tokio::test]
async fn p15_without_a_marker_a_lost_reply_is_a_lost_race_and_what_was_read_again_shows_it() {
    for fault in once().into_iter().map(lost).filter(|f| f["status"] != 429) {
        let bed = Bed::ready().await;
        bed.commit(None, vec![create("root", json!(1)), create("mark", json!(1))]).await.unwrap();
        let (root, mark) = (bed.etag("root").await, bed.etag("mark").await);
        let writes = vec![save("root", json!(2), &root), Write::Delete("mark".into(), mark)];
        bed.fault(fault.clone());
        let mut committed = bed.commit(None, writes.clone()).await;
        if committed.is_err() {
            committed = bed.commit(None, writes).await;
        }
        assert_eq!(committed, Ok(Committed::Raced), "{fault}");
        assert_eq!(bed.all().await, [("root".into(), json!(2))], "{fault}");
    }
}

#[tokio::test]
async fn a51_what_is_paid_is_gone_whatever_becomes_of_the_reply() {
    for fault in once().into_iter().chain(once().into_iter().map(lost)) {
        let bed = Bed::ready().await;
        bed.commit(None, vec![create("owed|1", json!({}))]).await.unwrap();
        let etag = bed.etag("owed|1").await;
        bed.fault(fault.clone());
        let mut paid = bed.store.paid(&acme(), &stream(), &id("owed|1"), &etag).await;
        if paid.is_err() {
            paid = bed.store.paid(&acme(), &stream(), &id("owed|1"), &etag).await;
        }
        assert_eq!(paid, Ok(()), "{fault}");
        assert_eq!(bed.get("owed|1").await, Ok(None), "{fault}");
    }
}

#[tokio::test]
async fn reads_go_on_where_the_service_fails_once() {
    let bed = Bed::ready().await;
    bed.commit(None, vec![Write::Put(document("a", json!(1)).due("Alerts", START))]).await.unwrap();
    let session = json!({ "status": 404, "subStatus": 1002, "count": 1 });
    for fault in once().into_iter().chain([session]).filter(|f| f["status"] != 0) {
        bed.fault(fault.clone());
        assert_eq!(bed.get("a").await, Ok(Some(json!(1))), "{fault}");
        bed.fault(fault.clone());
        assert_eq!(bed.all().await.len(), 1, "{fault}");
        bed.fault(fault.clone());
        let due = bed.store.due(&"Alerts".into(), START, Within::All, None, 9).await;
        assert_eq!(due.map(|d| d.found.len()), Ok(1), "{fault}");
        bed.mend();
    }
}

#[tokio::test]
async fn who_is_throttled_for_long_is_told_when_to_come_again_after_a_few_tries() {
    let bed = Bed::ready().await;
    let before = bed.requests().len();
    bed.fault(json!({ "status": 429, "subStatus": 3200, "retryAfterMs": 20 }));
    let fault = bed.commit(Some("seen|1"), vec![create("root", json!(1))]).await.unwrap_err();
    assert_eq!(fault, Fault::Throttled { retry_after: Duration::from_millis(20) });
    assert_eq!(bed.requests().len(), before + 4, "one try and three more");
    assert!(matches!(bed.get("root").await, Err(Fault::Throttled { .. })));
    bed.mend();
    assert_eq!(bed.get("root").await, Ok(None));
}

#[tokio::test]
async fn while_the_store_is_down_everything_is_a_fault_and_afterwards_everything_works() {
    let bed = Bed::ready().await;
    bed.commit(None, vec![create("root", json!(1))]).await.unwrap();
    let etag = bed.etag("root").await;
    bed.fault(json!({ "status": 503 }));
    let unit = commit(Some("seen|1"), vec![save("root", json!(2), &etag)]);
    for _ in 0..3 {
        let outage = [
            bed.store.commit(&unit).await.map(drop),
            bed.get("root").await.map(drop),
            bed.store.due(&"Alerts".into(), START, Within::All, None, 9).await.map(drop),
            bed.store.paid(&acme(), &stream(), &id("root"), &etag).await,
        ];
        assert!(outage.iter().all(|o| o.as_ref().is_err_and(Fault::is_store_outage)), "{outage:?}");
    }
    bed.mend();
    assert!(matches!(bed.store.commit(&unit).await, Ok(Committed::Applied(_))));
    assert_eq!(bed.get("root").await, Ok(Some(json!(2))));
}

#[tokio::test]
async fn a_slow_reply_is_waited_for() {
    let bed = Bed::ready().await;
    bed.fault(json!({ "status": 503, "delayMs": 300, "count": 1 }));
    assert_eq!(bed.get("root").await, Ok(None));
}
