//! A call of the host for a function with a message or timer, in its span, counted and timed.

use crate::{
    Shell,
    catalogue::{OUTBOX_SWEEP, TICK_PAGES},
    delivery::CopyState,
    invocation::{self, Invocation, Received, Timer},
    pipeline, relay,
    router::{Served, failure, success},
    settle::{self, Settlement},
    spans, ticks,
};
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use opsloop_kernel::{Source, Trigger};
use tracing::Instrument;

/// A message or timer invocation.
pub async fn function(served: &Served, name: &str, body: Option<&Bytes>) -> Response {
    let Ok(_permit) = served.permits.acquire().await else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the handler is stopping");
    };
    let shell = &served.shell;
    let Some(worker) = worker_of(shell, name) else {
        return failure(StatusCode::NOT_FOUND, "unknown_function", "no worker has a function of this name");
    };
    let Some(body) = body else {
        return failure(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the invocation is beyond 16 MiB");
    };
    let _delivery = served.inflight.delivery(worker, &*shell.ports.recorder);
    match invocation::decode(body) {
        Ok(invocation) => invoke(shell, name, &invocation).await,
        Err(refusal) => {
            tracing::warn!(function = name, error = %refusal, "an invocation could not be read");
            failure(StatusCode::UNPROCESSABLE_ENTITY, refusal.code(), &refusal.to_string())
        }
    }
}

/// Whose function this is; the shell's own bear their own names.
fn worker_of(shell: &Shell, name: &str) -> Option<&'static str> {
    let own = [OUTBOX_SWEEP, TICK_PAGES].into_iter().find(|n| *n == name);
    own.or_else(|| shell.catalogue.function(name).map(|(worker, _)| worker.spec().name))
}

async fn invoke(shell: &Shell, name: &str, invocation: &Invocation) -> Response {
    let wrong = || failure(StatusCode::UNPROCESSABLE_ENTITY, "wrong_trigger", "this function has another trigger");
    match (name, invocation) {
        (OUTBOX_SWEEP, Invocation::Timer(timer)) => {
            timed(shell, OUTBOX_SWEEP, "Tick", sweep(shell, timer).instrument(spans::tick(OUTBOX_SWEEP, name))).await
        }
        (TICK_PAGES, Invocation::Message(received)) => {
            settled(timed(shell, TICK_PAGES, ticks::KIND_PAGE, page(shell, received)).await)
        }
        _ => match (shell.catalogue.function(name), invocation) {
            (Some((worker, trigger)), Invocation::Timer(timer)) if is_timer(trigger) => {
                let worker_name = worker.spec().name;
                let span = spans::tick(worker_name, name);
                let work = ticks::tick(shell, worker, trigger, timer).instrument(span.clone());
                let ticked = timed(shell, worker_name, "Tick", work).await;
                span.record("applied", ticked.applied).record("failed", ticked.failed);
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

async fn page(shell: &Shell, received: &Received) -> Settlement {
    let attempt = CopyState::of(&received.properties).attempt;
    let span = spans::delivery(TICK_PAGES, ticks::KIND_PAGE, attempt, received, None);
    let settlement = ticks::handle_page(shell, received).instrument(span.clone()).await;
    spans::settled(&span, settlement.outcome());
    settlement
}

/// Times what has no settlement of its own.
async fn timed<T>(shell: &Shell, worker: &str, event_type: &str, work: impl Future<Output = T>) -> T {
    let began = shell.ports.clock.now();
    let done = work.await;
    pipeline::time(worker, event_type, shell.ports.clock.now().millis_since(began), &shell.ports);
    done
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
