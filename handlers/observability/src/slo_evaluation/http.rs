//! The surface of SPEC 14.2: SLOs and their status.

use super::{
    commands::{self, SloRef},
    documents::{self, StoredSlo},
    reader,
    slo::SloDefinition,
};
use crate::series::paging::{Cursor, PAGE_MAX};
use opsloop_kernel::{
    Answer, Body, BoxFuture, Order, Scope, Stop,
    http::{Does, Endpoint, Method, Problem, QueryFn, Request},
    ports::after_prefix,
};
use serde_json::{Value, json};

const READ: &str = "observability.read";
const WRITE: &str = "observability.write";

pub fn endpoints() -> Vec<Endpoint> {
    let command = |kind: &'static str, payload: fn(&Request) -> Result<Body, Problem>| Does::Command {
        worker: documents::WORKER,
        kind,
        payload,
    };
    let route = |method, path, scope, about, does| Endpoint { method, path, scope, about, does };
    let query = |f: QueryFn| Does::Query(f);
    let (get, post, delete) = (Method::Get, Method::Post, Method::Delete);
    vec![
        route(post, "/v1/slos", WRITE, "Saves an SLO.", command(commands::SAVE, slo_payload)),
        route(get, "/v1/slos", READ, "SLOs, by id.", query(list)),
        route(delete, "/v1/slos/{id}", WRITE, "Ends an SLO.", command(commands::DELETE, slo_ref)),
        route(get, "/v1/slos/{id}/status", READ, "The newest status of an SLO.", query(status)),
    ]
}

/// The body as the command's payload, if it has its form; what it says is judged by the worker.
fn slo_payload(request: &Request) -> Result<Body, Problem> {
    request.body.read::<SloDefinition>().map_err(|e| Problem::invalid(e.to_string()))?;
    let mut body = request.body.clone();
    if let (Value::Object(fields), Some(project)) = (&mut body.0, &request.project) {
        fields.entry("projectId").or_insert_with(|| json!(project));
    }
    Ok(body)
}

fn slo_ref(request: &Request) -> Result<Body, Problem> {
    Ok(Body::of(&SloRef { slo_id: request.param("id").to_owned() }))
}

fn list<'a>(request: &'a Request, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Answer, Problem>> {
    Box::pin(async move {
        let page = Cursor::page(request, PAGE_MAX)?;
        let until = after_prefix(documents::SLOS);
        let listed = scope.list(&documents::stream(), documents::SLOS, &until, page, Order::Ascending).await?;
        let mut items = vec![];
        for stored in &listed.items {
            let slo: StoredSlo = stored.read()?;
            items.extend((!slo.deleted).then_some(slo.slo));
        }
        Ok(Answer { status: 200, body: Body(json!({"items": items, "next": Cursor::next(&listed)})) })
    })
}

/// The newest status up to now: what an SLO is, not what it will be.
fn status<'a>(request: &'a Request, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Answer, Problem>> {
    Box::pin(async move {
        let id = request.param("id");
        let stored = scope.get(&documents::stream(), &documents::slo_id(id)).await?;
        let slo: Option<StoredSlo> = stored.map(|s| s.read()).transpose()?;
        if slo.is_none_or(|s| s.deleted) {
            return Err(Problem::not_found("SLO", id));
        }
        let status = reader::status_at(scope, id, request.now).await.map_err(|stop| match stop {
            Stop::Fault(fault) => Problem::from(fault),
            Stop::Refusal(refusal) => Problem::from(refusal),
        })?;
        let status = status.ok_or_else(|| Problem::not_found("status yet of the SLO", id))?;
        Ok(Answer { status: 200, body: Body::of(&status) })
    })
}
