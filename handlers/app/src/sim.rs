//! `opsloop sim`: the platform against the world's worst days (tests/sim).

use crate::{
    cli::say,
    settings::WorkerSettings,
    workers::{self, Otlp},
};
use opsloop_observability::incident_analysis::{
    IncidentPolicies, IncidentPolicy, incident::SourceKind, policy::GroupBy,
};
use opsloop_sim::{
    campaign::{self, Tally},
    faults::{Fault, Rates},
    report,
    simulate::{Case, Cut, Wishes},
    workers::PARTS,
    world::Product,
};
use std::{
    error::Error,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Progress is told after so many seeds.
const TOLD_EVERY: u64 = 5_000;

#[derive(clap::Args)]
#[command(after_help = faults())]
pub struct Options {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "S", default_value_t = 1)]
    from: u64,
    /// One seed only
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// With --seed: shows every turn; where the seed fails, those of the smallest run that still fails
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Inputs for the workers of one family only
    #[arg(long, value_parser = families())]
    family: Option<String>,
    /// On the SQLite store: a process that dies drops its state and keeps its file
    #[arg(long)]
    durable: bool,
    /// In place of the faults that each seed draws: rates from 0 to 1
    #[arg(long, value_name = "NAME=RATE,…", value_parser = Rates::parse)]
    faults: Option<Rates>,
}

fn families() -> Vec<&'static str> {
    let mut names: Vec<_> = PARTS.iter().map(|part| part.family).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn faults() -> String {
    let lines = Fault::ALL.iter().map(|f| format!("\n  {:20}{}", f.name(), f.about()));
    format!(
        "Faults:{}\n\ntests/sim/README.md says what is simulated and how to debug a seed.",
        lines.collect::<String>()
    )
}

/// The production code that is simulated, with everything on that a tenant may turn on.
pub fn product() -> Result<Product, String> {
    let catalogue = |metric_buckets| {
        let settings = WorkerSettings { metric_buckets, ..WorkerSettings::default() };
        workers::catalogue_with(&settings, policies())
    };
    Product::new(catalogue, Arc::new(Otlp))
}

/// Every source opens incidents; the tenants differ in how incidents are grouped and how they end.
fn policies() -> IncidentPolicies {
    let sources = vec![SourceKind::Cost, SourceKind::Drift, SourceKind::Deployment, SourceKind::Secret];
    let default = IncidentPolicy { sources, ..IncidentPolicy::default() };
    let hasty = IncidentPolicy { auto_resolve: true, confirm_ms: 120_000, ..default.clone() };
    let coarse = IncidentPolicy { auto_mitigate: false, group_by: vec![GroupBy::ProjectId], ..default.clone() };
    let tenants = [("acme", hasty), ("globex", coarse)].map(|(name, policy)| (name.to_owned(), policy));
    IncidentPolicies { default, tenants: tenants.into() }
}

pub fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let wishes = Wishes { rates: options.faults.clone(), family: options.family.clone(), durable: options.durable };
    let product = product()?;
    match options.seed {
        Some(seed) => one(&product, seed, &wishes, options.trace),
        None => many(&product, options, &wishes),
    }
}

fn one(product: &Product, seed: u64, wishes: &Wishes, trace: bool) -> Result<ExitCode, Box<dyn Error>> {
    let case = Case::new(seed, wishes);
    let rates = Some(case.rates.to_string()).filter(|r| !r.is_empty());
    let inputs = case.plan.arrivals.len();
    say(&format!("seed {seed}: {inputs} inputs, faults {}", rates.as_deref().unwrap_or("none")));
    match campaign::check(product, seed, wishes) {
        Ok(passed) => {
            if trace {
                let ran = case.run(product, false, &Cut { trace: true, ..Cut::default() });
                say(&format!("the disturbed run:\n{}", report::TRACE_HEAD));
                ran.trace.iter().for_each(|line| say(line));
            }
            say(&format!("every oracle holds over {} turns", passed.turns));
            Ok(ExitCode::SUCCESS)
        }
        Err(violation) => {
            if trace {
                say(&report::small(&case, product, &violation));
            }
            say(&report::failure(seed, &violation, wishes));
            Ok(ExitCode::FAILURE)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how fast it goes is told in real time")]
fn many(product: &Product, options: &Options, wishes: &Wishes) -> Result<ExitCode, Box<dyn Error>> {
    let threads = thread::available_parallelism()?.get();
    let began = Instant::now();
    let range = options.from..options.from.saturating_add(options.seeds);
    let told = |done: u64| {
        if done.is_multiple_of(TOLD_EVERY) {
            say(&format!("{done} seeds, {:.0} a minute", a_minute(done, began.elapsed())));
        }
    };
    let Tally { seeds, turns, fired, failures } = campaign::run(product, range, wishes, threads, told);
    for failure in &failures {
        say(&report::failure(failure.seed, &failure.violation, wishes));
    }
    say(&format!("what went wrong, and how often:\n{fired}"));
    let took = began.elapsed();
    let (rate, seconds) = (a_minute(seeds, took), took.as_secs_f64());
    say(&format!(
        "{seeds} seeds in {seconds:.0} s ({rate:.0} a minute on {threads} cores), {turns} turns, {} failed",
        failures.len()
    ));
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn a_minute(seeds: u64, took: Duration) -> f64 {
    seeds as f64 * 60.0 / took.as_secs_f64().max(0.001)
}
