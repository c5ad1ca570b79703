//! A host whose handler is the test itself, with its functions, its bus and its clock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use opsloop_embedded::host::{Host, HostOptions, Pace, SilentSink};
use serde_json::{Value, json};

use super::*;

pub const NOW: &str = "2026-11-21T05:06:07Z";

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub struct Lab {
    pub stub: Stub,
    pub source: Arc<Scripted>,
    pub clock: Arc<HurriedClock>,
    pub options: HostOptions,
}

pub async fn lab(
    extra: Value,
    functions: &[(&str, Value)],
    answer: impl Fn(usize) -> Script + Send + Sync + 'static,
) -> Lab {
    let stub = Stub::start(answer).await;
    let mut host_json = json!({
        "version": "2.0",
        "customHandler": {
            "description": {"defaultExecutablePath": "handler"}, "port": stub.port, "enableProxyingHttpRequest": true,
        },
        "extensions": {"http": {"routePrefix": ""}},
    });
    for (name, value) in extra.as_object().unwrap() {
        host_json["extensions"][name] = value.clone();
    }
    let (source, clock) = (Scripted::with(Vec::new()), HurriedClock::at(at(NOW), 1));
    let mut options = options(&host_json, functions);
    options.command = Some(sitting());
    options.pace = Pace::Stepped;
    options.clock = Arc::clone(&clock) as _;
    options.source = Arc::clone(&source) as _;
    options.sink = Arc::new(SilentSink);
    options.http = vec!["127.0.0.1:0".parse().unwrap()];
    Lab { stub, source, clock, options }
}

pub fn http(route: &str, methods: &[&str]) -> Value {
    let mut function = json!({"bindings": [
        {"type": "httpTrigger", "direction": "in", "name": "req", "route": route},
        {"type": "http", "direction": "out", "name": "res"},
    ]});
    if !methods.is_empty() {
        function["bindings"][0]["methods"] = json!(methods);
    }
    function
}

pub fn timer(schedule: &str) -> Value {
    json!({"bindings": [{"type": "timerTrigger", "direction": "in", "name": "timer", "schedule": schedule}]})
}

pub async fn status(host: &Host, line: &str) -> u16 {
    let request = format!("{line} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n");
    let (raw, _) = talk(host.http_addr().unwrap(), request.as_bytes()).await;
    String::from_utf8_lossy(&raw).split(' ').nth(1).unwrap().parse().unwrap()
}

pub async fn post(host: &Host, path: &str, body: &str) -> u16 {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: lab\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let (raw, _) = talk(host.http_addr().unwrap(), request.as_bytes()).await;
    String::from_utf8_lossy(&raw).split(' ').nth(1).unwrap().parse().unwrap()
}

pub async fn until_true(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(10), "it did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
