//! Burn rates and the budget, and what they activate (SPEC 5.4.4(2) to (7)).

use super::{
    cells::Sum,
    slo::{Factored, RepeatedBreach, SloDefinition},
};
use crate::{events::Severity, series::number::rounded};
use opsloop_kernel::{Mutant, Timestamp, mutant, window::DAY_MS};
use serde::{Deserialize, Serialize};

/// Not met for this long, on fresh data: recovered.
const RECOVERY_HOLD_MS: i64 = 5 * 60_000;
/// What is left of the budget when it counts as restored.
const REARMED_AT: f64 = 0.05;

/// One rule in one slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Burn {
    pub rule: Factored,
    pub long: Sum,
    pub short: Sum,
    pub burn_long: Option<f64>,
    pub burn_short: Option<f64>,
    pub met: bool,
    /// Only the event minima fail.
    pub insufficient: bool,
}

impl Burn {
    pub fn of(slo: &SloDefinition, rule: Factored, long: Sum, short: Sum) -> Self {
        let burn = |s: &Sum| s.error_rate().map(|e| rounded(e / (1.0 - slo.objective)));
        let (burn_long, burn_short) = (burn(&long), burn(&short));
        let above = |b: Option<f64>| b.is_some_and(|b| b > rule.factor);
        let burns = !rule.omitted && above(burn_long) && above(burn_short);
        let enough = long.total >= slo.min_events && short.bad >= slo.min_bad_events;
        Self { met: burns && enough, insufficient: burns && !enough, rule, long, short, burn_long, burn_short }
    }
}

/// What is left of the error budget: 1 where nothing happened.
pub fn remaining(objective: f64, period: &Sum) -> f64 {
    let budget = (1.0 - objective) * period.total;
    if period.total <= 0.0 { 1.0 } else { rounded(1.0 - period.bad / budget) }
}

/// An active rule; its episode is `since`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Active {
    pub name: String,
    pub severity: Severity,
    pub since: Timestamp,
    /// One that a more severe rule inhibits is recorded only.
    pub announced: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_met_since: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The rule of this name is to be announced, under the episode of its activation.
    Breached {
        rule: String,
        since: Timestamp,
    },
    Recovered {
        rule: String,
        since: Timestamp,
    },
}

/// One slot of all rules, `burns` with the most severe first. Stale data keeps the state and starts the hold anew.
pub fn step(burns: &[Burn], mut active: Vec<Active>, at: Timestamp, fresh: bool) -> (Vec<Active>, Vec<Change>) {
    let (mut out, mut changes): (Vec<Active>, Vec<Change>) = (vec![], vec![]);
    for burn in burns {
        let rule = &burn.rule.rule;
        let found = active.iter().position(|a| a.name == rule.name);
        let had = found.map(|n| active.remove(n));
        let outranked = out.iter().any(|a| a.severity > rule.severity);
        let inhibited = outranked && !mutant::is(Mutant::InhibitionForgotten);
        let next = match had {
            Some(a) if !fresh && !mutant::is(Mutant::RecoveryOnStaleData) => Some(Active { not_met_since: None, ..a }),
            Some(a) if burn.met => Some(announced(a, inhibited, &mut changes)),
            Some(a) => held(a, at, &mut changes),
            None if fresh && burn.met => {
                let (name, severity) = (rule.name.clone(), rule.severity);
                let new = Active { name, severity, since: at, announced: false, not_met_since: None };
                Some(announced(new, inhibited, &mut changes))
            }
            None => None,
        };
        out.extend(next);
    }
    (out, changes)
}

fn announced(active: Active, inhibited: bool, changes: &mut Vec<Change>) -> Active {
    if !active.announced && !inhibited {
        changes.push(Change::Breached { rule: active.name.clone(), since: active.since });
    }
    Active { not_met_since: None, announced: active.announced || !inhibited, ..active }
}

/// Not met: recovered once that has lasted. A rule that was never announced emits no recovery.
fn held(active: Active, at: Timestamp, changes: &mut Vec<Change>) -> Option<Active> {
    let since = active.not_met_since.unwrap_or(at);
    if at.millis_since(since) < RECOVERY_HOLD_MS {
        return Some(Active { not_met_since: Some(since), ..active });
    }
    if active.announced {
        changes.push(Change::Recovered { rule: active.name, since: active.since });
    }
    None
}

/// What the budget did in a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    AsItWas,
    Exhausted,
    Rearmed,
}

/// `may_exhaust`: enough events, and enough of the period is over (A35).
pub fn budget(remaining: f64, exhausted: bool, may_exhaust: bool, fresh: bool) -> Budget {
    match exhausted {
        _ if !fresh => Budget::AsItWas,
        false if remaining <= 0.0 && may_exhaust => Budget::Exhausted,
        true if remaining >= REARMED_AT => Budget::Rearmed,
        _ => Budget::AsItWas,
    }
}

/// A breach that counts for the repetition, with its episode's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breach {
    pub at: Timestamp,
    pub episode: String,
}

/// Takes in a breach; whether it is the one that asks for a review: the count has come (again) to the limit. More than
/// one beyond the limit need not be known.
pub fn repeated(breaches: &mut Vec<Breach>, new: Breach, limit: RepeatedBreach) -> bool {
    let since = new.at.plus_millis(-i64::from(limit.within_days) * DAY_MS);
    breaches.retain(|b| b.at > since);
    breaches.push(new);
    let count = usize::try_from(limit.count).unwrap_or(usize::MAX);
    let asks = breaches.len() == count;
    let spare = breaches.len().saturating_sub(count.saturating_add(1));
    breaches.drain(..spare);
    asks
}

#[cfg(test)]
#[path = "burn_tests.rs"]
mod tests;
