//! `opsloop serve`: the custom handler. Crash-only: it never ends by itself, and nothing is lost when it is killed.

use crate::{
    loopback::TOKEN_HEADER,
    orphan,
    remote::RemoteBroker,
    settings::{Parent, Settings},
    workers,
};
use axum::{Router, extract::State, response::IntoResponse, routing::post};
use http::{HeaderMap, StatusCode};
use opsloop_embedded::{
    blobs::SqliteBlobs,
    clock::{VirtualClock, WallClock},
    store::SqliteStore,
};
use opsloop_kernel::{
    Clock, Commit, Committed, Container, Document, Store, Stream, TenantId, Timestamp, Write, ports::Recorder,
};
use opsloop_shell::{
    Jitter, Ports, Shell,
    access::Access,
    otlp::Receiver,
    router::{self, Flush, Served},
};
use opsloop_telemetry::Telemetry;
use std::{error::Error, net::Ipv4Addr, sync::Arc};
use subtle::ConstantTimeEq;

/// Where a child of `local` is told the time of a virtual clock.
pub const CLOCK_PATH: &str = "/_local/clock";

pub async fn run(settings: Settings, telemetry: Telemetry) -> Result<(), Box<dyn Error>> {
    orphan::end_with(settings.parent.pid);
    let time = Time::of(&settings.parent);
    let store = Arc::new(SqliteStore::open(&settings.data, time.clock())?);
    check_buckets(&*store, settings.workers.metric_buckets).await?;
    let signals = telemetry.signals.clone();
    let shell = Shell {
        catalogue: Arc::new(workers::catalogue(&settings.workers)),
        ports: ports(&settings, &time, store, signals.clone())?,
    };
    let receiver = Receiver::new(Arc::new(workers::Otlp));
    let served = Served::new(shell, Access::Local, receiver, move || signals.exposition()).flushing(flush(telemetry));
    let app = time.routes(&settings.parent.control_token).merge(router::router(Arc::new(served)));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
    tracing::info!(port = settings.port, data = %settings.data.display(), "serving");
    axum::serve(listener, app).await?;
    Ok(())
}

fn flush(telemetry: Telemetry) -> Flush {
    let telemetry = Arc::new(telemetry);
    Box::new(move || {
        let telemetry = telemetry.clone();
        Box::pin(async move { telemetry.before_answer().await })
    })
}

fn ports(
    settings: &Settings,
    time: &Time,
    store: Arc<SqliteStore>,
    recorder: Arc<dyn Recorder>,
) -> Result<Ports, Box<dyn Error>> {
    let broker = Arc::new(RemoteBroker::new(&settings.parent));
    Ok(Ports {
        store: store.clone(),
        directory: store,
        publisher: broker.clone(),
        clock: time.clock(),
        blobs: Arc::new(SqliteBlobs::open(&settings.data, time.clock())?),
        backlog: broker.clone(),
        dead_letters: broker,
        recorder,
        jitter: Jitter::Spread,
    })
}

/// The clock of this process: the machine's, or the parent's virtual one, which pushes its instants.
enum Time {
    Wall,
    Virtual(Arc<VirtualClock>),
}

impl Time {
    fn of(parent: &Parent) -> Self {
        parent.virtual_now.map_or(Self::Wall, |now| Self::Virtual(Arc::new(VirtualClock::at(now))))
    }
    fn clock(&self) -> Arc<dyn Clock> {
        match self {
            Self::Wall => Arc::new(WallClock),
            Self::Virtual(clock) => clock.clone(),
        }
    }
    fn routes(&self, token: &str) -> Router {
        match self {
            Self::Wall => Router::new(),
            Self::Virtual(clock) => {
                Router::new().route(CLOCK_PATH, post(set_clock)).with_state((clock.clone(), Arc::from(token)))
            }
        }
    }
}

async fn set_clock(
    State((clock, token)): State<(Arc<VirtualClock>, Arc<str>)>,
    headers: HeaderMap,
    body: String,
) -> impl IntoResponse {
    let given = headers.get(TOKEN_HEADER).map(|v| v.as_bytes()).unwrap_or_default();
    if !bool::from(given.ct_eq(token.as_bytes())) {
        return StatusCode::UNAUTHORIZED;
    }
    match body.parse::<Timestamp>() {
        Ok(now) => {
            clock.advance_to(now);
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

/// The number of metric buckets is fixed at the first start: another one would look for series where they are not
/// (SPEC 5.2.4).
async fn check_buckets(store: &dyn Store, buckets: u16) -> Result<(), Box<dyn Error>> {
    let (tenant, stream) = (TenantId::platform(), Stream::new(Container::State, "settings"));
    let id = "metric-buckets".into();
    let create = Write::Save(Document::new("metric-buckets", "setting", &buckets), None);
    let commit = Commit { tenant: tenant.clone(), stream: stream.clone(), marker: None, writes: vec![create] };
    let failed = |fault| format!("the store cannot be read: {fault:?}");
    if matches!(store.commit(&commit).await.map_err(failed)?, Committed::Applied(_)) {
        return Ok(());
    }
    let known = store.get(&tenant, &stream, &id).await.map_err(failed)?;
    match known.and_then(|s| s.read::<u16>().ok()) {
        Some(known) if known != buckets => Err(format!(
            "OPSLOOP_METRIC_BUCKETS is {buckets}, but this data was begun with {known}; set it to {known} or use another folder"
        )
        .into()),
        _ => Ok(()),
    }
}
