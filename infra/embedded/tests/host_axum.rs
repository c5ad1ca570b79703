//! The host in front of a handler that is written as ours are: axum on hyper.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod host_support;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use host_support::lab::*;
use host_support::*;
use opsloop_embedded::host::{BodyFraming, Delivered, Drained, Host};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const UPLOAD_BYTES: usize = 5_000_000;

/// A host with a message function and the public routes; the handler answers with what it got.
async fn start(framing: BodyFraming, message: Option<Delivered>) -> Host {
    let functions = [("Bus", bus_function(Some("binary"), false)), ("PublicApi", http("v1/{*rest}", &[]))];
    let mut lab = lab(json!({}), &functions, |_| Script::ok()).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    lab.options
        .settings
        .set("AzureFunctionsJobHost__customHandler__port", &listener.local_addr().unwrap().port().to_string());
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move { axum::serve(listener, handler()).await.unwrap() });
    lab.options.framing = framing;
    message.into_iter().for_each(|message| lab.source.push(message));
    Host::start(lab.options).await.unwrap()
}

fn handler() -> Router {
    let success =
        || async { ([(header::CONTENT_TYPE, "application/json")], r#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#) };
    let echo = |headers: HeaderMap, body: Bytes| async move {
        let coding = headers.get(header::CONTENT_ENCODING).map_or("none", |coding| coding.to_str().unwrap()).to_owned();
        format!("{} bytes, coding {coding}", body.len())
    };
    let refuse = || async { (StatusCode::UNAUTHORIZED, "no") };
    Router::new()
        .route("/", get(|| async { "ready" }))
        .route("/Bus", post(move |_: Bytes| success()))
        .route("/v1/echo", post(echo))
        .route("/v1/refuse", post(refuse))
        .route("/v1/empty", get(|| async { StatusCode::NO_CONTENT }))
        .layer(DefaultBodyLimit::max(10_000_000))
}

async fn ask(host: &Host, request: Vec<u8>) -> (String, String) {
    let (raw, _) = talk(host.http_addr().unwrap(), &request).await;
    let parts = parts(&raw);
    (parts.head[0].clone(), String::from_utf8(parts.body).unwrap())
}

fn upload(path: &str, chunked: bool) -> Vec<u8> {
    let framing =
        if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {UPLOAD_BYTES}") };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: lab\r\nContent-Encoding: gzip\r\n{framing}\r\nConnection: close\r\n\r\n"
    );
    let mut request = head.into_bytes();
    if chunked {
        for _ in 0..5 {
            request.extend_from_slice(format!("{:x}\r\n", UPLOAD_BYTES / 5).as_bytes());
            request.extend(std::iter::repeat_n(b'x', UPLOAD_BYTES / 5));
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\n\r\n");
    } else {
        request.extend(std::iter::repeat_n(b'x', UPLOAD_BYTES));
    }
    request
}

#[tokio::test]
async fn messages_of_megabytes_arrive_in_every_framing() {
    for framing in [BodyFraming::Chunked, BodyFraming::ContentLength, BodyFraming::Harsh] {
        let large = Delivered { body: vec![b'x'; 1_000_000].into(), ..message("large") };
        let host = start(framing, Some(large)).await;
        assert_eq!(host.drain().await, Drained { succeeded: 1, failed: 0 }, "{framing:?}");
        host.stop().await;
    }
}

#[tokio::test]
async fn uploads_go_through_the_proxy() {
    let host = start(BodyFraming::Chunked, None).await;
    for chunked in [false, true] {
        let (status, body) = ask(&host, upload("/v1/echo", chunked)).await;
        assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", "5000000 bytes, coding gzip"));
        // hyper closes a connection whose body was not read: that is why our handlers drain it before they refuse.
        let (status, _) = ask(&host, upload("/v1/refuse", chunked)).await;
        assert_eq!(status, "HTTP/1.1 500 Internal Server Error");
    }
    let empty = b"GET /v1/empty HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n".to_vec();
    assert_eq!(ask(&host, empty).await.0, "HTTP/1.1 204 No Content");
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_go_on() {
    let host = start(BodyFraming::Chunked, None).await;
    let mut client = tokio::net::TcpStream::connect(host.http_addr().unwrap()).await.unwrap();
    let head =
        "POST /v1/echo HTTP/1.1\r\nHost: lab\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    client.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"abc").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("3 bytes, coding none"), "{answer}");
    host.stop().await;
}
