//! The documents of one machine: the ports `Store` and `Directory` in memory and in a SQLite file (SPEC 3.13, DESIGN 6).
//!
//! Both judge a batch by the same rules (`batch`) and cut a directory's answer as every store does (`due_list`); what
//! differs is where the documents lie. They are as strict as Cosmos DB where Cosmos DB is strict (operations and bytes of
//! a batch, bytes of a document, characters of an id), so that what fails in the cloud fails on the laptop first.
//! The easily broken rule: an expired document is absent for everybody, also where it would be in the way of a create.
//! Left out on purpose: request units, and reads that are older than this client's last one.

mod batch;
mod memory;
mod sqlite;

pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

use opsloop_kernel::{Document, ETag, Fault, Stream, TenantId};

/// A document with where it lies: what comparisons of whole stores are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Dumped {
    pub tenant: TenantId,
    pub stream: Stream,
    pub document: Document,
    pub etag: ETag,
}

const OUT_OF_REACH: Fault = Fault::Unavailable { dependency: Fault::STORE };

/// The third layer of the tenant guard (DESIGN 4): what is read must bear the tenant that was asked for. It cannot fail
/// while the adapter is right, so it is a defect of the adapter, and nobody gets to see the document.
fn assert_pair(asked: &str, found: &str) -> Result<(), Fault> {
    if asked == found {
        return Ok(());
    }
    tracing::error!(asked, found, "a store was about to answer with another tenant's document");
    Err(OUT_OF_REACH)
}
