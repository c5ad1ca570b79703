//! LogIngestionWorker (SPEC 5.10.1, A32): log records by trace, otherwise by module and hour.
//!
//! A batch's records of one stream are chunks of their own, each with a small head beside it, so that counting reads
//! heads only. Chunks are a function of their batch and put blindly: a repetition writes the same. Left out on purpose:
//! there is no event, no index, and no record that joins several batches.

mod accept;
pub mod chunk;
mod endpoint;
mod reader;
pub mod record;
mod worker;

pub use accept::{Input, LogArrival};
pub use chunk::ChunkHead;
pub use endpoint::endpoints;
pub use reader::{LogPage, log_refs, read_logs};
pub use record::LogShown;
pub use worker::{Key, LogIngestionWorker};

use opsloop_kernel::{Container, Stream, Timestamp, TraceId, window::HOUR_MS};

pub const NAME: &str = "LogIngestionWorker";

/// The logs of a trace.
pub fn stream_of(trace: &TraceId) -> Stream {
    Stream::new(Container::Telemetry, format!("logs/{trace}"))
}

/// The logs of a module in an hour that belong to no trace; `None`: they name no module.
pub fn module_stream(module: Option<&str>, at: Timestamp) -> Stream {
    let hour = at.floor_to(HOUR_MS, 0).millis();
    Stream::new(Container::Telemetry, format!("logs/{}/{hour}", module.unwrap_or("-")))
}
