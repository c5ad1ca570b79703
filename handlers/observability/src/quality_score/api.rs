//! Scores over HTTP (SPEC 14.2).

use super::{
    project,
    score::{Ledger, prefix},
};
use crate::feedback_creation::api::newest_first;
use opsloop_kernel::{
    Answer, BoxFuture, Scope,
    http::{Does, Endpoint, Method, Problem, Request},
    ident,
    window::{DAY_MS, HOUR_MS},
};
use serde_json::Value;

pub fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint {
        method: Method::Get,
        path: "/v1/quality/projects/{projectId}",
        scope: "observability.read",
        about: "Scores of a project by window, newest first; `window` is 1h or 1d.",
        does: Does::Query(scores),
    }]
}

fn scores<'a>(request: &'a Request, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Answer, Problem>> {
    Box::pin(async move {
        let id = request.param("projectId");
        if !ident::is_slug(id) {
            return Err(Problem::not_found("project", id));
        }
        let size_ms = match request.query.get("window").map(String::as_str) {
            None | Some("1h") => HOUR_MS,
            Some("1d") => DAY_MS,
            Some(_) => return Err(Problem::invalid("`window` is neither 1h nor 1d")),
        };
        newest_first(request, scope, &project::stream(id), &prefix(size_ms), score_of).await
    })
}

/// Windows that were skipped have none.
fn score_of(ledger: &Value) -> Option<Value> {
    let ledger: Ledger = serde_json::from_value(ledger.clone()).ok()?;
    serde_json::to_value(ledger.score?).ok()
}
