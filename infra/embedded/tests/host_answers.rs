//! What the host makes of each answer of a handler, against what the real one made of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod host_support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host_support::lab::until_true;
use host_support::*;
use opsloop_embedded::host::{Host, Pace, SilentSink};
use serde_json::{Value, json};

/// Waits of the real host are divided by this: functionTimeout 3 s becomes 0.3 s.
const HURRY: u32 = 10;

fn host_json(port: u16, mode: &str, function_timeout: &str) -> Value {
    json!({
        "version": "2.0", "functionTimeout": function_timeout,
        "customHandler": {
            "description": {"defaultExecutablePath": "handler"}, "port": port,
            "enableProxyingHttpRequest": mode == "proxying", "enableForwardingHttpRequest": mode == "forwarding",
        },
    })
}

fn event(name: &str) -> Script {
    let events = golden_json("answers.json");
    let event = events["events"].as_array().unwrap().iter().find(|event| event["name"] == name).unwrap().clone();
    script(&event)
}

fn script(event: &Value) -> Script {
    let raw = event["raw"].as_str().or(event["handler_answer"].as_str()).unwrap();
    let mut script = Script::answer(latin1(raw)).then(event["then"].as_str().unwrap_or_default());
    if let Some(seconds) = event["name"].as_str().unwrap().strip_prefix("slow_") {
        let seconds: u64 = seconds.trim_end_matches('s').parse().unwrap();
        script.delay = Duration::from_secs(seconds) / HURRY;
    }
    script
}

/// What one answer did to one message.
struct Seen {
    settled: &'static str,
    requests: Vec<Vec<u8>>,
    starts: usize,
}

/// A call that is to hang gets little time; the others must not run out of it on a busy machine.
async fn answer_a_message(first: Script, rest: Script, hangs: bool) -> Seen {
    let stub = Stub::start(move |index| if index == 0 { first.clone() } else { rest.clone() }).await;
    let timeout = if hangs { "00:00:03" } else { "00:05:00" };
    let mut options =
        options(&host_json(stub.port, "default", timeout), &[("Bus", bus_function(Some("binary"), false))]);
    let (source, lines) = (Scripted::with(vec![message("m-1")]), Arc::new(Lines::default()));
    options.command = Some(sitting());
    options.pace = Pace::Stepped;
    options.clock = HurriedClock::at("2026-11-21T05:06:07Z".parse().unwrap(), HURRY);
    options.source = Arc::clone(&source) as _;
    options.sink = Arc::clone(&lines) as _;
    let host = Host::start(options).await.unwrap();
    host.drain().await;
    host.ready().await;
    // The line of a handler that was started again may be late.
    until_true(|| lines.count("started") > usize::from(hangs)).await;
    host.stop().await;
    let settled = source.settled();
    assert_eq!(settled.len(), 1);
    Seen { settled: settled[0].1, requests: stub.requests(), starts: lines.count("started") }
}

async fn check_event(event: Value) {
    let name = event["name"].as_str().unwrap();
    let seen = answer_a_message(script(&event), Script::ok(), event["result"] == "hang").await;
    let (settled, requests, starts) = match event["result"].as_str().unwrap() {
        "success" => ("completed", 1, 1),
        "failure" => ("abandoned", 1, 1),
        "hang" => ("abandoned", 1, 2),
        "followed" => ("completed", 2, 1),
        other => panic!("{name}: {other}"),
    };
    assert_eq!((seen.settled, seen.requests.len(), seen.starts), (settled, requests, starts), "{name}");
    if let Some(by) = event["followed_by"].as_str() {
        let line = by.split(',').next().unwrap();
        assert!(seen.requests[1].starts_with(format!("{line} HTTP/1.1\r\n").as_bytes()), "{name}");
        let body = parts(&seen.requests[1]).body;
        let same = if line.starts_with("POST") { parts(&seen.requests[0]).body } else { Vec::new() };
        assert_eq!(body, same, "{name}: body");
    }
}

#[tokio::test]
async fn each_answer_to_a_message_has_the_result_it_has_on_the_host() {
    let answers = golden_json("answers.json");
    let events = answers["events"].as_array().unwrap().clone();
    assert_eq!(events.len(), 53);
    futures::future::join_all(events.into_iter().map(check_event)).await;
}

#[tokio::test]
async fn an_early_413_with_the_body_unread_is_a_failure_and_not_sent_again() {
    let early = Script { unread: true, ..event("status_413") };
    let seen = answer_a_message(early.then("close"), Script::ok(), false).await;
    assert_eq!((seen.settled, seen.requests.len()), ("abandoned", 1));
}

#[tokio::test]
async fn redirects_end_after_fifty_hops() {
    let seen = answer_a_message(event("redirect"), event("redirect"), false).await;
    assert_eq!((seen.settled, seen.requests.len()), ("abandoned", 51));
}

async fn http_host(mode: &str, function: Value, timeout: &str, stub: &Stub) -> Host {
    let mut options = options(&host_json(stub.port, mode, timeout), &[("Hello", function)]);
    options.command = Some(sitting());
    options.pace = Pace::Stepped;
    options.http = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    options.clock = HurriedClock::at("2026-11-21T05:06:07Z".parse().unwrap(), HURRY);
    options.sink = Arc::new(SilentSink);
    Host::start(options).await.unwrap()
}

fn http_function(route: &str, output: &str) -> Value {
    json!({"bindings": [
        {"type": "httpTrigger", "direction": "in", "name": "req", "route": route},
        {"type": "http", "direction": "out", "name": output},
    ]})
}

/// Status line, headers without the date, body without its framing.
fn client_view(raw: &[u8]) -> (String, Vec<(String, String)>, Vec<u8>) {
    let parts = parts_of_whole_or_broken(raw);
    let headers = parts.head[1..].iter().filter_map(|line| line.split_once(": "));
    let headers = headers.filter(|(name, _)| *name != "Date").map(|(name, value)| (name.to_owned(), value.to_owned()));
    (parts.head[0].clone(), headers.collect(), parts.body)
}

fn parts_of_whole_or_broken(raw: &[u8]) -> Parts {
    assert!(!raw.is_empty(), "the client got nothing");
    parts(raw)
}

async fn check_http(event: Value, mode: &'static str) {
    let name = format!("{} ({mode})", event["name"].as_str().unwrap());
    let answer = script(&event);
    let stub = Stub::start(move |_| answer.clone()).await;
    let (route, output, path) = match event["name"].as_str() {
        Some("retout") => ("retout", "$return", "/api/retout"),
        _ => ("hello/{id?}", "res", "/api/hello/r"),
    };
    let host = http_host(mode, http_function(route, output), "00:05:00", &stub).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n");
    let wanted = &event[mode];
    let talking = talk(host.http_addr().unwrap(), request.as_bytes());
    let patience = if wanted["client"].is_string() { Duration::from_secs(1) } else { Duration::from_secs(20) };
    let outcome = tokio::time::timeout(patience, talking).await;
    if wanted["client"].is_string() {
        assert!(outcome.is_err(), "{name}: hangs");
    } else {
        let (raw, reset) = outcome.expect(&name);
        let (status, headers, body) = client_view(&raw);
        let client = &wanted["client"];
        let headers: Vec<Value> = headers.into_iter().map(|(name, value)| json!([name, value])).collect();
        assert_eq!(json!(status), client["status_line"], "{name}");
        assert_eq!(json!(headers), client["headers"], "{name}");
        assert_eq!(body, latin1(client["body"].as_str().unwrap()), "{name}");
        assert_eq!(reset, client["then"] == "connection reset", "{name}: reset");
    }
    assert_eq!(json!(stub.requests().len()), wanted["requests_to_handler"], "{name}: requests");
    host.stop().await;
}

#[tokio::test]
async fn each_answer_to_a_client_arrives_as_it_does_through_the_host() {
    let answers = golden_json("answers.json");
    let mut checks = Vec::new();
    for event in answers["http"].as_array().unwrap() {
        for mode in ["default", "forwarding", "proxying"] {
            checks.push(check_http(event.clone(), mode));
        }
    }
    assert_eq!(checks.len(), 48);
    futures::future::join_all(checks).await;
}

struct Client {
    status: String,
    requests: usize,
    took: Duration,
}

async fn proxied(request: Vec<u8>, answer: Script, timeout: &str) -> Client {
    let stub = Stub::start(move |_| answer.clone()).await;
    let host = http_host("proxying", http_function("hello", "res"), timeout, &stub).await;
    host.ready().await;
    let started = Instant::now();
    let (raw, _) = talk(host.http_addr().unwrap(), &request).await;
    let took = started.elapsed() * HURRY;
    let status = String::from_utf8_lossy(&raw).split(' ').nth(1).unwrap_or_default().to_owned();
    host.stop().await;
    Client { status, requests: stub.requests().len(), took }
}

fn upload(body: usize, chunked: bool) -> Vec<u8> {
    let framing = if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {body}") };
    let mut request =
        format!("POST /api/hello HTTP/1.1\r\nHost: lab\r\n{framing}\r\nConnection: close\r\n\r\n").into_bytes();
    if chunked {
        request.extend_from_slice(format!("{body:X}\r\n").as_bytes());
    }
    request.extend(std::iter::repeat_n(b'x', body));
    if chunked {
        request.extend_from_slice(b"\r\n0\r\n\r\n");
    }
    request
}

#[tokio::test]
async fn the_proxy_sends_again_what_the_host_sends_again() {
    let get = b"GET /api/hello HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n".to_vec();
    let broken = |then: &str| Script::answer("").then(then);
    for (what, request, answer, requests, status) in [
        ("GET, closed", get.clone(), broken("close"), 40, "500"),
        ("GET, reset", get.clone(), broken("reset"), 10, "500"),
        ("empty POST, closed", upload(0, false), broken("close"), 10, "500"),
        ("POST, closed", upload(9, false), broken("close"), 1, "500"),
        ("chunked POST, reset", upload(9, true), broken("reset"), 1, "500"),
        ("GET, 503", get, event("status_503"), 1, "503"),
    ] {
        let client = proxied(request, answer, "00:05:00").await;
        assert_eq!((client.requests, client.status.as_str()), (requests, status), "{what}");
        if status == "500" {
            assert!(client.took > Duration::from_millis(1_800), "{what}: about two seconds, {:?}", client.took);
        }
    }
}

#[tokio::test]
async fn an_early_answer_counts_only_if_the_body_is_read() {
    for chunked in [false, true] {
        let unread = Script { unread: true, ..event("status_413") };
        let client = proxied(upload(8_000_000, chunked), unread.then("close"), "00:05:00").await;
        assert_eq!((client.requests, client.status.as_str()), (1, "500"));
        let client = proxied(upload(8_000_000, chunked), event("status_413"), "00:05:00").await;
        assert_eq!((client.requests, client.status.as_str()), (1, "413"));
    }
}

#[tokio::test]
async fn a_proxied_call_that_takes_too_long_is_500_two_seconds_later() {
    let slow = Script { delay: Duration::from_secs(2), ..Script::ok() };
    let client = proxied(upload(9, false), slow, "00:00:04").await;
    assert_eq!((client.requests, client.status.as_str()), (1, "500"));
    assert!(client.took > Duration::from_secs(6) && client.took < Duration::from_secs(30), "{:?}", client.took);
}

#[tokio::test]
async fn a_chunked_upload_is_not_forwarded() {
    let stub = Stub::start(|_| Script::ok()).await;
    let host = http_host("forwarding", http_function("hello", "res"), "00:05:00", &stub).await;
    let (raw, _) = talk(host.http_addr().unwrap(), &upload(9, true)).await;
    assert!(raw.starts_with(b"HTTP/1.1 500 "));
    assert!(stub.requests().is_empty());
    host.stop().await;
}
