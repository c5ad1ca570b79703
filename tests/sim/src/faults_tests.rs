//! The decisions about faults.

use super::*;
use opsloop_kernel::Container;

#[test]
fn rates_are_read_as_they_are_written() {
    for seed in 0..200 {
        let drawn = Rates::swarm(seed);
        assert_eq!(Rates::parse(&drawn.to_string()), Ok(drawn));
    }
    let small = Rates::parse("crash=0.00001").unwrap();
    assert_eq!(Rates::parse(&small.to_string()), Ok(small));
    assert_eq!(Rates::parse(""), Ok(Rates::default()));
}

#[test]
fn what_is_no_rate_is_said() {
    let why = |text: &str| Rates::parse(text).unwrap_err();
    assert!(why("nonsense").starts_with("`nonsense` is not NAME=RATE"));
    assert!(why("nonsense=1").starts_with("there is no fault `nonsense`; there are duplicate, reorder, "));
    assert_eq!(why("crash=often"), "`often` is no rate of crash: 0 to 1");
    assert_eq!(why("crash=1.1"), "the rate of crash is 1.1: 0 to 1");
    assert_eq!(why("crash=NaN"), "the rate of crash is NaN: 0 to 1");
}

#[test]
fn the_sense_is_that_of_the_worst_fault_that_is_on() {
    let sense = |text: &str| Rates::parse(text).unwrap().sense();
    assert_eq!(sense("crash=1,duplicate=1"), Sense::Strict);
    assert_eq!(sense("crash=1,delay=0.1,outage=0"), Sense::Tolerant);
    assert_eq!(sense("crash=1,delay=0.1,outage=0.1"), Sense::InvariantsOnly);
    let drawn: BTreeSet<_> = (0..100).map(|seed| Rates::swarm(seed).sense()).collect();
    assert_eq!(drawn.len(), 3, "a swarm draws every sense");
}

/// Some opportunities, over some victims, in a fixed order.
fn fired(rates: &str, only: Option<BTreeSet<Fired>>) -> Vec<Fired> {
    let chance = Chance::new(7, Rates::parse(rates).unwrap(), only);
    for victim in 0..10 {
        chance.run(victim);
        for about in 0..5 {
            for fault in [Fault::Crash, Fault::Resent, Fault::Crash] {
                chance.draw(fault, about);
            }
        }
    }
    chance.fired()
}

#[test]
fn a_fault_that_is_left_out_does_not_move_the_others() {
    for rates in ["crash=0.3,resent=0.3,long-delay=0.3", "crash=0.3,resent=0.3"] {
        let all = fired(rates, None);
        assert!(all.len() > 20, "{}", all.len());
        for left_out in &all {
            let others: Vec<Fired> = all.iter().filter(|f| *f != left_out).copied().collect();
            assert_eq!(fired(rates, Some(others.iter().copied().collect())), others);
        }
    }
}

#[test]
fn what_is_healed_or_off_does_not_occur() {
    let chance = Chance::new(7, Rates::parse("crash=1").unwrap(), None);
    chance.run(1);
    assert!(chance.hits(Fault::Crash, 1) && !chance.hits(Fault::Resent, 1));
    chance.heal();
    assert!(!chance.hits(Fault::Crash, 1));
}

#[test]
fn nobody_is_harmed_to_death_where_more_than_the_invariants_is_promised() {
    let harmed = |rates: &str| {
        let chance = Chance::new(7, Rates::parse(rates).unwrap(), None);
        chance.run(1);
        (0..100).filter(|about| chance.hits(Fault::Crash, *about)).count()
    };
    assert_eq!(harmed("crash=1"), HARMS_MAX as usize);
    assert_eq!(harmed("crash=1,poison=0.1"), 100);
}

#[test]
fn what_is_doomed_stays_so_and_a_stream_comes_back_with_the_rest() {
    let chance = Chance::new(1, Rates::parse("rejected=0.5,stuck-unit=1").unwrap_or_default(), None);
    let doomed: Vec<u64> = (0..100).filter(|n| chance.dooms(Fault::Rejected, *n)).collect();
    chance.run(7);
    assert!(doomed.len() > 20 && doomed.len() < 80, "{}", doomed.len());
    assert!(doomed.iter().all(|n| chance.dooms(Fault::Rejected, *n)));
    assert_eq!(chance.counts().of(Fault::Rejected), doomed.len() as u64);
    let stream = Stream::new(Container::Telemetry, "trace/1");
    assert!(chance.is_stuck(&TenantId::platform(), &stream));
    assert!(!chance.is_stuck(&TenantId::platform(), &Stream::new(Container::State, "incidents")));
    chance.heal();
    assert!(!chance.is_stuck(&TenantId::platform(), &stream));
}

#[test]
fn only_what_hinders_nobody_else_lets_nothing_starve() {
    let must = |text: &str| Rates::parse(text).unwrap_or_default().must_not_starve();
    assert!(must("stuck-unit=0.1,duplicate=0.3"));
    assert!(!must("stuck-unit=0.1,crash=0.1") && !must("duplicate=0.3") && !must("stuck-unit=0"));
    let alone = (0..400).filter(|seed| Rates::swarm(*seed).must_not_starve()).count();
    assert!(alone > 5, "{alone}");
}
