//! Windows, aligned to the epoch (SPEC 3.4).

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub const MINUTE_MS: i64 = 60_000;
pub const FIVE_MINUTES_MS: i64 = 5 * MINUTE_MS;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// A closed window may be revised for this long after its end; cost has 72 h.
pub const REOPEN_HORIZON: Duration = Duration::from_secs(24 * 3600);

/// `[start, start + size)`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    pub size_ms: i64,
    pub start: Timestamp,
}

impl Window {
    /// The window that contains an instant fact.
    pub const fn containing(at: Timestamp, size_ms: i64) -> Self {
        Self { size_ms, start: at.floor_to(size_ms, 0) }
    }
    /// The window of an interval fact `(s, e]`: that of `e − 1 ns`, whole (A66).
    pub const fn ending(end: Timestamp, size_ms: i64) -> Self {
        Self::containing(Timestamp::from_nanos(end.nanos() - 1), size_ms)
    }
    pub const fn end(&self) -> Timestamp {
        self.start.plus_millis(self.size_ms)
    }
    /// `end + allowedLateness`
    pub const fn closes_at(&self) -> Timestamp {
        self.end().plus(allowed_lateness(self.size_ms))
    }
    pub const fn next(&self) -> Self {
        Self { size_ms: self.size_ms, start: self.end() }
    }
    /// The window of a larger size in which this one lies.
    pub const fn parent(&self, size_ms: i64) -> Self {
        Self::containing(self.start, size_ms)
    }
}

/// 1m → 30 s, 5m → 90 s, 1h → 150 s: a window closes a tick after its last child. A day of quality: 300 s.
pub const fn allowed_lateness(size_ms: i64) -> Duration {
    Duration::from_secs(match size_ms {
        MINUTE_MS => 30,
        FIVE_MINUTES_MS => 90,
        HOUR_MS => 150,
        _ => 300,
    })
}

/// `3·w + allowedLateness(w)` (SPEC 3.11).
pub const fn stale_after(size_ms: i64) -> Duration {
    Duration::from_millis(3 * size_ms as u64 + allowed_lateness(size_ms).as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a66_an_interval_lies_whole_in_the_window_of_its_end() {
        let end: Timestamp = "2026-11-21T10:01:00.000Z".parse().unwrap();
        assert_eq!(Window::ending(end, MINUTE_MS).start.to_string(), "2026-11-21T10:00:00.000Z");
        assert_eq!(Window::containing(end, MINUTE_MS).start, end);
    }

    #[test]
    fn staleness_follows_the_size() {
        assert_eq!(stale_after(MINUTE_MS).as_secs(), 210);
        assert_eq!(stale_after(FIVE_MINUTES_MS).as_secs(), 990);
        assert_eq!(stale_after(HOUR_MS).as_secs(), 10_950);
    }
}
