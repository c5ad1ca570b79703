//! The socket's side: a request is logged, meets its fault if there is one, and else the emulator core.

use crate::{
    account::{Account, Headers, Reply},
    admin::Admin,
    faults::Fault,
};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Response, StatusCode},
    routing::any,
};
use bytes::Bytes;
use futures::stream;
use serde_json::json;
use std::{io, sync::Arc, time::Duration};

/// Beyond what the service takes, so that the core refuses it and not we.
const BODY_BYTES_MAX: usize = 16 << 20;
const JSON: (&str, &str) = ("content-type", "application/json");

struct Front {
    account: Arc<Account>,
    admin: Admin,
}

pub fn router(account: Arc<Account>) -> Router {
    Router::new().fallback(any(serve)).with_state(Arc::new(Front { account, admin: Admin::default() }))
}

async fn serve(State(front): State<Arc<Front>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else { return failed("the body could not be read") };
    let method = parts.method.as_str();
    let path = path_of(parts.uri.path_and_query().map_or("/", |p| p.as_str()));
    if let Some(answer) = front.admin.answer(&front.account, method, path, &body).await {
        return answer;
    }
    let headers: Headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    let fault = front.admin.faults.take(method, path, &headers);
    if let Some(fault) = fault.as_ref().filter(|f| !f.after_commit) {
        log(&front, method, path, &headers, &body, fault.status);
        return broken(fault).await;
    }
    let reply = match front.account.call(method, path, &headers, body.clone()).await {
        Ok(reply) => reply,
        Err(why) => return failed(&why),
    };
    let status = fault.as_ref().map_or(reply.status, |f| f.status);
    log(&front, method, path, &headers, &body, status);
    match fault {
        Some(fault) => broken(&fault).await,
        None => replied(reply),
    }
}

/// Microsoft's Python client ends paths with a slash, which the core refuses.
fn path_of(path: &str) -> &str {
    if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path }
}

fn log(front: &Front, method: &str, path: &str, headers: &Headers, body: &[u8], status: u16) {
    let entry = json!({
        "method": method, "path": path, "status": status, "bytes": body.len(),
        "headers": headers.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
    });
    front.admin.log(entry);
}

/// The fault as the client sees it.
async fn broken(fault: &Fault) -> Response<Body> {
    tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    if fault.status == 0 {
        let lost = stream::once(async { Err::<Bytes, _>(io::Error::other("the reply is lost")) });
        return Response::new(Body::from_stream(lost));
    }
    let mut headers = vec![
        (JSON.0.to_owned(), JSON.1.to_owned()),
        ("x-ms-activity-id".to_owned(), "00000000-0000-0000-0000-000000000000".to_owned()),
    ];
    if let Some(sub_status) = fault.sub_status {
        headers.push(("x-ms-substatus".to_owned(), sub_status.to_string()));
    }
    if let Some(ms) = fault.retry_after_ms {
        headers.push(("x-ms-retry-after-ms".to_owned(), ms.to_string()));
    }
    let body = json!({ "code": fault.status.to_string(), "message": "injected" }).to_string();
    replied(Reply { status: fault.status, headers, body: Bytes::from(body) })
}

fn failed(why: &str) -> Response<Body> {
    let body = json!({ "code": "InternalServerError", "message": why }).to_string();
    replied(Reply { status: 500, headers: vec![(JSON.0.to_owned(), JSON.1.to_owned())], body: Bytes::from(body) })
}

fn replied(reply: Reply) -> Response<Body> {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
