//! HTTP/1.1 on a socket, with the order and spelling of headers kept.
//!
//! hyper is not used here: the whole point of the stand-in is that handlers see the host's very bytes, and clients its odd
//! endings (a reset in mid body). Header values are Latin-1: one character, one byte.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// As Kestrel's limit on the headers of a request.
const HEAD_BYTES_MAX: usize = 32 * 1024;
const HEADERS_MAX: usize = 100;
/// A chunk-size line or a trailer line longer than this is an attack or a mistake.
const LINE_BYTES_MAX: usize = 4 * 1024;
const READ_BYTES: usize = 64 * 1024;

pub type Headers = Vec<(String, String)>;

pub fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

#[derive(Debug, Clone)]
pub struct RequestHead {
    pub method: String,
    pub target: String,
    pub headers: Headers,
    pub keep_alive: bool,
}

#[derive(Debug, Clone)]
pub struct ResponseHead {
    pub status: u16,
    pub reason: String,
    pub headers: Headers,
    pub keep_alive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Empty,
    Length(u64),
    Chunked,
    /// Until the connection ends.
    Close,
}

/// What is left to read of a body.
#[derive(Debug)]
pub struct Body {
    pub framing: Framing,
    left: u64,
    done: bool,
}

impl Body {
    pub fn new(framing: Framing) -> Self {
        let left = if let Framing::Length(length) = framing { length } else { 0 };
        let done = framing == Framing::Empty || framing == Framing::Length(0);
        Self { framing, left, done }
    }

    pub fn is_done(&self) -> bool {
        self.done
    }
}

#[derive(Debug)]
pub struct Conn {
    pub read: OwnedReadHalf,
    pub write: OwnedWriteHalf,
    pub buffer: BytesMut,
}

impl Conn {
    pub fn new(stream: TcpStream) -> Self {
        // Without it the last small segment of an answer waits for the peer's delayed acknowledgement, 40 ms.
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        Self { read, write, buffer: BytesMut::new() }
    }

    /// Nothing came and the peer is still there: an idle connection that may be used again.
    pub fn is_idle(&self) -> bool {
        let mut probe = [0; 1];
        self.buffer.is_empty()
            && matches!(self.read.try_read(&mut probe), Err(why) if why.kind() == io::ErrorKind::WouldBlock)
    }

    /// The peer sees a reset, not an end.
    pub fn reset(self) {
        let stream: &TcpStream = self.read.as_ref();
        let _ = stream.set_zero_linger();
        self.write.forget(); // dropping it would send a proper end first
    }

    /// Returns when the peer has gone; what it sends meanwhile is kept.
    pub async fn gone(&mut self) {
        while self.buffer.len() < HEAD_BYTES_MAX {
            match self.read.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending().await
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ_BYTES);
        self.read.read_buf(&mut self.buffer).await
    }

    /// `None`: the peer closed without a byte.
    pub async fn request(&mut self) -> io::Result<Option<(RequestHead, Body)>> {
        loop {
            if let Some(found) = parse_request(&mut self.buffer)? {
                return Ok(Some(found));
            }
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    pub async fn response(&mut self, to_head: bool) -> io::Result<(ResponseHead, Body)> {
        read_response(&mut self.read, &mut self.buffer, to_head).await
    }

    /// The next piece, everything that has arrived at once; `None` at the end of the body.
    pub async fn next(&mut self, body: &mut Body) -> io::Result<Option<Bytes>> {
        loop {
            let piece = take(&mut self.buffer, body)?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if body.done {
                return Ok(None);
            }
            if self.fill().await? == 0 {
                if body.framing == Framing::Close {
                    body.done = true;
                    return Ok(None);
                }
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub async fn read_all(&mut self, body: &mut Body, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(piece) = self.next(body).await? {
            all.extend_from_slice(&piece);
            if all.len() > bytes_max {
                return Err(io::Error::other("body too large"));
            }
        }
        Ok(all)
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write.write_all(bytes).await
    }
}

/// Interim answers (1xx) are skipped. An end without a whole head is `UnexpectedEof`.
pub async fn read_response(
    read: &mut OwnedReadHalf,
    buffer: &mut BytesMut,
    to_head: bool,
) -> io::Result<(ResponseHead, Body)> {
    loop {
        match parse_response(buffer, to_head)? {
            Some((head, _)) if (100..200).contains(&head.status) => continue,
            Some(found) => return Ok(found),
            None => {}
        }
        buffer.reserve(READ_BYTES);
        if read.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Latin-1 bytes of a head: what headers and start lines are made of.
pub fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect()
}

fn from_latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut out = format!("{:X}\r\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    out
}

pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

fn malformed(why: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}

fn too_long(buffer: &BytesMut) -> io::Result<()> {
    if buffer.len() > HEAD_BYTES_MAX { Err(malformed("head too long")) } else { Ok(()) }
}

fn owned(headers: &[httparse::Header<'_>]) -> Headers {
    headers.iter().map(|header| (header.name.to_owned(), from_latin1(header.value))).collect()
}

fn keeps_alive(version: u8, headers: &Headers) -> bool {
    let says = |word: &str| {
        let tokens = header(headers, "connection").unwrap_or_default().split(',').map(str::trim);
        tokens.into_iter().any(|token| token.eq_ignore_ascii_case(word))
    };
    if version == 0 { says("keep-alive") } else { !says("close") }
}

fn declared(headers: &Headers) -> io::Result<Option<Framing>> {
    if let Some(coding) = header(headers, "transfer-encoding") {
        let chunked = coding.trim().eq_ignore_ascii_case("chunked");
        return if chunked { Ok(Some(Framing::Chunked)) } else { Err(malformed("unknown transfer coding")) };
    }
    let length = header(headers, "content-length").map(|length| length.trim().parse().map_err(malformed));
    Ok(length.transpose()?.map(Framing::Length))
}

fn parse_request(buffer: &mut BytesMut) -> io::Result<Option<(RequestHead, Body)>> {
    let mut space = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut space);
    let httparse::Status::Complete(length) = request.parse(buffer).map_err(malformed)? else {
        return too_long(buffer).map(|()| None);
    };
    let headers = owned(request.headers);
    let head = RequestHead {
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
        keep_alive: keeps_alive(request.version.unwrap_or(1), &headers),
        headers,
    };
    let body = Body::new(declared(&head.headers)?.unwrap_or(Framing::Empty));
    let _ = buffer.split_to(length);
    Ok(Some((head, body)))
}

fn parse_response(buffer: &mut BytesMut, to_head: bool) -> io::Result<Option<(ResponseHead, Body)>> {
    let mut space = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut space);
    let httparse::Status::Complete(length) = response.parse(buffer).map_err(malformed)? else {
        return too_long(buffer).map(|()| None);
    };
    let headers = owned(response.headers);
    let status = response.code.unwrap_or_default();
    let framing = if to_head || status == 204 || status == 304 || (100..200).contains(&status) {
        Framing::Empty
    } else {
        declared(&headers)?.unwrap_or(Framing::Close)
    };
    let head = ResponseHead {
        status,
        reason: response.reason.unwrap_or_default().to_owned(),
        keep_alive: keeps_alive(response.version.unwrap_or(1), &headers) && framing != Framing::Close,
        headers,
    };
    let _ = buffer.split_to(length);
    Ok(Some((head, Body::new(framing))))
}

/// Takes what the buffer has of the body.
fn take(buffer: &mut BytesMut, body: &mut Body) -> io::Result<Bytes> {
    match body.framing {
        Framing::Empty => Ok(Bytes::new()),
        Framing::Close => Ok(buffer.split().freeze()),
        Framing::Length(_) => {
            let piece = take_up_to(buffer, &mut body.left);
            body.done = body.left == 0;
            Ok(piece.freeze())
        }
        Framing::Chunked => take_chunks(buffer, body),
    }
}

fn take_up_to(buffer: &mut BytesMut, left: &mut u64) -> BytesMut {
    let length = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
    *left -= length as u64;
    buffer.split_to(length)
}

/// All whole lines and data there are, joined: the host cuts a proxied body anew by what has arrived.
fn take_chunks(buffer: &mut BytesMut, body: &mut Body) -> io::Result<Bytes> {
    let mut out = BytesMut::new();
    while !body.done {
        if body.left > 0 {
            let piece = take_up_to(buffer, &mut body.left);
            if piece.is_empty() {
                break;
            }
            out.extend_from_slice(&piece);
            continue;
        }
        let Some(end) = buffer.windows(2).position(|pair| pair == b"\r\n") else {
            if buffer.len() > LINE_BYTES_MAX {
                return Err(malformed("chunk line too long"));
            }
            break;
        };
        if end == 0 {
            let _ = buffer.split_to(2); // the line end behind a chunk's data
            continue;
        }
        let line = from_latin1(&buffer[..end]);
        let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16).map_err(malformed)?;
        if size == 0 {
            // Trailers are not used by anybody here: the end is the empty line right behind.
            if buffer.len() < end + 4 {
                break;
            }
            let _ = buffer.split_to(end + 4);
            body.done = true;
        } else {
            let _ = buffer.split_to(end + 2);
            body.left = size;
        }
    }
    Ok(out.freeze())
}
