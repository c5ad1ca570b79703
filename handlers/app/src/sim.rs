//! `opsloop sim`: the platform against the world's worst days (tests/sim).

use crate::{
    cli::say,
    settings::WorkerSettings,
    workers::{self, Otlp},
};
use opsloop_sim::{
    campaign::{self, Tally},
    faults::Rates,
    report,
    simulate::{Case, Cut, METRIC_BUCKETS, Wishes},
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
pub struct Options {
    /// How many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// One seed only
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// With --seed: shows every turn, of the smallest run that still fails where the seed fails
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Inputs for workers of one family only: observability, runtime, orchestration
    #[arg(long)]
    family: Option<String>,
    /// On the SQLite store; a process that dies drops its state and keeps its file
    #[arg(long)]
    durable: bool,
    /// NAME=RATE,… in place of the faults that each seed draws
    #[arg(long)]
    faults: Option<String>,
}

/// The production code that is simulated.
pub fn product() -> Result<Product, String> {
    let settings = WorkerSettings { metric_buckets: METRIC_BUCKETS, ..WorkerSettings::default() };
    Product::new(workers::catalogue(&settings), Arc::new(Otlp))
}

pub fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let rates = options.faults.as_deref().map(Rates::parse).transpose()?;
    let wishes = Wishes { rates, family: options.family.clone(), durable: options.durable };
    let product = product()?;
    match options.seed {
        Some(seed) => one(&product, seed, &wishes, options.trace),
        None => many(&product, options, &wishes),
    }
}

fn one(product: &Product, seed: u64, wishes: &Wishes, trace: bool) -> Result<ExitCode, Box<dyn Error>> {
    let case = Case::new(seed, wishes);
    say(&format!("seed {seed}: {} inputs, faults {}", case.plan.arrivals.len(), case.rates));
    match (campaign::check(product, seed, wishes), trace) {
        (Ok(turns), false) => say(&format!("every oracle holds over {turns} turns")),
        (Ok(_), true) => {
            let ran = case.run(product, false, &Cut { trace: true, ..Cut::default() });
            ran.trace.iter().for_each(|line| say(line));
            say("every oracle holds");
        }
        (Err(violation), trace) => {
            if trace {
                say(&report::small(&case, product, &violation));
            }
            say(&report::failure(seed, &violation, wishes));
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn many(product: &Product, options: &Options, wishes: &Wishes) -> Result<ExitCode, Box<dyn Error>> {
    let threads = thread::available_parallelism()?.get();
    let began = Instant::now();
    let range = options.from..options.from + options.seeds;
    let told = |done: u64| {
        if done.is_multiple_of(TOLD_EVERY) {
            say(&format!("{done} seeds, {:.0} a minute", a_minute(done, began.elapsed())));
        }
    };
    let Tally { seeds, turns, failures } = campaign::run(product, range, wishes, threads, told);
    for failure in &failures {
        say(&report::failure(failure.seed, &failure.violation, wishes));
    }
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
