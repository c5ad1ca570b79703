//! Many seeds, on all cores: each seed on one thread from its first draw to its verdict.

use crate::{
    counts::Counts,
    driver::Violation,
    simulate::{Case, Passed, Wishes},
    world::Product,
};
use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
};

/// A seed whose runs broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    pub seed: u64,
    pub violation: Violation,
}

/// What came of a campaign.
#[derive(Debug, Default)]
pub struct Tally {
    pub seeds: u64,
    pub turns: u64,
    /// What went wrong in the runs that passed: a swarm that is alive has every fault.
    pub fired: Counts,
    pub failures: Vec<Failure>,
}

/// Failures after which a campaign ends: more would say the same.
const FAILURES_MAX: usize = 20;

/// Runs every seed of the range; `told` hears how many are done, now and then.
pub fn run(product: &Product, seeds: Range<u64>, wishes: &Wishes, threads: usize, told: impl Fn(u64) + Sync) -> Tally {
    let (next, done, enough) = (AtomicU64::new(seeds.start), AtomicU64::new(0), AtomicBool::new(false));
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while !enough.load(Relaxed) {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let checked = check(product, seed, wishes);
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    tally.seeds += 1;
                    match checked {
                        Ok(passed) => {
                            tally.turns += passed.turns;
                            tally.fired.add(&passed.fired);
                        }
                        Err(violation) => tally.failures.push(Failure { seed, violation }),
                    }
                    enough.store(tally.failures.len() >= FAILURES_MAX, Relaxed);
                    drop(tally);
                    told(done.fetch_add(1, Relaxed) + 1);
                }
            });
        }
    });
    let mut tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.failures.sort_by_key(|f| f.seed);
    tally
}

/// One seed. A panic of the code under test is a finding like any other.
pub fn check(product: &Product, seed: u64, wishes: &Wishes) -> Result<Passed, Violation> {
    let checked = catch_unwind(AssertUnwindSafe(|| Case::new(seed, wishes).check(product)));
    checked.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let what = text.unwrap_or("without a word").to_owned();
        Err(Violation { oracle: "no panic".into(), what, turn: 0 })
    })
}
