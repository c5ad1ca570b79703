//! A document as it was read: its content with the version under which it may be saved.

use opsloop_kernel::{Document, ETag, Refusal, Stored, Timestamp, Write};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held<T> {
    pub etag: ETag,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub due: Option<Timestamp>,
    pub body: T,
}

impl<T: DeserializeOwned> Held<T> {
    pub fn of(stored: Option<Stored>) -> Result<Option<Self>, Refusal> {
        let Some(s) = stored else { return Ok(None) };
        Ok(Some(Self { due: s.document.due.as_ref().map(|d| d.at), body: s.read()?, etag: s.etag }))
    }
}

/// Saves by the version that was read; creates where nothing was.
pub fn save<T>(document: Document, held: Option<&Held<T>>) -> Write {
    Write::Save(document, held.map(|h| h.etag.clone()))
}
