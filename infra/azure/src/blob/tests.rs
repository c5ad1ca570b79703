//! The hard cases of Blob Storage, against a stand-in that fails as the service does. What works stands in
//! `tests/azurite.rs`.

use super::*;
use crate::standin::{Answer, Seen, StandIn, TOKEN, Tokens};
use opsloop_embedded::clock::{VirtualClock, WallClock};
use std::sync::Mutex;

const START: Timestamp = Timestamp::from_millis(1_795_255_200_000);
const ACCOUNT: &str = "https://opsloop.blob.core.windows.net/";
const NAME: &str = "batch/0a1b";
const URI: &str = "opsloop-blob:batch/0a1b";

fn end(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

fn options(endpoint: &str, clock: Arc<dyn Clock>) -> Options {
    let credential = Arc::new(Tokens::default());
    Options { endpoint: Url::parse(endpoint).unwrap(), container: CONTAINER.into(), credential, clock }
}

async fn service(script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> (StandIn, AzureBlobs) {
    let standin = StandIn::start(script).await;
    let blobs = AzureBlobs::over(options(ACCOUNT, Arc::new(WallClock)), standin.lead(rest::client_options())).unwrap();
    (standin, blobs)
}

fn refused(status: u16, code: &str) -> Answer {
    Answer::status(status).with("x-ms-error-code", code)
}

fn object(bytes: &'static [u8]) -> Answer {
    let range = format!("bytes 0-{}/{}", bytes.len() - 1, bytes.len());
    Answer::status(206).with("content-range", range).with("etag", "\"1\"").body(bytes)
}

fn head(expires: Timestamp, etag: &str) -> Answer {
    Answer::status(200).with("x-ms-meta-expires", expires.to_string()).with("etag", etag)
}

async fn put(blobs: &AzureBlobs, expires: Timestamp) -> Result<String, Fault> {
    blobs.put(NAME, Bytes::from_static(b"abc"), expires).await
}

const UNAVAILABLE: Fault = Fault::Unavailable { dependency: Fault::BLOBS };

#[tokio::test]
async fn a_put_is_one_request_by_identity_and_never_overwrites() {
    let (standin, blobs) = service(|_, _| Answer::status(201).with("etag", "\"1\"")).await;
    assert!(standin.seen().is_empty(), "nothing is sent before it is used");
    assert_eq!(put(&blobs, end(10)).await.as_deref(), Ok(URI));
    let seen = standin.seen().remove(0);
    assert_eq!((seen.method.as_str(), &seen.body[..]), ("PUT", &b"abc"[..]));
    assert_eq!(seen.url, format!("{ACCOUNT}claims/batch%2F0a1b"));
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!((seen.header("if-none-match"), seen.header("x-ms-blob-type")), (Some("*"), Some("BlockBlob")));
    assert_eq!(seen.header("x-ms-meta-expires"), Some(end(10).to_string().as_str()));
    assert_eq!(standin.seen().len(), 1);
}

#[tokio::test]
async fn a_reply_lost_after_the_write_is_found_out_by_the_next_try() {
    let (standin, blobs) = service(|_, n| match n {
        0 => Answer::HangUp,
        1 => refused(409, "BlobAlreadyExists"),
        _ => head(end(10), "\"1\""),
    })
    .await;
    assert_eq!(put(&blobs, end(10)).await.as_deref(), Ok(URI));
    assert_eq!(standin.methods(), ["PUT", "PUT", "HEAD"]);
}

#[tokio::test]
async fn a_longer_wish_is_written_under_the_etag_it_was_judged_by() {
    let (standin, blobs) = service(|_, n| match n {
        0 | 3 => refused(409, "BlobAlreadyExists"),
        1 => head(end(10), "\"1\""),
        2 => refused(412, "ConditionNotMet"),
        4 => head(end(15), "\"2\""),
        _ => Answer::status(200),
    })
    .await;
    assert!(put(&blobs, end(20)).await.is_ok());
    let seen = standin.seen();
    assert_eq!(standin.methods(), ["PUT", "HEAD", "PUT", "PUT", "HEAD", "PUT"]);
    assert_eq!((seen[2].header("if-match"), seen[5].header("if-match")), (Some("\"1\""), Some("\"2\"")));
    assert!(seen[5].url.ends_with("?comp=metadata"));
    assert_eq!(seen[5].header("x-ms-meta-expires"), Some(end(20).to_string().as_str()));
}

#[tokio::test]
async fn an_object_that_goes_while_it_is_looked_at_is_written_again() {
    let (standin, blobs) = service(|_, n| match n {
        0 => refused(409, "BlobAlreadyExists"),
        1 => refused(404, "BlobNotFound"),
        _ => Answer::status(201),
    })
    .await;
    assert!(put(&blobs, end(20)).await.is_ok());
    assert_eq!(standin.methods(), ["PUT", "HEAD", "PUT"]);
}

#[tokio::test]
async fn a_container_that_is_being_deleted_is_an_outage_after_a_few_rounds() {
    let (standin, blobs) = service(|seen, _| match seen.method.as_str() {
        "HEAD" => refused(404, "ContainerNotFound"),
        _ => refused(409, "ContainerBeingDeleted"),
    })
    .await;
    assert_eq!(put(&blobs, end(20)).await, Err(UNAVAILABLE));
    assert_eq!(standin.seen().len(), 6);
}

#[tokio::test]
async fn only_a_missing_object_is_missing_a_missing_container_is_a_fault() {
    let (_standin, blobs) = service(|_, _| refused(404, "BlobNotFound")).await;
    assert_eq!(blobs.get(URI).await, Ok(None));
    let (_standin, blobs) = service(|_, _| refused(404, "ContainerNotFound")).await;
    assert_eq!(blobs.get(URI).await, Err(UNAVAILABLE));
    let told = blobs.ping().await.unwrap_err().to_string();
    assert!(told.contains("404 ContainerNotFound") && told.contains("deploy `bicep/`"), "{told}");
}

#[tokio::test]
async fn a_busy_service_is_asked_once_and_says_how_long_to_wait() {
    let busy = [
        (Answer::status(429).with("retry-after", "7"), 7_000),
        (Answer::status(503), 1_000),
        (refused(503, "ServerBusy").with("x-ms-retry-after-ms", "250"), 250),
        (Answer::status(503).with("retry-after", "86400"), 300_000),
    ];
    for (answer, wait_ms) in busy {
        let answer = Mutex::new(Some(answer));
        let (standin, blobs) = service(move |_, _| answer.lock().unwrap().take().unwrap_or(Answer::HangUp)).await;
        assert_eq!(blobs.get(URI).await, Err(Fault::Throttled { retry_after: Duration::from_millis(wait_ms) }));
        assert_eq!(standin.seen().len(), 1);
    }
}

#[tokio::test]
async fn what_passes_is_tried_three_times_at_most() {
    let (standin, blobs) = service(|_, n| match n {
        0 => Answer::status(500),
        1 => Answer::HangUp,
        _ => object(b"abc"),
    })
    .await;
    assert_eq!(blobs.get(URI).await.unwrap().as_deref(), Some(&b"abc"[..]));
    assert_eq!(standin.seen().len(), 3);
    let (standin, blobs) = service(|_, _| Answer::HangUp).await;
    assert_eq!(blobs.get(URI).await, Err(UNAVAILABLE));
    assert_eq!(standin.seen().len(), 3);
}

#[tokio::test]
async fn nobody_there_is_an_outage_that_says_what_to_check() {
    // Port 1 of this machine: nothing listens on it.
    let blobs = AzureBlobs::new(options("http://127.0.0.1:1/devstoreaccount1", Arc::new(WallClock))).unwrap();
    assert_eq!(put(&blobs, end(10)).await, Err(UNAVAILABLE));
    let told = blobs.ping().await.unwrap_err().to_string();
    assert!(told.contains("refused") && told.contains("check the endpoint") && !told.contains("sig"), "{told}");
}

#[tokio::test]
async fn a_service_that_says_nothing_is_given_up_at_the_deadline() {
    let standin = StandIn::start(|_, _| Answer::Silence).await;
    let clock = Arc::new(VirtualClock::at(START));
    let blobs = AzureBlobs::over(options(ACCOUNT, clock.clone()), standin.lead(rest::client_options())).unwrap();
    let waiting = async {
        standin.has_seen(1).await;
        clock.advance(DEADLINE - Duration::from_millis(1));
        clock.advance(Duration::from_millis(1));
    };
    let (read, ()) = futures::join!(blobs.get(URI), waiting);
    assert_eq!(read, Err(Fault::TimedOut { dependency: Fault::BLOBS }));
}

#[tokio::test]
async fn an_answer_of_another_size_than_promised_is_no_object() {
    let (_standin, blobs) = service(|_, _| object(b"abc").with("content-length", "2000")).await;
    assert_eq!(blobs.get(URI).await, Err(UNAVAILABLE));
    let promised = |total: &'static str| Answer::status(206).with("content-range", total).body(&b"abc"[..]);
    let (_standin, blobs) = service(move |_, _| promised("bytes 0-3/4")).await;
    assert_eq!(blobs.get(URI).await, Err(UNAVAILABLE));
    let (_standin, blobs) = service(move |_, _| promised("bytes 0-1/2")).await;
    assert_eq!(blobs.get(URI).await, Err(UNAVAILABLE));
}

#[tokio::test]
async fn an_object_larger_than_any_of_ours_is_not_read() {
    let large = || Answer::status(206).with("content-range", "bytes 0-67108863/67108865").body(&b"abc"[..]);
    let (standin, blobs) = service(move |_, _| large()).await;
    assert_eq!(blobs.get(URI).await, Ok(None));
    assert_eq!(standin.seen().len(), 1);
    assert_eq!(standin.seen()[0].header("range"), Some("bytes=0-67108863"));
}

#[tokio::test]
async fn an_expired_object_is_gone_by_our_clock() {
    let kept_until = |at: Timestamp| move |_: &Seen, _| object(b"abc").with("x-ms-meta-expires", at.to_string());
    for (at, there) in [(end(10), true), (START, false), (end(0) + Duration::from_millis(1), true)] {
        let standin = StandIn::start(kept_until(at)).await;
        let clock = Arc::new(VirtualClock::at(START));
        let blobs = AzureBlobs::over(options(ACCOUNT, clock), standin.lead(rest::client_options())).unwrap();
        assert_eq!(blobs.get(URI).await.unwrap().is_some(), there, "{at}");
    }
}

#[tokio::test]
async fn a_reference_that_is_not_ours_is_not_asked_for() {
    let (standin, blobs) = service(|_, _| object(b"abc")).await;
    for uri in ["https://opsloop.blob.core.windows.net/claims/a", "opsloop-blob:", "opsloop-blob:a/../b", "a", ""] {
        assert_eq!(blobs.get(uri).await, Ok(None), "{uri}");
    }
    assert_eq!(blobs.put("a/../b", Bytes::new(), end(1)).await, Err(UNAVAILABLE));
    assert_eq!(blobs.put(&"a".repeat(1_025), Bytes::new(), end(1)).await, Err(UNAVAILABLE));
    assert!(standin.seen().is_empty());
}

#[tokio::test]
async fn who_may_not_is_told_which_role_is_missing_and_no_token() {
    for (code, advice) in [
        ("AuthorizationPermissionMismatch", "the role “Storage Blob Data Contributor”"),
        ("AuthorizationFailure", "the network rules"),
    ] {
        let (_standin, blobs) = service(move |_, _| refused(403, code)).await;
        assert_eq!(blobs.get(URI).await, Err(UNAVAILABLE));
        let told = blobs.ping().await.unwrap_err();
        let text = format!("{told} {told:?}");
        assert!(text.contains(&format!("403 {code}")) && text.contains(advice) && !text.contains(TOKEN), "{text}");
    }
}

#[test]
fn an_endpoint_is_https_or_on_this_machine_and_has_no_signature() {
    let made = |endpoint: &str| AzureBlobs::new(options(endpoint, Arc::new(WallClock))).map(|_| ());
    assert!(made(ACCOUNT).is_ok());
    assert!(made("http://127.0.0.1:10000/devstoreaccount1").is_ok());
    let told = made("http://opsloop.blob.core.windows.net/").unwrap_err().to_string();
    assert!(told.contains("must use https"), "{told}");
    let told = made("https://opsloop.blob.core.windows.net/?sv=1&sig=abc").unwrap_err().to_string();
    assert!(told.contains("has a query") && !told.contains("abc"), "{told}");
}
