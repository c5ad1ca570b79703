//! `enableForwardingHttpRequest`: not used by us, and this shows why: chunked uploads fail, and so do most content headers.

use super::answer::{Failure, FailureKind};
use super::client::{Answer, Outgoing};
use super::core::Core;
use super::front::{After, Client};
use super::function::Function;
use super::invoke::broken;
use super::kestrel::{is_content_header, is_hop_by_hop, joined, request_order};
use super::process::Handler;
use super::proxy::send_bodiless;
use super::request::HOST_VERSION;
use super::wire::{Framing, Headers, latin1};

const BODY_BYTES_MAX: usize = 100 * 1024 * 1024;
const SENDS: u32 = 4;

pub(super) async fn forward(core: &Core, function: &Function, client: &mut Client<'_>) -> After {
    let _entered = core.invoker.enter();
    match call(core, function, client).await {
        Ok((answer, body)) => pass_on(core, client, &answer, &body).await,
        Err(failure) => {
            tracing::warn!(function = function.name, kind = ?failure.kind, "forwarded call failed");
            client.answer(core, 500, "").await
        }
    }
}

async fn call(core: &Core, function: &Function, client: &mut Client<'_>) -> Result<(Answer, Vec<u8>), Failure> {
    if client.body.framing == Framing::Chunked {
        return Err(Failure::new(FailureKind::Broken, "a chunked upload is not forwarded"));
    }
    let handler = core.handler_of(function);
    let handler = handler.ok_or_else(|| Failure::new(FailureKind::NoHandler, "the function has no handler"))?;
    let generation = handler.ready().await?;
    client.wants_body().await.map_err(broken)?;
    let body = client.conn.read_all(client.body, BODY_BYTES_MAX).await.map_err(broken)?;
    let mut bytes = request_head(client, &core.invoker.ids.guid());
    bytes.extend_from_slice(&body);
    let exchange = async {
        let mut answer = send(handler, &bytes, body.is_empty(), client.is_head()).await.map_err(broken)?;
        let body = answer.conn.read_all(&mut answer.body, BODY_BYTES_MAX).await.map_err(broken)?;
        Ok((answer, body))
    };
    core.invoker.limit(handler, generation, &function.name, exchange).await
}

async fn send(handler: &Handler, bytes: &[u8], bodiless: bool, to_head: bool) -> std::io::Result<Answer> {
    if bodiless {
        return send_bodiless(handler, bytes, to_head, SENDS).await;
    }
    handler.client.send(Outgoing::Whole(bytes), to_head).await
}

fn request_head(client: &Client<'_>, invocation: &str) -> Vec<u8> {
    const INVOCATION: &str = "X-Azure-Functions-InvocationId";
    let mut headers = Headers::new();
    let mut own = vec![
        ("X-Azure-Functions-HostVersion".to_owned(), HOST_VERSION.to_owned()),
        (INVOCATION.to_owned(), invocation.to_owned()),
        ("User-Agent".to_owned(), format!("Azure-Functions-Host/{HOST_VERSION}")),
    ];
    let mut content = Headers::new();
    for (name, values) in request_order(&client.head.headers) {
        let value = joined(&name, &values);
        // The host appends to what the client has sent of these two.
        if let Some(at) =
            own.iter().position(|(own, _)| own != "X-Azure-Functions-HostVersion" && own.eq_ignore_ascii_case(&name))
        {
            let (_, ours) = own.remove(at);
            let between = if name == "User-Agent" { " " } else { ", " };
            headers.push((name, format!("{value}{between}{ours}")));
        } else if name == "Content-Length" {
            content.insert(0, (name, value));
        } else if name == "Content-Type" {
            content.push((name, value));
        } else if !is_content_header(&name) {
            headers.push((name, value));
        }
    }
    headers.extend(own);
    headers.extend(content);
    let query = client.query.map(joined_query).unwrap_or_default();
    let mut head = format!("{} {}{query} HTTP/1.1\r\n", client.head.method, client.path.encoded());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    latin1(&head)
}

/// `x=1&y=2&x=3` becomes `x=1,3&y=2`, and `q` becomes `q=`.
fn joined_query(query: &str) -> String {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match pairs.iter_mut().find(|(have, _)| have.eq_ignore_ascii_case(name)) {
            Some((_, values)) => {
                values.push(',');
                values.push_str(value);
            }
            None => pairs.push((name, value.to_owned())),
        }
    }
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("?{}", pairs.join("&"))
}

/// Whole, with a length, whatever the handler's framing was.
async fn pass_on(core: &Core, client: &mut Client<'_>, answer: &Answer, body: &[u8]) -> After {
    let status = answer.head.status;
    let kept = |name: &str| !is_hop_by_hop(name) && !name.eq_ignore_ascii_case("content-length");
    let mut headers: Headers = answer.head.headers.iter().filter(|(name, _)| kept(name)).cloned().collect();
    if status != 204 {
        headers.push(("Content-Length".to_owned(), body.len().to_string()));
    }
    client.send(core, (status, &answer.head.reason), &headers, body).await
}
