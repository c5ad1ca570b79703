//! What a worker or the shell may ask of the world. Object-safe; the adapters stand in `infra/`.

use crate::{
    decision::{Answer, Note},
    document::{DocId, ETag, Stored, What, Write},
    fault::{Fault, Refusal},
    ident::TenantId,
    incoming::{Found, Stream},
    message::{DeadLetter, Message, Outcome},
    mutant::{self, Mutant},
    time::Timestamp,
};
use bytes::Bytes;
use std::{future::Future, pin::Pin};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// One page of a listing: at most `limit` documents, after the one named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub limit: usize,
    pub after: Option<DocId>,
}
impl Page {
    pub fn first(limit: usize) -> Self {
        Self { limit, after: None }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    pub items: Vec<Stored>,
    /// Whether there are more after the last item.
    pub more: bool,
}

/// One transactional batch of one stream. Its first operation is the marker where there is one, so that a conflict
/// at index 0 means "already applied" (P15, A59).
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    pub tenant: TenantId,
    pub stream: Stream,
    pub marker: Option<crate::document::Document>,
    pub writes: Vec<Write>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Committed {
    /// The etags of the saved and put documents, in the order of the writes (of a delete: empty).
    Applied(Vec<ETag>),
    /// The marker exists.
    Duplicate,
    /// An etag moved, a document to create exists, or one to delete is gone. Nothing was applied.
    Raced,
    /// What no later try can make acceptable: more than a batch or a document takes, or an id that the store does not
    /// know how to keep. A fault would be tried for ever. `bind` refuses all this before, so here it is a defect.
    Refused(Refusal),
}

/// Documents by (tenant, stream, id). A fault of `commit` leaves open whether it was applied.
pub trait Store: Send + Sync {
    fn get<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
    ) -> BoxFuture<'a, Result<Option<Stored>, Fault>>;

    /// Documents with `from ≤ id < until` in byte order, or against it. The only list there is (A48).
    fn list<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        from: &'a str,
        until: &'a str,
        page: Page,
        order: Order,
    ) -> BoxFuture<'a, Result<Listing, Fault>>;

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Committed, Fault>>;

    /// Deletes an outbox document whose messages were accepted, by the etag under which it was read (A51). One that
    /// is gone is paid already.
    fn paid<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
        etag: &'a ETag,
    ) -> BoxFuture<'a, Result<(), Fault>>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within<'a> {
    All,
    Shard(u8),
    Stream(&'a TenantId, &'a Stream),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct DueList {
    /// By (tenant, stream, at, id). An answer never ends inside a stream, of which it has the oldest 2,000 at most.
    pub found: Vec<Found>,
    pub more: bool,
}

/// The most due documents of one stream in an answer of the directory (SPEC 3.8).
pub const DUE_OF_A_STREAM_MAX: usize = 2_000;

/// Which documents are due: the only cross-tenant read, ids only.
pub trait Directory: Send + Sync {
    fn due<'a>(
        &'a self,
        what: &'a What,
        at: Timestamp,
        within: Within<'a>,
        after: Option<(&'a TenantId, &'a Stream)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueList, Fault>>;
}

/// An outcome per message, in order.
pub trait Publisher: Send + Sync {
    fn publish<'a>(&'a self, messages: &'a [Message]) -> BoxFuture<'a, Result<Vec<Outcome>, Fault>>;
}

/// The shell alone holds one.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
    /// Waits on this clock; a virtual clock moves only when it is told to.
    fn sleep<'a>(&'a self, for_ms: u64) -> BoxFuture<'a, ()>;
}

/// Payloads that do not fit a message (claim check). Written under names derived from their content.
pub trait Blobs: Send + Sync {
    fn put<'a>(&'a self, name: &'a str, bytes: Bytes, expires: Timestamp) -> BoxFuture<'a, Result<String, Fault>>;
    /// `None`: there is no such object.
    fn get<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Fault>>;
}

/// How many batches wait in a telemetry queue.
pub trait Backlog: Send + Sync {
    fn waiting<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<u64, Fault>>;
}

/// The dead-letter subqueues of all handlers.
pub trait DeadLetters: Send + Sync {
    fn peek<'a>(&'a self, handler: &'a str, after: i64, limit: usize) -> BoxFuture<'a, Result<Vec<DeadLetter>, Fault>>;
    /// Completes the dead letter: its copy was accepted.
    fn complete<'a>(&'a self, handler: &'a str, sequence: i64) -> BoxFuture<'a, Result<(), Fault>>;
}

/// Where declared signals go. Never fails and never blocks: telemetry is not a reason to fail a message.
pub trait Recorder: Send + Sync {
    fn record(&self, worker: &str, note: &Note);
}

/// Reads, fenced to one tenant. Only the guard makes one: no scope, no read.
pub struct Scope<'a> {
    tenant: &'a TenantId,
    store: &'a dyn Store,
}

impl<'a> Scope<'a> {
    /// The tenant guard: whose message it is must be whose stream it reaches for. Ticks and pages (`platform`) take
    /// their tenants from stored keys (A10).
    pub fn admit(whose: &TenantId, target: &'a TenantId, store: &'a dyn Store) -> Result<Self, Refusal> {
        if whose != target && !whose.is_platform() && !mutant::is(Mutant::TenantGuardOff) {
            return Err(Refusal::TenantViolation { envelope: whose.clone(), target: target.clone() });
        }
        Ok(Self { tenant: target, store })
    }
    pub fn tenant(&self) -> &TenantId {
        self.tenant
    }
    pub async fn get(&self, stream: &Stream, id: &DocId) -> Result<Option<Stored>, Fault> {
        self.store.get(self.tenant, stream, id).await
    }
    pub async fn list(
        &self,
        stream: &Stream,
        from: &str,
        until: &str,
        page: Page,
        order: Order,
    ) -> Result<Listing, Fault> {
        self.store.list(self.tenant, stream, from, until, page, order).await
    }
    /// All documents whose id begins with `prefix`, at most `max`; whether there are more stands beside them.
    pub async fn all(&self, stream: &Stream, prefix: &str, max: usize) -> Result<Listing, Fault> {
        let until = after_prefix(prefix);
        let mut all = Listing::default();
        let mut after = None;
        loop {
            let limit = (max - all.items.len()).min(200);
            let page = self.list(stream, prefix, &until, Page { limit, after }, Order::Ascending).await?;
            after = page.items.last().map(|s| s.document.id.clone());
            all.items.extend(page.items);
            all.more = page.more;
            if !page.more || all.items.len() >= max || after.is_none() {
                return Ok(all);
            }
        }
    }
}

/// The first id after all that begin with `prefix`. Ids are ASCII by percent-encoding, so `~` + 1 is beyond.
pub fn after_prefix(prefix: &str) -> String {
    format!("{prefix}\u{7f}")
}

/// What a marker keeps of a command (A53): the hash of its body and the answer.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub body_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer: Option<Answer>,
}
