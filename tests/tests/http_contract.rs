//! Every request of the golden captures, chunked and with Content-Length, against the router over a socket (DESIGN 10.4,
//! P1 to P6): answers compared as bytes, and none of them one on which the host would hang or follow (P3, P4).

use base64::{Engine, engine::general_purpose::STANDARD};
use opsloop_app::workers::Otlp;
use opsloop_shell::{
    Catalogue,
    access::Access,
    otlp::Receiver,
    router::{self, Served},
};
use opsloop_tests::{
    World,
    probe::{self, NAME, Probe, Seen, TICK},
    world::{START, at},
};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

const SUCCESS: &str = r#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#;

async fn serve(catalogue: Catalogue) -> SocketAddr {
    let world = World::new(catalogue);
    let served = Served::new(world.shell.clone(), Access::Local, Receiver::new(Arc::new(Otlp)), String::new);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router::router(Arc::new(served))).into_future());
    address
}

struct Answer {
    status: u16,
    content_type: String,
    body: String,
}

fn exchange(to: SocketAddr, request: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.write_all(request).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0u8; 65536];
    loop {
        let n = socket.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..n]);
        if n == 0 || complete(&bytes, request.starts_with(b"HEAD")) {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = after_interim(&text).split_once("\r\n\r\n").unwrap_or((&text, ""));
    let field = |name: &str| {
        let line = head.lines().find(|l| l.to_ascii_lowercase().starts_with(name));
        line.and_then(|l| l.split_once(": ")).map(|(_, v)| v.to_owned()).unwrap_or_default()
    };
    Answer {
        status: head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0),
        content_type: field("content-type"),
        body: body.to_owned(),
    }
}

/// A whole answer with Content-Length, after interim ones (100 Continue).
fn complete(bytes: &[u8], bodiless: bool) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = after_interim(&text).split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    bodiless || length.and_then(|l| l.parse::<usize>().ok()).is_some_and(|l| body.len() >= l)
}

fn after_interim(text: &str) -> &str {
    match text.split_once("\r\n\r\n") {
        Some((head, rest)) if head.starts_with("HTTP/1.1 1") => after_interim(rest),
        _ => text,
    }
}

fn golden(folder: &str, extension: &str) -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/host").join(folder);
    let mut out: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == extension))
        .map(|p| (p.file_stem().unwrap().to_string_lossy().into_owned(), p))
        .collect();
    out.sort();
    assert!(out.len() > 10, "the golden files are there");
    out
}

/// What the handler must never say to an invocation (P3, P4).
fn assert_never_hangs(name: &str, answer: &Answer) {
    assert_ne!(answer.status / 100, 3, "{name}: a redirect would be followed");
    assert!(answer.content_type.starts_with("application/json"), "{name}: {}", answer.content_type);
    let blank = matches!(answer.body.trim(), "" | "null" | "\"\"");
    assert!(!blank, "{name}: the host would hang");
    assert!(answer.status != 204 && answer.status != 202, "{name}: {}", answer.status);
}

fn posted(function: &str, framing: &str, body: &[u8]) -> Vec<u8> {
    let mut out =
        format!("POST /{function} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Azure-Functions-InvocationId: i-1\r\n").into_bytes();
    if framing == "chunked" {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\nContent-Type: application/json; charset=utf-8\r\n\r\n");
        for chunk in body.chunks(1_024) {
            out.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n\r\n");
    } else {
        out.extend_from_slice(
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
        );
        out.extend_from_slice(body);
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn every_captured_and_derived_invocation_is_answered_in_both_framings() {
    let address = serve(Catalogue::default().worker(Probe::default())).await;
    for (name, path) in golden("captured", "json").into_iter().chain(golden("derived", "json")) {
        let body = fs::read(&path).unwrap();
        let timer = String::from_utf8_lossy(&body).contains("\"ScheduleStatus\"");
        let function = if timer { TICK } else { NAME };
        let chunked = exchange(address, &posted(function, "chunked", &body));
        let whole = exchange(address, &posted(function, "length", &body));
        assert_eq!((chunked.status, &chunked.body), (whole.status, &whole.body), "{name}");
        assert_never_hangs(&name, &chunked);
        if timer {
            assert_eq!((chunked.status, chunked.body.as_str()), (200, SUCCESS), "{name}");
        } else {
            assert_eq!(chunked.status, 422, "{name}: no capture is an envelope of ours: {}", chunked.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_captured_request_is_answered_byte_for_byte_as_it_came() {
    let address = serve(Catalogue::default().worker(Probe::default())).await;
    for (name, path) in golden("captured", "http") {
        let raw = fs::read(&path).unwrap();
        let answer = exchange(address, &raw);
        assert!(answer.status >= 200, "{name}: {}", answer.status);
        assert!(answer.status == 200 || !answer.body.is_empty() || raw.starts_with(b"HEAD"), "{name}");
        assert_ne!(answer.status / 100, 3, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_over_one_message_is_answered_500_with_a_body_and_the_next_is_served() {
    let address = serve(Catalogue::default().worker(Probe::default())).await;
    let post = |id: &str, thing: &str| {
        let seen = Seen { thing: thing.into(), amount: 1, ..Seen::default() };
        let envelope = probe::seen(id, "acme", at(START), &seen).encode();
        let metadata = serde_json::json!({"DeliveryCount": "1", "MessageId": format!("\"evt-{id}\"")});
        let data = serde_json::json!({"msg": STANDARD.encode(envelope)});
        let body = serde_json::json!({"Data": data, "Metadata": metadata}).to_string();
        exchange(address, &posted(NAME, "chunked", body.as_bytes()))
    };
    let panicked = post("1", probe::PANICS);
    assert_never_hangs("a panic", &panicked);
    assert_eq!(panicked.status, 500);
    assert_eq!((post("2", "a").status, post("2", "a").body.as_str()), (200, SUCCESS));
}

#[tokio::test(flavor = "multi_thread")]
async fn error_paths_and_panics_never_hang_the_host() {
    let catalogue = opsloop_app::workers::catalogue(&Default::default());
    let mut functions: Vec<String> = opsloop_shell::render::functions(&catalogue).into_keys().collect();
    functions.retain(|f| !f.starts_with("Otlp") && f != "PublicApi");
    assert!(functions.len() > 5);
    let address = serve(catalogue).await;
    functions.push("NoSuchFunction".into());
    let message = r#"{"Data":{"msg":"e30="},"Metadata":{"DeliveryCount":"1","MessageId":"\"x\""}}"#;
    for function in &functions {
        for body in [
            "",
            "null",
            "{}",
            "[]",
            "\"\"",
            r#"{"Data":{"msg":"~"}}"#,
            message,
            "{\"Data\":{\"msg\":\"\"},\"Metadata\":{}}",
        ] {
            for framing in ["chunked", "length"] {
                let answer = exchange(address, &posted(function, framing, body.as_bytes()));
                assert_never_hangs(&format!("{function} {body}"), &answer);
            }
        }
    }
}
