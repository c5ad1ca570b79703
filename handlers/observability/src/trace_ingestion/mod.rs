//! TraceIngestionWorker (SPEC 5.1): spans to one correlated record per trace, and its announcement.
//!
//! All of a trace lies in one stream: chunks of spans as they came, and the `head` with timers and record. An arrival
//! stores its chunk and moves the head's `due` in one commit and derives nothing; at the `due` the record is derived
//! from the chunks, first for the index, then for the head (A48). The rules easily broken: the merge is a join, so no
//! order of arrival matters; and what was received at a `due` or later counts for the next revision, however late the
//! tick comes (A62). Left out on purpose: batches too old are refused by the shell (A68), and nothing here judges what
//! a trace means beyond its signals.

mod accept;
mod arrival;
pub mod artifacts;
pub mod chunk;
pub mod derive;
mod due;
pub(crate) mod endpoint;
pub mod head;
pub mod index;
mod marks;
pub mod outline;
mod reader;
pub mod record;
pub mod signals;
pub mod span;
pub mod stored;
mod timing;
mod tree;
mod unit;
mod worker;

pub use accept::{Arrived, ChunkDraft, Input, TraceArrival};
pub(crate) use chunk::chunk_id;
pub use endpoint::endpoints;
pub use head::Head;
pub use index::{Entry, list_index, root_prefix};
pub use reader::{SpanPage, read_head, read_record, read_spans};
pub use record::TraceRecord;
pub use span::{Span, SpanEvent, SpanFlag, SpanKind, SpanLink};
pub(crate) use stored::StoredDimensions;
pub use timing::{MAX_HOLD, SETTLE_WINDOW};
pub use unit::Key;
pub use worker::{TraceIngestionWorker, TraceSettings, View};

use opsloop_kernel::{Container, Stream, TraceId};

pub const NAME: &str = "TraceIngestionWorker";

/// Everything of a trace.
pub fn stream_of(trace: &TraceId) -> Stream {
    Stream::new(Container::Telemetry, format!("trace/{trace}"))
}
