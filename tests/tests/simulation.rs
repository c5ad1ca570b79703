//! A small number of seeds of the whole catalogue, and that the simulator itself is to be believed: it runs alike, it
//! makes failures small, no worker is left out. `opsloop sim` runs as many seeds as one likes (tests/sim/README.md).

use opsloop_app::sim::product;
use opsloop_sim::{
    campaign::{self, Tally},
    faults::{Fault, Rates},
    report,
    seeds::{self, Kept},
    shrink,
    simulate::{Case, Cut, Wishes},
    workers::PARTS,
};
use std::{collections::BTreeSet, fs, path::PathBuf};

/// From seed 1 on.
const SEEDS: u64 = 20;
const SEEDS_DURABLE: u64 = 5;
const THREADS: usize = 2;

fn sim(file: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sim").join(file)).unwrap()
}

fn told(tally: &Tally, wishes: &Wishes) {
    let failed = tally.failures.iter().map(|f| report::failure(f.seed, &f.violation, wishes));
    let failed: Vec<String> = failed.collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_oracle_holds_on_a_small_number_of_seeds_a70() {
    let (product, wishes) = (product().unwrap(), Wishes::default());
    let tally = campaign::run(&product, 1..1 + SEEDS, &wishes, THREADS, |_| {});
    told(&tally, &wishes);
    assert_eq!(tally.seeds, SEEDS);
    assert!(tally.turns > SEEDS * 100, "{} turns", tally.turns);
}

#[test]
fn what_was_once_found_stays_found() {
    let product = product().unwrap();
    let failed = |Kept { seed, wishes, story }: Kept| {
        let violation = campaign::check(&product, seed, &wishes).err()?;
        Some(format!("{}\n  (once: {story})", report::failure(seed, &violation, &wishes)))
    };
    let failed: Vec<String> = seeds::parse(&sim("seeds.txt")).unwrap().into_iter().filter_map(failed).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_sqlite_store_keeps_its_promises_when_the_process_dies() {
    let rates = Rates::parse("process-dies=0.01,crash=0.02,lost-reply=0.05,duplicate=0.2").unwrap();
    let wishes = Wishes { durable: true, rates: Some(rates), family: None };
    told(&campaign::run(&product().unwrap(), 1..1 + SEEDS_DURABLE, &wishes, THREADS, |_| {}), &wishes);
}

#[test]
fn a_seed_runs_alike_turn_by_turn() {
    let product = product().unwrap();
    for seed in 1..=6 {
        let traced =
            || Case::new(seed, &Wishes::default()).run(&product, false, &Cut { trace: true, ..Cut::default() });
        let (one, two) = (traced(), traced());
        assert!(one.trace.len() > 100, "seed {seed}: {} lines", one.trace.len());
        let parted = one.trace.iter().zip(&two.trace).find(|(a, b)| a != b);
        assert_eq!(parted, None, "seed {seed}");
        assert_eq!((one.trace.len(), one.turns, one.fired), (two.trace.len(), two.turns, two.fired), "seed {seed}");
        assert_eq!(one.verdict, two.verdict, "seed {seed}");
    }
}

#[test]
fn a_seed_runs_alike_on_both_stores() {
    let product = product().unwrap();
    let run = |seed: u64, durable: bool| {
        let ran = Case::new(seed, &Wishes { durable, ..Wishes::default() }).run(&product, false, &Cut::default());
        (ran.verdict, ran.turns, ran.fired)
    };
    for seed in 1..=2 {
        assert_eq!(run(seed, true), run(seed, true), "seed {seed}");
        assert_eq!(run(seed, true), run(seed, false), "seed {seed}");
    }
}

#[test]
fn no_worker_lands_without_its_part_in_the_simulation() {
    let catalogue = product().unwrap().catalogue(1).clone();
    let catalogued: BTreeSet<&str> = catalogue.workers().map(|w| w.spec().name).collect();
    let simulated: Vec<&str> = PARTS.iter().map(|p| p.worker).collect();
    assert_eq!(simulated.iter().copied().collect::<BTreeSet<_>>(), catalogued, "tests/sim/src/workers/mod.rs");
    assert_eq!(simulated.len(), catalogued.len(), "each once");
    let all = PARTS.iter().flat_map(|p| (p.invariants)()).map(|o| o.name()).collect::<Vec<_>>();
    assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "an invariant has one name: {all:?}");
    assert!(PARTS.iter().all(|p| !(p.invariants)().is_empty()), "each has invariants");
}

/// `mod-api` is declared a secret that nobody may store, so that every seed breaks a promise.
#[test]
fn a_failure_shrinks_to_what_it_takes_and_breaks_the_same_promise() {
    let product = product().unwrap();
    let rates = Rates::parse("lost-reply=0.08,duplicate=0.1").unwrap();
    let mut case = Case::new(3, &Wishes { rates: Some(rates), ..Wishes::default() });
    case.plan.secrets.push("mod-api".into());
    let violation = case.check(&product).unwrap_err();
    assert_eq!(violation.oracle, "calm: secrecy");
    let shrunk = shrink::shrink(&case, &product, &violation);
    assert!((shrunk.inputs, shrunk.faults) == (1, 0), "{} inputs, {} faults", shrunk.inputs, shrunk.faults);
    let again = case.check_cut(&product, &shrunk.cut).unwrap_err();
    assert_eq!(again, shrunk.violation);
    assert_eq!(again.oracle, violation.oracle);
}

/// To lose a reply it takes one fault and one input; the rest of what went wrong goes, and that fault stays.
#[test]
fn a_fault_stays_while_the_others_are_left_out() {
    let product = product().unwrap();
    let rates = Rates::parse("lost-reply=0.08,duplicate=0.1,crash=0.02").unwrap();
    let case = Case::new(3, &Wishes { rates: Some(rates), ..Wishes::default() });
    let all = case.run(&product, false, &Cut::default()).fired;
    let kinds: BTreeSet<Fault> = all.iter().map(|f| f.fault).collect();
    assert!(all.len() > 5 && kinds.len() > 1, "{all:?}");
    let inputs = (0..case.plan.arrivals.len()).collect();
    let (faults, inputs) = shrink::smallest(all, inputs, |faults, inputs| {
        let ran = case.run(&product, false, &shrink::cut_of(faults, inputs));
        ran.fired.iter().any(|f| f.fault == Fault::LostReply)
    });
    assert_eq!((faults.len(), inputs.len(), faults[0].fault), (1, 1, Fault::LostReply));
}

/// The page for newcomers names every fault as the code has it, and every oracle.
#[test]
fn the_readme_has_every_fault_and_oracle() {
    let readme = sim("README.md");
    let row = |f: &Fault| format!("| `{}` | {} | {} | {:?} |", f.name(), f.about(), f.most(), f.sense());
    let missing: Vec<String> = Fault::ALL.iter().map(row).filter(|row| !readme.contains(row)).collect();
    assert!(missing.is_empty(), "tests/sim/README.md lacks\n{}", missing.join("\n"));
    let case = Case::new(1, &Wishes::default());
    let general = opsloop_sim::oracles::all(&case.cast, &case.plan);
    let unnamed: Vec<&str> = general.iter().map(|o| o.name()).filter(|n| !readme.contains(&format!("`{n}`"))).collect();
    assert!(unnamed.is_empty(), "tests/sim/README.md does not name {unnamed:?}");
}
