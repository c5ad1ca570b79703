//! What is stored: documents of a stream, and the writes of a decision (DESIGN 4, SPEC 3.13).

use crate::{fault::Refusal, time::Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{borrow::Cow, fmt};

/// Cosmos DB: a transactional batch has at most this many operations, all in one partition.
pub const BATCH_OPERATIONS_MAX: usize = 100;
/// 2 MB, less what the request itself takes.
pub const BATCH_BYTES_MAX: usize = 1_900_000;
/// The stores' own limit; what `bind` leaves below it is for what a request adds.
pub const STORED_BATCH_BYTES_MAX: usize = 2_000_000;
/// Cosmos DB: an id has at most 1,023 bytes.
const ID_BYTES_MAX: usize = 1_023;
/// 1 MB (SPEC 3.13).
pub const DOCUMENT_BYTES_MAX: usize = 1_000_000;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocId(pub String);
impl DocId {
    /// Cosmos DB takes no `/ \ ? #` in an id, and lists rely on ids being ASCII: user text is percent-encoded (A51).
    pub fn check(&self) -> Result<(), Refusal> {
        within("a document id", self.0.len(), ID_BYTES_MAX)?;
        let fits = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'\\' | b'?' | b'#');
        if self.0.is_empty() || !self.0.bytes().all(fits) {
            return Err(Refusal::payload(format!("`{self}` cannot be a document id: its text is not percent-encoded")));
        }
        Ok(())
    }
}
impl fmt::Display for DocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl<S: Into<String>> From<S> for DocId {
    fn from(s: S) -> Self {
        Self(s.into())
    }
}

/// What sort of document it is (`head`, `chunk`, `owed`, …): for people and queries, not for identity.
pub type DocKind = Cow<'static, str>;
/// Whose wish a due document is: a worker's name, `outbox` or `stuck`.
pub type What = Cow<'static, str>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ETag(pub String);

/// The content of a document.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Body(pub Value);

impl Body {
    /// Our own types always serialise; what does not is `null`, and fails where it is read.
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::to_value(value).unwrap_or(Value::Null))
    }
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        T::deserialize(&self.0).map_err(|e| Refusal::InvalidPayload { why: e.to_string() })
    }
}

/// A document's wish to be looked at (A62). Its shard follows from tenant and stream (`ids::shard`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    pub what: What,
    pub at: Timestamp,
}
impl Due {
    pub fn at(what: impl Into<What>, at: Timestamp) -> Self {
        Self { what: what.into(), at }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    pub id: DocId,
    pub kind: DocKind,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub due: Option<Due>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
    pub body: Body,
}

impl Document {
    pub fn new(id: impl Into<DocId>, kind: impl Into<DocKind>, body: &impl Serialize) -> Self {
        Self { id: id.into(), kind: kind.into(), due: None, expires: None, body: Body::of(body) }
    }
    pub fn due(mut self, what: impl Into<What>, at: Timestamp) -> Self {
        self.due = Some(Due::at(what, at));
        self
    }
    pub fn expires(mut self, at: Timestamp) -> Self {
        self.expires = Some(at);
        self
    }
    /// Bytes as stored, near enough for limits.
    pub fn size(&self) -> usize {
        serde_json::to_vec(self).map_or(usize::MAX, |v| v.len())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    pub document: Document,
    pub etag: ETag,
}
impl Stored {
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        self.document.body.read()
    }
}

/// `Save(_, None)` creates. `Put` only where the content depends on no read (A5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Write {
    Save(Document, Option<ETag>),
    Put(Document),
    Delete(DocId, ETag),
}
impl Write {
    pub fn id(&self) -> &DocId {
        match self {
            Self::Save(d, _) | Self::Put(d) => &d.id,
            Self::Delete(id, _) => id,
        }
    }
    pub fn document(&self) -> Option<&Document> {
        match self {
            Self::Save(d, _) | Self::Put(d) => Some(d),
            Self::Delete(..) => None,
        }
    }
    pub fn size(&self) -> usize {
        self.document().map_or(64, Document::size)
    }
}

/// What stores refuse for its size.
pub fn within(what: &'static str, size: usize, limit: usize) -> Result<(), Refusal> {
    if size > limit { Err(Refusal::TooLarge { what, size, limit }) } else { Ok(()) }
}
