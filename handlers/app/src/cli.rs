//! The command line.

use crate::{
    check, demo, local, operate, package, serve,
    services::Services,
    settings::{Settings, WorkerSettings},
    sim, workers,
};
use clap::{Parser, Subcommand};
use opsloop_kernel::Timestamp;
use opsloop_shell::render;
use opsloop_telemetry::{Format, Telemetry};
use std::{
    error::Error,
    fmt::Display,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

/// Watches services, reacts, repairs and learns: OTLP in; alerts, incidents, feedback and quality out.
#[derive(Parser)]
#[command(name = "opsloop", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The custom handler: what host.json starts
    Serve,
    /// The whole platform on this machine, without an Azure account
    Local(Local),
    /// Replays recorded telemetry through `local` on a virtual clock and shows the loop as it closes
    Demo(demo::DemoOptions),
    /// Writes functions/, bicep/catalogue.json and the README's worker table from the catalogue
    Render {
        /// Change nothing; fail if a file differs
        #[arg(long)]
        check: bool,
    },
    /// Reads the settings of `serve`, tries every dependency, and says what to do about those that fail
    Check {
        /// Of this environment
        #[arg(long, required = true)]
        settings: bool,
    },
    /// Stages dist/ for `func azure functionapp publish`
    Package {
        /// The Linux binary to ship; by default this one
        #[arg(long)]
        binary: Option<PathBuf>,
        #[arg(long, default_value = "dist")]
        out: PathBuf,
    },
    /// Lists, shows and replays dead letters of a running platform
    DeadLetters {
        #[arg(long, default_value = "http://127.0.0.1:7071")]
        url: String,
        #[command(subcommand)]
        what: DeadLetters,
    },
    /// Runs one golden case of a worker and prints what was decided and why
    Explain { worker: String, case: PathBuf },
    /// Deterministic simulation: production code, every port replaced, everything from one seed
    Sim(sim::Options),
    /// Measures throughput, size and start of this build; prints a table
    Bench(demo::bench::Options),
}

#[derive(clap::Args)]
struct Local {
    /// Durable state
    #[arg(long, default_value = ".opsloop")]
    data: PathBuf,
    /// Time moves only by POST /_local/advance?seconds=N
    #[arg(long)]
    virtual_clock: bool,
    /// Where the virtual clock begins
    #[arg(long, default_value = "2026-11-21T10:00:00.000Z")]
    from: Timestamp,
    /// One handler process per function, as on Flex Consumption
    #[arg(long)]
    isolate: bool,
    #[arg(long, default_value_t = 7071)]
    http_port: u16,
    #[arg(long, default_value_t = 4318)]
    otlp_port: u16,
    /// Opens the broker to clients of Azure Service Bus on this loopback address, such as 127.0.0.1:5672 (port 0: any)
    #[arg(long, value_name = "ADDR")]
    serve_amqp: Option<SocketAddr>,
    #[command(flatten)]
    services: Services,
    /// No feedback items from recurring errors in traces
    #[arg(long)]
    no_signal_items: bool,
    /// Errors only
    #[arg(long)]
    quiet: bool,
}

#[derive(Subcommand)]
enum DeadLetters {
    /// All of them: id, handler, reason, description
    List,
    /// One of them
    Show { id: String },
    /// Re-submits the untouched bytes to the handler that failed
    Replay { id: String },
}

type Outcome = Result<ExitCode, Box<dyn Error>>;

pub async fn run(cli: Cli) -> Outcome {
    match cli.command {
        Command::Serve => run_serve().await,
        Command::Local(options) => run_local(options).await,
        Command::Demo(options) => demo::run(options).await,
        Command::Render { check } => run_render(check),
        Command::Check { .. } => check::run().await,
        Command::Package { binary, out } => {
            let root = local::find_root()?;
            say(&package::stage(&root, binary, &out)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::DeadLetters { url, what } => match what {
            DeadLetters::List => operate::list_dead_letters(&url).await,
            DeadLetters::Show { id } => operate::show_dead_letter(&url, &id).await,
            DeadLetters::Replay { id } => operate::replay_dead_letter(&url, &id).await,
        },
        Command::Explain { worker, case } => operate::explain(&worker, &case),
        Command::Sim(options) => sim::run(&options),
        Command::Bench(options) => demo::bench::run(options).await,
    }
}

async fn run_serve() -> Outcome {
    let settings = Settings::of_process().map_err(|p| p.to_string())?;
    let telemetry = Telemetry::start(&settings.export)?;
    telemetry.install(Format::Json, &settings.log);
    serve::run(settings, telemetry).await?;
    Ok(ExitCode::SUCCESS)
}

async fn run_local(options: Local) -> Outcome {
    opsloop_telemetry::init(Format::Text, if options.quiet { "error" } else { "info" });
    let mut local = local::Options::new(local::find_root()?, options.data);
    local.http = SocketAddr::from((Ipv4Addr::LOCALHOST, options.http_port));
    local.otlp = SocketAddr::from((Ipv4Addr::LOCALHOST, options.otlp_port));
    local.virtual_from = options.virtual_clock.then_some(options.from);
    local.serve_amqp = options.serve_amqp;
    local.services = options.services;
    local.isolate = options.isolate;
    local.quiet = options.quiet;
    local.signal_items = !options.no_signal_items;
    let platform = local::Platform::start(local).await?;
    say(&format!(
        "opsloop is up.\n  OTLP/HTTP  http://{}   (set OTEL_EXPORTER_OTLP_ENDPOINT to it)\n  API        http://{}/v1/…\n  stop with Ctrl-C; what was accepted is kept",
        platform.otlp, platform.http
    ));
    if let Some(front) = &platform.amqp {
        say(&format!("  Service Bus  {}", front.connection_string()));
    }
    tokio::select! {
        () = platform.ended() => Err("the handler crashed three times; the host has stopped".into()),
        _ = tokio::signal::ctrl_c() => {
            platform.stop().await;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_render(check: bool) -> Outcome {
    let root = local::find_root().or_else(|_| std::env::current_dir().map_err(Box::<dyn Error>::from))?;
    let catalogue = workers::catalogue(&WorkerSettings::default());
    let problems = catalogue.problems();
    if !problems.is_empty() {
        return Err(format!("the catalogue does not do:\n  {}", problems.join("\n  ")).into());
    }
    if !check {
        let written = render::write(&catalogue, &root)?;
        say(&format!("{written} files written"));
        return Ok(ExitCode::SUCCESS);
    }
    let drift = render::drift(&catalogue, &root)?;
    if drift.is_empty() {
        say("every rendered file is what the catalogue says");
        return Ok(ExitCode::SUCCESS);
    }
    Err(drift.join("\n").into())
}

/// What a command has to say goes to stdout; who does not listen any more is no reason to fail.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

pub fn failed<E: Display + ?Sized>(why: &E) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "opsloop: {why}");
    ExitCode::FAILURE
}
