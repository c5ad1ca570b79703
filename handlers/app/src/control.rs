//! What `local` offers its children: its broker, on a loopback port of its own, behind a token.

use crate::{
    loopback::TOKEN_HEADER,
    remote::{COMPLETE, Complete, PEEK, PUBLISH, Peek, WAITING, Waiting},
};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;
use opsloop_kernel::{
    Fault, Message, Publisher,
    ports::{Backlog, DeadLetters},
};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Messages of one publish: many parts of 256 KiB, in hex.
const BODY_MAX: usize = 256 * 1024 * 1024;

/// What the embedded broker offers in process.
pub trait Offered: Publisher + Backlog + DeadLetters + 'static {}
impl<B: Publisher + Backlog + DeadLetters + 'static> Offered for B {}

#[derive(Clone)]
struct Control {
    broker: Arc<dyn Offered>,
    token: Arc<str>,
}

pub fn router(broker: Arc<dyn Offered>, token: &str) -> Router {
    let control = Control { broker, token: token.into() };
    Router::new()
        .route(PUBLISH, post(publish))
        .route(WAITING, post(waiting))
        .route(PEEK, post(peek))
        .route(COMPLETE, post(complete))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(control.clone(), guard))
        .with_state(control)
}

async fn guard(State(control): State<Control>, request: Request, next: Next) -> Response {
    let given = request.headers().get(TOKEN_HEADER).map(|v| v.as_bytes()).unwrap_or_default();
    match bool::from(given.ct_eq(control.token.as_bytes())) {
        true => next.run(request).await,
        false => StatusCode::UNAUTHORIZED.into_response(),
    }
}

fn answer<T: serde::Serialize>(result: Result<T, Fault>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(fault) => (StatusCode::SERVICE_UNAVAILABLE, fault.kind()).into_response(),
    }
}

async fn publish(State(control): State<Control>, Json(messages): Json<Vec<Message>>) -> Response {
    answer(control.broker.publish(&messages).await)
}
async fn waiting(State(control): State<Control>, Json(ask): Json<Waiting>) -> Response {
    answer(control.broker.waiting(&ask.queue).await)
}
async fn peek(State(control): State<Control>, Json(ask): Json<Peek>) -> Response {
    answer(control.broker.peek(&ask.handler, ask.after, ask.limit).await)
}
async fn complete(State(control): State<Control>, Json(ask): Json<Complete>) -> Response {
    answer(control.broker.complete(&ask.handler, ask.sequence).await)
}
