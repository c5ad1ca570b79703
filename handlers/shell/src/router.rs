//! The host's HTTP contract (P1 to P6, P10, P17): `POST /<Function>` for messages and timers, proxied requests for
//! HTTP functions, and the bare health paths on the handler's own port.
//!
//! A function is never answered with an empty, blank, `null` or `""` 2xx, a redirect or problem+json: the host would
//! hang on the first and fail on the others (P3, P4).

use crate::{
    Shell,
    access::{Access, Caller},
    api::{self, Call},
    inflight::InFlight,
    invoke,
    otlp::Receiver,
    spans,
};
use axum::{
    Router,
    body::Body as HttpBody,
    extract::{Request, State},
    response::Response,
};
use bytes::{Bytes, BytesMut};
use futures::{FutureExt, StreamExt, future};
use http::{HeaderMap, StatusCode, header};
use opsloop_kernel::{
    Body, BoxFuture, Fault, Note, TelemetrySignal,
    http::{Method, Problem},
    signal,
    traceparent::Traceparent,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};
use tokio::sync::Semaphore;
use tracing::Instrument;

/// Bodies are read to their end up to this, also before an early answer (P10).
const DRAIN_MAX: usize = 16 * 1024 * 1024;
/// JSON bodies of the operator surface.
const API_BODY_MAX: usize = 1024 * 1024;
/// The host does not bound concurrent requests (P1).
const INVOCATIONS_AT_ONCE: usize = 64;
const READY_MS: u64 = 2_000;
const INVOCATION_ID: &str = "x-azure-functions-invocationid";
const SUCCESS: &str = r#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#;

pub struct Served {
    pub shell: Shell,
    pub access: Access,
    pub receiver: Receiver,
    /// The text exposition of all signals.
    pub exposition: Box<dyn Fn() -> String + Send + Sync>,
    flush: Option<Flush>,
    pub(crate) inflight: InFlight,
    pub(crate) permits: Semaphore,
}

/// Sends what telemetry waits; bounded in time by who gives it.
pub type Flush = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

impl Served {
    pub fn new(
        shell: Shell,
        access: Access,
        receiver: Receiver,
        exposition: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        let permits = Semaphore::new(INVOCATIONS_AT_ONCE);
        let (exposition, flush, inflight) = (Box::new(exposition), None, InFlight::default());
        Self { shell, access, receiver, exposition, flush, inflight, permits }
    }

    /// With a flush before the answer of the last call under way: after it this process may be frozen or killed, and
    /// is not told so (P12).
    pub fn flushing(self, flush: Flush) -> Self {
        Self { flush: Some(flush), ..self }
    }
}

pub fn router(served: Arc<Served>) -> Router {
    Router::new().fallback(dispatch).with_state(served)
}

async fn dispatch(State(served): State<Arc<Served>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = drain(body).await;
    let path = parts.uri.path().to_owned();
    let lower = path.to_ascii_lowercase();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let arrived = Arrived { method: parts.method, path, lower, query, headers: parts.headers, body };
    let invocation = arrived.function().is_some();
    served.inflight.enter();
    let response = match AssertUnwindSafe(answer(&served, &arrived)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => panicked(&served, &arrived, invocation),
    };
    if served.inflight.leave()
        && let Some(flush) = served.flush.as_ref().filter(|_| arrived.works())
    {
        flush().await;
    }
    response
}

struct Arrived {
    method: http::Method,
    path: String,
    /// Paths match in any case and arrive as typed.
    lower: String,
    query: String,
    headers: HeaderMap,
    /// `None`: beyond what is drained.
    body: Option<Bytes>,
}

impl Arrived {
    /// `POST /<Function>`: one segment, and nothing that is public.
    fn function(&self) -> Option<&str> {
        let name = self.path.strip_prefix('/')?;
        (self.method == http::Method::POST && !name.is_empty() && !name.contains('/')).then_some(name)
    }
    /// Whether this is more than a look at how the process is.
    fn works(&self) -> bool {
        self.function().is_some() || self.lower.starts_with("/v1/")
    }
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
    fn traceparent(&self) -> Option<Traceparent> {
        self.header("traceparent").and_then(Traceparent::parse)
    }
}

/// Reads the whole body; beyond the limit the rest is read no further.
async fn drain(body: HttpBody) -> Option<Bytes> {
    let mut stream = body.into_data_stream();
    let mut out = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        out.extend_from_slice(&chunk.ok()?);
        if out.len() > DRAIN_MAX {
            return None;
        }
    }
    Some(out.freeze())
}

fn panicked(served: &Served, arrived: &Arrived, invocation: bool) -> Response {
    served.shell.ports.recorder.record("Router", &Note::count(&signal::PANICS, 1));
    tracing::error!(path = %arrived.path, "a panic was caught at the router");
    if invocation {
        return failure(StatusCode::INTERNAL_SERVER_ERROR, "panic", "the handler panicked; the broker redelivers");
    }
    problem(&Problem::new(500, "panic", "the handler panicked; this is a defect"))
}

async fn answer(served: &Served, arrived: &Arrived) -> Response {
    match (arrived.method.as_str(), arrived.lower.as_str()) {
        ("GET" | "HEAD", "/") => text(StatusCode::OK, "opsloop\n"),
        ("GET", "/healthz" | "/v1/healthz") => text(StatusCode::OK, "ok\n"),
        ("GET", "/readyz" | "/v1/readyz") => readiness(&served.shell).await,
        ("GET", "/metrics") => exposition(served),
        ("GET", "/v1/metrics") => match served.access.caller(&arrived.headers) {
            Ok(_) => exposition(served),
            Err(p) => problem(&p),
        },
        (_, path) if path.starts_with("/v1/") => public(served, arrived).await,
        _ => match arrived.function() {
            Some(name) => invoke::function(served, name, arrived.body.as_ref()).await,
            None => problem(&Problem::new(404, "not_found", format!("there is nothing at {}", arrived.path))),
        },
    }
}

/// A client's request, in its own span.
async fn public(served: &Served, arrived: &Arrived) -> Response {
    let span = spans::request(arrived.method.as_str(), arrived.traceparent().as_ref());
    let answer = async {
        match (arrived.method.as_str(), arrived.lower.as_str()) {
            ("POST", "/v1/traces") => telemetry(served, arrived, TelemetrySignal::Traces).await,
            ("POST", "/v1/metrics") => telemetry(served, arrived, TelemetrySignal::Metrics).await,
            ("POST", "/v1/logs") => telemetry(served, arrived, TelemetrySignal::Logs).await,
            _ => surface(served, arrived).await.unwrap_or_else(|p| problem(&p)),
        }
    };
    let response = answer.instrument(span.clone()).await;
    spans::answered(&span, response.status().as_u16());
    response
}

async fn telemetry(served: &Served, arrived: &Arrived, signal: TelemetrySignal) -> Response {
    let caller = served.access.caller(&arrived.headers);
    spans::routed("POST", &arrived.lower);
    if let Ok(caller) = &caller {
        spans::admitted(&caller.tenant);
    }
    let reply = served.receiver.receive(&served.shell, signal, &arrived.headers, caller, arrived.body.clone()).await;
    let mut response = with_type(reply.status, reply.form.content_type(), reply.body);
    retry_after(&mut response, reply.retry_after_s);
    response
}

async fn surface(served: &Served, arrived: &Arrived) -> Result<Response, Problem> {
    let caller: Caller = served.access.caller(&arrived.headers)?;
    spans::admitted(&caller.tenant);
    let method = match arrived.method.as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        other => return Err(Problem::new(405, "method_not_allowed", format!("{other} is not used here"))),
    };
    let call = Call {
        method,
        path: &arrived.path,
        query: query_of(&arrived.query),
        body: json_body(arrived)?,
        caller: &caller,
        idempotency: idempotency(arrived),
        traceparent: arrived.traceparent(),
    };
    let reply = api::call(&served.shell, &call).await?;
    let body = serde_json::to_vec(&reply.answer.body).unwrap_or_default();
    let status = StatusCode::from_u16(reply.answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_client_error() || status.is_server_error() {
        let mut response = problem(&problem_of(reply.answer.status, &reply.answer.body));
        retry_after(&mut response, reply.retry_after_s);
        return Ok(response);
    }
    Ok(with_type(status, "application/json", body))
}

/// The header, without one the invocation id: the host gives all attempts of a call the same (A53).
fn idempotency(arrived: &Arrived) -> String {
    let key = arrived.header("idempotency-key").or_else(|| arrived.header(INVOCATION_ID));
    key.unwrap_or_default().to_owned()
}

fn json_body(arrived: &Arrived) -> Result<Body, Problem> {
    let too_large = || Problem::new(413, "too_large", format!("a body has at most {API_BODY_MAX} bytes"));
    let bytes = arrived.body.as_ref().ok_or_else(too_large)?;
    if bytes.len() > API_BODY_MAX {
        return Err(too_large());
    }
    if bytes.is_empty() {
        return Ok(Body(json!({})));
    }
    serde_json::from_slice(bytes).map(Body).map_err(|e| Problem::invalid(format!("the body is not JSON: {e}")))
}

fn query_of(query: &str) -> BTreeMap<String, String> {
    form_pairs(query).collect()
}

fn form_pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query.split('&').filter(|p| !p.is_empty()).map(|pair| {
        let (k, v) = pair.split_once('=').unwrap_or((pair, ""));
        (unescape(k), unescape(v))
    })
}

fn unescape(text: &str) -> String {
    percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// A command's "no" is an answer that was kept; it is shown as a problem document.
fn problem_of(status: u16, body: &Body) -> Problem {
    let text = |name: &str| body.0.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = match text("errorKind").as_str() {
        "InvalidTransition" | "invalid_transition" => "invalid_transition",
        "PreconditionFailed" | "precondition_failed" => "precondition_failed",
        "NotFound" | "not_found" => "not_found",
        "deferred" => "deferred",
        _ => "invalid",
    };
    Problem { status, kind, detail: text("detail") }
}

async fn readiness(shell: &Shell) -> Response {
    let ports = &shell.ports;
    let store = async {
        let stream = opsloop_kernel::Stream::new(opsloop_kernel::Container::State, "ready");
        let tenant = opsloop_kernel::TenantId::platform();
        ports.store.get(&tenant, &stream, &"probe".into()).await.map(|_| ())
    };
    let broker = async { ports.backlog.waiting(opsloop_kernel::message::QUEUE_TRACES).await.map(|_| ()) };
    let checks = [("store", within(store, ports).await), ("broker", within(broker, ports).await)];
    let ready = checks.iter().all(|(_, ok)| *ok);
    let body: String =
        checks.iter().map(|(n, ok)| format!("{n} {}\n", if *ok { "ready" } else { "not ready" })).collect();
    text(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}

async fn within(check: impl Future<Output = Result<(), Fault>>, ports: &crate::Ports) -> bool {
    let limit = ports.clock.sleep(READY_MS);
    match future::select(std::pin::pin!(check), limit).await {
        future::Either::Left((result, _)) => result.is_ok(),
        future::Either::Right(_) => false,
    }
}

fn exposition(served: &Served) -> Response {
    with_type(
        StatusCode::OK,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        (served.exposition)().into_bytes(),
    )
}

pub(crate) fn success() -> Response {
    with_type(StatusCode::OK, "application/json", SUCCESS.as_bytes().to_vec())
}

pub(crate) fn failure(status: StatusCode, kind: &str, detail: &str) -> Response {
    with_type(status, "application/json", json!({"error": {"kind": kind, "detail": detail}}).to_string().into_bytes())
}

pub fn problem(p: &Problem) -> Response {
    let status = StatusCode::from_u16(p.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({
        "type": format!("urn:factory:problem:{}", p.kind), "title": status.canonical_reason().unwrap_or("Error"),
        "status": p.status, "detail": p.detail, "errorKind": p.kind,
    });
    with_type(status, "application/problem+json", body.to_string().into_bytes())
}

fn text(status: StatusCode, body: &str) -> Response {
    with_type(status, "text/plain; charset=utf-8", body.as_bytes().to_vec())
}

fn with_type(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(HttpBody::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

fn retry_after(response: &mut Response, seconds: Option<u64>) {
    if let Some(s) = seconds {
        response.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from(s));
    }
}
