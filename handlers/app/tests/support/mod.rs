//! A running `opsloop local` on a virtual clock, for scenarios that need the whole thing: real processes, real sockets.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod otlp;

use bytes::Bytes;
use opsloop_app::loopback::Loopback;
use opsloop_kernel::Timestamp;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

pub struct Local {
    pub process: Child,
    pub url: String,
    pub otlp: String,
    pub client: Loopback,
    /// Kept, so that what the process says still has a reader.
    _said: std::io::Lines<BufReader<ChildStdout>>,
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Local {
    pub fn start(data: &Path, from: Timestamp, more: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_opsloop"))
            .current_dir(root())
            .args(["local", "--virtual-clock", "--http-port", "0", "--otlp-port", "0", "--quiet", "--data"])
            .arg(data)
            .args(["--from", &from.to_string()])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut address = |mark: &str| loop {
            let line = lines.next().expect("local came up").unwrap();
            if let Some((_, rest)) = line.split_once(mark) {
                let address = rest.split_whitespace().next().unwrap();
                break address.trim_end_matches("/v1/…").to_owned();
            }
        };
        let otlp = address("OTLP/HTTP");
        let url = address("API");
        Self { process, url, otlp, client: Loopback::new(None), _said: lines }
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap(); // SIGKILL
        self.process.wait().unwrap();
    }

    /// The `serve` children of this process.
    pub fn children(&self) -> Vec<i32> {
        let path = format!("/proc/{0}/task", self.process.id());
        let mut out = Vec::new();
        for task in std::fs::read_dir(path).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            out.extend(text.split_whitespace().filter_map(|p| p.parse::<i32>().ok()));
        }
        out
    }

    pub async fn advance(&self, seconds: u64) -> Timestamp {
        self.try_advance(seconds).await.unwrap()
    }
    pub async fn try_advance(&self, seconds: u64) -> Result<Timestamp, String> {
        let url = format!("{}/_local/advance?seconds={seconds}", self.url);
        let sent = self.client.send(http::Method::POST, &url, &[], Bytes::new()).await.map_err(|e| e.to_string())?;
        if !sent.status.is_success() {
            return Err(sent.text());
        }
        let now: Value = sent.json().map_err(|e| e.to_string())?;
        now["now"].as_str().unwrap().parse()
    }

    pub async fn get(&self, tenant: &str, path: &str) -> Value {
        let url = format!("{}{path}", self.url);
        let headers = [("x-opsloop-tenant", tenant)];
        let got = self.client.send(http::Method::GET, &url, &headers, Bytes::new()).await.unwrap();
        assert!(got.status.is_success(), "{path}: {} {}", got.status, got.text());
        got.json().unwrap()
    }
    pub async fn post(&self, tenant: &str, path: &str, body: &Value) -> Value {
        let (status, value) = self.try_post(tenant, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {value}");
        value
    }
    pub async fn try_post(&self, tenant: &str, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}", self.url);
        let headers = [("content-type", "application/json"), ("x-opsloop-tenant", tenant)];
        let sent = self.client.send(http::Method::POST, &url, &headers, body.to_string().into()).await.unwrap();
        (sent.status.as_u16(), sent.json().unwrap_or(Value::Null))
    }

    /// Sends one OTLP request; `Err` where the connection broke or the answer was no success.
    pub async fn send(&self, tenant: &str, signal: &str, body: Bytes) -> Result<(), String> {
        let url = format!("{}/v1/{signal}", self.otlp);
        let headers = [("content-type", "application/x-protobuf"), ("x-opsloop-tenant", tenant)];
        let sent = self.client.send(http::Method::POST, &url, &headers, body).await.map_err(|e| e.to_string())?;
        if sent.status.is_success() { Ok(()) } else { Err(format!("{}: {}", sent.status, sent.text())) }
    }
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
