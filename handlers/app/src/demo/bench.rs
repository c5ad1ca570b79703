//! `opsloop bench`: what this build does on this machine, as a table. Never a test: machines are noisy.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use super::load;
use crate::{
    cli::say,
    local::{self, Options as LocalOptions, Platform},
    loopback::Loopback,
    settings::{CONTROL_TOKEN, CONTROL_URL, DATA, PARENT},
};
use bytes::Bytes;
use opsloop_kernel::TelemetrySignal as Signal;
use std::{
    error::Error,
    fs,
    net::SocketAddr,
    path::Path,
    process::{ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// Requests under way at once, as a collector would have.
const SENDERS: usize = 4;
const DRAIN_MAX: Duration = Duration::from_secs(300);

#[derive(clap::Args)]
pub struct Options {
    /// Spans to send
    #[arg(long, default_value_t = 100_000)]
    pub spans: usize,
    /// Metric points to send
    #[arg(long, default_value_t = 100_000)]
    pub points: usize,
}

/// One line of the table.
struct Row(&'static str, String);

pub async fn run(options: Options) -> Result<ExitCode, Box<dyn Error>> {
    opsloop_telemetry::init(opsloop_telemetry::Format::Text, "error");
    let folder = std::env::temp_dir().join(format!("opsloop-bench-{}", std::process::id()));
    let exe = std::env::current_exe()?;
    let mut rows = vec![Row("binary", format!("{:.1} MB", fs::metadata(&exe)?.len() as f64 / 1e6))];
    rows.push(Row("serve: start to first answer", format!("{:.0} ms", first_answer(&exe, &folder).await?)));
    let platform = start(&folder).await?;
    let now = opsloop_kernel::Clock::now(&opsloop_embedded::clock::WallClock);
    rows.extend(ingest(&platform, Signal::Traces, load::traces(options.spans, now), options.spans, "spans").await?);
    rows.push(Row("serve: memory after the spans", format!("{:.0} MB", handler_rss_mb()?)));
    rows.extend(ingest(&platform, Signal::Metrics, load::points(options.points, now), options.points, "points").await?);
    rows.push(Row("serve: memory at the end", format!("{:.0} MB", handler_rss_mb()?)));
    platform.stop().await;
    fs::remove_dir_all(&folder)?;
    for Row(what, value) in rows {
        say(&format!("{what:<44} {value:>14}"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn start(folder: &Path) -> Result<Arc<Platform>, Box<dyn Error>> {
    let mut options = LocalOptions::new(local::find_root()?, folder.join("data"));
    options.http = SocketAddr::from(([127, 0, 0, 1], 0));
    options.otlp = options.http;
    options.quiet = true;
    Platform::start(options).await
}

/// Sends everything, then waits until nothing waits or is under way: accepted, and end to end.
async fn ingest(
    platform: &Arc<Platform>,
    signal: Signal,
    requests: Vec<Bytes>,
    items: usize,
    name: &'static str,
) -> Result<Vec<Row>, Box<dyn Error>> {
    let began = Instant::now();
    let url = format!("http://{}/v1/{}", platform.otlp, signal.name());
    let requests = Arc::new(std::sync::Mutex::new(requests));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        senders.spawn(send(url.clone(), requests.clone()));
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    let accepted = began.elapsed();
    while platform.busy().await? {
        if began.elapsed() > DRAIN_MAX {
            return Err("the batches were not worked off within five minutes".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let worked = began.elapsed();
    let rate = |d: Duration| format!("{:.0}/s", items as f64 / d.as_secs_f64());
    Ok(match name {
        "spans" => vec![Row("spans: accepted", rate(accepted)), Row("spans: end to end through local", rate(worked))],
        _ => vec![Row("points: accepted", rate(accepted)), Row("points: end to end through local", rate(worked))],
    })
}

async fn send(url: String, requests: Arc<std::sync::Mutex<Vec<Bytes>>>) -> Result<(), crate::loopback::Failed> {
    let client = Loopback::new(None);
    loop {
        let next = requests.lock().ok().and_then(|mut r| r.pop());
        let Some(body) = next else { return Ok(()) };
        let headers = [("content-type", "application/x-protobuf")];
        let answered = client.send(http::Method::POST, &url, &headers, body).await?;
        if !answered.status.is_success() {
            return Err(crate::loopback::Failed(format!("{url}: {}", answered.status)));
        }
    }
}

/// Milliseconds from the start of a `serve` to its first answer.
async fn first_answer(exe: &Path, folder: &Path) -> Result<f64, Box<dyn Error>> {
    let data = folder.join("start");
    fs::create_dir_all(&data)?;
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let began = Instant::now();
    let mut child = tokio::process::Command::new(exe)
        .arg("serve")
        .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
        .env(DATA, &data)
        .env(CONTROL_URL, "http://127.0.0.1:1")
        .env(CONTROL_TOKEN, "bench")
        .env(PARENT, std::process::id().to_string())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let client = Loopback::new(None);
    let url = format!("http://127.0.0.1:{port}/");
    while client.get(&url).await.is_err() {
        if let Some(status) = child.try_wait()? {
            return Err(format!("serve ended at once: {status}").into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = began.elapsed().as_secs_f64() * 1000.0;
    child.kill().await?;
    Ok(took)
}

/// Resident memory of the one child of this process.
fn handler_rss_mb() -> Result<f64, Box<dyn Error>> {
    let own = std::process::id().to_string();
    for entry in fs::read_dir("/proc")?.flatten() {
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim).unwrap_or_default();
        if field("PPid:") == own
            && let Some(kb) = field("VmRSS:").split(' ').next().and_then(|t| t.parse::<f64>().ok())
        {
            return Ok(kb / 1024.0);
        }
    }
    Err("the handler was not found".into())
}
