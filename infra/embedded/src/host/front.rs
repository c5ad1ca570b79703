//! The HTTP front: what a client of the host talks to.
//!
//! The first function in order of name whose route and method match gets the request, be it the most specific or not. Keys are
//! not checked: the func CLI does not check them locally either.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::config::HttpMode;
use super::core::Core;
use super::function::{Function, HttpTrigger, Trigger};
use super::kestrel::{answer_head, reason};
use super::route::Path;
use super::value::Members;
use super::wire::{Body, Conn, Framing, Headers, RequestHead, header};
use super::{admin, front_default, proxy};

/// Real front ends have a limit as well; beyond it clients wait to be accepted.
const CONNECTIONS_MAX: usize = 1_024;
/// What is left unread of a request is read and thrown away up to here, so that the connection can be used again.
const LEFTOVER_BYTES_MAX: usize = 1024 * 1024;
const LEFTOVER_WAIT: Duration = Duration::from_secs(5);
const ACCEPT_FAILED_WAIT: Duration = Duration::from_millis(100);

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Keep,
    Close,
    /// The answer broke off: the client must not take it for whole.
    Reset,
}

/// A client's request on its connection.
pub(super) struct Client<'a> {
    pub conn: &'a mut Conn,
    pub head: &'a RequestHead,
    pub body: &'a mut Body,
    pub peer: SocketAddr,
    pub path: Path,
    pub query: Option<&'a str>,
}

pub(super) async fn serve(core: Arc<Core>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let core = Arc::clone(&core);
                connections.spawn(async move {
                    connection(&core, stream, peer).await;
                    drop(place);
                });
            }
            Err(why) => {
                tracing::warn!(%why, "a connection could not be accepted");
                core.clock.patience(ACCEPT_FAILED_WAIT).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(core: &Core, stream: TcpStream, peer: SocketAddr) {
    let mut conn = Conn::new(stream);
    loop {
        let (head, mut body) = match conn.request().await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(why) if why.kind() == std::io::ErrorKind::InvalidData => {
                let _ = plain_answer(core, &mut conn, 400, false).await;
                return;
            }
            Err(_) => return,
        };
        match respond(core, &mut conn, &head, &mut body, peer).await {
            After::Reset => return conn.reset(),
            After::Close => return close(core, conn, body).await,
            After::Keep if !head.keep_alive => return close(core, conn, body).await,
            After::Keep => {}
        }
        if !read_rest(core, &mut conn, &mut body, LEFTOVER_BYTES_MAX).await {
            return;
        }
    }
}

async fn read_rest(core: &Core, conn: &mut Conn, body: &mut Body, bytes_max: usize) -> bool {
    let rest = async {
        let mut read = 0;
        while let Ok(Some(piece)) = conn.next(body).await {
            read += piece.len();
            if read > bytes_max {
                return false;
            }
        }
        body.is_done()
    };
    tokio::select! {
        read = rest => read,
        () = core.clock.patience(LEFTOVER_WAIT) => false,
    }
}

/// Closing with something unread would reset the connection and take the answer from a client that is still sending.
async fn close(core: &Core, mut conn: Conn, mut body: Body) {
    use tokio::io::AsyncWriteExt as _;
    let _ = conn.write.shutdown().await;
    read_rest(core, &mut conn, &mut body, usize::MAX).await;
}

async fn respond(core: &Core, conn: &mut Conn, head: &RequestHead, body: &mut Body, peer: SocketAddr) -> After {
    let target = head.target.split_once("://").map_or(head.target.as_str(), |(_, rest)| {
        rest.find('/').map_or("/", |slash| &rest[slash..]) // the absolute form, as sent to proxies
    });
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path = Path::of(path);
    let mut client = Client { conn, head, body, peer, path, query };
    if client.path.is_root() {
        return client.answer(core, 200, "Your Functions host is up and running.").await;
    }
    if client.path.behind("/admin/").is_some() {
        return admin::respond(core, &mut client).await;
    }
    let Some((function, trigger, values)) = find(core, &client) else {
        return client.answer(core, 404, "").await;
    };
    tracing::debug!(function = function.name, method = head.method, "http");
    match core.config.http_mode {
        HttpMode::Proxying if trigger.plain => proxy::proxy(core, function, &mut client).await,
        HttpMode::Forwarding if trigger.plain => super::forward::forward(core, function, &mut client).await,
        _ => front_default::envelope(core, function, trigger, values, &mut client).await,
    }
}

fn find<'a>(core: &'a Core, client: &Client<'_>) -> Option<(&'a Function, &'a HttpTrigger, Members)> {
    core.functions.iter().find_map(|function| {
        let Trigger::Http(trigger) = &function.trigger else { return None };
        let method = trigger.methods.is_empty() || trigger.methods.contains(&client.head.method);
        let values = trigger.template.matches(&client.path).filter(|_| method)?;
        Some((function, trigger, values))
    })
}

impl Client<'_> {
    pub fn is_head(&self) -> bool {
        self.head.method == "HEAD"
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head.headers, name)
    }

    /// The client may wait for this before it sends its body; one that did not wait is not told.
    pub async fn wants_body(&mut self) -> std::io::Result<()> {
        let waits = self.header("expect").is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue"));
        if waits && !self.body.is_done() && self.conn.buffer.is_empty() {
            return self.conn.send(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        Ok(())
    }

    /// A whole answer of the host's own.
    pub async fn answer(&mut self, core: &Core, status: u16, text: &str) -> After {
        let mut headers: Headers = vec![("Content-Length".to_owned(), text.len().to_string())];
        if !text.is_empty() {
            headers.push(("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned()));
        }
        self.send(core, (status, reason(status)), &headers, text.as_bytes()).await
    }

    /// Head and body in one; the headers must frame the body.
    pub async fn send(&mut self, core: &Core, status: (u16, &str), headers: &Headers, body: &[u8]) -> After {
        // What is left of a long upload would be taken for the next request: close.
        let keep = self.head.keep_alive && self.short_rest();
        let mut bytes = answer_head(status.0, status.1, headers, keep, core.clock.now());
        if !self.is_head() {
            bytes.extend_from_slice(body);
        }
        match self.conn.send(&bytes).await {
            Ok(()) if keep => After::Keep,
            Ok(()) | Err(_) => After::Close,
        }
    }

    fn short_rest(&self) -> bool {
        match self.body.framing {
            Framing::Length(length) => usize::try_from(length).is_ok_and(|length| length <= LEFTOVER_BYTES_MAX),
            Framing::Empty | Framing::Chunked | Framing::Close => true,
        }
    }
}

async fn plain_answer(core: &Core, conn: &mut Conn, status: u16, keep: bool) -> std::io::Result<()> {
    let headers = vec![("Content-Length".to_owned(), "0".to_owned())];
    conn.send(&answer_head(status, reason(status), &headers, keep, core.clock.now())).await
}
