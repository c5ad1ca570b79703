//! `opsloop`: one binary for the custom handler, the platform on a laptop, and its tools.

use clap::Parser;
use opsloop_app::cli;
use std::process::ExitCode;

/// Small documents are made and dropped all the time: with the system's allocator the simulation takes a quarter longer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => return cli::failed(&why),
    };
    match runtime.block_on(cli::run(cli)) {
        Ok(code) => code,
        Err(why) => cli::failed(&*why),
    }
}
