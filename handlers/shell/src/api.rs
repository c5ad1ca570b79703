//! The operator surface (SPEC 14): routes queries and commands of the families, and what is the shell's own.

use crate::{
    Shell,
    access::Caller,
    bind, dead_letters,
    pipeline::{self, Job, Ran, Settled},
    spans,
};
use opsloop_kernel::{
    Answer, Body, Dedup, Envelope, Incoming, Scope, Source, Stop, TenantId, Timestamp,
    http::{Does, Endpoint, Method, Problem, Request},
    ids,
    json::{canonical, sha256_hex},
    ports::Seen,
    traceparent::Traceparent,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

/// Later than this a deferred command should be tried again.
const RETRY_AFTER_MAX_S: i64 = 30;

/// A request after routing by the host and authentication.
pub struct Call<'a> {
    pub method: Method,
    /// As sent, without query.
    pub path: &'a str,
    pub query: BTreeMap<String, String>,
    pub body: Body,
    pub caller: &'a Caller,
    /// The `Idempotency-Key`, without one the invocation id (A53).
    pub idempotency: String,
    pub traceparent: Option<Traceparent>,
}

/// An answer, and after how many seconds to try again where it is not one yet.
#[derive(Debug, PartialEq)]
pub struct Reply {
    pub answer: Answer,
    pub retry_after_s: Option<u64>,
}
impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self { answer, retry_after_s: None }
    }
}

pub async fn call(shell: &Shell, call: &Call<'_>) -> Result<Reply, Problem> {
    if let Some(own) = own_route(shell, call).await? {
        return Ok(own.into());
    }
    let (endpoint, params) = route(shell.catalogue.all_endpoints(), call)?;
    spans::routed(call.method.name(), endpoint.path);
    let request = Request {
        params,
        query: call.query.clone(),
        body: call.body.clone(),
        now: shell.ports.clock.now(),
        project: call.caller.project.clone(),
        metric_buckets: shell.catalogue.metric_buckets(),
    };
    match endpoint.does {
        Does::Query(query) => {
            let scope = Scope::admit(&call.caller.tenant, &call.caller.tenant, &*shell.ports.store)?;
            Ok(query(&request, &scope).await?.into())
        }
        Does::Command { worker, kind, payload } => {
            let mut payload = payload(&request)?;
            if let (Some(subject), Some(fields)) = (&call.caller.subject, payload.0.as_object_mut()) {
                fields.insert("actor".into(), subject.as_str().into());
            }
            command(shell, call, worker, kind, payload, request.now).await
        }
    }
}

/// Dead letters are the shell's: they belong to no family.
async fn own_route(shell: &Shell, call: &Call<'_>) -> Result<Option<Answer>, Problem> {
    let segments: Vec<&str> = call.path.trim_matches('/').split('/').collect();
    let tenant = &call.caller.tenant;
    match (call.method, segments.as_slice()) {
        (Method::Get, ["v1", "dead-letters"]) => {
            spans::routed("GET", "/v1/dead-letters");
            let items = dead_letters::list(shell, tenant).await?;
            Ok(Some(Answer { status: 200, body: Body::of(&serde_json::json!({ "items": items })) }))
        }
        (Method::Post, ["v1", "dead-letters", id, "replay"]) => {
            spans::routed("POST", "/v1/dead-letters/{id}/replay");
            match dead_letters::replay(shell, tenant, id).await? {
                Some(listed) => Ok(Some(Answer { status: 202, body: Body::of(&listed) })),
                None => Err(Problem::not_found("dead letter", id)),
            }
        }
        _ => Ok(None),
    }
}

/// The endpoint and the values in its path. Literals match in any case, as the host matches them (P10).
fn route<'a>(endpoints: &'a [Endpoint], call: &Call<'_>) -> Result<(&'a Endpoint, BTreeMap<String, String>), Problem> {
    let matching: Vec<_> = endpoints.iter().filter_map(|e| Some((e, matches(e.path, call.path)?))).collect();
    if matching.is_empty() {
        return Err(Problem::new(404, "not_found", format!("there is nothing at {}", call.path)));
    }
    matching.into_iter().find(|(e, _)| e.method == call.method).ok_or_else(|| {
        let allowed: BTreeSet<_> =
            endpoints.iter().filter(|e| matches(e.path, call.path).is_some()).map(|e| e.method.name()).collect();
        let allowed = allowed.into_iter().collect::<Vec<_>>().join(", ");
        Problem::new(405, "method_not_allowed", format!("{} takes {allowed}", call.path))
    })
}

fn matches(template: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let (wanted, given) = (template.trim_matches('/').split('/'), path.trim_matches('/').split('/'));
    let (wanted, given): (Vec<_>, Vec<_>) = (wanted.collect(), given.collect());
    if wanted.len() != given.len() {
        return None;
    }
    let mut params = BTreeMap::new();
    for (w, g) in wanted.iter().zip(&given) {
        match w.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
            Some(name) if !g.is_empty() => {
                params.insert(name.to_owned(), (*g).to_owned());
            }
            Some(_) => return None,
            None if w.eq_ignore_ascii_case(g) => {}
            None => return None,
        }
    }
    Some(params)
}

/// accept … commit inline (A29). The answer is that of the first unit that has one, kept with its marker (A53).
async fn command(
    shell: &Shell,
    call: &Call<'_>,
    worker: &'static str,
    kind: &'static str,
    payload: Body,
    now: Timestamp,
) -> Result<Reply, Problem> {
    if call.idempotency.is_empty() {
        // Behind the host there is an invocation id; without either, two commands would be taken for one.
        return Err(Problem::invalid("a command needs an `Idempotency-Key` header"));
    }
    let unknown = || Problem::new(500, "misrouted", format!("{worker} does not take {kind}"));
    let worker = shell.catalogue.named(worker).ok_or_else(unknown)?;
    let takes = |s: &Source| matches!(s, Source::Commands { kinds } if kinds.contains(&kind));
    let trigger = worker.spec().triggers.iter().find(|t| takes(&t.source)).ok_or_else(unknown)?;
    let body_sha256 = sha256_hex(canonical(&payload.0).as_bytes());
    let envelope = command_envelope(call, bind::source_of(worker.spec()), kind, payload, now);
    let incoming = Incoming::Event(Box::new(envelope.clone()));
    let resting = Mutex::new(BTreeSet::new());
    let job = Job {
        incoming: &incoming,
        whose: &call.caller.tenant,
        event: Some(&envelope),
        marker: (trigger.dedup == Dedup::Marker).then_some(envelope.event_id.as_str()),
        command: Some(&body_sha256),
        moment: now,
        resting: &resting,
        ports: &shell.ports,
    };
    let ran = worker.run(&job).await;
    pipeline::count(
        worker.spec().name,
        kind,
        if matches!(ran, Ran::Units(_)) { "processed" } else { "failed" },
        &shell.ports,
    );
    reply(ran, &body_sha256, now)
}

fn command_envelope(call: &Call<'_>, source: String, kind: &str, payload: Body, now: Timestamp) -> Envelope {
    let tenant: &TenantId = &call.caller.tenant;
    let event_id = ids::command_id(tenant, call.method.name(), call.path, &call.idempotency);
    let correlation_id = ids::command_correlation(tenant, &event_id);
    let trace_id = match &call.traceparent {
        Some(t) => t.trace_id.clone(),
        None => ids::correlation_trace(&correlation_id),
    };
    Envelope {
        event_type: kind.to_owned(),
        event_version: 1,
        tenant_id: tenant.clone(),
        project_id: None,
        module_id: None,
        environment: None,
        trace_id,
        correlation_id,
        causation_id: None,
        causation_depth: 0,
        occurred_at: now,
        recorded_at: now,
        source,
        subject: format!("Command/{event_id}"),
        partition_key: event_id.to_string(),
        idempotency_key: ids::key("command", tenant, [event_id.as_str()]),
        revision: 0,
        traceparent: call.traceparent.as_ref().map(ToString::to_string),
        tracestate: None,
        dimensions: BTreeMap::new(),
        freshness: None,
        payload,
        payload_ref: None,
        event_id,
    }
}

fn reply(ran: Ran, body_sha256: &str, now: Timestamp) -> Result<Reply, Problem> {
    let units = match ran {
        Ran::Ignored => return Err(Problem::new(500, "misrouted", "the worker ignored its own command")),
        Ran::Refused(refusal) => return Err(refusal.into()),
        Ran::Units(units) => units,
    };
    let mut first: Option<Answer> = None;
    for unit in units {
        match unit {
            Settled::Applied { answer, .. } => first = first.or(answer),
            Settled::Duplicate { seen } => first = first.or(kept(seen, body_sha256)?),
            Settled::Stopped(Stop::Refusal(refusal)) => return Err(refusal.into()),
            Settled::Stopped(Stop::Fault(fault)) => return Err(fault.into()),
            Settled::Again { at, reason } => return Ok(later(at, reason, now)),
        }
    }
    Ok(first.unwrap_or(Answer { status: 200, body: Body(serde_json::json!({})) }).into())
}

/// The first answer of a repeated command; another body under the same key is not the same command.
fn kept(seen: Seen, body_sha256: &str) -> Result<Option<Answer>, Problem> {
    match &seen.body_sha256 {
        Some(known) if known != body_sha256 => {
            let detail = "this Idempotency-Key was used with another body; use a new key for a new command";
            Err(Problem::new(422, "idempotency_key_reused", detail))
        }
        _ => Ok(seen.answer),
    }
}

fn later(at: Timestamp, reason: &str, now: Timestamp) -> Reply {
    let seconds = (at.millis_since(now) / 1000).clamp(1, RETRY_AFTER_MAX_S);
    let body = Body(serde_json::json!({"errorKind": "deferred", "detail": format!("not yet: {reason}; try again")}));
    Reply { answer: Answer { status: 503, body }, retry_after_s: Some(seconds.unsigned_abs()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_match_in_any_case_and_values_as_typed() {
        let params = matches("/v1/incidents/{id}/resolve", "/V1/Incidents/inc-A/resolve").unwrap();
        assert_eq!(params["id"], "inc-A");
        assert!(matches("/v1/incidents/{id}", "/v1/incidents/").is_none());
        assert!(matches("/v1/incidents/{id}", "/v1/incidents/a/b").is_none());
    }

    #[test]
    fn api_03_another_body_under_the_same_key_is_refused() {
        let answer = Answer { status: 201, body: Body(serde_json::json!({"id": 1})) };
        let seen = Seen { body_sha256: Some("a".into()), answer: Some(answer.clone()) };
        assert_eq!(kept(seen.clone(), "a").unwrap(), Some(answer));
        assert_eq!(kept(seen, "b").unwrap_err().status, 422);
    }
}
