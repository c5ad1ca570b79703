//! Blobs against Azurite, Microsoft's emulator: `tests/clients/azurite.sh` starts it and says where it is.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use bytes::Bytes;
use futures::future::join_all;
use opsloop_azure::{
    blob::{AzureBlobs, Options},
    identity::Identity,
};
use opsloop_embedded::clock::VirtualClock;
use opsloop_kernel::{Blobs, Timestamp};
use std::{sync::Arc, time::Duration};
use url::Url;

const START: Timestamp = Timestamp::from_millis(1_795_255_200_000);
const NAME: &str = "payload/acme/0a1b";

fn end(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

/// A container of its own for each test of each run.
fn blobs(container: &str) -> (Arc<VirtualClock>, AzureBlobs) {
    let endpoint = std::env::var("AZURITE_URL").expect("AZURITE_URL: run tests/clients/azurite.sh");
    let clock = Arc::new(VirtualClock::at(START));
    let options = Options {
        endpoint: Url::parse(&endpoint).unwrap(),
        container: format!("{container}-{}", std::process::id()),
        credential: Identity::Loopback.credential().unwrap(),
        clock: clock.clone(),
    };
    (clock, AzureBlobs::new(options).unwrap())
}

/// Bytes that no two sizes share.
fn ballast(size: usize) -> Bytes {
    (0..size).map(|n| (n * 31 + n / 251 + size) as u8).collect::<Vec<_>>().into()
}

#[tokio::test]
#[ignore = "needs Azurite: tests/clients/azurite.sh"]
async fn what_is_put_is_read_back_by_any_process() {
    let ((_, one), (_, other)) = (blobs("read-back"), blobs("read-back"));
    one.ping().await.unwrap();
    for size in [1, 300 * 1024, 3 * 1024 * 1024, 9 * 1024 * 1024] {
        let (name, bytes) = (format!("batch/{size}"), ballast(size));
        let uri = one.put(&name, bytes.clone(), end(10)).await.unwrap();
        assert_eq!(uri, format!("opsloop-blob:{name}"));
        assert!(other.get(&uri).await.unwrap() == Some(bytes), "{size}");
    }
    other.ping().await.unwrap();
}

#[tokio::test]
#[ignore = "needs Azurite: tests/clients/azurite.sh"]
async fn what_was_never_put_is_none() {
    let (_, blobs) = blobs("never-put");
    assert_eq!(blobs.get("opsloop-blob:payload/acme/x").await, Ok(None), "without a container");
    blobs.put(NAME, ballast(10), end(10)).await.unwrap();
    assert_eq!(blobs.get("opsloop-blob:payload/acme/x").await, Ok(None), "without the object");
}

#[tokio::test]
#[ignore = "needs Azurite: tests/clients/azurite.sh"]
async fn the_longest_wish_counts_whatever_comes_first() {
    let (clock, blobs) = blobs("longest-wish");
    for (first, second) in [(10, 20), (20, 10)] {
        let name = format!("batch/{first}");
        blobs.put(&name, ballast(10), end(first)).await.unwrap();
        let uri = blobs.put(&name, ballast(10), end(second)).await.unwrap();
        clock.set(end(20) - Duration::from_millis(1));
        assert!(blobs.get(&uri).await.unwrap().is_some(), "{first}, then {second}");
        clock.set(end(20));
        assert_eq!(blobs.get(&uri).await, Ok(None), "{first}, then {second}");
        clock.set(START);
    }
}

#[tokio::test]
#[ignore = "needs Azurite: tests/clients/azurite.sh"]
async fn what_has_expired_may_be_put_again() {
    let (clock, blobs) = blobs("expired");
    let uri = blobs.put(NAME, ballast(10), end(10)).await.unwrap();
    clock.set(end(30));
    assert_eq!(blobs.get(&uri).await, Ok(None));
    assert_eq!(blobs.put(NAME, ballast(10), end(40)).await.as_ref(), Ok(&uri));
    assert_eq!(blobs.get(&uri).await, Ok(Some(ballast(10))));
}

#[tokio::test]
#[ignore = "needs Azurite: tests/clients/azurite.sh"]
async fn many_at_once_make_one_container_and_one_object_and_the_longest_wish_wins() {
    let (clock, blobs) = blobs("at-once");
    let puts = (1..=3).map(|seconds| blobs.put(NAME, ballast(300 * 1024), end(seconds)));
    let uris: Vec<String> = join_all(puts).await.into_iter().map(Result::unwrap).collect();
    clock.set(end(3) - Duration::from_millis(1));
    assert!(blobs.get(&uris[0]).await.unwrap() == Some(ballast(300 * 1024)));
    clock.set(end(3));
    assert_eq!(blobs.get(&uris[0]).await, Ok(None));
}
