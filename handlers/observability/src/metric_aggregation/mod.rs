//! MetricAggregationWorker (SPEC 5.2): raw points to series of 1m, 5m and 1h windows, deterministically.
//!
//! Aggregation is a fold over stored raw points, never over the order of arrival (A4). An arrival only stores chunks
//! and marks their windows; a window is closed by one unit and one commit (A65), and a correction walks forward from
//! window to window until what it hands on is as it was. The rule easily broken: "unchanged" is judged by the hash in
//! the ledger, which is committed with the outbox, never by the points, which may have gone ahead (A1, A64).
//! Left out on purpose: units are not converted, and explicit and exponential histograms never merge.

mod announce;
mod arrive;
pub mod bucket;
mod close;
pub mod combine;
pub mod compact;
mod decode;
pub mod explicit;
pub mod exponential;
mod fold;
mod group;
mod identity;
pub mod ledger;
pub mod names;
mod observe;
mod point;
pub mod points;
pub mod quantile;
mod query;
pub mod raw;
pub mod reader;
mod revise;
pub mod selector;
pub mod types;
mod worker;

pub use announce::{AggregatedGroup, MetricAggregated};
pub use arrive::KEPT_MS;
pub use bucket::{Bucket, SeriesDefinition, Watermarks, with_definitions};
pub use close::{Closing, Sources};
pub use decode::{Arrived, ArrivedUnit, ArrivedWindow};
pub use ledger::Ledger;
pub use points::{GroupId, GroupPoint, WindowPoints};
pub use query::endpoints;
pub use raw::{Carry, Chunk};
pub use reader::{freshness, read_bucket, read_points};
pub use selector::{Compiled, MatchOp, Matcher, Selector, Series};
pub use types::{Aggregation, Exemplar, HistogramValue, MetricPoint, Quality, Quantiles, SeriesKind};
pub use worker::{Input, Key, MetricAggregationWorker, View};
