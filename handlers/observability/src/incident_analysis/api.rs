//! Incidents over HTTP (SPEC 14.2), and their readers for other workers. Queries read and never write; what changes
//! an incident is a command, checked here before it becomes an envelope.

use super::{
    WORKER,
    ask::{self, commands},
    command::shown,
    incident::{Incident, Loaded, LogEntry, doc, stream},
};
use crate::events::IncidentStatus;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use opsloop_kernel::{
    Answer, Body, BoxFuture, DocId, Listing, Order, Page, Scope, Stop,
    http::{Does, Endpoint, Method, Problem, Request},
    ident,
    ports::after_prefix,
};
use serde_json::{Value, json};

const READ: &str = "observability.read";
const INCIDENTS: &str = "observability.incidents";
/// SPEC 14.1.
const PAGE_MAX: usize = 200;
/// Pages that one filtered list looks through before it hands out a cursor.
const PAGES_LOOKED_THROUGH_MAX: usize = 10;
/// Entries of the log beside an incident; the rest by `after`.
const LOG_SHOWN_MAX: usize = 1_000;
/// Incidents of a tenant that a reader goes through: some 25 a day for 400 days.
const INCIDENTS_READ_MAX: usize = 10_000;

pub fn endpoints() -> Vec<Endpoint> {
    let query = |path, about, does| Endpoint { method: Method::Get, path, scope: READ, about, does: Does::Query(does) };
    let command = |path, about, kind, payload| Endpoint {
        method: Method::Post,
        path,
        scope: INCIDENTS,
        about,
        does: Does::Command { worker: WORKER, kind, payload },
    };
    vec![
        command("/v1/incidents", "Opens an incident by hand.", commands::OPEN, open_payload),
        query("/v1/incidents", "Incidents, by status.", list_query),
        query("/v1/incidents/{id}", "An incident with its log.", one_query),
        command("/v1/incidents/{id}/acknowledge", "Somebody has seen it.", commands::ACKNOWLEDGE, acknowledge_payload),
        command("/v1/incidents/{id}/investigate", "Somebody looks into it.", commands::BEGIN, begin_payload),
        command("/v1/incidents/{id}/mitigate", "The harm is stopped.", commands::MITIGATE, mitigate_payload),
        command("/v1/incidents/{id}/engage", "On-call has taken it.", commands::ENGAGE, engage_payload),
        command("/v1/incidents/{id}/resolve", "It is over, and why it was.", commands::RESOLVE, resolve_payload),
        command("/v1/incidents/{id}/notes", "What was learnt of it.", commands::NOTE, note_payload),
    ]
}

fn open_payload(request: &Request) -> Result<Body, Problem> {
    let mut payload = object(request)?;
    if let (Value::Object(fields), Some(project)) = (&mut payload, &request.project) {
        fields.entry("projectId").or_insert_with(|| json!(project));
    }
    checked(commands::OPEN, payload)
}

fn acknowledge_payload(request: &Request) -> Result<Body, Problem> {
    payload_of(commands::ACKNOWLEDGE, request)
}
fn begin_payload(request: &Request) -> Result<Body, Problem> {
    payload_of(commands::BEGIN, request)
}
fn mitigate_payload(request: &Request) -> Result<Body, Problem> {
    payload_of(commands::MITIGATE, request)
}
fn engage_payload(request: &Request) -> Result<Body, Problem> {
    payload_of(commands::ENGAGE, request)
}
fn resolve_payload(request: &Request) -> Result<Body, Problem> {
    payload_of(commands::RESOLVE, request)
}
fn note_payload(request: &Request) -> Result<Body, Problem> {
    payload_of(commands::NOTE, request)
}

/// The incident is the one of the path, whatever the body says.
fn payload_of(kind: &str, request: &Request) -> Result<Body, Problem> {
    let mut payload = object(request)?;
    let id = known_form(request.param("id"))?;
    if let Value::Object(fields) = &mut payload {
        fields.insert("incidentId".into(), json!(id));
    }
    checked(kind, payload)
}

/// An empty body is an empty object.
fn object(request: &Request) -> Result<Value, Problem> {
    match &request.body.0 {
        Value::Null => Ok(json!({})),
        Value::Object(fields) => Ok(Value::Object(fields.clone())),
        _ => Err(Problem::invalid("the body is not a JSON object")),
    }
}

fn checked(kind: &str, payload: Value) -> Result<Body, Problem> {
    let payload = Body(payload);
    ask::check(kind, &payload)?;
    Ok(payload)
}

/// An id that no incident can have is none: 404 before a store is read.
fn known_form(id: &str) -> Result<&str, Problem> {
    let is_id = id.strip_prefix("inc-").is_some_and(ident::is_token);
    if is_id { Ok(id) } else { Err(Problem::not_found("incident", id)) }
}

fn list_query<'a>(request: &'a Request, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Answer, Problem>> {
    Box::pin(list(request, scope))
}

fn one_query<'a>(request: &'a Request, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Answer, Problem>> {
    Box::pin(one(request, scope))
}

async fn list(request: &Request, scope: &Scope<'_>) -> Result<Answer, Problem> {
    let status = request.query.get("status").map(|s| status_named(s)).transpose()?;
    let limit = limit_of(request)?;
    let mut after = request.query.get("cursor").map(|c| read_cursor(c)).transpose()?;
    let mut items = vec![];
    let mut next = None;
    for _ in 0..PAGES_LOOKED_THROUGH_MAX {
        let page = incidents(scope, Page { limit: PAGE_MAX, after: after.clone() }).await?;
        for (n, stored) in page.items.iter().enumerate() {
            let incident: Incident = stored.read()?;
            after = Some(stored.document.id.clone());
            if status.is_none_or(|s| s == incident.status) {
                items.push(shown(&incident));
            }
            next = (page.more || n + 1 < page.items.len()).then(|| after.clone()).flatten();
            if items.len() == limit {
                return Ok(page_of(&items, next));
            }
        }
        if !page.more {
            return Ok(page_of(&items, None));
        }
    }
    Ok(page_of(&items, next))
}

fn page_of(items: &[Value], next: Option<DocId>) -> Answer {
    let mut body = json!({ "items": items });
    if let (Value::Object(fields), Some(id)) = (&mut body, next) {
        fields.insert("cursor".into(), json!(URL_SAFE_NO_PAD.encode(id.0)));
    }
    Answer { status: 200, body: Body(body) }
}

fn status_named(name: &str) -> Result<IncidentStatus, Problem> {
    serde_json::from_value(json!(name)).map_err(|_| Problem::invalid(format!("`{name}` is no status of an incident")))
}

fn limit_of(request: &Request) -> Result<usize, Problem> {
    let Some(text) = request.query.get("limit") else { return Ok(PAGE_MAX) };
    let limit: usize = text.parse().map_err(|_| Problem::invalid("`limit` is not a number"))?;
    if (1..=PAGE_MAX).contains(&limit) { Ok(limit) } else { Err(Problem::invalid("`limit` is 1 to 200")) }
}

fn read_cursor(cursor: &str) -> Result<DocId, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let id = bytes.and_then(|b| String::from_utf8(b).ok()).filter(|id| id.starts_with(doc::INCIDENTS));
    id.map(DocId).ok_or_else(|| Problem::invalid("`cursor` is none of ours"))
}

async fn one(request: &Request, scope: &Scope<'_>) -> Result<Answer, Problem> {
    let id = known_form(request.param("id"))?;
    let after = request.query.get("after").map(|s| s.parse::<u64>()).transpose();
    let after = after.map_err(|_| Problem::invalid("`after` is not the number of an entry"))?.unwrap_or(0);
    let Some(incident) = read_incident(scope, id).await.map_err(problem)? else {
        return Err(Problem::not_found("incident", id));
    };
    let log = read_log(scope, id, after, LOG_SHOWN_MAX).await.map_err(problem)?;
    let more = log.last().is_some_and(|e| e.seq < incident.last_seq);
    let mut body = shown(&incident);
    if let Value::Object(fields) = &mut body {
        if let Some(last) = log.last().filter(|_| more) {
            fields.insert("logAfter".into(), json!(last.seq));
        }
        fields.insert("log".into(), json!(log));
    }
    Ok(Answer { status: 200, body: Body(body) })
}

fn problem(stop: Stop) -> Problem {
    match stop {
        Stop::Fault(f) => f.into(),
        Stop::Refusal(r) => r.into(),
    }
}

async fn incidents(scope: &Scope<'_>, page: Page) -> Result<Listing, opsloop_kernel::Fault> {
    scope.list(&stream(), doc::INCIDENTS, &after_prefix(doc::INCIDENTS), page, Order::Ascending).await
}

/// The incident of this id, in whatever state.
pub async fn read_incident(scope: &Scope<'_>, id: &str) -> Result<Option<Incident>, Stop> {
    match scope.get(&stream(), &doc::incident(id)).await? {
        Some(stored) => Ok(Some(Loaded::<Incident>::of(&stored)?.body)),
        None => Ok(None),
    }
}

/// Incidents that are not resolved, of one project or of all.
pub async fn open_incidents(scope: &Scope<'_>, project: Option<&str>) -> Result<Vec<Incident>, Stop> {
    let mut open = vec![];
    for stored in scope.all(&stream(), doc::INCIDENTS, INCIDENTS_READ_MAX).await?.items {
        let incident: Incident = stored.read()?;
        let is_asked = project.is_none_or(|p| incident.project_id.as_deref() == Some(p));
        if is_asked && !incident.is_resolved() {
            open.push(incident);
        }
    }
    Ok(open)
}

/// Entries of an incident's log with a larger `seq`, in order (A58).
pub async fn read_log(scope: &Scope<'_>, id: &str, after: u64, max: usize) -> Result<Vec<LogEntry>, Stop> {
    let (from, until) = (doc::log(id, after + 1).0, after_prefix(&doc::logs(id)));
    let mut entries = vec![];
    let mut last = None;
    while entries.len() < max {
        let limit = (max - entries.len()).min(PAGE_MAX);
        let page = scope.list(&stream(), &from, &until, Page { limit, after: last }, Order::Ascending).await?;
        for stored in &page.items {
            entries.push(stored.read()?);
        }
        last = page.items.last().map(|s| s.document.id.clone());
        if !page.more || last.is_none() {
            break;
        }
    }
    Ok(entries)
}
