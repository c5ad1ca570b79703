//! What `get` and `list` answer.

use super::bed::*;
use opsloop_kernel::{Committed, Container, Document, Order, Page, Refusal, Scope, Stream, Timestamp, Write, ports};
use serde_json::{Value, json};
use std::time::Duration;

fn after(limit: usize, id: &str) -> Page {
    Page { limit, after: Some(id.into()) }
}

async fn with_letters(bed: &Bed) {
    let letters = ["b", "a", "e", "B", "d", "a|1", "c", "~"];
    etags(bed.commit(None, letters.iter().map(|id| put(id, json!({}))).collect()).await);
    etags(bed.commit_in(&globex(), &stream(), None, vec![put("c", json!({})), put("c2", json!({}))]).await);
    let same_name = Stream::new(Container::Metrics, stream().name);
    etags(bed.commit_in(&acme(), &same_name, None, vec![put("c3", json!({}))]).await);
}

laws! {
    async fn a48_a_list_is_a_range_of_ids_in_byte_order_of_one_stream(bed: &Bed) {
        with_letters(bed).await;
        let all = Page::first(100);
        let (ids, more) = bed.ids("", END, all.clone(), Order::Ascending).await;
        assert_eq!((ids.join(" ").as_str(), more), ("B a a|1 b c d e ~", false));
        let (ids, _) = bed.ids("a", "c", all.clone(), Order::Ascending).await;
        assert_eq!(ids, ["a", "a|1", "b"]);
        let (ids, _) = bed.ids("a", "c", all.clone(), Order::Descending).await;
        assert_eq!(ids, ["b", "a|1", "a"]);
        assert_eq!(bed.ids("c", "c", all.clone(), Order::Ascending).await, (vec![], false));
        assert_eq!(bed.ids("d", "a", all, Order::Descending).await, (vec![], false));
    }

    async fn a48_pages_go_on_after_the_last_document_in_both_directions(bed: &Bed) {
        with_letters(bed).await;
        for order in [Order::Ascending, Order::Descending] {
            let (whole, _) = bed.ids("a", "e", Page::first(100), order).await;
            for limit in 1..=whole.len() + 1 {
                let (mut walked, mut page) = (Vec::new(), Page::first(limit));
                loop {
                    let (ids, more) = bed.ids("a", "e", page, order).await;
                    assert!(ids.len() <= limit);
                    walked.extend(ids);
                    assert_eq!(more, walked.len() < whole.len(), "{order:?}, pages of {limit}, at {walked:?}");
                    if !more { break; }
                    page = after(limit, walked.last().unwrap());
                }
                assert_eq!(walked, whole);
            }
        }
    }

    async fn a48_a_position_need_not_exist_and_never_widens_the_range(bed: &Bed) {
        with_letters(bed).await;
        let ascending = |at: &'static str| bed.ids("a", "d", after(9, at), Order::Ascending);
        assert_eq!(ascending("a}").await.0, ["b", "c"]);
        assert_eq!(ascending("A").await.0, ["a", "a|1", "b", "c"]);
        assert_eq!(ascending("d").await, (vec![], false));
        let descending = |at: &'static str| bed.ids("a|", "d", after(9, at), Order::Descending);
        assert_eq!(descending("bb").await.0, ["b", "a|1"]);
        assert_eq!(descending("z").await.0, ["c", "b", "a|1"]);
        assert_eq!(descending("a|").await, (vec![], false));
    }

    async fn more_does_not_count_what_has_expired(bed: &Bed) {
        let soon = bed.now() + Duration::from_secs(1);
        let dying = |id: &str| Write::Put(document(id, json!({})).expires(soon));
        etags(bed.commit(None, vec![dying("a"), put("b", json!({})), dying("c"), put("d", json!({})), dying("e")]).await);
        assert_eq!(bed.ids("", END, Page::first(2), Order::Ascending).await, (vec!["a".into(), "b".into()], true));
        bed.clock.advance(Duration::from_secs(1));
        assert_eq!(bed.ids("", END, Page::first(2), Order::Ascending).await, (vec!["b".into(), "d".into()], false));
        assert_eq!(bed.ids("", END, Page::first(1), Order::Descending).await, (vec!["d".into()], true));
    }

    async fn what_is_read_is_what_was_written_to_the_last_bit(bed: &Bed) {
        let body: Value = json!({
            "floats": [0.1, 1.0, -0.0, 1e-300, 123456789.12345679, 2.2250738585072014e-308, 0.30000000000000004],
            "integers": [u64::MAX, i64::MIN, 0], "text": "ä\u{1F600}\"\\\n\u{0}", "none": null, "nested": {"b": [], "a": {}},
        });
        let (due, expires) = (bed.now().plus_millis(7), bed.now() + Duration::from_secs(60));
        let written = Document::new("all", "kind", &body).due("Worker", due).expires(expires);
        bed.applied(vec![Write::Put(written.clone())]).await;
        let read = bed.get("all").await.unwrap().document;
        assert_eq!(read, written);
        assert_eq!(serde_json::to_string(&read).unwrap(), serde_json::to_string(&written).unwrap());
    }

    async fn instants_are_kept_in_milliseconds(bed: &Bed) {
        let fine = Timestamp::from_nanos(bed.now().plus_millis(9).nanos() + 999_999);
        bed.applied(vec![Write::Put(document("a", json!({})).due("Worker", fine).expires(fine))]).await;
        let read = bed.get("a").await.unwrap().document;
        assert_eq!((read.due.unwrap().at, read.expires.unwrap()), (fine.floor_millis(), fine.floor_millis()));
    }

    async fn the_tenants_share_nothing(bed: &Bed) {
        bed.applied(vec![put("root", json!("acme's"))]).await;
        assert_eq!(bed.store.get(&globex(), &stream(), &"root".into()).await.unwrap(), None);
        let theirs = bed.commit_in(&globex(), &stream(), None, vec![create("root", json!("globex's"))]).await;
        let etag = etags(theirs).remove(0);
        assert_eq!(bed.commit(None, vec![delete("root", &etag)]).await, Committed::Raced);
        assert_eq!(bed.body("root").await, Some(json!("acme's")));
        let target = acme();
        let scope = Scope::admit(&globex(), &target, bed.store.as_ref());
        assert!(matches!(scope.err(), Some(Refusal::TenantViolation { .. })));
    }

    async fn reads_are_monotonic_what_is_announced_is_there(bed: &Bed) {
        // A watermark is committed with its points; who reads the watermark first never misses one of them.
        let (writer, reader) = (bed.store.clone(), bed.other());
        let writing = async {
            for n in 0..60_u32 {
                let writes = vec![put(&format!("points|{n:03}"), json!({})), put("bucket", json!(n))];
                let commit = opsloop_kernel::Commit { tenant: acme(), stream: stream(), marker: None, writes };
                etags(writer.commit(&commit).await.unwrap());
                tokio::task::yield_now().await;
            }
        };
        let reading = async {
            let mut last = 0;
            while last < 59 {
                if let Some(root) = reader.get(&acme(), &stream(), &"bucket".into()).await.unwrap() {
                    let seen: u32 = root.read().unwrap();
                    assert!(seen >= last, "the watermark went back from {last} to {seen}");
                    let until = ports::after_prefix("points|");
                    let (page, order) = (Page::first(100), Order::Ascending);
                    let points = reader.list(&acme(), &stream(), "points|", &until, page, order).await.unwrap();
                    assert!(points.items.len() > seen as usize, "{} of {seen}", points.items.len());
                    last = seen;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(writing, reading);
    }
}
