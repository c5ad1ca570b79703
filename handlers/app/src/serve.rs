//! `opsloop serve`: the custom handler. Crash-only: it never ends by itself, and nothing is lost when it is killed.

use crate::{
    adapters::{Adapters, DocumentsAt},
    buckets::{Checked, OtherNumber},
    loopback::TOKEN_HEADER,
    orphan,
    settings::{Parent, Settings},
    workers,
};
use axum::{Router, extract::State, response::IntoResponse, routing::post};
use http::{HeaderMap, StatusCode};
use opsloop_embedded::clock::{VirtualClock, WallClock};
use opsloop_kernel::{Clock, Timestamp, ports::Recorder};
use opsloop_shell::{
    Shell,
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
    if let Some(parent) = &settings.parent {
        orphan::end_with(parent.pid);
    }
    let time = Time::of(settings.parent.as_ref());
    let signals = telemetry.signals.clone();
    let recorder: Arc<dyn Recorder> = signals.clone();
    let catalogue = Arc::new(workers::catalogue(&settings.workers));
    let adapters = Adapters::of(&settings, &catalogue, &time.clock(), &recorder)?;
    agree(&adapters.documents, settings.workers.metric_buckets).await?;
    let ports = adapters.ports(settings.workers.metric_buckets, time.clock(), recorder);
    let shell = Shell { catalogue, ports };
    // Only on a laptop, where `local` alone listens for others, does everybody belong to one tenant.
    let access = if settings.parent.is_some() { Access::Local } else { Access::Closed };
    let receiver = Receiver::new(Arc::new(workers::Otlp));
    let served = Served::new(shell, access, receiver, move || signals.exposition()).flushing(flush(telemetry));
    let app = time.routes(settings.parent.as_ref()).merge(router::router(Arc::new(served)));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
    tracing::info!(port = settings.port, "serving");
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

/// What is at hand is compared at once; a store in the cloud when it is first used.
async fn agree(documents: &DocumentsAt, wanted: u16) -> Result<(), Box<dyn Error>> {
    let DocumentsAt::Embedded(store) = documents else { return Ok(()) };
    let known = Checked::new(store.clone(), wanted).known().await;
    match known.map_err(|fault| format!("the store cannot be read ({})", fault.kind()))? {
        known if known == wanted => Ok(()),
        known => Err(OtherNumber { wanted, known }.into()),
    }
}

/// The clock of this process: the machine's, or the parent's virtual one, which pushes its instants.
enum Time {
    Wall,
    Virtual(Arc<VirtualClock>),
}

impl Time {
    fn of(parent: Option<&Parent>) -> Self {
        parent.and_then(|p| p.virtual_now).map_or(Self::Wall, |now| Self::Virtual(Arc::new(VirtualClock::at(now))))
    }
    fn clock(&self) -> Arc<dyn Clock> {
        match self {
            Self::Wall => Arc::new(WallClock),
            Self::Virtual(clock) => clock.clone(),
        }
    }
    fn routes(&self, parent: Option<&Parent>) -> Router {
        match (self, parent) {
            (Self::Virtual(clock), Some(parent)) => {
                let token: Arc<str> = Arc::from(parent.control_token.as_str());
                Router::new().route(CLOCK_PATH, post(set_clock)).with_state((clock.clone(), token))
            }
            _ => Router::new(),
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
