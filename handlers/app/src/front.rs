//! The front of local mode: everything goes to the embedded host's own front but `/_local/…` and the bare health paths,
//! which no function has.

use crate::{local::Platform, loopback::Loopback};
use axum::{
    Router,
    body::Body,
    extract::{Query, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// A demo runs for hours; nothing needs more at once.
const ADVANCE_MAX_S: u64 = 31 * 24 * 3600;

#[derive(Clone)]
struct Front {
    platform: Arc<Platform>,
    client: Client<HttpConnector, Body>,
    host: SocketAddr,
    loopback: Loopback,
}

pub fn router(platform: Arc<Platform>, host: SocketAddr) -> Router {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let front = Front { platform, client, host, loopback: Loopback::new(None) };
    Router::new()
        .route("/_local/advance", post(advance))
        .route("/_local/status", get(status))
        .route("/healthz", get(bare))
        .route("/readyz", get(bare))
        .route("/metrics", get(bare))
        .fallback(forward)
        .with_state(front)
}

#[derive(Deserialize)]
struct Advance {
    seconds: u64,
}

async fn advance(State(front): State<Front>, Query(by): Query<Advance>) -> Response {
    if by.seconds > ADVANCE_MAX_S {
        return (StatusCode::BAD_REQUEST, "at most 31 days at once\n").into_response();
    }
    match front.platform.advance(Duration::from_secs(by.seconds)).await {
        Ok(now) => format!("{{\"now\":\"{now}\"}}\n").into_response(),
        Err(why) => (StatusCode::CONFLICT, format!("{why}\n")).into_response(),
    }
}

async fn status(State(front): State<Front>) -> Response {
    axum::Json(front.platform.status().await).into_response()
}

/// `/healthz` at the front is that of the handler's own port.
async fn bare(State(front): State<Front>, request: Request) -> Response {
    let Some(port) = front.platform.handler_port() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the handler is not running\n").into_response();
    };
    match front.loopback.get(&format!("http://127.0.0.1:{port}{}", request.uri().path())).await {
        Ok(answered) => {
            let kind = answered.headers.get(header::CONTENT_TYPE).cloned();
            let mut response = (answered.status, answered.body).into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("text/plain")));
            response
        }
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn forward(State(front): State<Front>, mut request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let Ok(uri) = format!("http://{}{path}", front.host).parse() else {
        return (StatusCode::BAD_REQUEST, "the path cannot be read\n").into_response();
    };
    *request.uri_mut() = uri;
    match front.client.request(request).await {
        Ok(response) => response.map(|b| Body::new(b.map_err(axum::Error::new))),
        Err(why) => (StatusCode::BAD_GATEWAY, format!("the embedded host did not answer: {why}\n")).into_response(),
    }
}
