//! What all three signals share, held to requests that others made.

mod golden;
mod hostile;
mod judged;
mod kept;
mod rendered;
mod travelling;

use super::{ContentType, Request, decode};
use opsloop_kernel::{TelemetrySignal as Signal, TenantId, Timestamp};
use std::{io::Read, path::PathBuf};

fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

/// The instant to which the recordings belong.
fn recorded() -> Timestamp {
    "2026-11-21T06:30:00.000Z".parse().unwrap()
}

fn json(signal: Signal, text: &str) -> Request {
    decode(signal, ContentType::Json, text.as_bytes()).unwrap()
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/otlp").join(name)
}

/// Name, signal, encoding and decompressed body of every recording.
fn recordings() -> Vec<(String, Signal, ContentType, Vec<u8>)> {
    let mut found = vec![];
    for sdk in std::fs::read_dir(folder("sdk")).unwrap() {
        for file in std::fs::read_dir(sdk.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.display().to_string();
            let mut bytes = std::fs::read(&path).unwrap();
            if name.contains("_gz.") {
                let mut plain = vec![];
                flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
                bytes = plain;
            }
            let signal = Signal::ALL.into_iter().find(|s| name.contains(&format!("v1_{}", s.name()))).unwrap();
            let encoding = if name.contains("_json.") { ContentType::Json } else { ContentType::Protobuf };
            found.push((name, signal, encoding, bytes));
        }
    }
    assert_eq!(found.len(), 25);
    found
}
