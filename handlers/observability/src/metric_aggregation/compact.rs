//! Binary documents: zstd inside, base64 in JSON, in parts that a document holds (SPEC 5.2.4).

use super::{names, points::PART_BYTES_MAX};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use opsloop_kernel::{Document, Refusal, Stored, json::sha256_hex};
use prost::Message;
use serde::{Deserialize, Serialize};
use std::io::Read;

const LEVEL: i32 = 3;
/// Base64 makes four of three.
const PART_RAW_MAX: usize = PART_BYTES_MAX / 4 * 3;
/// What a stored document may become: our own are far below.
const UNPACKED_MAX: u64 = 256 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Packed {
    pub part: usize,
    pub parts: usize,
    /// SHA-256 of the whole content before compression: parts that do not belong together differ in it.
    pub hash: String,
    pub data: String,
}

/// The hash that `pack` gives this content.
pub fn hash_of(content: &impl Message) -> String {
    sha256_hex(&content.encode_to_vec())
}

/// Documents `id`, `id|1`, … of one kind.
pub fn pack(id: &str, kind: &'static str, content: &impl Message) -> Result<Vec<Document>, Refusal> {
    let bytes = content.encode_to_vec();
    let hash = sha256_hex(&bytes);
    let compressed = zstd::bulk::compress(&bytes, LEVEL).map_err(Refusal::payload)?;
    let pieces: Vec<&[u8]> = compressed.chunks(PART_RAW_MAX).collect();
    let parts = pieces.len();
    let document = |(part, piece): (usize, &&[u8])| {
        let data = BASE64_STANDARD.encode(piece);
        Document::new(names::part_id(id, part), kind, &Packed { part, parts, hash: hash.clone(), data })
    };
    Ok(pieces.iter().enumerate().map(document).collect())
}

/// The content of all documents of one id; `None` where parts are missing or of different contents, as while they are
/// written ahead.
pub fn unpack<T: Message + Default>(stored: &[Stored]) -> Result<Option<(T, String)>, Refusal> {
    let mut parts = stored.iter().map(Stored::read::<Packed>).collect::<Result<Vec<_>, _>>()?;
    parts.sort_by_key(|p| p.part);
    let Some(first) = parts.first() else { return Ok(None) };
    let (count, hash) = (first.parts, first.hash.clone());
    parts.truncate(count);
    let whole = parts.len() == count && parts.iter().enumerate().all(|(n, p)| p.part == n && p.hash == hash);
    if !whole {
        return Ok(None);
    }
    let mut compressed = Vec::new();
    for part in &parts {
        compressed.extend(BASE64_STANDARD.decode(&part.data).map_err(Refusal::payload)?);
    }
    let decoder = zstd::stream::read::Decoder::new(compressed.as_slice()).map_err(Refusal::payload)?;
    let mut bytes = Vec::new();
    decoder.take(UNPACKED_MAX).read_to_end(&mut bytes).map_err(Refusal::payload)?;
    T::decode(bytes.as_slice()).map(|content| Some((content, hash))).map_err(Refusal::payload)
}

#[cfg(test)]
mod tests {
    use super::super::raw::{Carry, StreamState};
    use super::*;
    use opsloop_kernel::ETag;

    /// Incompressible, so that it takes several documents.
    fn carry(streams: u32) -> Carry {
        let id = |n: u32| hex::decode(sha256_hex(&n.to_le_bytes())).unwrap();
        let state = |n| StreamState { id: id(n), ..StreamState::default() };
        Carry { streams: (0..streams).map(state).collect() }
    }
    fn stored(documents: Vec<Document>) -> Vec<Stored> {
        documents.into_iter().map(|document| Stored { document, etag: ETag("1".into()) }).collect()
    }

    #[test]
    fn what_is_large_is_several_documents_and_comes_back_whole() {
        let content = carry(20_000);
        let mut documents = stored(pack("carry|1", "carry", &content).unwrap());
        assert!(documents.len() > 1);
        assert!(documents.iter().all(|d| d.document.size() < PART_BYTES_MAX + 1_000));
        documents.reverse();
        let (back, hash) = unpack::<Carry>(&documents).unwrap().unwrap();
        assert_eq!((back, hash), (content.clone(), hash_of(&content)));
    }

    #[test]
    fn parts_of_two_contents_are_no_content() {
        let mut documents = stored(pack("carry|1", "carry", &carry(20_000)).unwrap());
        let others = stored(pack("carry|1", "carry", &carry(20_001)).unwrap());
        documents[0] = others[0].clone();
        assert_eq!(unpack::<Carry>(&documents).unwrap(), None);
        assert_eq!(unpack::<Carry>(&others[1..]).unwrap(), None);
    }
}
