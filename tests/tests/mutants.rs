//! Every deliberate defect of `opsloop_kernel::mutant` is noticed by the simulation within a bounded number of seeds, and
//! by the oracle that is there for it (issue 13). To run it: `CARGO_PROFILE_DEV_OPT_LEVEL=1 cargo test --workspace
//! --features opsloop-tests/mutants --test mutants -- --nocapture`.
//!
//! The easily broken rule: a defect is on only on the thread that runs it, and a seed counts only if it holds without.

use opsloop_app::sim::product;
use opsloop_kernel::{
    Mutant::{self, *},
    mutant,
};
use opsloop_sim::{campaign, driver::Violation, faults::Rates, simulate::Wishes, world::Product};
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    thread,
};

/// A defect, the beginning of the name of the oracle that notices it (of one of several, by `|`), the seeds allowed, and
/// the faults that reveal it; without any, those that each seed draws.
type Row = (Mutant, &'static str, u64, &'static str);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    (IdsDrawn, "one identity", 10, DRAWN),
    (TenantGuardOff, "nothing lost", 60, DRAWN),
    (TenantLeftOutOfIds, "tenant closure", 30, DRAWN),
    (EtagsIgnored, "MAW |owed once", 100, DRAWN),
    (MarkerNotJudged, "owed once", 30, AGAIN),
    (MarkDeletedWithoutItsEtag, "MAW ", 600, SLOW),
    (NoMarker, "causal closure", 10, DRAWN),
    (MarkerExpiresBeforeItsHorizon, "owed once", 10, DRAWN),
    (OutboxOutsideTheBatch, "FCW items", 10, DRAWN),
    (OutboxInAWriteAhead, "causal closure", 10, DRAWN),
    (MomentFromTheTick, "TIW ", 20, DRAWN),
    (ChainGoesOnAfterAFailure, "TIW index", 60, FAILS),
    (RelayDeletesBeforePublish, "nothing lost", 30, REFUSED),
    (AcknowledgeAlthoughReschedulingFailed, "nothing lost", 60, REFUSED),
    (AttemptCounterNotCarried, "copies have their own id", 30, FAILS),
    (RaceUsesAnAttempt, "copies have their own id", 60, RACES),
    (CopyWithTheOriginalsMessageId, "copies have their own id", 30, FAILS),
    (HopNotGrown, "nothing lost", 60, FAILS),
    (RefusalSettledAsDone, "nothing lost", 30, DRAWN),
    (ExpiredMessageTaken, "nothing lost", 60, DRAWN),
    (BatchIdOfTheTry, "one identity", 10, DRAWN),
    (RedactionOff, "secrecy", 30, DRAWN),
    (WindowFromTheWallClock, "MAW windows", 10, DRAWN),
    (ArrivalOrderAggregation, "MAW I3", 60, DRAWN),
    (CumulativeResetMissed, "metric totals", 60, DRAWN),
    (HashesJudgedByData, "strict equality", 60, FAILS),
    (WatermarkBeforeItsWindows, "MAW watermarks", 10, DRAWN),
    (SpanCountedTwice, "TIW I4", 60, DRAWN),
    (SlotBeforeItsWatermark, "slots wait", 10, DRAWN),
    (RecoveryOnStaleData, "no recovery without evidence", 30, DRAWN),
    (InhibitionForgotten, "SLO inhibition", 60, DRAWN),
    (ClearLeavesNoMark, "IAW A37", 60, DRAWN),
    (ClearEndsTheWholeSource, "IAW own clear", 60, DRAWN),
    (SecondIncidentTakesTheFirstsId, "nothing lost", 100, DRAWN),
    (SeverityLowered, "IAW I3", 30, DRAWN),
    (LogNumberSkipped, "IAW I2", 10, DRAWN),
    (PlanReadsPolicy, "owed once", 30, AGAIN),
    (OlderRevisionWins, "FCW revisions", 400, LATE),
    (WithdrawnItemCounts, "QSW withdrawn", 1_500, DRAWN),
];
/// The faults that each seed draws.
const DRAWN: &str = "";
const RACES: &str = "raced=0.6,reorder=1,duplicate=0.3,replay=0.0001";
const AGAIN: &str = "reorder=1,duplicate=0.5,lost-ack=0.3,resent=0.2";
const SLOW: &str = "reorder=1,slow-call=0.4,late-tick=0.2";
const FAILS: &str = "reorder=1,store-fails=0.2,lost-reply=0.1";
const REFUSED: &str = "reorder=1,publish-refused=0.3,store-fails=0.2";
const LATE: &str = "reorder=1,long-delay=0.5";

/// Mutants at a time.
const THREADS: usize = 2;

struct Caught {
    mutant: Mutant,
    seed: u64,
    /// None: it survived its bound.
    by: Option<Violation>,
}

fn hunt(product: &Product, (mutant, oracle, seeds, rates): Row) -> Caught {
    let rates = Some(rates).filter(|r| !r.is_empty()).map(|r| Rates::parse(r).unwrap());
    let wishes = Wishes { rates, ..Wishes::default() };
    for seed in 1..=seeds {
        let Err(violation) = mutant::with(mutant, || campaign::check(product, seed, &wishes)) else { continue };
        let is_the_one = oracle.split('|').any(|o| name(&violation).starts_with(o));
        if is_the_one && campaign::check(product, seed, &wishes).is_ok() {
            return Caught { mutant, seed, by: Some(violation) };
        }
    }
    Caught { mutant, seed: seeds, by: None }
}

/// It does not matter in which of the two runs.
fn name(violation: &Violation) -> &str {
    violation.oracle.strip_prefix("calm: ").unwrap_or(&violation.oracle)
}

#[test]
fn every_mutant_is_caught_by_its_oracle() {
    let product = product().unwrap();
    let (rows, caught) = (Mutex::new(TABLE.iter()), Mutex::new(vec![]));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some(row) = rows.lock().unwrap_or_else(PoisonError::into_inner).next() else { return };
                    let found = hunt(&product, *row);
                    caught.lock().unwrap_or_else(PoisonError::into_inner).push(found);
                }
            });
        }
    });
    let mut caught = caught.into_inner().unwrap();
    caught.sort_by_key(|c| c.mutant);
    for Caught { mutant, seed, by } in &caught {
        let by = by.as_ref().map_or("nobody".into(), |v| format!("{}: {}", v.oracle, v.what));
        println!("{:45} seed {seed:3}  {by:.150}", mutant.name());
    }
    let survivors: Vec<&str> = caught.iter().filter(|c| c.by.is_none()).map(|c| c.mutant.name()).collect();
    assert!(survivors.is_empty(), "nobody notices {survivors:?}");
}

#[test]
fn the_table_names_every_mutant_once() {
    let named: BTreeSet<Mutant> = TABLE.iter().map(|row| row.0).collect();
    assert_eq!(named, mutant::ALL.iter().copied().collect());
    assert_eq!(named.len(), TABLE.len());
}
