//! Slots in event time (SPEC 5.3.1): when they are, whether the windows they read are there, and when waiting ends.

use crate::metric_aggregation::bucket::newest_end;
use opsloop_kernel::{Mutant, Timestamp, json::sha256_hex, mutant, window::allowed_lateness};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Missed slots are evaluated back to this long before the tick; older ones are left out (SPEC 5.3.4(5)).
pub const CATCH_UP: Duration = Duration::from_secs(3600);

/// Where the slots of a rule are: at `k·cadence + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grid {
    pub cadence_ms: i64,
    pub offset_ms: i64,
}

impl Grid {
    /// `spread` takes the offset from the id, so that not all rules are due at the same instant.
    pub fn of(id: &str, cadence_ms: i64, spread: bool) -> Self {
        let cadence_ms = cadence_ms.max(1);
        let head: String = sha256_hex(id.as_bytes()).chars().take(16).collect();
        let drawn = u64::from_str_radix(&head, 16).unwrap_or(0) % cadence_ms.unsigned_abs();
        Self { cadence_ms, offset_ms: if spread { i64::try_from(drawn).unwrap_or(0) } else { 0 } }
    }
    pub fn after(&self, at: Timestamp) -> Timestamp {
        at.floor_to(self.cadence_ms, self.offset_ms).plus_millis(self.cadence_ms)
    }
    pub fn at_or_after(&self, at: Timestamp) -> Timestamp {
        let floor = at.floor_to(self.cadence_ms, self.offset_ms);
        if floor == at { at } else { floor.plus_millis(self.cadence_ms) }
    }
    pub fn before(&self, at: Timestamp) -> Timestamp {
        self.at_or_after(at).plus_millis(-self.cadence_ms)
    }
}

/// What the root keeps of the slots themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pace {
    /// The first slot of what is evaluated now: from there on a selector without any value counts as absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_slot: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_slot: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waits: Option<Waits>,
}

/// How long the last slot of what was deleted is remembered: longer than a command can hang in its invocation.
pub const ENDED_KEPT_MS: i64 = 86_400_000;

impl Pace {
    /// Nothing is evaluated any more. Under the same id no slot is ever judged twice, also where a command that was
    /// held up makes it anew: what is announced of a slot has its identity from the slot.
    pub fn ended(slot: Timestamp) -> Self {
        Self { last_slot: Some(slot), ..Self::default() }
    }

    /// From when on there may be slots again.
    pub fn resumes(&self, at: Timestamp) -> Timestamp {
        self.last_slot.map_or(at, |last| at.max(last))
    }

    /// The slot is over.
    pub fn pass(&mut self, slot: Timestamp, waits: Option<Waits>) {
        self.first_slot = self.first_slot.or(Some(slot));
        self.last_slot = Some(slot);
        self.waits = waits;
    }
}

/// The watermark that is too old, and the tick which first found it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    pub watermark: Timestamp,
    pub since: Timestamp,
}

/// The smallest watermark per window size, over the buckets that are read (SPEC 3.11).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Watermarks(pub BTreeMap<i64, Timestamp>);

impl Watermarks {
    /// Takes in one bucket's watermark; one that it does not have yet is that of the epoch.
    pub fn meet(&mut self, size_ms: i64, watermark: Option<Timestamp>) {
        let mark = watermark.unwrap_or(Timestamp::EPOCH);
        self.0.entry(size_ms).and_modify(|m| *m = mark.min(*m)).or_insert(mark);
    }
}

/// How far a slot reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// The end of the newest window, per size.
    pub up_to: BTreeMap<i64, Timestamp>,
    /// Evaluated without the windows it waited for: always stale.
    pub lagging: bool,
    /// Up to when silence is known: the slot, of a lagging reading the slot that its windows would have sufficed for.
    pub known_until: Timestamp,
}
impl Reading {
    pub fn end(&self, size_ms: i64) -> Timestamp {
        self.up_to.get(&size_ms).copied().unwrap_or(Timestamp::EPOCH)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The windows are not there yet: the slot stays due.
    Waits(Waits),
    Reads(Reading, Option<Waits>),
}

/// Whether the slot `at` can be evaluated by this tick (A67): with all its windows; without them once the watermark has
/// stood still for longer than `patience`; otherwise it waits. Where windows of several sizes are behind, the smallest
/// size tells whether aggregation moves.
pub fn reach(at: Timestamp, tick: Timestamp, marks: &Watermarks, patience: Duration, waits: Option<Waits>) -> Reach {
    let behind = marks.0.iter().find(|(size, mark)| **mark < newest_end(**size, at));
    let Some((_, mark)) = behind.filter(|_| !mutant::is(Mutant::SlotBeforeItsWatermark)) else {
        let up_to = marks.0.keys().map(|size| (*size, newest_end(*size, at))).collect();
        return Reach::Reads(Reading { up_to, lagging: false, known_until: at }, None);
    };
    let waits = match waits {
        Some(w) if w.watermark == *mark => w,
        _ => Waits { watermark: *mark, since: tick },
    };
    if u128::try_from(tick.millis_since(waits.since)).unwrap_or(0) <= patience.as_millis() {
        return Reach::Waits(waits);
    }
    let up_to: BTreeMap<_, _> = marks.0.iter().map(|(s, m)| (*s, newest_end(*s, at).min(*m))).collect();
    let known_until = up_to.iter().map(|(s, end)| end.plus(allowed_lateness(*s))).min().unwrap_or(at);
    Reach::Reads(Reading { up_to, lagging: true, known_until }, Some(waits))
}

/// Where catch-up begins, if the slot is too old to be evaluated: the first one of the hour before the tick.
pub fn skipped_to(at: Timestamp, tick: Timestamp, grid: &Grid) -> Option<Timestamp> {
    let horizon = tick.minus(CATCH_UP);
    (at < horizon).then(|| grid.at_or_after(horizon))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opsloop_kernel::window::{HOUR_MS, MINUTE_MS, stale_after};

    fn t(text: &str) -> Timestamp {
        format!("2026-11-21T{text}.000Z").parse().unwrap()
    }
    fn marks(minute: &str) -> Watermarks {
        Watermarks([(MINUTE_MS, t(minute))].into())
    }
    fn reach_1m(slot: &str, tick: &str, mark: &str, waits: Option<Waits>) -> Reach {
        reach(t(slot), t(tick), &marks(mark), stale_after(MINUTE_MS), waits)
    }

    #[test]
    fn a67_a_slot_reads_exactly_the_windows_that_close_by_it() {
        assert_eq!(newest_end(MINUTE_MS, t("10:05:00")), t("10:04:00"));
        assert_eq!(newest_end(MINUTE_MS, t("10:04:30")), t("10:04:00"));
        assert_eq!(newest_end(HOUR_MS, t("10:02:29")), t("09:00:00"));
        assert_eq!(newest_end(HOUR_MS, t("10:02:30")), t("10:00:00"));
    }

    #[test]
    fn aew_13_a_watermark_that_moves_ends_the_waiting_fresh_a67() {
        let Reach::Waits(w) = reach_1m("10:04:00", "10:04:00", "10:02:00", None) else { panic!("waits") };
        assert_eq!(w, Waits { watermark: t("10:02:00"), since: t("10:04:00") });
        let Reach::Reads(r, waits) = reach_1m("10:05:00", "10:05:30", "10:04:00", Some(w)) else { panic!("reads") };
        assert_eq!((r.lagging, r.end(MINUTE_MS), waits), (false, t("10:04:00"), None));
    }

    #[test]
    fn aew_13_a_watermark_that_stands_is_waited_for_210_s_and_not_a_second_less_a67() {
        let w = Some(Waits { watermark: t("10:02:00"), since: t("10:04:00") });
        assert!(matches!(reach_1m("10:04:00", "10:07:30", "10:02:00", w), Reach::Waits(_)));
        for slot in ["10:04:00", "10:07:00"] {
            let Reach::Reads(r, waits) = reach_1m(slot, "10:07:45", "10:02:00", w) else { panic!("reads") };
            assert!(r.lagging);
            assert_eq!((r.end(MINUTE_MS), waits, r.known_until), (t("10:02:00"), w, t("10:02:30")));
        }
        // It moved, though not far enough: the waiting starts anew.
        let Reach::Waits(anew) = reach_1m("10:08:00", "10:08:00", "10:03:00", w) else { panic!("waits") };
        assert_eq!(anew.since, t("10:08:00"));
    }

    #[test]
    fn slots_lie_on_the_grid() {
        let grid = Grid { cadence_ms: 60_000, offset_ms: 7_000 };
        assert_eq!(grid.after(t("10:00:07")), t("10:01:07"));
        assert_eq!(grid.at_or_after(t("10:00:07")), t("10:00:07"));
        assert_eq!(grid.before(t("10:00:07")), t("09:59:07"));
        assert_eq!(grid.before(t("10:00:08")), t("10:00:07"));
        assert_eq!(Grid::of("alr-7", 60_000, false).offset_ms, 0);
        let spread = Grid::of("alr-7", 60_000, true).offset_ms;
        let first8 = u64::from_str_radix(&sha256_hex(b"alr-7")[..16], 16).unwrap();
        assert_eq!(spread, i64::try_from(first8 % 60_000).unwrap());
    }

    #[test]
    fn catch_up_goes_back_an_hour_before_the_tick() {
        let grid = Grid { cadence_ms: 60_000, offset_ms: 0 };
        assert_eq!(skipped_to(t("10:03:00"), t("12:30:15"), &grid), Some(t("11:31:00")));
        assert_eq!(skipped_to(t("11:31:00"), t("12:30:15"), &grid), None);
    }
}
