//! The host's HTTP contract (P1 to P6, P10, P17): `POST /<Function>` for messages and timers, proxied requests for
//! HTTP functions, and the bare health paths on the handler's own port.
//!
//! A function is never answered with an empty, blank, `null` or `""` 2xx, a redirect or problem+json: the host would
//! hang on the first and fail on the others (P3, P4).

use crate::{
    Shell,
    access::{Access, Caller},
    api::{self, Call},
    catalogue::{OUTBOX_SWEEP, TICK_PAGES},
    invocation::{self, Invocation, Timer},
    otlp::Receiver,
    relay,
    settle::{self, Settlement},
    ticks,
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
    Body, Fault, Note, Source, TelemetrySignal, Trigger,
    http::{Method, Problem},
    signal,
    traceparent::Traceparent,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};
use tokio::sync::Semaphore;

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
    permits: Semaphore,
}

impl Served {
    pub fn new(
        shell: Shell,
        access: Access,
        receiver: Receiver,
        exposition: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        let permits = Semaphore::new(INVOCATIONS_AT_ONCE);
        Self { shell, access, receiver, exposition: Box::new(exposition), permits }
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
    match AssertUnwindSafe(answer(&served, &arrived)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => panicked(&served, &arrived, invocation),
    }
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
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
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
        ("POST", "/v1/traces") => telemetry(served, arrived, TelemetrySignal::Traces).await,
        ("POST", "/v1/metrics") => telemetry(served, arrived, TelemetrySignal::Metrics).await,
        ("POST", "/v1/logs") => telemetry(served, arrived, TelemetrySignal::Logs).await,
        (_, path) if path.starts_with("/v1/") => match surface(served, arrived).await {
            Ok(response) => response,
            Err(p) => problem(&p),
        },
        _ => match arrived.function() {
            Some(name) => function(served, name, arrived).await,
            None => problem(&Problem::new(404, "not_found", format!("there is nothing at {}", arrived.path))),
        },
    }
}

/// A message or timer invocation.
async fn function(served: &Served, name: &str, arrived: &Arrived) -> Response {
    let Ok(_permit) = served.permits.acquire().await else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the handler is stopping");
    };
    let shell = &served.shell;
    let began = shell.ports.clock.now();
    let known = name == OUTBOX_SWEEP || name == TICK_PAGES || shell.catalogue.function(name).is_some();
    if !known {
        return failure(StatusCode::NOT_FOUND, "unknown_function", "no worker has a function of this name");
    }
    let Some(body) = &arrived.body else {
        return failure(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the invocation is beyond 16 MiB");
    };
    let response = match invocation::decode(body) {
        Ok(invocation) => invoke(shell, name, &invocation).await,
        Err(refusal) => {
            tracing::warn!(function = name, error = %refusal, "an invocation could not be read");
            failure(StatusCode::UNPROCESSABLE_ENTITY, refusal.code(), &refusal.to_string())
        }
    };
    let seconds = shell.ports.clock.now().millis_since(began).max(0) as f64 / 1000.0;
    let labels = vec![("event_type", name.to_owned())];
    shell.ports.recorder.record(name, &Note { signal: &signal::HANDLER_SECONDS, labels, value: seconds });
    response
}

async fn invoke(shell: &Shell, name: &str, invocation: &Invocation) -> Response {
    let wrong = || failure(StatusCode::UNPROCESSABLE_ENTITY, "wrong_trigger", "this function has another trigger");
    match (name, invocation) {
        (OUTBOX_SWEEP, Invocation::Timer(timer)) => sweep(shell, timer).await,
        (TICK_PAGES, Invocation::Message(received)) => settled(ticks::handle_page(shell, received).await),
        _ => match (shell.catalogue.function(name), invocation) {
            (Some((worker, trigger)), Invocation::Timer(timer)) if is_timer(trigger) => {
                let ticked = ticks::tick(shell, worker, trigger, timer).await;
                tracing::debug!(function = name, applied = ticked.applied, failed = ticked.failed, "a tick");
                success()
            }
            (Some((worker, trigger)), Invocation::Message(received)) if !is_timer(trigger) => {
                settled(settle::message(shell, worker, trigger, received).await)
            }
            _ => wrong(),
        },
    }
}

fn is_timer(trigger: &Trigger) -> bool {
    matches!(trigger.source, Source::Timer { .. })
}

/// Ticks and sweeps are answered 200 always: what failed stays due (A54).
async fn sweep(shell: &Shell, timer: &Timer) -> Response {
    let due = ticks::due_of(timer, 30, 0, shell.ports.clock.now());
    if let Err(fault) = relay::sweep(due, &shell.ports).await {
        tracing::warn!(fault = fault.kind(), "a sweep failed; what is owed stays owed");
    }
    success()
}

fn settled(settlement: Settlement) -> Response {
    match &settlement {
        Settlement::Done { .. } | Settlement::Deferred { .. } => success(),
        Settlement::Refused(refusal) => failure(StatusCode::UNPROCESSABLE_ENTITY, refusal.code(), &refusal.to_string()),
        Settlement::Failed(fault) => {
            failure(StatusCode::SERVICE_UNAVAILABLE, fault.kind(), "a dependency failed; the message stays")
        }
    }
}

async fn telemetry(served: &Served, arrived: &Arrived, signal: TelemetrySignal) -> Response {
    let caller = served.access.caller(&arrived.headers);
    let reply = served.receiver.receive(&served.shell, signal, &arrived.headers, caller, arrived.body.clone()).await;
    let mut response = with_type(reply.status, reply.form.content_type(), reply.body);
    retry_after(&mut response, reply.retry_after_s);
    response
}

async fn surface(served: &Served, arrived: &Arrived) -> Result<Response, Problem> {
    let caller: Caller = served.access.caller(&arrived.headers)?;
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
        traceparent: arrived.header("traceparent").and_then(Traceparent::parse),
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

fn success() -> Response {
    with_type(StatusCode::OK, "application/json", SUCCESS.as_bytes().to_vec())
}

fn failure(status: StatusCode, kind: &str, detail: &str) -> Response {
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
