//! The windows of quality (SPEC 3.4): hours of the epoch, and days of the tenant's time zone from the first instant of
//! one to that of the next, be they 23, 24 or 25 hours long.

use jiff::{civil::Date, tz::TimeZone};
use opsloop_kernel::{
    Timestamp,
    window::{DAY_MS, HOUR_MS, REOPEN_HORIZON},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A window closes so long after its end.
pub const LATENESS: Duration = Duration::from_secs(300);
/// What closed longer ago than this before the tick is skipped (SPEC 3.8).
pub const CATCH_UP: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Nominal: a day is 1 d however long it is.
    pub size_ms: i64,
    pub start: Timestamp,
    pub end: Timestamp,
}

impl Window {
    pub fn hour_of(at: Timestamp) -> Self {
        let start = at.floor_to(HOUR_MS, 0);
        Self { size_ms: HOUR_MS, start, end: start.plus_millis(HOUR_MS) }
    }
    pub fn day_of(at: Timestamp, zone: &Zone) -> Self {
        let (start, end) = zone.day_of(at);
        Self { size_ms: DAY_MS, start, end }
    }
    pub fn of(size_ms: i64, at: Timestamp, zone: &Zone) -> Self {
        if size_ms == DAY_MS { Self::day_of(at, zone) } else { Self::hour_of(at) }
    }
    pub fn before(&self, zone: &Zone) -> Self {
        Self::of(self.size_ms, just_before(self.start), zone)
    }
    pub fn closes_at(&self) -> Timestamp {
        self.end.plus(LATENESS)
    }
    /// Oldest first, an hour before the day that ends with it.
    pub fn order(&self) -> (Timestamp, i64, Timestamp) {
        (self.end, self.size_ms, self.start)
    }
    pub fn is_past_catch_up(&self, tick: Timestamp) -> bool {
        self.closes_at() < tick.minus(CATCH_UP)
    }
    /// May no longer be revised once the newest window computed at its close has ended at `newest`.
    pub fn is_sealed(&self, newest: Timestamp) -> bool {
        self.end < newest.minus(REOPEN_HORIZON)
    }
}

/// The window that holds an item made at its very end is the one before: "after the window end" is what is ignored.
pub fn just_before(at: Timestamp) -> Timestamp {
    at.plus_millis(-1)
}

/// A time zone by its IANA name; one that is not known counts as UTC (settings refuse it at the start).
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    pub fn named(name: &str) -> Self {
        Self(TimeZone::get(name).unwrap_or(TimeZone::UTC))
    }
    pub fn exists(name: &str) -> bool {
        TimeZone::get(name).is_ok()
    }
    fn day_of(&self, at: Timestamp) -> (Timestamp, Timestamp) {
        let utc = at.floor_to(DAY_MS, 0);
        self.local_day_of(at).unwrap_or((utc, utc.plus_millis(DAY_MS)))
    }
    fn local_day_of(&self, at: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let date = jiff::Timestamp::from_millisecond(at.millis()).ok()?.to_zoned(self.0.clone()).date();
        Some((self.first_instant(date)?, self.first_instant(date.tomorrow().ok()?)?))
    }
    /// Midnight; where the clocks skip it the first instant after the gap, where they repeat it the earlier one.
    fn first_instant(&self, date: Date) -> Option<Timestamp> {
        Some(Timestamp::from_millis(date.to_zoned(self.0.clone()).ok()?.timestamp().as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }
    fn hours(zone: &str, text: &str) -> (Timestamp, i64) {
        let day = Window::day_of(at(text), &Zone::named(zone));
        (day.start, day.end.millis_since(day.start) / HOUR_MS)
    }

    #[test]
    fn days_have_23_24_or_25_hours() {
        assert_eq!(hours("UTC", "2026-03-29T12:00:00Z"), (at("2026-03-29T00:00:00Z"), 24));
        assert_eq!(hours("Europe/Berlin", "2026-03-29T12:00:00Z"), (at("2026-03-28T23:00:00Z"), 23));
        assert_eq!(hours("Europe/Berlin", "2026-10-25T12:00:00Z"), (at("2026-10-24T22:00:00Z"), 25));
        assert_eq!(hours("Asia/Kolkata", "2026-11-21T12:00:00Z"), (at("2026-11-20T18:30:00Z"), 24));
        assert_eq!(hours("No/Where", "2026-11-21T12:00:00Z"), (at("2026-11-21T00:00:00Z"), 24));
    }

    #[test]
    fn a_day_whose_midnight_is_skipped_begins_after_the_gap() {
        // Santiago: clocks go from 24:00 on September 5 to 01:00 on September 6.
        assert_eq!(hours("America/Santiago", "2026-09-06T12:00:00Z"), (at("2026-09-06T04:00:00Z"), 23));
    }

    #[test]
    fn the_day_before_is_the_one_that_ends_where_this_begins() {
        let zone = Zone::named("Europe/Berlin");
        let day = Window::day_of(at("2026-10-26T12:00:00Z"), &zone);
        let before = day.before(&zone);
        assert_eq!(before.end, day.start);
        assert_eq!(before.start, at("2026-10-24T22:00:00Z"));
    }
}
