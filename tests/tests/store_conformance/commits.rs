//! What a commit does, and when it does nothing.

use super::bed::*;
use opsloop_kernel::{Committed, Container, ETag, Refusal, Stream, Write};
use serde_json::json;
use std::time::Duration;

laws! {
    async fn fnd_08_a_of_two_replicas_that_save_the_same_version_one_is_applied(bed: &Bed) {
        let read = bed.applied(vec![create("root", json!({"n": 0}))]).await;
        let (one, two) = (bed.store.clone(), bed.other());
        let from = |n: i32| opsloop_kernel::Commit {
            tenant: acme(), stream: stream(), marker: None,
            writes: vec![save("root", json!({"n": n}), &read), create("effect", json!({"by": n}))],
        };
        let (first, second) = (from(1), from(2));
        let (first, second) = tokio::join!(one.commit(&first), two.commit(&second));
        let both = [first.unwrap(), second.unwrap()];
        let raced = both.iter().filter(|c| **c == Committed::Raced).count();
        let applied = both.iter().position(|c| matches!(c, Committed::Applied(_))).unwrap();
        assert_eq!(raced, 1, "{both:?}");
        assert_eq!(bed.body("effect").await, Some(json!({"by": applied + 1})));
        assert_eq!(bed.body("root").await, Some(json!({"n": applied + 1})));
    }

    async fn fnd_08_b_of_two_replicas_that_create_the_same_document_one_is_applied(bed: &Bed) {
        let (one, two) = (bed.store.clone(), bed.other());
        let from = |n: i32| opsloop_kernel::Commit {
            tenant: acme(), stream: stream(), marker: Some(document("seen|w|evt-1|k", json!({}))),
            writes: vec![create("root", json!({"by": n}))],
        };
        let (first, second) = (from(1), from(2));
        let (first, second) = tokio::join!(one.commit(&first), two.commit(&second));
        let both = [first.unwrap(), second.unwrap()];
        assert!(both.contains(&Committed::Duplicate), "{both:?}");
        assert!(both.iter().any(|c| matches!(c, Committed::Applied(_))), "{both:?}");
    }

    /// [A59]: deleted before, by another.
    async fn fnd_17_a_deleting_what_another_has_deleted_is_a_lost_race_and_nothing_takes_effect(bed: &Bed) {
        let etag = bed.applied(vec![create("mark", json!({}))]).await;
        assert_eq!(bed.other().commit(&opsloop_kernel::Commit {
            tenant: acme(), stream: stream(), marker: None, writes: vec![delete("mark", &etag)],
        }).await.unwrap(), Committed::Applied(vec![ETag(String::new())]));
        let late = vec![put("points", json!([1])), create("owed|1", json!({})), delete("mark", &etag)];
        assert_eq!(bed.commit(Some("seen|w|evt-1|k"), late).await, Committed::Raced);
        assert!(bed.dump().await.is_empty());
    }

    /// [A59][A64]
    async fn fnd_17_b_a_create_conflict_at_the_first_operation_without_a_marker_is_a_lost_race(bed: &Bed) {
        bed.applied(vec![create("root", json!({"by": "the other"}))]).await;
        let writes = vec![create("root", json!({"by": "me"})), create("effect", json!({}))];
        assert_eq!(bed.commit(None, writes).await, Committed::Raced);
        assert_eq!(bed.body("root").await, Some(json!({"by": "the other"})));
        assert_eq!(bed.get("effect").await, None);
    }

    async fn a59_only_the_marker_makes_a_duplicate(bed: &Bed) {
        let marker = Some("seen|w|evt-1|k");
        assert_eq!(bed.commit(marker, vec![]).await, Committed::Applied(vec![]));
        let writes = vec![create("root", json!({}))];
        assert_eq!(bed.commit(marker, writes.clone()).await, Committed::Duplicate);
        assert_eq!(bed.get("root").await, None);
        etags(bed.commit(None, writes.clone()).await);
        // The marker is new, the document behind it is not: raced, and no marker stays behind.
        assert_eq!(bed.commit(Some("seen|w|evt-2|k"), writes).await, Committed::Raced);
        assert_eq!(bed.get("seen|w|evt-2|k").await, None);
    }

    async fn a59_a_marker_of_another_tenant_or_stream_never_matches(bed: &Bed) {
        let marker = Some("seen|w|evt-1|k");
        let elsewhere = Stream::new(Container::State, "slos");
        let same_name = Stream::new(Container::Metrics, stream().name);
        for (tenant, stream) in [(acme(), stream()), (globex(), stream()), (acme(), elsewhere), (acme(), same_name)] {
            etags(bed.commit_in(&tenant, &stream, marker, vec![create("root", json!({}))]).await);
            assert_eq!(bed.commit_in(&tenant, &stream, marker, vec![]).await, Committed::Duplicate);
        }
        assert_eq!(bed.dump().await.len(), 8);
    }

    async fn a5_a_save_needs_the_etag_that_is_stored(bed: &Bed) {
        let first = bed.applied(vec![create("root", json!(1))]).await;
        let second = bed.applied(vec![save("root", json!(2), &first)]).await;
        assert_ne!(first, second);
        assert_eq!(bed.commit(None, vec![save("root", json!(3), &first)]).await, Committed::Raced);
        assert_eq!(bed.commit(None, vec![save("none", json!(3), &first)]).await, Committed::Raced);
        assert_eq!(bed.commit(None, vec![save("root", json!(3), &ETag("\"x\"".into()))]).await, Committed::Raced);
        assert_eq!(bed.commit(None, vec![delete("root", &first)]).await, Committed::Raced);
        assert_eq!(bed.get("root").await.map(|s| s.etag), Some(second));
    }

    async fn a65_the_same_content_saved_again_has_another_etag(bed: &Bed) {
        let mark = bed.applied(vec![put("dirty|60000|0", json!({}))]).await;
        bed.applied(vec![put("dirty|60000|0", json!({}))]).await;
        assert_eq!(bed.commit(None, vec![delete("dirty|60000|0", &mark)]).await, Committed::Raced);
    }

    async fn a5_an_etag_never_comes_back(bed: &Bed) {
        let first = bed.applied(vec![create("root", json!(1))]).await;
        etags(bed.commit(None, vec![delete("root", &first)]).await);
        let second = bed.applied(vec![create("root", json!(1))]).await;
        assert_ne!(first, second);
        assert_eq!(bed.commit(None, vec![save("root", json!(2), &first)]).await, Committed::Raced);
    }

    async fn the_etags_of_a_commit_stand_in_the_order_of_its_writes(bed: &Bed) {
        let old = bed.applied(vec![create("b", json!(0))]).await;
        let writes = vec![put("c", json!(1)), delete("b", &old), create("a", json!(2))];
        let given = etags(bed.commit(Some("seen|w|evt-1|k"), writes).await);
        assert_eq!(given.len(), 3);
        assert_eq!(given[1], ETag(String::new()));
        assert_eq!(bed.get("c").await.unwrap().etag, given[0]);
        assert_eq!(bed.get("a").await.unwrap().etag, given[2]);
    }

    async fn a1_a_batch_is_applied_whole_or_not_at_all(bed: &Bed) {
        let etag = bed.applied(vec![create("root", json!(1))]).await;
        let before = bed.dump().await;
        let writes = vec![
            put("other", json!(2)), save("root", json!(2), &etag), create("log|1", json!({})), create("root", json!(3)),
        ];
        assert_eq!(bed.commit(Some("seen|w|evt-1|k"), writes).await, Committed::Raced);
        assert_eq!(bed.dump().await, before);
    }

    async fn the_operations_of_a_batch_see_what_those_before_them_leave(bed: &Bed) {
        let twice = vec![create("root", json!(1)), create("root", json!(2))];
        assert_eq!(bed.commit(None, twice).await, Committed::Raced);
        let etag = bed.applied(vec![create("root", json!(1))]).await;
        etags(bed.commit(None, vec![delete("root", &etag), create("root", json!(2))]).await);
        assert_eq!(bed.body("root").await, Some(json!(2)));
        let etag = bed.get("root").await.unwrap().etag;
        assert_eq!(bed.commit(None, vec![put("root", json!(3)), delete("root", &etag)]).await, Committed::Raced);
        assert_eq!(bed.body("root").await, Some(json!(2)));
    }

    async fn a15_what_has_expired_is_absent_for_every_condition(bed: &Bed) {
        let soon = bed.now() + Duration::from_secs(5);
        let expiring = |id: &str| Write::Put(document(id, json!({})).expires(soon));
        let given = etags(bed.commit(None, vec![expiring("seen|w|evt-1|k"), expiring("a"), expiring("b")]).await);
        bed.clock.advance(Duration::from_millis(4_999));
        assert_eq!(bed.commit(Some("seen|w|evt-1|k"), vec![]).await, Committed::Duplicate);
        bed.clock.advance(Duration::from_millis(1));
        assert_eq!(bed.get("a").await, None);
        bed.let_the_service_expire();
        assert_eq!(bed.commit(None, vec![save("a", json!(2), &given[1])]).await, Committed::Raced);
        assert_eq!(bed.commit(None, vec![delete("b", &given[2])]).await, Committed::Raced);
        let again = bed.commit(Some("seen|w|evt-1|k"), vec![create("a", json!(2)), put("b", json!(3))]).await;
        assert_eq!(etags(again).len(), 2);
        assert_eq!(bed.body("a").await, Some(json!(2)));
        assert_eq!(bed.dump().await.len(), 3);
    }

    async fn a15_what_has_expired_is_in_nobodys_way(bed: &Bed) {
        let soon = bed.now() + Duration::from_secs(5);
        let expiring = |id: &str| Write::Put(document(id, json!(1)).expires(soon));
        etags(bed.commit(None, vec![expiring("seen|w|evt-1|k"), expiring("a"), expiring("b")]).await);
        bed.clock.advance(Duration::from_secs(5));
        let creates = vec![create("a", json!(2)), create("b", json!(2)), put("c", json!(2))];
        assert_eq!(etags(bed.commit(Some("seen|w|evt-1|k"), creates.clone()).await).len(), 3);
        assert_eq!(bed.commit(Some("seen|w|evt-1|k"), creates.clone()).await, Committed::Duplicate);
        assert_eq!(bed.commit(None, creates).await, Committed::Raced);
        assert_eq!(bed.dump().await.len(), 4);
    }

    async fn a17_what_no_batch_takes_is_refused_and_not_tried_again(bed: &Bed) {
        let many = |n: usize| (0..n).map(|i| create(&format!("d|{i}"), json!({}))).collect::<Vec<_>>();
        assert!(matches!(bed.commit(None, many(101)).await, Committed::Refused(Refusal::TooLarge { size: 101, .. })));
        assert!(matches!(bed.commit(Some("seen"), many(100)).await, Committed::Refused(Refusal::TooLarge { .. })));
        let large = |id: &str, bytes: usize| create(id, json!("x".repeat(bytes)));
        assert!(matches!(bed.commit(None, vec![large("a", 1_000_001)]).await, Committed::Refused(_)));
        let three = vec![large("a", 700_000), large("b", 700_000), large("c", 700_000)];
        assert!(matches!(bed.commit(None, three).await, Committed::Refused(Refusal::TooLarge { .. })));
        assert!(bed.dump().await.is_empty());
        etags(bed.commit(Some("seen"), many(99)).await);
        etags(bed.commit(None, vec![large("a", 900_000), large("b", 900_000)]).await);
    }

    async fn a51_an_id_whose_user_text_is_not_percent_encoded_is_refused(bed: &Bed) {
        for id in ["", "a/b", "a#b", "a?b", "a\\b", "a b", "ä", &"x".repeat(1_024)] {
            let refused = bed.commit(None, vec![put(id, json!({}))]).await;
            assert!(matches!(refused, Committed::Refused(_)), "{id:?}: {refused:?}");
        }
        bed.applied(vec![put(&format!("group|{}", opsloop_kernel::ids::percent("a/b #?ä")), json!({}))]).await;
    }

    async fn a51_paid_deletes_by_the_etag_it_was_read_under(bed: &Bed) {
        let old = bed.applied(vec![create("owed|1", json!(["m1"]))]).await;
        let new = bed.applied(vec![save("owed|1", json!(["m1", "m2"]), &old)]).await;
        bed.store.paid(&acme(), &stream(), &"owed|1".into(), &old).await.unwrap();
        assert_eq!(bed.body("owed|1").await, Some(json!(["m1", "m2"])));
        bed.store.paid(&globex(), &stream(), &"owed|1".into(), &new).await.unwrap();
        assert!(bed.get("owed|1").await.is_some());
        bed.store.paid(&acme(), &stream(), &"owed|1".into(), &new).await.unwrap();
        assert_eq!(bed.get("owed|1").await, None);
        bed.store.paid(&acme(), &stream(), &"owed|1".into(), &new).await.unwrap();
    }
}
