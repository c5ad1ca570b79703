//! What the host's tests share: golden files, a scripted source, a scripted handler on a socket, a clock that hurries.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

pub mod lab;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use opsloop_embedded::host::{
    BoxFuture, Delivered, Entity, HandlerCommand, HostClock, HostOptions, LineLevel, LockToken, LogSink, Settings,
    Source, SourceError, SteppedClock,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub fn golden(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/host")).join(name)
}

pub fn golden_json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(golden(name)).unwrap()).unwrap()
}

/// Golden strings are bytes as Latin-1.
pub fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect()
}

/// The ids of the differences that are meant, from `host_differences.md`.
pub fn is_meant(id: &str) -> bool {
    include_str!("../host_differences.md").lines().any(|line| line.starts_with(&format!("| {id} |")))
}

pub fn directory() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("opsloop-host-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A virtual date, and real waits made shorter.
pub struct HurriedClock {
    pub stepped: SteppedClock,
    pub hurry: u32,
}

impl HurriedClock {
    pub fn at(now: Timestamp, hurry: u32) -> Arc<Self> {
        Arc::new(Self { stepped: SteppedClock::at(now), hurry })
    }
}

impl HostClock for HurriedClock {
    fn now(&self) -> Timestamp {
        self.stepped.now()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        self.stepped.sleep_until(at)
    }

    fn patience(&self, wait: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(wait / self.hurry))
    }
}

/// Messages in hand, and what became of them.
#[derive(Default)]
pub struct Scripted {
    pub waiting: Mutex<VecDeque<Delivered>>,
    pub settled: Mutex<Vec<(String, &'static str)>>,
}

impl Scripted {
    pub fn with(messages: Vec<Delivered>) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::new(messages.into()), settled: Mutex::default() })
    }

    pub fn push(&self, message: Delivered) {
        self.waiting.lock().unwrap().push_back(message);
    }

    pub fn settled(&self) -> Vec<(String, &'static str)> {
        self.settled.lock().unwrap().clone()
    }

    fn note(&self, lock: &LockToken, what: &'static str) {
        self.settled.lock().unwrap().push((lock.0.clone(), what));
    }
}

impl Source for Scripted {
    fn receive<'a>(
        &'a self,
        entity: &'a Entity,
        max: usize,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Vec<Delivered>, SourceError>> {
        Box::pin(async move {
            let found: Vec<Delivered> = {
                let mut waiting = self.waiting.lock().unwrap();
                // A message says in `reply_to_session_id` which queue it is in; without, any will do.
                let here = |m: &Delivered| m.reply_to_session_id.as_ref().is_none_or(|queue| *queue == entity.name);
                let (mut found, rest): (Vec<_>, Vec<_>) = waiting.drain(..).partition(here);
                let later = found.split_off(max.min(found.len()));
                waiting.extend(later.into_iter().chain(rest));
                found
            };
            if found.is_empty() {
                tokio::time::sleep(wait.min(Duration::from_millis(20))).await;
            }
            Ok(found)
        })
    }

    fn complete<'a>(&'a self, _: &'a Entity, lock: &'a LockToken) -> BoxFuture<'a, Result<(), SourceError>> {
        self.note(lock, "completed");
        Box::pin(async { Ok(()) })
    }

    fn abandon<'a>(&'a self, _: &'a Entity, lock: &'a LockToken) -> BoxFuture<'a, Result<(), SourceError>> {
        self.note(lock, "abandoned");
        Box::pin(async { Ok(()) })
    }

    fn renew<'a>(&'a self, _: &'a Entity, lock: &'a LockToken) -> BoxFuture<'a, Result<Timestamp, SourceError>> {
        self.note(lock, "renewed");
        Box::pin(async { Ok(Timestamp::now() + Duration::from_secs(1)) })
    }
}

/// A message for the queue of that name.
pub fn message_to(queue: &str, id: &str) -> Delivered {
    Delivered { reply_to_session_id: Some(queue.to_owned()), ..message(id) }
}

pub fn message(id: &str) -> Delivered {
    Delivered {
        lock: Some(LockToken(id.to_owned())),
        message_id: Some(id.to_owned()),
        body: bytes::Bytes::from_static(b"{}"),
        delivery_count: 1,
        sequence_number: 1,
        enqueued_at: "2026-11-21T05:06:07Z".parse().unwrap(),
        ..Delivered::default()
    }
}

/// Keeps the handler's lines.
#[derive(Default)]
pub struct Lines(pub Mutex<Vec<(LineLevel, String)>>);

impl Lines {
    pub fn count(&self, text: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|(_, line)| line == text).count()
    }
}

impl LogSink for Lines {
    fn line(&self, _: &str, level: LineLevel, text: &str) {
        self.0.lock().unwrap().push((level, text.to_owned()));
    }

    fn logged(&self, function: &str, text: &str) {
        self.0.lock().unwrap().push((LineLevel::Information, format!("{function}: {text}")));
    }
}

/// A directory with host.json and functions, and the options of a host for it.
pub fn options(host_json: &serde_json::Value, functions: &[(&str, serde_json::Value)]) -> HostOptions {
    let root = directory();
    std::fs::write(root.join("host.json"), host_json.to_string()).unwrap();
    for (name, function) in functions {
        std::fs::create_dir_all(root.join(name)).unwrap();
        std::fs::write(root.join(name).join("function.json"), function.to_string()).unwrap();
    }
    let mut options = HostOptions::new(root.join("host.json"), &root);
    options.settings = Settings::default();
    options
}

/// A process that only sits there, while the test itself answers on the port.
pub fn sitting() -> HandlerCommand {
    HandlerCommand { program: "sh".into(), arguments: vec!["-c".into(), "echo started; exec sleep 600".into()] }
}

pub fn bus_function(data_type: Option<&str>, many: bool) -> serde_json::Value {
    let mut trigger =
        serde_json::json!({"type": "serviceBusTrigger", "direction": "in", "name": "msg", "queueName": "q"});
    if let Some(data_type) = data_type {
        trigger["dataType"] = data_type.into();
    }
    if many {
        trigger["cardinality"] = "many".into();
    }
    serde_json::json!({"bindings": [trigger]})
}

/// What the scripted handler does with a request.
#[derive(Clone)]
pub struct Script {
    pub raw: Vec<u8>,
    pub then: Then,
    pub delay: Duration,
    /// Answer, and maybe close, without reading the body.
    pub unread: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Keep,
    Close,
    Reset,
}

impl Script {
    pub fn answer(raw: impl Into<Vec<u8>>) -> Self {
        Self { raw: raw.into(), then: Then::Keep, delay: Duration::ZERO, unread: false }
    }

    pub fn ok() -> Self {
        let body = r#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#;
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        Self::answer(format!("{head}{body}"))
    }

    pub fn then(mut self, then: &str) -> Self {
        self.then = match then {
            "close" => Then::Close,
            "reset" => Then::Reset,
            _ => Then::Keep,
        };
        self
    }
}

/// A handler in the test's own process: keeps every request, answers the probe, and the rest by script.
pub struct Stub {
    pub port: u16,
    pub requests: Arc<Mutex<Vec<Vec<u8>>>>,
    pub probes: Arc<Mutex<Vec<Vec<u8>>>>,
    pub connections: Arc<AtomicUsize>,
}

type Answering = dyn Fn(usize) -> Script + Send + Sync;

impl Stub {
    pub async fn start(answer: impl Fn(usize) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self {
            port: listener.local_addr().unwrap().port(),
            requests: Arc::default(),
            probes: Arc::default(),
            connections: Arc::default(),
        };
        let connections = Arc::clone(&stub.connections);
        let (requests, probes) = (Arc::clone(&stub.requests), Arc::clone(&stub.probes));
        let answer: Arc<Answering> = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(converse(stream, Arc::clone(&requests), Arc::clone(&probes), Arc::clone(&answer)));
            }
        });
        stub
    }

    pub fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.lock().unwrap().clone()
    }
}

async fn converse(
    mut stream: TcpStream,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    probes: Arc<Mutex<Vec<Vec<u8>>>>,
    answer: Arc<Answering>,
) {
    let mut buffer = Vec::new();
    while read_head(&mut stream, &mut buffer).await {
        if buffer.starts_with(b"GET / HTTP/1.1\r\n") {
            probes.lock().unwrap().push(buffer.clone());
            buffer.clear();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            continue;
        }
        let index = {
            let mut requests = requests.lock().unwrap();
            requests.push(Vec::new());
            requests.len() - 1
        };
        let script = answer(index);
        if !script.unread {
            read_body(&mut stream, &mut buffer).await;
        }
        requests.lock().unwrap()[index] = std::mem::take(&mut buffer);
        tokio::time::sleep(script.delay).await;
        if stream.write_all(&script.raw).await.is_err() {
            return;
        }
        match script.then {
            Then::Keep => {}
            Then::Close => return,
            Then::Reset => return stream.set_zero_linger().unwrap(),
        }
    }
}

fn head_length(buffer: &[u8]) -> Option<usize> {
    buffer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    while head_length(buffer).is_none() {
        match stream.read_buf(buffer).await {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
    }
    true
}

pub fn header_of(head: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(head).into_owned();
    let line = text.lines().find(|line| line.to_lowercase().starts_with(&format!("{}:", name.to_lowercase())))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

async fn read_body(stream: &mut TcpStream, buffer: &mut Vec<u8>) {
    let head = head_length(buffer).unwrap();
    let length = header_of(&buffer[..head], "content-length").map(|length| length.parse::<usize>().unwrap());
    let chunked = header_of(&buffer[..head], "transfer-encoding").is_some();
    loop {
        let done = match length {
            Some(length) => buffer.len() >= head + length,
            None => !chunked || buffer[head..].ends_with(b"0\r\n\r\n"),
        };
        if done || stream.read_buf(buffer).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

/// A request or answer taken apart, so that chunk sizes and the bytes in the chunks are compared one after the other.
#[derive(Debug, PartialEq, Eq)]
pub struct Parts {
    pub head: Vec<String>,
    pub chunks: Vec<usize>,
    pub body: Vec<u8>,
}

pub fn parts(raw: &[u8]) -> Parts {
    let end = head_length(raw).expect("a head");
    let head: Vec<String> = String::from_utf8_lossy(&raw[..end]).split("\r\n").map(str::to_owned).collect();
    let mut rest = &raw[end..];
    if header_of(&raw[..end], "transfer-encoding").is_none() {
        return Parts { head, chunks: Vec::new(), body: rest.to_vec() };
    }
    let (mut chunks, mut body) = (Vec::new(), Vec::new());
    loop {
        let line = rest.windows(2).position(|pair| pair == b"\r\n").expect("a chunk line");
        let text = std::str::from_utf8(&rest[..line]).unwrap();
        assert_eq!(text, text.to_uppercase(), "chunk sizes are upper-case");
        let size = usize::from_str_radix(text, 16).unwrap();
        rest = &rest[line + 2..];
        if size == 0 {
            assert_eq!(rest, b"\r\n");
            return Parts { head, chunks, body };
        }
        chunks.push(size);
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

/// Sends bytes to the front and reads until the end of the connection; says whether it was reset.
pub async fn talk(address: std::net::SocketAddr, request: &[u8]) -> (Vec<u8>, bool) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let request = request.to_vec();
    let writing = tokio::spawn(async move {
        let _ = write.write_all(&request).await;
        write // dropping it would end the conversation
    });
    let mut all = Vec::new();
    let reset = loop {
        match read.read_buf(&mut all).await {
            Ok(0) => break false,
            Ok(_) => {}
            Err(_) => break true,
        }
    };
    drop(writing.await.unwrap());
    (all, reset)
}
