//! How old the input of a result is (SPEC 3.11).

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a result rests on: the end of the newest closed window with a value, and whether that is too old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Freshness {
    pub as_of: Timestamp,
    pub lag_ms: u64,
    pub stale: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<StaleReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StaleReason {
    NoData,
    Lagging,
    SourceError,
    Partial,
}

impl Freshness {
    /// Stale when `at − as_of > stale_after`. `lagging` when the aggregation itself is behind (A21), else `no_data`.
    pub fn at(at: Timestamp, as_of: Timestamp, stale_after: Duration, lagging: bool) -> Self {
        let lag = at.millis_since(as_of).max(0);
        let stale = lagging || lag as u128 > stale_after.as_millis();
        let reason = stale.then_some(if lagging { StaleReason::Lagging } else { StaleReason::NoData });
        Self { as_of, lag_ms: lag.unsigned_abs(), stale, reason }
    }
}
