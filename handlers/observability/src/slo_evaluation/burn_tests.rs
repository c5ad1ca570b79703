//! Activation, hold, inhibition, budget and repetition (SPEC 5.4.4).

use super::{super::slo::tests::slo, *};
use serde_json::json;

fn t(minute: i64) -> Timestamp {
    "2026-11-21T10:00:00Z".parse::<Timestamp>().unwrap().plus_millis(minute * 60_000)
}
fn sum(bad: f64, total: f64) -> Sum {
    Sum { bad, total }
}
/// The default rules, each met or not.
fn burns(fast: bool, slow: bool) -> Vec<Burn> {
    let slo = slo(json!({}));
    let rules = slo.factored(30 * DAY_MS).into_iter();
    let high = |met: bool| if met { sum(500.0, 1000.0) } else { sum(0.0, 1000.0) };
    let met = |name: &str| (name == "fast" && fast) || (name == "slow" && slow);
    rules.map(|f| Burn::of(&slo, f.clone(), high(met(&f.rule.name)), high(met(&f.rule.name)))).collect()
}
struct Run(Vec<Active>);
impl Run {
    fn at(&mut self, minute: i64, fast: bool, slow: bool) -> Vec<String> {
        self.slot(minute, fast, slow, true)
    }
    fn slot(&mut self, minute: i64, fast: bool, slow: bool, fresh: bool) -> Vec<String> {
        let (active, changes) = step(&burns(fast, slow), std::mem::take(&mut self.0), t(minute), fresh);
        self.0 = active;
        let said = |c: Change| match c {
            Change::Breached { rule, since } => format!("{rule} breached {}", since.millis_since(t(0)) / 60_000),
            Change::Recovered { rule, since } => format!("{rule} recovered {}", since.millis_since(t(0)) / 60_000),
        };
        changes.into_iter().map(said).collect()
    }
}

#[test]
fn slo_07_a_rule_recovers_after_five_minutes_of_not_being_met() {
    let mut run = Run(vec![]);
    assert_eq!(run.at(0, true, false), ["fast breached 0"]);
    for minute in 20..25 {
        assert!(run.at(minute, false, false).is_empty(), "{minute}");
    }
    assert_eq!(run.at(25, false, false), ["fast recovered 0"]);
    assert!(run.0.is_empty());
}

#[test]
fn slo_07_a_met_or_stale_slot_starts_the_five_minutes_anew() {
    for fresh in [true, false] {
        let mut run = Run(vec![]);
        let _ = run.at(0, true, false);
        for minute in 20..24 {
            assert!(run.at(minute, false, false).is_empty());
        }
        assert!(run.slot(24, fresh, false, fresh).is_empty());
        for minute in 25..30 {
            assert!(run.at(minute, false, false).is_empty());
        }
        assert_eq!(run.at(30, false, false), ["fast recovered 0"]);
    }
}

#[test]
fn stale_data_keeps_the_state() {
    let mut run = Run(vec![]);
    assert!(run.slot(0, true, true, false).is_empty());
    assert!(run.0.is_empty());
    let _ = run.at(1, true, false);
    for minute in 2..60 {
        assert!(run.slot(minute, false, false, false).is_empty());
    }
    assert_eq!(run.0.len(), 1);
}

#[test]
fn a_severe_rule_inhibits_a_lesser_one_until_it_recovers() {
    let mut run = Run(vec![]);
    assert_eq!(run.at(0, true, true), ["fast breached 0"]);
    assert_eq!(run.0.len(), 2);
    for minute in 1..6 {
        assert!(run.at(minute, false, true).is_empty());
    }
    // Still met when the severe one recovers: announced then, under the episode in which it became active.
    assert_eq!(run.at(6, false, true), ["fast recovered 0", "slow breached 0"]);
    // One that was announced recovers also while a severe one is active.
    assert_eq!(run.at(7, true, false), ["fast breached 7"]);
    for minute in 8..12 {
        assert!(run.at(minute, true, false).is_empty());
    }
    assert_eq!(run.at(12, true, false), ["slow recovered 0"]);
}

#[test]
fn a_rule_that_was_never_announced_emits_no_recovery() {
    let mut run = Run(vec![]);
    let _ = run.at(0, true, true);
    for minute in 1..7 {
        assert!(run.at(minute, true, false).is_empty());
    }
    assert_eq!(run.0.len(), 1);
}

#[test]
fn slo_04_burns_without_enough_events_are_insufficient_data() {
    let slo = slo(json!({}));
    let fast = slo.factored(30 * DAY_MS).remove(0);
    let burn = Burn::of(&slo, fast.clone(), sum(1.0, 20.0), sum(1.0, 20.0));
    assert_eq!((burn.burn_long, burn.met, burn.insufficient), (Some(50.0), false, true));
    let none = Burn::of(&slo, fast, sum(0.0, 0.0), sum(0.0, 0.0));
    assert_eq!((none.burn_long, none.met, none.insufficient), (None, false, false));
}

#[test]
fn burns_are_compared_as_rounded() {
    let slo = slo(json!({"objective": 0.99}));
    let fast = slo.factored(30 * DAY_MS).remove(0);
    // 144 of 1000 at 99 % is 14.4, and not above the factor, whatever the last bits say.
    assert!(!Burn::of(&slo, fast.clone(), sum(144.0, 1000.0), sum(144.0, 1000.0)).met);
    assert!(Burn::of(&slo, fast, sum(144.001, 1000.0), sum(144.001, 1000.0)).met);
}

#[test]
fn slo_06_the_budget_is_exhausted_once_and_rearmed_at_five_percent_a35() {
    let left = |bad: f64| remaining(0.999, &sum(bad, 1_000_000.0));
    assert_eq!([left(400.0), left(1_000.0), left(1_200.0), left(950.0)], [0.6, 0.0, -0.2, 0.05]);
    assert_eq!(budget(left(1_000.0), false, true, true), Budget::Exhausted);
    assert_eq!(budget(left(1_200.0), true, true, true), Budget::AsItWas);
    assert_eq!(budget(left(951.0), true, true, true), Budget::AsItWas);
    assert_eq!(budget(left(950.0), true, true, true), Budget::Rearmed);
    assert_eq!(budget(left(1_000.0), false, false, true), Budget::AsItWas);
    assert_eq!(budget(left(1_000.0), false, true, false), Budget::AsItWas);
    assert_eq!(budget(left(950.0), true, true, false), Budget::AsItWas);
}

#[test]
fn slo_09_the_third_severe_breach_within_a_week_asks_for_a_review() {
    let limit = RepeatedBreach::default();
    let mut breaches = vec![];
    let mut on_day = |day: i64| {
        let episode = format!("slo-1:fast:{day}");
        repeated(&mut breaches, Breach { at: t(day * 24 * 60), episode }, limit)
    };
    assert_eq!([on_day(1), on_day(3), on_day(6)], [false, false, true]);
    // A fourth does not; once the count has fallen, the third one asks again.
    assert_eq!([on_day(7), on_day(12), on_day(20), on_day(21), on_day(22)], [false, true, false, false, true]);
}
