//! MetricAggregationWorker (SPEC 5.2): raw points to series of 1m, 5m and 1h windows, deterministically.
//!
//! Aggregation is a fold over stored raw points, never over the order of arrival (A4). An arrival only stores chunks
//! and marks their windows; a window is closed by one unit and one commit (A65), and a correction walks forward from
//! window to window until what it hands on is as it was. The rule easily broken: "unchanged" is judged by the hash in
//! the ledger, which is committed with the outbox, never by the points, which may have gone ahead (A1, A64).
//! Left out on purpose: units are not converted, and explicit and exponential histograms never merge.

pub mod bucket;
mod compact;
mod fold;
mod group;
mod ledger;
pub mod raw;
pub mod combine;
pub mod explicit;
pub mod exponential;
pub mod names;
pub mod points;
pub mod quantile;
pub mod reader;
pub mod selector;
pub mod types;

pub use bucket::{Bucket, SeriesDefinition, Watermarks, with_definitions};
pub use points::{GroupId, GroupPoint, WindowPoints};
pub use reader::{read_bucket, read_points};
pub use selector::{Compiled, MatchOp, Matcher, Selector, Series};
pub use types::{Aggregation, Exemplar, HistogramValue, MetricPoint, Quality, Quantiles, SeriesKind};
