//! The recording: frames of raw OTLP requests, each with the instant at which it came (demo/README.md).

use bytes::{Buf, Bytes};
use opsloop_kernel::Timestamp;
use serde::Deserialize;

/// Frames are small; a longer header or body is not one of ours.
const HEADER_MAX: usize = 4 * 1024;
const BODY_MAX: usize = 4 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    pub at: Timestamp,
    pub path: String,
    pub content_type: String,
    #[serde(default)]
    pub content_encoding: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub header: Header,
    pub body: Bytes,
}

pub fn read(mut bytes: Bytes) -> Result<Vec<Frame>, String> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let header = part(&mut bytes, HEADER_MAX)?;
        let header = serde_json::from_slice(&header).map_err(|e| format!("frame {}: {e}", frames.len()))?;
        frames.push(Frame { header, body: part(&mut bytes, BODY_MAX)? });
    }
    Ok(frames)
}

fn part(bytes: &mut Bytes, max: usize) -> Result<Bytes, String> {
    let cut = "the recording is cut off or is none";
    if bytes.len() < 4 {
        return Err(cut.into());
    }
    let len = bytes.get_u32() as usize;
    if len > max || len > bytes.len() {
        return Err(cut.into());
    }
    Ok(bytes.split_to(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_and_what_is_cut_off_is_refused() {
        let header = br#"{"at":"2026-11-21T10:00:59.000Z","path":"/v1/traces","contentType":"application/x-protobuf"}"#;
        let mut bytes = (header.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(&[0, 0, 0, 2, 7, 8]);
        let frames = read(Bytes::from(bytes.clone())).unwrap();
        assert_eq!((frames.len(), &frames[0].body[..]), (1, &[7u8, 8][..]));
        bytes.pop();
        assert!(read(Bytes::from(bytes)).is_err());
        assert!(read(Bytes::from_static(&[255, 255, 255, 255])).is_err());
    }
}
