//! `GET /v1/traces/{traceId}` (SPEC 14.2): the record with its spans and references to its logs.

use super::reader::{SpanPage, read_record, read_spans};
use crate::log_ingestion::log_refs;
use opsloop_kernel::{
    Answer, BoxFuture, Scope, Stop, TraceId,
    document::Body,
    http::{Does, Endpoint, Method, Problem, Request},
};
use serde_json::{Value, json};

const SPANS_DEFAULT: usize = 1_000;
const SPANS_MAX: usize = 5_000;

pub fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint {
        method: Method::Get,
        path: "/v1/traces/{traceId}",
        scope: "observability.read",
        about: "A trace: its record, its spans (`limit`, `after`) and references to its logs.",
        does: Does::Query(get_trace),
    }]
}

/// The trace id of a path, in any case.
pub(crate) fn trace_of(request: &Request) -> Result<TraceId, Problem> {
    TraceId::parse(request.param("traceId").to_ascii_lowercase()).map_err(Problem::invalid)
}

/// What stops a read, to a person.
pub(crate) fn problem(stop: Stop) -> Problem {
    match stop {
        Stop::Fault(fault) => fault.into(),
        // A document of ours that cannot be read is our defect, not the caller's.
        Stop::Refusal(refusal) => Problem::new(500, "internal", refusal.to_string()),
    }
}

fn get_trace<'a>(request: &'a Request, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Answer, Problem>> {
    Box::pin(async move {
        let trace = trace_of(request)?;
        let limit = limit_of(request, SPANS_DEFAULT, SPANS_MAX)?;
        let record = read_record(scope, &trace).await.map_err(problem)?;
        let record = record.ok_or_else(|| Problem::not_found("trace", trace.as_str()))?;
        let after = request.query.get("after").map(String::as_str);
        let SpanPage { spans, next } = read_spans(scope, &trace, limit, after).await.map_err(problem)?;
        let logs = log_refs(scope, &trace).await.map_err(problem)?;
        let mut body = serde_json::to_value(&record).unwrap_or(Value::Null);
        body["spans"] = json!(spans);
        body["logs"] = json!(logs);
        if let Some(next) = next {
            body["next"] = json!(next);
        }
        Ok(Answer { status: 200, body: Body(body) })
    })
}

pub(crate) fn limit_of(request: &Request, default: usize, max: usize) -> Result<usize, Problem> {
    let Some(text) = request.query.get("limit") else { return Ok(default) };
    match text.parse() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        _ => Err(Problem::invalid(format!("`limit` is a number from 1 to {max}"))),
    }
}
