//! Feedback over HTTP (SPEC 14.2): people and agents give some, and what there is can be listed.

use super::{
    NAME,
    input::{CREATE_FEEDBACK_ITEM, NewFeedback},
    item::{self, doc},
};
use opsloop_kernel::{
    Answer, Body, BoxFuture, DocId, Order, Page, Scope, Stream,
    http::{Does, Endpoint, Method, Problem, Request},
    ports::after_prefix,
};
use serde_json::{Value, json};

/// SPEC 14.1.
const PAGE_MAX: usize = 200;
const PAGE: usize = 50;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint {
            method: Method::Post,
            path: "/v1/feedback-items",
            scope: "observability.write",
            about: "Human or agent feedback.",
            does: Does::Command { worker: NAME, kind: CREATE_FEEDBACK_ITEM, payload: new_feedback },
        },
        Endpoint {
            method: Method::Get,
            path: "/v1/feedback-items",
            scope: "observability.read",
            about: "Feedback items of a project, newest first; `project` empty: those without one.",
            does: Does::Query(list_items),
        },
    ]
}

fn new_feedback(request: &Request) -> Result<Body, Problem> {
    let mut asked: NewFeedback = request.body.read()?;
    asked.check().map_err(Problem::invalid)?;
    asked.project_id = asked.project_id.or_else(|| request.project.clone());
    Ok(Body::of(&asked))
}

fn list_items<'a>(request: &'a Request, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Answer, Problem>> {
    Box::pin(async move {
        let project = request.query.get("project").or(request.project.as_ref());
        let stream = item::stream(project.map(String::as_str).filter(|p| !p.is_empty()));
        newest_first(request, scope, &stream, doc::ITEMS, |body| Some(body.clone())).await
    })
}

/// A page of documents whose ids begin with `prefix`, the largest id first: `{items, nextCursor?}`. The cursor is the
/// id after which it goes on, in hex so that it needs no escaping.
pub(crate) async fn newest_first(
    request: &Request,
    scope: &Scope<'_>,
    stream: &Stream,
    prefix: &str,
    shown: impl Fn(&Value) -> Option<Value>,
) -> Result<Answer, Problem> {
    let page = Page { limit: limit_of(request)?, after: cursor_of(request, prefix)? };
    let listing = scope.list(stream, prefix, &after_prefix(prefix), page, Order::Descending).await?;
    let items: Vec<Value> = listing.items.iter().filter_map(|s| shown(&s.document.body.0)).collect();
    let mut body = json!({ "items": items });
    if let Some(last) = listing.items.last().filter(|_| listing.more) {
        body["nextCursor"] = Value::String(hex::encode(&last.document.id.0));
    }
    Ok(Answer { status: 200, body: Body(body) })
}

fn limit_of(request: &Request) -> Result<usize, Problem> {
    let Some(text) = request.query.get("limit") else { return Ok(PAGE) };
    match text.parse() {
        Ok(limit @ 1..=PAGE_MAX) => Ok(limit),
        _ => Err(Problem::invalid(format!("`limit` is not between 1 and {PAGE_MAX}"))),
    }
}

fn cursor_of(request: &Request, prefix: &str) -> Result<Option<DocId>, Problem> {
    let Some(text) = request.query.get("cursor") else { return Ok(None) };
    let id = hex::decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match id.filter(|id| id.starts_with(prefix)) {
        Some(id) => Ok(Some(DocId(id))),
        None => Err(Problem::invalid("`cursor` is not one of this list")),
    }
}
