//! What goes on at one source: it begins, perhaps repeats, perhaps ends, and perhaps begins again. Events arrive when
//! they like; a clear may be there before its trigger (A7).

use super::{
    super::outside::{Place, Teller, moment},
    Target, sources,
};
use crate::rng::Rng;

/// One story of whatever source, the n-th of its tenant.
pub fn one(rng: &mut Rng, teller: &mut Teller<'_>, place: Place, n: i64) -> Vec<Target> {
    match rng.below(10) {
        0..=3 => alert(rng, teller, place, n),
        4 | 5 => slo(rng, teller, place, n),
        6 => cost(rng, teller, place, n),
        7 => drift(rng, teller, place, n),
        8 => deployment(rng, teller, place, n),
        _ => secret(rng, teller, place, n),
    }
}

/// How late an event is: most are at once, some so late that others overtake them.
fn delay(rng: &mut Rng) -> i64 {
    if rng.hit(0.2) { rng.between(10_000, 240_000) } else { rng.between(0, 2_000) }
}

/// Two rules on one place; severities rise and fall.
fn alert(rng: &mut Rng, teller: &mut Teller<'_>, place: Place, n: i64) -> Vec<Target> {
    let mut targets = vec![];
    for rule in 0..rng.between(1, 2) {
        let mut begins = moment(rng, teller.cast);
        for _ in 0..rng.between(1, 2) {
            let alert = sources::Alert { rule: format!("ext-{n}-{rule}"), place, active_at: begins };
            targets.push(alert.target());
            let lasts = rng.between(5_000, 240_000);
            let overtaken = rng.hit(0.25);
            let late = if overtaken { lasts + rng.between(1_000, 60_000) } else { delay(rng) };
            let said = alert.fires(rng, 0, false);
            teller.say(said, late);
            if rng.hit(0.4) {
                let said = alert.fires(rng, lasts * 3 / 4, true);
                teller.say(said, delay(rng));
            }
            if rng.hit(0.15) {
                teller.say(alert.clears(lasts / 2, true), delay(rng));
            }
            if overtaken || rng.hit(0.75) {
                teller.say(alert.clears(lasts, false), if overtaken { 0 } else { delay(rng) });
            }
            begins = begins.plus_millis(lasts + 10_000);
        }
    }
    targets
}

/// Two rules and the budget of one SLO: the end of one does not silence another (A9).
fn slo(rng: &mut Rng, teller: &mut Teller<'_>, place: Place, n: i64) -> Vec<Target> {
    let mut targets = vec![];
    for rule in ["fast", "slow", ""] {
        if !rng.hit(0.7) {
            continue;
        }
        let since = moment(rng, teller.cast);
        let burn = sources::Burn { slo: format!("ext-slo-{n}"), rule, place, since };
        targets.push(burn.target());
        let said = burn.breaches(rng);
        let late = delay(rng);
        teller.say(said, late);
        if rng.hit(0.7) {
            let lasts = rng.between(5_000, 200_000);
            teller.say(burn.recovers(lasts), delay(rng));
        }
    }
    targets
}

/// Found, retracted, and the retraction taken back.
fn cost(rng: &mut Rng, teller: &mut Teller<'_>, place: Place, n: i64) -> Vec<Target> {
    let at = moment(rng, teller.cast);
    let severity = sources::severity(rng);
    let direction = *rng.pick(&["spike", "spike", "drop"]);
    let anomaly = sources::Anomaly { id: format!("anm-{n}"), place, at, severity, direction };
    for revision in 0..rng.between(1, 3) {
        let late = delay(rng);
        teller.say(anomaly.revision(revision as u32), late);
    }
    vec![anomaly.target()]
}

/// Found; repaired, or superseded by what is found next.
fn drift(rng: &mut Rng, teller: &mut Teller<'_>, place: Place, n: i64) -> Vec<Target> {
    let at = moment(rng, teller.cast);
    let first = sources::Drift { hash: format!("{n:04}d01f"), revision: 1, place, at };
    let severity = sources::severity(rng);
    let late = delay(rng);
    teller.say(first.detected(severity, None), late);
    let mut targets = vec![first.target()];
    if rng.hit(0.5) {
        teller.say(first.resolved(rng.between(5_000, 120_000)), delay(rng));
    } else if rng.hit(0.6) {
        let at = at.plus_millis(rng.between(5_000, 120_000));
        let next = sources::Drift { hash: format!("{n:04}d02f"), at, ..first.clone() };
        let late = delay(rng);
        teller.say(next.detected(severity, Some(&first.hash)), late);
        targets.push(next.target());
    }
    targets
}

/// Completed, and perhaps taken back: it has no clear.
fn deployment(rng: &mut Rng, teller: &mut Teller<'_>, place: Place, n: i64) -> Vec<Target> {
    let at = moment(rng, teller.cast);
    let release = sources::Release { id: format!("dep-{n}"), place, at };
    let noop = rng.hit(0.2);
    teller.say(release.completed(noop), delay(rng));
    if rng.hit(0.3) {
        let before = sources::Release { id: format!("dep-{n}-before"), at: at.plus_millis(-60_000), ..release.clone() };
        teller.say(before.completed(false), delay(rng));
    }
    if rng.hit(0.6) {
        teller.say(release.rolled_back(rng.between(1_000, 60_000)), delay(rng));
    }
    vec![release.target()]
}

/// Failed once or twice, then done: that ends every failure before it.
fn secret(rng: &mut Rng, teller: &mut Teller<'_>, place: Place, n: i64) -> Vec<Target> {
    let at = moment(rng, teller.cast);
    let rotations: Vec<_> = (0..rng.between(1, 2))
        .map(|r| sources::Rotation {
            binding: format!("sec-{n}"),
            id: format!("rot-{n}-{r}"),
            place,
            at: at.plus_millis(r * 20_000),
        })
        .collect();
    for rotation in &rotations {
        let severity = sources::severity(rng);
        let late = delay(rng);
        teller.say(rotation.failed(severity), late);
    }
    if rng.hit(0.6) {
        let after = rng.between(1_000, 60_000);
        teller.say(rotations[0].done(after), delay(rng));
    }
    rotations.iter().map(sources::Rotation::target).collect()
}
