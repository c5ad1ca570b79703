//! A seed: its plan, its calm run, its disturbed run, and whether they agree.

use crate::{
    broker::Broker,
    counts::Counts,
    driver::{Course, Driver, Violation},
    durable::DurableStore,
    faults::{Chance, Fault, Fired, Rates},
    oracles::{
        self,
        differential::{self, Outcome, Sense},
    },
    plan::{Cast, Plan},
    ports::Documents,
    rng::Rng,
    shared::{Dependency, Outage, Shared},
    time::{Time, TrueClock},
    workers,
    world::{METRIC_BUCKETS, Product, World},
};
use opsloop_embedded::store::MemoryStore;
use opsloop_kernel::{TenantId, Timestamp};
use std::{collections::BTreeSet, sync::Arc};

/// 2026-11-21T09:00:00Z: hours and days close inside some runs.
const BASE_MS: i64 = 1_795_251_600_000;
const MINUTE_MS: i64 = 60_000;

/// What the caller may ask for, beside the seed.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// In place of those that the seed draws.
    pub rates: Option<Rates>,
    /// Only workers of this family.
    pub family: Option<String>,
    /// On the SQLite store, in a file of its own.
    pub durable: bool,
}

/// What came of a run.
pub struct Ran {
    pub verdict: Result<(), Violation>,
    /// What it came to, where it came to rest.
    pub outcome: Option<Outcome>,
    pub fired: Vec<Fired>,
    pub counts: Counts,
    pub turns: u64,
    pub trace: Vec<String>,
}

/// Both runs of a seed kept their promises.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    pub turns: u64,
    /// What went wrong in the disturbed one.
    pub fired: Counts,
}

/// A seed with its plan, ready to be run as often as it takes.
pub struct Case {
    pub seed: u64,
    pub rates: Rates,
    pub cast: Cast,
    pub plan: Plan,
    durable: bool,
}

/// What to leave out of a run (shrinking), and whether to write its trace.
#[derive(Clone, Debug, Default)]
pub struct Cut {
    pub only_faults: Option<BTreeSet<Fired>>,
    /// Arrivals by their index.
    pub only_inputs: Option<BTreeSet<usize>>,
    pub trace: bool,
}

impl Case {
    pub fn new(seed: u64, wishes: &Wishes) -> Self {
        let rates = wishes.rates.clone().unwrap_or_else(|| Rates::swarm(seed));
        let cast = cast(seed);
        let mut plan = Plan::default();
        let wanted = |family: &str| wishes.family.as_deref().is_none_or(|f| f == family);
        for part in workers::PARTS.iter().filter(|p| wanted(p.family)) {
            (part.generate)(&mut Rng::new(seed, part.worker), &cast, &mut plan);
        }
        workers::claims(&mut Rng::new(seed, "claims"), &cast, &mut plan);
        workers::hostile(&mut Rng::new(seed, "hostile"), &cast, &mut plan);
        Self { seed, rates, cast, plan, durable: wishes.durable }
    }

    /// The disturbed run, and what it has in common with the calm one, where more than the invariants is promised.
    pub fn check(&self, product: &Product) -> Result<Passed, Violation> {
        self.check_cut(product, &Cut::default())
    }

    /// The same with less of everything.
    pub fn check_cut(&self, product: &Product, cut: &Cut) -> Result<Passed, Violation> {
        let disturbed = self.run(product, false, cut);
        if self.rates.sense() == Sense::InvariantsOnly {
            return disturbed.verdict.map(|()| Passed { turns: disturbed.turns, fired: disturbed.counts });
        }
        let calm = self.run(product, true, cut);
        calm.verdict.map_err(|v| Violation { oracle: format!("calm: {}", v.oracle), ..v })?;
        disturbed.verdict?;
        if let (Some(calm), Some(disturbed)) = (&calm.outcome, &disturbed.outcome) {
            differential::same(calm, disturbed, self.rates.sense()).map_err(|what| {
                let oracle = format!("{:?} equality", self.rates.sense()).to_lowercase();
                Violation { oracle, what, turn: 0 }
            })?;
        }
        Ok(Passed { turns: calm.turns + disturbed.turns, fired: disturbed.counts })
    }

    fn store(&self, time: Arc<Time>) -> Arc<dyn Documents> {
        let clock = Arc::new(TrueClock(time));
        match self.durable {
            // Without a folder for its files there is nothing to simulate.
            true => Arc::new(DurableStore::new(clock).unwrap_or_else(|e| panic!("no store: {e}"))),
            false => Arc::new(MemoryStore::new(clock)),
        }
    }

    pub fn run(&self, product: &Product, calm: bool, cut: &Cut) -> Ran {
        let rates = if calm { Rates::default() } else { self.rates.clone() };
        let outages = outages(self.seed, &rates, &self.cast);
        let heal_at = outages.iter().map(|o| o.until).max().unwrap_or(self.cast.end).max(self.cast.end);
        let at_once = rates.sense() == Sense::Strict;
        let chance = Chance::new(self.seed, rates, cut.only_faults.clone());
        let time = Arc::new(Time::at(self.cast.start));
        let store = self.store(time.clone());
        let shared = Arc::new(Shared::new(time, chance, Broker::new(&product.topology), at_once, outages, cut.trace));
        let plan = Arc::new(self.plan.clone());
        for (name, bytes) in &plan.blobs {
            shared.blobs().put(name, bytes.clone(), Timestamp::MAX);
        }
        let world =
            Arc::new(World::new(product, self.cast.metric_buckets, plan.clone(), store.clone(), shared.clone()));
        let invariants = workers::PARTS.iter().flat_map(|p| (p.invariants)());
        let oracles = oracles::all(&self.cast, &plan).into_iter().chain(invariants).collect();
        let course = Course { inputs: cut.only_inputs.as_ref(), order: Rng::new(self.seed, "order"), heal_at };
        let mut driver = Driver::new(world, store, &self.cast, plan, oracles, course);
        let (verdict, outcome) = match driver.run() {
            Ok(outcome) => (Ok(()), Some(outcome)),
            Err(violation) => (Err(violation), None),
        };
        let chance = &shared.chance;
        let (fired, counts) = (chance.fired(), chance.counts());
        Ran { verdict, outcome, fired, counts, turns: driver.turns(), trace: shared.trace() }
    }
}

/// Most runs are as short as a rule or two take; some are long enough for what waits for minutes.
fn cast(seed: u64) -> Cast {
    let mut rng = Rng::new(seed, "cast");
    let names: &[&str] = if rng.hit(0.75) { &["acme"] } else { &["acme", "globex"] };
    let start = Timestamp::from_millis(BASE_MS + rng.between(50, 59) * MINUTE_MS + rng.between(0, 59_999));
    let (busy, quiet) = if rng.hit(0.03) { (rng.between(6, 11), rng.between(6, 12)) } else { (2, 4) };
    let end = start.plus_millis(busy * MINUTE_MS);
    let days = |days| end.plus_millis(days * 24 * 60 * MINUTE_MS);
    Cast {
        tenants: names.iter().filter_map(|n| TenantId::parse(*n).ok()).collect(),
        twins: rng.hit(0.25),
        projects: vec!["shop", "booking"],
        modules: vec!["mod-api", "mod-pay"],
        start,
        end,
        rest: end.plus_millis(quiet * MINUTE_MS),
        metric_buckets: METRIC_BUCKETS[usize::from(rng.hit(0.4))],
        later: if rng.hit(0.025) { vec![days(rng.between(4, 29)), days(31)] } else { vec![] },
    }
}

fn outages(seed: u64, rates: &Rates, cast: &Cast) -> Vec<Outage> {
    let mut rng = Rng::new(seed, "outages");
    if !rng.hit(rates.of(Fault::Outage)) {
        return vec![];
    }
    let of = *rng.pick(&[Dependency::Store, Dependency::Broker, Dependency::Blobs]);
    let from = cast.start.plus_millis(rng.between(0, cast.end.millis_since(cast.start)));
    let minutes = if rng.hit(0.1) { rng.between(60, 180) } else { rng.between(1, 15) };
    vec![Outage { of, from, until: from.plus_millis(minutes * MINUTE_MS) }]
}
