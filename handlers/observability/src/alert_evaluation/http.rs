//! The surface of SPEC 14.2: rules, instances, silences; and what inhibition needs beside them.

use super::{
    commands::{self, RuleRef},
    documents::{self, Chunk, Root, StoredRule},
    observe,
    rule::AlertRule,
    suppression::{InhibitRule, Silence},
};
use crate::series::paging::{Cursor, PAGE_MAX};
use opsloop_kernel::{
    Answer, Body, BoxFuture, Order, Page, Scope, Stop,
    http::{Does, Endpoint, Method, Problem, QueryFn, Request},
    ports::after_prefix,
};
use serde::{Serialize, de::DeserializeOwned};
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
    let rule = "/v1/alerts/rules/{id}";
    vec![
        route(post, "/v1/alerts/rules", WRITE, "Saves a rule.", command(commands::SAVE_RULE, rule_payload)),
        route(get, "/v1/alerts/rules", READ, "Rules, by id.", query(list_rules)),
        route(get, rule, READ, "One rule.", query(get_rule)),
        route(delete, rule, WRITE, "Ends a rule.", command(commands::DELETE_RULE, rule_ref)),
        route(get, "/v1/alerts/instances", READ, "Alert instances, by rule.", query(list_instances)),
        route(post, "/v1/alerts/silences", WRITE, "Silences.", command(commands::CREATE_SILENCE, checked::<Silence>)),
        route(get, "/v1/alerts/silences", READ, "Silences, by id.", query(list_silences)),
        route(
            post,
            "/v1/alerts/inhibitions",
            WRITE,
            "Saves an inhibition rule.",
            command(commands::SAVE_INHIBITION, checked::<InhibitRule>),
        ),
        route(
            delete,
            "/v1/alerts/inhibitions/{id}",
            WRITE,
            "Deletes an inhibition rule.",
            command(commands::DELETE_INHIBITION, |r| Ok(Body(json!({"id": r.param("id")})))),
        ),
    ]
}

/// The body as the command's payload, if it has its form; what it says is judged by the worker.
fn checked<T: DeserializeOwned>(request: &Request) -> Result<Body, Problem> {
    request.body.read::<T>().map_err(|e| Problem::invalid(e.to_string()))?;
    Ok(request.body.clone())
}

fn rule_payload(request: &Request) -> Result<Body, Problem> {
    let mut body = checked::<AlertRule>(request)?;
    if let (Value::Object(fields), Some(project)) = (&mut body.0, &request.project) {
        fields.entry("projectId").or_insert_with(|| json!(project));
    }
    Ok(body)
}

fn rule_ref(request: &Request) -> Result<Body, Problem> {
    Ok(Body::of(&RuleRef { rule_id: request.param("id").to_owned() }))
}

fn list_rules<'a>(request: &'a Request, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Answer, Problem>> {
    Box::pin(async move {
        let page = Cursor::page(request, PAGE_MAX)?;
        let until = after_prefix(documents::RULES);
        let listed = scope.list(&documents::stream(), documents::RULES, &until, page, Order::Ascending).await?;
        let mut items = vec![];
        for stored in &listed.items {
            let rule: StoredRule = stored.read()?;
            items.extend((!rule.deleted).then_some(rule.rule));
        }
        Ok(answer(json!({"items": items, "next": Cursor::next(&listed)})))
    })
}

fn get_rule<'a>(request: &'a Request, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Answer, Problem>> {
    Box::pin(async move {
        let id = request.param("id");
        let stored = scope.get(&documents::stream(), &documents::rule_id(id)).await?;
        let rule: Option<StoredRule> = stored.map(|s| s.read()).transpose()?;
        let live = rule.filter(|r| !r.deleted).ok_or_else(|| Problem::not_found("alert rule", id))?;
        Ok(answer(json!(live.rule)))
    })
}

/// A page is one document of instances, at most 200 of one rule.
fn list_instances<'a>(request: &'a Request, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Answer, Problem>> {
    Box::pin(async move {
        let prefix = request.query.get("ruleId").map_or(documents::INSTANCES.into(), |id| documents::chunk_prefix(id));
        let page: Page = Cursor::page(request, 1)?;
        let until = after_prefix(&prefix);
        let listed = scope.list(&documents::stream(), &prefix, &until, page, Order::Ascending).await?;
        let mut items = vec![];
        for stored in &listed.items {
            items.extend(shown(scope, stored.read()?).await?);
        }
        if let Some(state) = request.query.get("state") {
            items.retain(|i| i["state"] == json!(state));
        }
        Ok(answer(json!({"items": items, "next": Cursor::next(&listed)})))
    })
}

/// `AlertInstance` of SPEC 5.3.3: with the rule's labels and the slot that all instances of a rule were last judged in.
async fn shown(scope: &Scope<'_>, chunk: Chunk) -> Result<Vec<Value>, Problem> {
    let stream = documents::stream();
    let root = scope.get(&stream, &documents::root_id(&chunk.rule_id)).await?;
    let rule = scope.get(&stream, &documents::rule_id(&chunk.rule_id)).await?;
    let last_slot = root.map(|s| s.read::<Root>()).transpose()?.and_then(|r| r.pace.last_slot);
    let rule = rule.map(|s| s.read::<StoredRule>()).transpose()?;
    let mut out = vec![];
    for i in &chunk.instances {
        let mut value = serde_json::to_value(i).unwrap_or(Value::Null);
        value["ruleId"] = json!(chunk.rule_id);
        value["episodeId"] = json!(i.episode_id());
        value["lastSlot"] = json!(last_slot);
        if let Some(rule) = &rule {
            value["labels"] = json!(rule.rule.labelled(&i.labels));
        }
        out.push(value);
    }
    Ok(out)
}

fn list_silences<'a>(_: &'a Request, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Answer, Problem>> {
    Box::pin(async move {
        let items = observe::silences(scope).await.map_err(|stop| match stop {
            Stop::Fault(fault) => Problem::from(fault),
            Stop::Refusal(refusal) => Problem::from(refusal),
        })?;
        Ok(answer(json!({"items": items})))
    })
}

fn answer(value: impl Serialize) -> Answer {
    Answer { status: 200, body: Body::of(&value) }
}
