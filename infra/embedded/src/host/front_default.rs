//! The default mode of HTTP functions: the request in an envelope, the answer out of one.

use super::answer::Outcome;
use super::core::Core;
use super::envelope_http::{ClientRequest, http};
use super::front::{After, Client};
use super::function::{Function, HttpTrigger};
use super::kestrel::{reason, request_order};
use super::request::ClientTrace;
use super::value::{Members, Value};
use super::wire::{Framing, Headers, LAST_CHUNK, chunk};

const BODY_BYTES_MAX: usize = 100 * 1024 * 1024;

pub(super) async fn envelope(
    core: &Core,
    function: &Function,
    trigger: &HttpTrigger,
    values: Members,
    client: &mut Client<'_>,
) -> After {
    let Ok(request) = read(client, values).await else { return After::Close };
    let trace = ClientTrace {
        traceparent: client.header("traceparent").map(str::to_owned),
        tracestate: client.header("tracestate").map(str::to_owned),
        baggage: client.header("baggage").map(str::to_owned),
    };
    let Ok(outcome) = core.invoke(function, &http(&request), &trace).await else {
        return client.answer(core, 500, "").await;
    };
    match reply(trigger, outcome) {
        Some(Reply { status: 204, .. }) => client.send(core, (204, reason(204)), &Headers::new(), b"").await,
        Some(Reply { status, mut headers, body }) => {
            headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
            let mut framed = if body.is_empty() { Vec::new() } else { chunk(body.as_bytes()) };
            framed.extend_from_slice(LAST_CHUNK);
            client.send(core, (status, reason(status)), &headers, &framed).await
        }
        None => client.answer(core, 500, "").await,
    }
}

async fn read(client: &mut Client<'_>, route_values: Members) -> std::io::Result<ClientRequest> {
    let body = match client.body.framing {
        Framing::Length(length) if length > 0 => {
            client.wants_body().await?;
            Some(client.conn.read_all(client.body, BODY_BYTES_MAX).await?)
        }
        _ => None, // a chunked upload is not read in this mode
    };
    Ok(ClientRequest {
        method: client.head.method.clone(),
        host: client.header("host").unwrap_or_default().to_owned(),
        path: client.path.encoded(),
        query: client.query.map(str::to_owned),
        headers: request_order(&client.head.headers),
        route_values,
        body,
    })
}

struct Reply {
    status: u16,
    headers: Headers,
    body: String,
}

/// `None`: an output that cannot be shown, 500.
fn reply(trigger: &HttpTrigger, outcome: Outcome) -> Option<Reply> {
    let mut outputs = outcome.outputs;
    match (outcome.return_value, &mut outputs) {
        (Some(value), _) if trigger.outputs.iter().any(|name| name == "$return") => {
            outputs = Some(vec![("$return".to_owned(), value)]);
        }
        (Some(Value::Object(members)), Some(outputs)) => outputs.extend(members),
        (Some(Value::Object(members)), None) => outputs = Some(members),
        _ => {}
    }
    let Some(outputs) = outputs else {
        return Some(Reply { status: 204, headers: Headers::new(), body: String::new() });
    };
    let wanted = trigger.outputs.first()?;
    match outputs.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)) {
        Some((_, Value::Object(members))) => Some(shown(members)),
        Some(_) => None,
        None => Some(Reply { status: 200, headers: typed(None, "text/plain"), body: "{}".to_owned() }),
    }
}

/// Only `statusCode` counts, as text or number; an object as body is written anew, indented.
fn shown(members: &Members) -> Reply {
    let member =
        |wanted: &str| members.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value);
    let status = match member("statusCode") {
        Some(Value::String(text)) => text.parse().unwrap_or(200),
        Some(Value::Int(number)) => u16::try_from(*number).unwrap_or(200),
        _ => 200,
    };
    let mut headers = Headers::new();
    if let Some(Value::Object(given)) = member("headers") {
        for (name, value) in given {
            headers.push((name.clone(), plain(value)));
        }
    }
    let kind = headers.iter().position(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let kind = kind.map(|at| headers.remove(at).1);
    let body = member("body").map(plain).unwrap_or_default();
    headers.extend(typed(kind, "text/plain"));
    Reply { status, headers, body }
}

fn typed(kind: Option<String>, otherwise: &str) -> Headers {
    let kind = kind.unwrap_or_else(|| otherwise.to_owned());
    let kind = if kind.contains("charset") { kind } else { format!("{kind}; charset=utf-8") };
    vec![("Content-Type".to_owned(), kind)]
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Object(_) | Value::Array(_) => {
            let mut out = String::new();
            indented(value, 0, &mut out);
            out
        }
        scalar => scalar.to_json(),
    }
}

fn indented(value: &Value, depth: usize, out: &mut String) {
    let (open, close, items): (_, _, Vec<(Option<&str>, &Value)>) = match value {
        Value::Object(members) if !members.is_empty() => {
            ('{', '}', members.iter().map(|(name, value)| (Some(name.as_str()), value)).collect())
        }
        Value::Array(items) if !items.is_empty() => ('[', ']', items.iter().map(|item| (None, item)).collect()),
        other => return other.write_json(out),
    };
    out.push(open);
    for (index, (name, item)) in items.into_iter().enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(depth + 1));
        if let Some(name) = name {
            out.push_str(&Value::text(name).to_json());
            out.push_str(": ");
        }
        indented(item, depth + 1, out);
    }
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
    out.push(close);
}
