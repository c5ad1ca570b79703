//! `enableProxyingHttpRequest`: the request goes through as it is, almost.
//!
//! What the proxy changes is what handlers must know: Host and `X-Forwarded-*` are its own, `%2F` becomes `%252F`, and a
//! request without a body is sent again, up to 40 times, when the handler breaks the connection.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::answer::{Failure, FailureKind};
use super::client::{Answer, Outgoing};
use super::core::Core;
use super::front::{After, Client};
use super::function::Function;
use super::invoke::broken;
use super::kestrel::{answer_head, is_content_header, is_hop_by_hop, joined, request_order};
use super::process::Handler;
use super::request::{ClientTrace, HOST_VERSION};
use super::wire::{Framing, Headers, LAST_CHUNK, chunk, latin1};

/// The proxy tries this often, this far apart: two seconds until it gives up.
const TRIES: u32 = 10;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// The HTTP client beneath sends a request without a body this often in each try if the connection just ends.
const SENDS_PER_TRY: u32 = 4;

pub(super) async fn proxy(core: &Core, function: &Function, client: &mut Client<'_>) -> After {
    let _entered = core.invoker.enter();
    let head_sent = AtomicBool::new(false);
    match relay(core, function, client, &head_sent).await {
        Ok(after) => after,
        Err(failure) => {
            tracing::warn!(function = function.name, kind = ?failure.kind, message = failure.message, "proxied call failed");
            if head_sent.load(Ordering::Relaxed) { After::Reset } else { client.answer(core, 500, "").await }
        }
    }
}

async fn relay(
    core: &Core,
    function: &Function,
    client: &mut Client<'_>,
    head_sent: &AtomicBool,
) -> Result<After, Failure> {
    let handler = core.handler_of(function);
    let handler = handler.ok_or_else(|| Failure::new(FailureKind::NoHandler, "the function has no handler"))?;
    let generation = handler.ready().await?;
    let invocation = core.invoker.ids.guid();
    let head = request_head(core, handler.client.port(), client, &invocation);
    let call = async {
        client.wants_body().await.map_err(broken)?;
        let answer = if client.body.framing == Framing::Empty {
            let to_head = client.is_head();
            tokio::select! {
                answer = bodiless(core, handler, &head, to_head, SENDS_PER_TRY) => answer,
                () = client.conn.gone() => return Ok(After::Close),
            }
        } else {
            with_body(core, handler, &head, client).await
        };
        pass_on(core, handler, client, answer.map_err(broken)?, head_sent).await
    };
    core.invoker.limit(handler, generation, &function.name, call).await
}

/// The bytes of the request as the handler gets them, without the body.
fn request_head(core: &Core, port: u16, client: &Client<'_>, invocation: &str) -> Vec<u8> {
    let query = client.query.map(|query| format!("?{query}")).unwrap_or_default();
    let mut head = format!("{} {}{query} HTTP/1.1\r\n", client.head.method, client.path.encoded());
    for (name, value) in request_headers(core, port, client, invocation) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    latin1(&head)
}

fn request_headers(core: &Core, port: u16, client: &Client<'_>, invocation: &str) -> Headers {
    const INVOCATION: &str = "X-Azure-Functions-InvocationId";
    const REPLACED: [&str; 5] =
        ["Host", "X-Azure-Functions-HostVersion", "x-ms-invocation-id", "X-Forwarded-Host", "X-Forwarded-Proto"];
    let mut own = vec![
        ("X-Azure-Functions-HostVersion".to_owned(), HOST_VERSION.to_owned()),
        (INVOCATION.to_owned(), invocation.to_owned()),
        ("x-ms-invocation-id".to_owned(), invocation.to_owned()),
        ("X-Forwarded-For".to_owned(), client.peer.ip().to_string()),
        ("X-Forwarded-Host".to_owned(), client.header("host").unwrap_or_default().to_owned()),
        ("X-Forwarded-Proto".to_owned(), "http".to_owned()),
    ];
    let mut headers = vec![("Host".to_owned(), format!("127.0.0.1:{port}"))];
    let mut content = Headers::new();
    for (name, values) in request_order(&client.head.headers) {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is_hop_by_hop(&name) || is("X-Forwarded-For") || REPLACED.into_iter().any(is) {
            continue;
        }
        if is(INVOCATION) {
            // The client's own is replaced where it stood.
            own.retain(|(name, _)| name != INVOCATION);
            headers.push((name, invocation.to_owned()));
        } else if is_content_header(&name) {
            content.push((name.clone(), joined(&name, &values)));
        } else {
            headers.push((name.clone(), joined(&name, &values)));
        }
    }
    headers.extend(own);
    let traced = client.header("traceparent").is_some();
    if !traced {
        headers.extend(core.invoker.telemetry.headers(&ClientTrace::default(), &core.invoker.ids));
    }
    match client.body.framing {
        Framing::Empty => return headers, // a body's headers without a body are dropped
        Framing::Chunked => headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned())),
        Framing::Length(_) | Framing::Close => {}
    }
    headers.extend(content);
    headers
}

/// `sends` times in each try if the connection ends, once if it breaks in any other way.
async fn bodiless(core: &Core, handler: &Handler, head: &[u8], to_head: bool, sends: u32) -> io::Result<Answer> {
    let mut failed = io::Error::from(io::ErrorKind::ConnectionRefused);
    for _ in 0..TRIES {
        match send_bodiless(handler, head, to_head, sends).await {
            Ok(answer) => return Ok(answer),
            Err(why) => failed = why,
        }
        core.clock.patience(TRY_AGAIN_AFTER).await;
    }
    Err(failed)
}

pub(super) async fn send_bodiless(handler: &Handler, head: &[u8], to_head: bool, sends: u32) -> io::Result<Answer> {
    let mut sent = 1;
    loop {
        match handler.client.send(Outgoing::Whole(head), to_head).await {
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof && sent < sends => sent += 1,
            result => return result,
        }
    }
}

/// A body can be sent once; the tries that are left find it gone, but take their time all the same.
async fn with_body(core: &Core, handler: &Handler, head: &[u8], client: &mut Client<'_>) -> io::Result<Answer> {
    if client.body.framing == Framing::Length(0) {
        return bodiless(core, handler, head, false, 1).await;
    }
    let request = Outgoing::Streamed { head, client: client.conn, body: client.body };
    let result = handler.client.send(request, false).await;
    if result.is_err() {
        core.clock.patience(TRY_AGAIN_AFTER * TRIES).await;
    }
    result
}

/// The answer as it is: status, reason, headers, body.
async fn pass_on(
    core: &Core,
    handler: &Handler,
    client: &mut Client<'_>,
    mut answer: Answer,
    head_sent: &AtomicBool,
) -> Result<After, Failure> {
    let mut headers: Headers = answer.head.headers.iter().filter(|(name, _)| !is_hop_by_hop(name)).cloned().collect();
    let chunked = matches!(answer.body.framing, Framing::Chunked | Framing::Close);
    if chunked {
        headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
    }
    let status = (answer.head.status, answer.head.reason.as_str());
    head_sent.store(true, Ordering::Relaxed);
    let keep = client.head.keep_alive;
    let head = answer_head(status.0, status.1, &headers, keep, core.clock.now());
    let gone = |_| Failure::new(FailureKind::Broken, "the client has gone");
    client.conn.send(&head).await.map_err(gone)?;
    while let Some(piece) = answer.conn.next(&mut answer.body).await.map_err(broken)? {
        let sent = if chunked { client.conn.send(&chunk(&piece)).await } else { client.conn.send(&piece).await };
        sent.map_err(gone)?;
    }
    if chunked {
        client.conn.send(LAST_CHUNK).await.map_err(gone)?;
    }
    handler.client.give_back(answer);
    Ok(After::Keep)
}
