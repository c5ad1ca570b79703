//! Bad and total per window, and their sums over the windows of a slot (SPEC 5.4.4(1)).
//!
//! Up to 6 h are summed from 1m points; above, from 1h points, and from 1m points for the first part hour (beyond 7 d
//! left out) and the open tail. Hours that no late fact revises any more are kept in a document of their own, so that a
//! slot does not read a month of points; hours of a WindowRatio, whose condition only small windows can answer, are
//! kept as soon as they are over.

use super::slo::{Period, Sli, SloDefinition};
use crate::{
    metric_aggregation::types::Total,
    series::{Evidence, Reading, Selected, source::Range},
};
use opsloop_kernel::{
    Timestamp,
    window::{DAY_MS, HOUR_MS, REOPEN_HORIZON},
};
use serde::{Deserialize, Serialize};

/// Up to here 1m points are summed.
const MINUTES_MS: i64 = 6 * HOUR_MS;
/// 1m points live 8 d: a part hour further back is left out.
const PART_HOUR_MS: i64 = 7 * DAY_MS;

/// One window: how much happened in it, and how much of that was bad.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub end: Timestamp,
    pub bad: f64,
    pub total: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    pub bad: f64,
    pub total: f64,
}
impl Sum {
    /// `None`: nothing happened, and so nothing went wrong.
    pub fn error_rate(&self) -> Option<f64> {
        (self.total > 0.0).then(|| self.bad / self.total)
    }
}

/// The hours that are settled: all that end at or before `until`, from `from` on; those without anything are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hours {
    pub from: Timestamp,
    pub until: Timestamp,
    pub cells: Vec<Cell>,
}

/// What a slot sums up, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The end of the newest window, the same for all selectors.
    pub end: Timestamp,
    /// The end of the newest hour that is summed as one.
    pub hour_end: Timestamp,
    pub period_from: Timestamp,
    pub period_ms: i64,
    step_ms: i64,
    /// Where the windows of the rules begin.
    froms: Vec<Timestamp>,
}

impl Frame {
    pub fn of(slo: &SloDefinition, reading: &Reading) -> Self {
        let step_ms = slo.sli.step_ms();
        let end = reading.end(step_ms);
        let of_condition = matches!(slo.sli, Sli::WindowRatio { .. });
        let hour_end = if of_condition { end.floor_to(HOUR_MS, 0) } else { reading.end(HOUR_MS).min(end) };
        let (period_from, period_ms) = period(slo.period, end);
        let windows = slo.factored(period_ms).into_iter().flat_map(|f| [f.rule.long_ms, f.rule.short_ms]);
        let froms = windows.map(|w| end.plus_millis(-w)).collect();
        Self { end, hour_end, period_from, period_ms, step_ms, froms }
    }

    fn spans(&self) -> impl Iterator<Item = Timestamp> {
        self.froms.iter().copied().chain([self.period_from])
    }

    fn is_long(&self, from: Timestamp) -> bool {
        self.end.millis_since(from) > MINUTES_MS
    }

    /// The first whole hour of a long span.
    fn first_hour(&self, from: Timestamp) -> Timestamp {
        let floor = from.floor_to(HOUR_MS, 0);
        let first = if floor == from { from } else { floor.plus_millis(HOUR_MS) };
        first.min(self.hour_end)
    }

    /// Where the hours begin that any span needs.
    pub fn hours_from(&self) -> Timestamp {
        let long = self.spans().filter(|f| self.is_long(*f)).map(|f| self.first_hour(f));
        long.min().unwrap_or(self.hour_end)
    }

    /// Up to where hours do not change any more.
    pub fn settled_until(&self, sli: &Sli) -> Timestamp {
        match sli {
            Sli::WindowRatio { .. } => self.hour_end,
            _ => self.end.minus(REOPEN_HORIZON).plus_millis(-HOUR_MS).floor_to(HOUR_MS, 0).min(self.hour_end),
        }
    }

    /// The small windows to read, by their start; of a WindowRatio also those of the hours that are not kept yet.
    pub fn small(&self, sli: &Sli, hours: &Hours) -> Vec<Range> {
        let mut ranges = vec![Range { from: self.hour_end, until: self.end }];
        for from in self.spans() {
            if !self.is_long(from) {
                ranges.push(Range { from, until: self.end });
            } else if self.end.millis_since(from) <= PART_HOUR_MS {
                ranges.push(Range { from, until: self.first_hour(from) });
            }
        }
        if matches!(sli, Sli::WindowRatio { .. }) {
            ranges.push(Range { from: self.unkept_from(hours), until: self.hour_end });
        }
        ranges
    }

    /// The hours to read, by their start.
    pub fn large(&self, hours: &Hours) -> Range {
        Range { from: hours.until.max(self.hours_from()), until: self.hour_end }
    }

    fn unkept_from(&self, hours: &Hours) -> Timestamp {
        let kept = self.end.plus_millis(-PART_HOUR_MS).floor_to(HOUR_MS, 0);
        hours.until.max(self.hours_from()).max(kept)
    }
}

/// Where the period begins that ends at `end`, and its length.
fn period(period: Period, end: Timestamp) -> (Timestamp, i64) {
    match period {
        Period::Rolling { days } => {
            let ms = i64::from(days) * DAY_MS;
            (end.plus_millis(-ms), ms)
        }
        // The month of the newest window, not of the instant at which it ends.
        Period::CalendarMonth => month(end.plus_millis(-1)).unwrap_or((end, DAY_MS)),
    }
}

fn month(at: Timestamp) -> Option<(Timestamp, i64)> {
    let zoned = jiff::Timestamp::from_millisecond(at.millis()).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    let first = zoned.date().first_of_month();
    let days = i64::from(first.days_in_month());
    let start = first.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
    Some((Timestamp::from_millis(start), days * DAY_MS))
}

/// All windows of a slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cells {
    pub small: Vec<Cell>,
    pub hours: Vec<Cell>,
}

impl Cells {
    /// From what was read: `small` and `large` in the order of `Sli::reads`.
    pub fn of(slo: &SloDefinition, frame: &Frame, small: &[Selected], large: &[Selected], kept: &Hours) -> Self {
        let cells = match &slo.sli {
            Sli::WindowRatio { .. } => judged(slo, frame, small, kept),
            sli => counted(sli, small),
        };
        let read = match &slo.sli {
            Sli::WindowRatio { .. } => tallied(&cells, frame, kept),
            sli => counted(sli, large),
        };
        let older = kept.cells.iter().copied();
        let newer = read.into_iter().filter(|c| c.end > kept.until);
        Self { small: cells, hours: older.chain(newer).collect() }
    }

    /// The end of the newest window in which there was anything to count.
    pub fn as_of(&self) -> Option<Timestamp> {
        self.small.iter().chain(&self.hours).map(|c| c.end).max()
    }

    pub fn over(&self, frame: &Frame, from: Timestamp) -> Sum {
        if !frame.is_long(from) {
            return within(&self.small, frame.step_ms, from, frame.end);
        }
        let first_hour = frame.first_hour(from);
        let part_hour = frame.end.millis_since(from) <= PART_HOUR_MS;
        let head_from = if part_hour { from } else { first_hour };
        let parts = [
            within(&self.small, frame.step_ms, head_from, first_hour),
            within(&self.hours, HOUR_MS, first_hour, frame.hour_end),
            within(&self.small, frame.step_ms, frame.hour_end, frame.end),
        ];
        Sum {
            bad: parts.iter().map(|p| p.bad).collect::<Total>().value(),
            total: parts.iter().map(|p| p.total).collect::<Total>().value(),
        }
    }

    /// The hours to keep from now on; `None`: as they are.
    pub fn settled(&self, slo: &SloDefinition, frame: &Frame, kept: &Hours) -> Option<Hours> {
        let (from, until) = (frame.hours_from(), frame.settled_until(&slo.sli));
        if until <= kept.until {
            return None;
        }
        let cells = self.hours.iter().filter(|c| c.end > from && c.end <= until).copied();
        Some(Hours { from, until, cells: cells.collect() })
    }
}

/// Windows that lie in `[from, until)` whole.
fn within(cells: &[Cell], size_ms: i64, from: Timestamp, until: Timestamp) -> Sum {
    let inside = || cells.iter().filter(|c| c.end.plus_millis(-size_ms) >= from && c.end <= until);
    Sum {
        bad: inside().map(|c| c.bad).collect::<Total>().value(),
        total: inside().map(|c| c.total).collect::<Total>().value(),
    }
}

/// The ratios: the total says which windows there are; what has no bad (or good) part in one has 0 of it.
fn counted(sli: &Sli, read: &[Selected]) -> Vec<Cell> {
    let [part, total] = read else { return vec![] };
    let of = |s: &Selected| s.sets.first().map(|set| set.values.clone()).unwrap_or_default();
    let parts = of(part);
    let bad_is_read = matches!(sli, Sli::RequestRatio { bad: Some(_), .. });
    let cell = |(end, total): (Timestamp, f64)| {
        let part = parts.binary_search_by_key(&end, |p| p.0).ok().and_then(|n| parts.get(n)).map_or(0.0, |p| p.1);
        Cell { end, bad: if bad_is_read { part } else { (total - part).max(0.0) }, total }
    };
    of(total).into_iter().map(cell).collect()
}

/// A WindowRatio: each window in which the condition is known counts one.
fn judged(slo: &SloDefinition, frame: &Frame, read: &[Selected], kept: &Hours) -> Vec<Cell> {
    let Sli::WindowRatio { condition, window_ms } = &slo.sli else { return vec![] };
    let seen = vec![];
    let mut cells = vec![];
    for range in crate::series::source::joined(frame.small(&slo.sli, kept), Timestamp::EPOCH) {
        let mut end = range.from.floor_to(*window_ms, 0).plus_millis(*window_ms);
        while end <= range.until {
            let evidence = Evidence { data: read, cut: end, first_slot: end, slot: end, seen: &seen };
            let verdicts = evidence.label_sets(condition, end).into_iter();
            let verdicts: Vec<_> = verdicts.filter_map(|l| evidence.judge(condition, &l, false)).collect();
            if verdicts.iter().any(|v| v.as_of == end) {
                let bad = verdicts.iter().any(|v| v.as_of == end && !v.truth);
                cells.push(Cell { end, bad: if bad { 1.0 } else { 0.0 }, total: 1.0 });
            }
            end = end.plus_millis(*window_ms);
        }
    }
    cells
}

/// Whole hours made of small windows, from where none is kept yet.
fn tallied(cells: &[Cell], frame: &Frame, kept: &Hours) -> Vec<Cell> {
    let mut hours = vec![];
    let mut from = frame.unkept_from(kept);
    while from < frame.hour_end {
        let end = from.plus_millis(HOUR_MS);
        let sum = within(cells, frame.step_ms, from, end);
        if sum.total > 0.0 {
            hours.push(Cell { end, bad: sum.bad, total: sum.total });
        }
        from = end;
    }
    hours
}

#[cfg(test)]
#[path = "cells_tests.rs"]
mod tests;
