//! `opsloop bench`: what this build does on this machine, as a table. Never a test: machines are noisy.

use std::{error::Error, process::ExitCode};

#[derive(clap::Args)]
pub struct Options {
    /// Spans to send
    #[arg(long, default_value_t = 100_000)]
    pub spans: usize,
    /// Metric points to send
    #[arg(long, default_value_t = 100_000)]
    pub points: usize,
}

pub async fn run(options: Options) -> Result<ExitCode, Box<dyn Error>> {
    let _ = (options.spans, options.points);
    Ok(ExitCode::SUCCESS)
}
