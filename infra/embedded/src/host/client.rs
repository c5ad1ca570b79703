//! The host's HTTP client towards one handler: connections are kept and used by one request at a time, without limit.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use super::wire::{Body, Conn, Framing, LAST_CHUNK, ResponseHead, chunk};

#[derive(Debug)]
pub struct HandlerClient {
    port: u16,
    idle: Mutex<Vec<Conn>>,
}

/// The body of a request: in hand, or still coming from a client.
pub enum Outgoing<'a> {
    /// Head and body are in one buffer.
    Whole(&'a [u8]),
    Streamed {
        head: &'a [u8],
        client: &'a mut Conn,
        body: &'a mut Body,
    },
}

pub struct Answer {
    pub head: ResponseHead,
    pub body: Body,
    pub conn: Conn,
}

impl HandlerClient {
    pub fn new(port: u16) -> Self {
        Self { port, idle: Mutex::new(Vec::new()) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections of a process that is gone are of no use.
    pub fn forget(&self) {
        self.pool().clear();
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub async fn connect(&self) -> io::Result<Conn> {
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))).await?;
        // Connecting to a free ephemeral port can end up connected to itself, and would keep the handler from binding it.
        if stream.local_addr()? == stream.peer_addr()? {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(Conn::new(stream))
    }

    async fn take(&self) -> io::Result<Conn> {
        loop {
            let kept = self.pool().pop();
            match kept {
                Some(conn) if conn.is_idle() => return Ok(conn),
                Some(_) => {}
                None => return self.connect().await,
            }
        }
    }

    /// Sends once, never again. The answer's body is still to be read.
    pub async fn send(&self, request: Outgoing<'_>, to_head: bool) -> io::Result<Answer> {
        let mut conn = self.take().await?;
        let (head, body) = match request {
            Outgoing::Whole(bytes) => {
                conn.send(bytes).await?;
                conn.response(to_head).await?
            }
            Outgoing::Streamed { head, client, body } => stream(&mut conn, head, client, body, to_head).await?,
        };
        Ok(Answer { head, body, conn })
    }

    /// Gives a connection back whose answer was read to its end.
    pub fn give_back(&self, answer: Answer) {
        if answer.head.keep_alive && answer.body.is_done() {
            self.pool().push(answer.conn);
        }
    }
}

/// Sends the body while waiting for the answer: a handler may answer early, but the answer counts only if the whole body
/// could be sent.
async fn stream(
    conn: &mut Conn,
    head: &[u8],
    client: &mut Conn,
    body: &mut Body,
    to_head: bool,
) -> io::Result<(ResponseHead, Body)> {
    let Conn { read, write, buffer } = conn;
    let receiving = super::wire::read_response(read, buffer, to_head);
    tokio::pin!(receiving);
    let early = {
        let sending = upload(write, head, client, body);
        tokio::pin!(sending);
        tokio::select! {
            sent = &mut sending => sent.map(|()| None)?,
            early = &mut receiving => {
                let early = early?;
                sending.await?;
                Some(early)
            }
        }
    };
    if let Some(early) = early {
        return Ok(early);
    }
    tokio::select! {
        answer = receiving => answer,
        () = client.gone() => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

async fn upload(write: &mut OwnedWriteHalf, head: &[u8], client: &mut Conn, body: &mut Body) -> io::Result<()> {
    write.write_all(head).await?;
    let chunked = body.framing == Framing::Chunked;
    while let Some(piece) = client.next(body).await? {
        if chunked {
            write.write_all(&chunk(&piece)).await?;
        } else {
            write.write_all(&piece).await?;
        }
    }
    if chunked { write.write_all(LAST_CHUNK).await } else { Ok(()) }
}
