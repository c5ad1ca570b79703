//! `GET /v1/traces/{traceId}/logs`: the log records of a trace.

use super::reader::read_logs;
use crate::trace_ingestion::endpoint::{limit_of, problem, trace_of};
use opsloop_kernel::{
    Answer, BoxFuture, Scope,
    document::Body,
    http::{Does, Endpoint, Method, Problem, Request},
};

/// SPEC 14.1.
const PAGE_MAX: usize = 200;

pub fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint {
        method: Method::Get,
        path: "/v1/traces/{traceId}/logs",
        scope: "observability.read",
        about: "The log records of a trace by time (`limit`, `after`), or those of one `chunk`.",
        does: Does::Query(get_logs),
    }]
}

fn get_logs<'a>(request: &'a Request, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Answer, Problem>> {
    Box::pin(async move {
        let trace = trace_of(request)?;
        let limit = limit_of(request, PAGE_MAX, PAGE_MAX)?;
        let asked = |name: &str| request.query.get(name).map(String::as_str);
        let page = read_logs(scope, &trace, limit, asked("after"), asked("chunk")).await.map_err(problem)?;
        Ok(Answer { status: 200, body: Body::of(&page) })
    })
}
