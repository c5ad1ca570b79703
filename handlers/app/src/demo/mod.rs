//! `opsloop demo`: what real SDKs recorded of a shop that goes bad and recovers, replayed through the HTTP endpoint of
//! `local` on a virtual clock. Exits 0 only if the loop closed.

pub mod bench;
mod facts;
mod load;
mod operator;
pub mod recording;
mod report;

use crate::{
    cli::say,
    local::{self, Options, Platform},
    loopback::Loopback,
    services::Services,
};
use facts::Facts;
use opsloop_kernel::Timestamp;
use recording::Frame;
use std::{
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

type Outcome = Result<ExitCode, Box<dyn Error>>;

/// After the last telemetry: traces settle, windows close, the quality of the last hours is computed.
const AFTERWARDS: Duration = Duration::from_secs(15 * 60);

#[derive(clap::Args)]
pub struct DemoOptions {
    /// Leave the platform up afterwards
    #[arg(long)]
    serve: bool,
    /// Keep what it stored in this folder, which is new or empty
    #[arg(long)]
    data: Option<PathBuf>,
    #[command(flatten)]
    services: Services,
}

pub async fn run(options: DemoOptions) -> Outcome {
    opsloop_telemetry::init(opsloop_telemetry::Format::Text, "error");
    let root = local::find_root()?;
    let frames = recording::read(std::fs::read(root.join("demo/recording.otlp"))?.into())?;
    let first = frames.first().ok_or("the recording is empty")?.header.at.floor_to(3_600_000, 0);
    let data = folder(options.data.as_deref())?;
    let serve = options.serve;
    let (platform, facts) = start(root.clone(), &data, first, serve, options.services).await?;
    let client = Loopback::new(None);
    let url = format!("http://{}", platform.http);
    operator::set_up(&client, &url, &root.join("demo")).await?;
    say(&format!("replaying {} requests of real OpenTelemetry SDKs, from {first}; time is virtual\n", frames.len()));
    replay(&platform, &client, &url, &frames, &facts).await?;
    let report = report::of(&client, &url, &facts).await?;
    say(&report.text);
    if serve && report.missing.is_empty() {
        say(&format!(
            "\nThe platform stays up at {url} (virtual clock: POST {url}/_local/advance?seconds=N). Ctrl-C ends it."
        ));
        tokio::signal::ctrl_c().await?;
    }
    platform.stop().await;
    if options.data.is_none() {
        std::fs::remove_dir_all(&data)?;
    }
    if report.missing.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(format!("the loop did not close; missing: {}", report.missing.join(", ")).into())
}

/// A demo begins with nothing.
fn folder(wished: Option<&Path>) -> Result<PathBuf, Box<dyn Error>> {
    let Some(folder) = wished else {
        return Ok(std::env::temp_dir().join(format!("opsloop-demo-{}", std::process::id())));
    };
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            Err(format!("--data {}: the folder is not empty; a demo begins with nothing", folder.display()).into())
        }
        _ => Ok(folder.to_path_buf()),
    }
}

async fn start(
    root: PathBuf,
    data: &Path,
    from: Timestamp,
    serve: bool,
    services: Services,
) -> Result<(Arc<Platform>, Facts), Box<dyn Error>> {
    let facts = Facts::default();
    let mut options = Options::new(root, data.to_path_buf());
    options.virtual_from = Some(from);
    options.quiet = true;
    options.tap = Some(facts.tap());
    options.services = services;
    if !serve {
        // Beside a collector or a `local` that is up, a demo takes what ports are free.
        options.http = SocketAddr::from(([127, 0, 0, 1], 0));
        options.otlp = options.http;
    }
    Ok((Platform::start(options).await?, facts))
}

async fn replay(
    platform: &Platform,
    client: &Loopback,
    url: &str,
    frames: &[Frame],
    facts: &Facts,
) -> Result<(), Box<dyn Error>> {
    let otlp = format!("http://{}", platform.otlp);
    let mut operator = operator::Operator::new(client.clone(), url.to_owned());
    for frame in frames {
        to(platform, frame.header.at, &mut operator, facts).await?;
        send(client, &otlp, frame).await?;
    }
    let end = frames.last().map_or(Timestamp::EPOCH, |f| f.header.at).plus(AFTERWARDS);
    to(platform, end, &mut operator, facts).await
}

/// Moves the clock to `at`, at most a minute at once so that the operator can act in time.
async fn to(
    platform: &Platform,
    at: Timestamp,
    operator: &mut operator::Operator,
    facts: &Facts,
) -> Result<(), Box<dyn Error>> {
    loop {
        let now = platform.now();
        if now >= at {
            return Ok(());
        }
        let step = at.millis_since(now).min(60_000);
        platform.advance(Duration::from_millis(step.unsigned_abs())).await?;
        facts.print();
        operator.act(platform.now()).await?;
    }
}

async fn send(client: &Loopback, otlp: &str, frame: &Frame) -> Result<(), Box<dyn Error>> {
    let mut headers = vec![("content-type", frame.header.content_type.as_str())];
    if let Some(encoding) = &frame.header.content_encoding {
        headers.push(("content-encoding", encoding));
    }
    let url = format!("{otlp}{}", frame.header.path);
    let answered = client.send(http::Method::POST, &url, &headers, frame.body.clone()).await?;
    match answered.status.is_success() {
        true => Ok(()),
        false => Err(format!("{url} answered {}: {}", answered.status, answered.text()).into()),
    }
}
