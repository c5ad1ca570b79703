//! A condition over the values of its selectors, per label set: true, false, or not known (SPEC 5.3.4(1), (2)).
//!
//! Absent data is neither true nor false. All and Any follow from what is known: one false part decides All, one true
//! part decides Any, whatever the others are; otherwise an unknown part leaves the whole unknown.

use super::condition::{Absence, Change, Condition, Look, Op, Ratio, Reducer, Threshold};
use crate::metric_aggregation::types::Total;
use opsloop_kernel::{LabelSet, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The values of one selector, of one aggregation, its groups combined over the labels outside its groupBy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selected {
    pub size_ms: i64,
    /// The end of the newest window that was read.
    pub up_to: Timestamp,
    /// In the order of their labels.
    pub sets: Vec<SetValues>,
    /// Why the selector cannot be evaluated at all, such as a unit that is none of time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetValues {
    pub labels: LabelSet,
    /// Ends of windows that have a value, ascending.
    pub values: Vec<(Timestamp, f64)>,
}

impl Selected {
    pub fn of(&self, labels: &LabelSet) -> &[(Timestamp, f64)] {
        let found = self.sets.binary_search_by(|s| s.labels.cmp(labels));
        found.ok().and_then(|n| self.sets.get(n)).map_or(&[], |s| s.values.as_slice())
    }
    pub fn newest(&self) -> Option<Timestamp> {
        self.sets.iter().filter_map(|s| s.values.last()).map(|v| v.0).max()
    }
}

/// What a condition says about one label set.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub truth: bool,
    pub value: f64,
    pub threshold: Option<f64>,
    pub op: Option<Op>,
    /// The end of the newest window with a value that was used.
    pub as_of: Timestamp,
    /// Up to when the windows speak: `as_of`, of an absence the newest window, which has nothing.
    pub evidence: Timestamp,
}

/// What all label sets of a slot are judged by.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// In the order of `Condition::reads`.
    pub data: &'a [Selected],
    /// Windows that end later are not there; `MAX` where the reading has ended there already.
    pub cut: Timestamp,
    /// From here on a selector without any value is absent.
    pub first_slot: Timestamp,
    pub slot: Timestamp,
    /// The newest values that earlier slots saw, per selector of an absence: label set and end.
    pub seen: &'a Seen,
}

/// Selector (in the order of `Condition::reads`), label set, end of its newest window with a value; in that order.
pub type Seen = Vec<(usize, LabelSet, Timestamp)>;

impl Evidence<'_> {
    /// Label sets with a value not older than `since`, and those whose absence is watched.
    pub fn label_sets(&self, condition: &Condition, since: Timestamp) -> BTreeSet<LabelSet> {
        let sets = self.data.iter().flat_map(|s| &s.sets);
        let live = sets.filter(|s| s.values.last().is_some_and(|v| v.0 >= since));
        let mut all: BTreeSet<_> = live.map(|s| s.labels.clone()).collect();
        all.extend(self.seen.iter().map(|(_, labels, _)| labels.clone()));
        if condition.group_by().is_empty() {
            all.insert(LabelSet::default());
        }
        all
    }

    /// `firing`: hysteresis applies (SPEC 5.3.4(2)). `None`: not known.
    pub fn judge(&self, condition: &Condition, labels: &LabelSet, firing: bool) -> Option<Verdict> {
        self.part(condition, &mut 0, labels, firing)
    }

    fn part(&self, condition: &Condition, leaf: &mut usize, labels: &LabelSet, firing: bool) -> Option<Verdict> {
        let first = *leaf;
        match condition {
            Condition::Threshold(c) => {
                *leaf += 1;
                self.threshold(c, first, labels, firing)
            }
            Condition::Ratio(c) => {
                *leaf += 2;
                self.ratio(c, first, labels)
            }
            Condition::Absence(c) => {
                *leaf += 1;
                self.absence(c, first, labels)
            }
            Condition::Change(c) => {
                *leaf += 1;
                self.change(c, first, labels)
            }
            Condition::All { conditions } => self.all_of(conditions, leaf, labels, firing, false),
            Condition::Any { conditions } => self.all_of(conditions, leaf, labels, firing, true),
        }
    }

    fn all_of(
        &self,
        parts: &[Condition],
        leaf: &mut usize,
        labels: &LabelSet,
        firing: bool,
        deciding: bool,
    ) -> Option<Verdict> {
        decided(parts.iter().map(|p| self.part(p, leaf, labels, firing)).collect(), deciding)
    }

    fn threshold(&self, c: &Threshold, leaf: usize, labels: &LabelSet, firing: bool) -> Option<Verdict> {
        let values = self.values(leaf, labels);
        let as_of = values.last()?.0;
        let value = reduced(values, as_of, &c.look)?;
        let held_by = c.recovery_threshold.filter(|_| firing);
        let truth = c.op.holds(value, c.threshold) || held_by.is_some_and(|r| c.op.holds(value, r));
        Some(Verdict::of(truth, value, Some((c.op, c.threshold)), as_of))
    }

    /// The denominator says when; a numerator without a value is 0. Below `minDenominator` the ratio is not judged bad.
    fn ratio(&self, c: &Ratio, leaf: usize, labels: &LabelSet) -> Option<Verdict> {
        let denominators = self.values(leaf + 1, labels);
        let as_of = denominators.last()?.0;
        let denominator = reduced(denominators, as_of, &c.look)?;
        let numerator = reduced(self.values(leaf, labels), as_of, &c.look).unwrap_or(0.0);
        let shown = if denominator == 0.0 { 0.0 } else { numerator / denominator };
        let enough = denominator != 0.0 && denominator >= c.min_denominator;
        Some(Verdict::of(enough && c.op.holds(shown, c.threshold), shown, Some((c.op, c.threshold)), as_of))
    }

    /// True when the closed windows have had no value for `forMs`.
    fn absence(&self, c: &Absence, leaf: usize, labels: &LabelSet) -> Option<Verdict> {
        let newest_window = self.data.get(leaf)?.up_to.min(self.cut);
        let remembered = || {
            let found = self.seen.binary_search_by(|(n, l, _)| (*n, l).cmp(&(leaf, labels)));
            found.ok().and_then(|n| self.seen.get(n)).map(|s| s.2)
        };
        let last = self.values(leaf, labels).last().map(|v| v.0).or_else(remembered);
        let (as_of, absent_ms) = match last {
            Some(last) => (last, newest_window.millis_since(last)),
            None if c.selector.group_by.is_empty() => (self.first_slot, self.slot.millis_since(self.first_slot)),
            None => return None,
        };
        let truth = absent_ms >= c.for_ms && (absent_ms > 0 || last.is_none());
        Some(Verdict { truth, value: 0.0, threshold: None, op: None, as_of, evidence: newest_window.max(as_of) })
    }

    /// Against the same range so much earlier; what has no value there, or 0, has no percentage.
    fn change(&self, c: &Change, leaf: usize, labels: &LabelSet) -> Option<Verdict> {
        let values = self.values(leaf, labels);
        let as_of = values.last()?.0;
        let now = reduced(values, as_of, &c.look)?;
        let before = reduced(values, as_of.plus_millis(-c.offset_ms), &c.look)?;
        let unchanged = now == before;
        let percent = if unchanged { 0.0 } else { (now - before) / before.abs() * 100.0 };
        let truth = percent.is_finite() && c.op.holds(percent, c.percent);
        let shown = if percent.is_finite() { percent } else { 0.0 };
        Some(Verdict::of(truth, shown, Some((c.op, c.percent)), as_of))
    }

    fn values(&self, leaf: usize, labels: &LabelSet) -> &[(Timestamp, f64)] {
        let all = self.data.get(leaf).map_or(&[][..], |s| s.of(labels));
        &all[..all.partition_point(|v| v.0 <= self.cut)]
    }
}

impl Verdict {
    fn of(truth: bool, value: f64, against: Option<(Op, f64)>, as_of: Timestamp) -> Self {
        Self { truth, value, threshold: against.map(|a| a.1), op: against.map(|a| a.0), as_of, evidence: as_of }
    }
}

/// All (`deciding` false) and Any (`deciding` true): the first part that decides is shown, the freshest one counts;
/// where all must agree, the oldest counts.
fn decided(parts: Vec<Option<Verdict>>, deciding: bool) -> Option<Verdict> {
    let known: Vec<&Verdict> = parts.iter().flatten().collect();
    let deciders: Vec<&Verdict> = known.iter().copied().filter(|v| v.truth == deciding).collect();
    if let Some(first) = deciders.first() {
        let as_of = deciders.iter().map(|v| v.as_of).max()?;
        let evidence = deciders.iter().map(|v| v.evidence).max()?;
        return Some(Verdict { as_of, evidence, ..(*first).clone() });
    }
    if known.len() < parts.len() {
        return None;
    }
    let as_of = known.iter().map(|v| v.as_of).min()?;
    let evidence = known.iter().map(|v| v.evidence).min()?;
    Some(Verdict { as_of, evidence, ..(*known.first()?).clone() })
}

/// The reducer over the range that ends at `end`, at least over the window that ends there.
fn reduced(values: &[(Timestamp, f64)], end: Timestamp, look: &Look) -> Option<f64> {
    // A window lies in the range whole: its start is not before the range's.
    let earliest_end = end.plus_millis(look.window_ms - look.span_ms());
    let range = values.iter().filter(|v| v.0 >= earliest_end && v.0 <= end);
    let range: Vec<f64> = range.map(|v| v.1).collect();
    let last = *range.last()?;
    let total = || range.iter().copied().collect::<Total>().value();
    Some(match look.reducer {
        Reducer::Last => last,
        Reducer::Avg => total() / range.len() as f64,
        Reducer::Min => range.iter().copied().fold(f64::INFINITY, f64::min),
        Reducer::Max => range.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Reducer::Sum => total(),
        Reducer::Rate => total() * 1000.0 / look.span_ms() as f64,
    })
}

/// What the next slot remembers of absences: the newest values, where they are not older than `since` or `kept` says so.
pub fn remembered(
    condition: &Condition,
    evidence: &Evidence<'_>,
    since: Timestamp,
    kept: impl Fn(&LabelSet) -> bool,
) -> Seen {
    let mut newest: BTreeMap<(usize, LabelSet), Timestamp> = BTreeMap::new();
    let old = evidence.seen.iter().map(|(n, l, at)| (*n, l.clone(), *at));
    let read = absence_leaves(condition).into_iter().filter_map(|n| evidence.data.get(n).map(|s| (n, s)));
    let new = read
        .flat_map(|(n, s)| s.sets.iter().filter_map(move |set| Some((n, set.labels.clone(), set.values.last()?.0))));
    for (n, labels, at) in old.chain(new) {
        let entry = newest.entry((n, labels)).or_insert(at);
        *entry = at.max(*entry);
    }
    newest.into_iter().filter(|((_, l), at)| *at >= since || kept(l)).map(|((n, l), at)| (n, l, at)).collect()
}

fn absence_leaves(condition: &Condition) -> Vec<usize> {
    fn walk(condition: &Condition, leaf: &mut usize, out: &mut Vec<usize>) {
        match condition {
            Condition::All { conditions } | Condition::Any { conditions } => {
                conditions.iter().for_each(|p| walk(p, leaf, out));
            }
            Condition::Absence(_) => {
                out.push(*leaf);
                *leaf += 1;
            }
            Condition::Ratio(_) => *leaf += 2,
            Condition::Threshold(_) | Condition::Change(_) => *leaf += 1,
        }
    }
    let mut out = vec![];
    walk(condition, &mut 0, &mut out);
    out
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
