//! What is due, whosesoever, and how the answer is cut [A49][A62].

use super::bed::*;
use opsloop_kernel::{Container, Found, Stream, TenantId, Timestamp, Write, ids, ports::Within};
use serde_json::json;
use std::time::Duration;

fn due(id: &str, at: Timestamp) -> Write {
    Write::Put(document(id, json!({})).due("Alerts", at))
}
fn named(container: Container, name: &str) -> Stream {
    Stream::new(container, name)
}

/// Three tenants, streams in three containers, two documents due in each, one due later, one of another worker.
async fn with_due(bed: &Bed) -> Vec<(TenantId, Stream)> {
    let mut streams = Vec::new();
    for tenant in ["acme", "globex", "acme-2"] {
        let tenant = TenantId::parse(tenant).unwrap();
        for stream in [
            named(Container::Metrics, "metrics/0"),
            named(Container::State, "rules"),
            named(Container::State, "rules/1"),
            named(Container::Telemetry, "trace/0"),
        ] {
            let later = bed.now().plus_millis(1);
            let writes = vec![
                due("b", bed.now()),
                due("a", bed.now()),
                due("c", bed.now().plus_millis(-5)),
                due("later", later),
                Write::Put(document("theirs", json!({})).due("Slos", bed.now())),
                put("plain", json!({})),
            ];
            etags(bed.commit_in(&tenant, &stream, None, writes).await);
            streams.push((tenant.clone(), stream));
        }
    }
    streams.sort();
    streams
}

fn of(found: &[Found]) -> Vec<(TenantId, Stream)> {
    let mut streams: Vec<_> = found.iter().map(|f| (f.tenant.clone(), f.stream.clone())).collect();
    streams.dedup();
    streams
}

laws! {
    async fn a62_what_is_due_comes_by_tenant_stream_instant_and_id(bed: &Bed) {
        let streams = with_due(bed).await;
        let all = bed.due(Within::All, None, 1_000).await;
        assert!(!all.more);
        assert!(all.found.is_sorted());
        assert_eq!(of(&all.found), streams);
        let first: Vec<_> = all.found.iter().take(3).map(|f| (f.id.0.as_str(), f.at)).collect();
        assert_eq!(first, [("c", bed.now().plus_millis(-5)), ("a", bed.now()), ("b", bed.now())]);
        assert_eq!(all.found.len(), 3 * streams.len());
    }

    async fn a62_one_worker_is_not_shown_what_another_waits_for(bed: &Bed) {
        with_due(bed).await;
        let theirs = bed.store.due(&"Slos".into(), bed.now(), Within::All, None, 1_000).await.unwrap();
        assert!(theirs.found.iter().all(|f| f.id.0 == "theirs"));
        assert_eq!(theirs.found.len(), 12);
        let nobodys = bed.store.due(&"Nobody".into(), bed.now(), Within::All, None, 1_000).await.unwrap();
        assert_eq!(nobodys, Default::default());
    }

    async fn a49_an_answer_never_ends_inside_a_stream_and_goes_on_after_it(bed: &Bed) {
        let streams = with_due(bed).await;
        for limit in 1..=40 {
            let (mut walked, mut last): (Vec<Found>, Option<(TenantId, Stream)>) = (Vec::new(), None);
            loop {
                let page = bed.due(Within::All, last.as_ref().map(|(t, s)| (t, s)), limit).await;
                assert_eq!(page.found.len() % 3, 0, "pages of {limit}");
                assert!(page.found.len() <= limit.max(3));
                walked.extend(page.found);
                assert_eq!(page.more, walked.len() < 3 * streams.len(), "pages of {limit}");
                if !page.more { break; }
                last = walked.last().map(|f| (f.tenant.clone(), f.stream.clone()));
            }
            assert_eq!(of(&walked), streams);
        }
    }

    async fn a49_shards_part_what_is_due(bed: &Bed) {
        let streams = with_due(bed).await;
        let mut together = Vec::new();
        for shard in 0..ids::SHARDS {
            let part = bed.due(Within::Shard(shard), None, 1_000).await;
            assert!(part.found.iter().all(|f| ids::shard(&f.tenant, &f.stream) == shard));
            together.extend(part.found);
        }
        together.sort();
        assert_eq!(together, bed.due(Within::All, None, 1_000).await.found);
        let (tenant, stream) = &streams[3];
        let shard = Within::Shard(ids::shard(tenant, stream));
        let beyond = bed.due(shard, Some((tenant, stream)), 1_000).await;
        assert!(beyond.found.iter().all(|f| (&f.tenant, &f.stream) > (tenant, stream)));
    }

    async fn a62_a_stream_is_asked_alone(bed: &Bed) {
        let streams = with_due(bed).await;
        for (tenant, stream) in &streams {
            let its = bed.due(Within::Stream(tenant, stream), None, 1).await;
            assert_eq!(its.found.iter().map(|f| f.id.0.as_str()).collect::<Vec<_>>(), ["c", "a", "b"]);
            assert!(!its.more);
            let beyond = bed.due(Within::Stream(tenant, stream), Some((tenant, stream)), 9).await;
            assert_eq!(beyond, Default::default());
        }
    }

    async fn a49_of_a_stream_the_answer_has_the_oldest_two_thousand(bed: &Bed) {
        let start = bed.now().plus_millis(-10_000);
        for batch in 0..21 {
            // Ids run against the instants, so that "oldest" and "first id" differ.
            let writes = (0..100).map(|n| batch * 100 + n).map(|n| due(&format!("d|{:05}", 9_999 - n), start.plus_millis(n)));
            etags(bed.commit(None, writes.collect()).await);
        }
        let next = named(Container::State, "slos");
        etags(bed.commit_in(&acme(), &next, None, vec![due("x", bed.now())]).await);
        let (tenant, stream) = (acme(), stream());
        let page = bed.due(Within::All, None, 10).await;
        assert_eq!((page.found.len(), page.more), (2_000, true));
        assert_eq!((page.found[0].at, page.found[1_999].at), (start, start.plus_millis(1_999)));
        let rest = bed.due(Within::All, Some((&tenant, &stream)), 10).await;
        assert_eq!((of(&rest.found), rest.more), (vec![(acme(), next)], false));
        let its = bed.due(Within::Stream(&tenant, &stream), None, 10).await;
        assert_eq!((its.found.len(), its.more), (2_000, true), "it says that something is left");
    }

    async fn a62_the_newest_version_of_a_document_alone_says_what_is_due(bed: &Bed) {
        bed.applied(vec![due("a", bed.now())]).await;
        let etag = bed.applied(vec![due("a", bed.now().plus_millis(10))]).await;
        assert!(bed.due(Within::All, None, 9).await.found.is_empty());
        bed.clock.advance(Duration::from_millis(10));
        assert_eq!(bed.due(Within::All, None, 9).await.found.len(), 1);
        etags(bed.commit(None, vec![save("a", json!({}), &etag)]).await);
        assert!(bed.due(Within::All, None, 9).await.found.is_empty());
        let etag = bed.applied(vec![due("a", bed.now())]).await;
        etags(bed.commit(None, vec![delete("a", &etag)]).await);
        assert!(bed.due(Within::All, None, 9).await.found.is_empty());
    }

    async fn a62_what_has_expired_is_not_due(bed: &Bed) {
        let soon = bed.now().plus_millis(1);
        bed.applied(vec![Write::Put(document("a", json!({})).due("Alerts", bed.now()).expires(soon))]).await;
        assert_eq!(bed.due(Within::All, None, 9).await.found.len(), 1);
        bed.clock.advance(Duration::from_millis(1));
        assert_eq!(bed.due(Within::All, None, 9).await, Default::default());
    }
}
