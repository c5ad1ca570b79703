//! In which order Kestrel enumerates headers, and how it writes an answer.
//!
//! It keeps the headers it knows in fields: enumerating them follows its own order and spelling, and the rest comes after, in
//! the order and spelling of the client.

use jiff::Timestamp;

use super::wire::{Headers, header, latin1};

const REQUEST_FIRST: [&str; 4] = ["Accept", "Connection", "Host", "User-Agent"];
const REQUEST_KNOWN: [&str; 41] = [
    "Accept-Charset",
    "Accept-Encoding",
    "Accept-Language",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Alt-Used",
    "Authorization",
    "baggage",
    "Cache-Control",
    "Content-Type",
    "Cookie",
    "Correlation-Context",
    "Date",
    "Expect",
    "From",
    "Grpc-Accept-Encoding",
    "Grpc-Encoding",
    "Grpc-Timeout",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Keep-Alive",
    "Max-Forwards",
    "Origin",
    "Pragma",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Range",
    "Referer",
    "Request-Id",
    "TE",
    "traceparent",
    "tracestate",
    "Transfer-Encoding",
    "Translate",
    "Upgrade",
    "Upgrade-Insecure-Requests",
    "Via",
    "Warning",
];
const RESPONSE_FIRST: [&str; 5] = ["Content-Length", "Connection", "Content-Type", "Date", "Server"];
const RESPONSE_KNOWN: [&str; 35] = [
    "Accept-Ranges",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
    "Age",
    "Allow",
    "Alt-Svc",
    "Cache-Control",
    "Content-Encoding",
    "Content-Language",
    "Content-Location",
    "Content-MD5",
    "Content-Range",
    "ETag",
    "Expires",
    "Grpc-Encoding",
    "Grpc-Message",
    "Grpc-Status",
    "Keep-Alive",
    "Last-Modified",
    "Location",
    "Pragma",
    "Proxy-Authenticate",
    "Proxy-Connection",
    "Retry-After",
    "Set-Cookie",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Vary",
    "Via",
    "WWW-Authenticate",
];

/// Headers that end at each hop.
const HOP_BY_HOP: [&str; 9] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

pub fn is_hop_by_hop(name: &str) -> bool {
    HOP_BY_HOP.iter().any(|hop| hop.eq_ignore_ascii_case(name))
}

/// What .NET takes for a header of the body, not of the request.
pub fn is_content_header(name: &str) -> bool {
    const OTHERS: [&str; 3] = ["Allow", "Expires", "Last-Modified"];
    const PREFIX: &str = "content-";
    name.get(..PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(PREFIX))
        || OTHERS.iter().any(|other| other.eq_ignore_ascii_case(name))
}

fn place(name: &str, tables: &[&[&'static str]]) -> Option<(usize, &'static str)> {
    let all = tables.iter().flat_map(|table| table.iter());
    all.enumerate().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(rank, known)| (rank, *known))
}

/// A request's headers, the values of one name together.
pub fn request_order(headers: &Headers) -> Vec<(String, Vec<String>)> {
    const LENGTH: &[&str] = &["Content-Length"]; // a number of its own, after the known ones
    let tables: [&[&str]; 3] = [&REQUEST_FIRST, &REQUEST_KNOWN, LENGTH];
    let mut grouped: Vec<(usize, String, Vec<String>)> = Vec::new();
    for (name, value) in headers {
        if let Some((_, _, values)) = grouped.iter_mut().find(|(_, have, _)| have.eq_ignore_ascii_case(name)) {
            values.push(value.clone());
            continue;
        }
        let (rank, spelling) = place(name, &tables).unwrap_or((usize::MAX, name));
        grouped.push((rank, spelling.to_owned(), vec![value.clone()]));
    }
    grouped.sort_by_key(|(rank, ..)| *rank);
    grouped.into_iter().map(|(_, name, values)| (name, values)).collect()
}

/// Cookies are joined by a semicolon, everything else by a comma.
pub fn joined(name: &str, values: &[String]) -> String {
    values.join(if name.eq_ignore_ascii_case("cookie") { "; " } else { ", " })
}

/// An answer's head. `headers` says what is in it beside `Connection`, `Date` and `Server`.
pub fn answer_head(status: u16, reason: &str, headers: &Headers, keep_alive: bool, now: Timestamp) -> Vec<u8> {
    let tables: [&[&str]; 2] = [&RESPONSE_FIRST, &RESPONSE_KNOWN];
    let mut all: Headers =
        headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("connection")).cloned().collect();
    if !keep_alive {
        all.push(("Connection".to_owned(), "close".to_owned()));
    }
    if header(&all, "date").is_none() {
        let date = now.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        all.push(("Date".to_owned(), date));
    }
    if header(&all, "server").is_none() {
        all.push(("Server".to_owned(), "Kestrel".to_owned()));
    }
    all.sort_by_key(|(name, _)| place(name, &tables).map_or(usize::MAX, |(rank, _)| rank));
    let mut head = format!("HTTP/1.1 {status} {reason}\r\n");
    for (name, value) in &all {
        let spelling = place(name, &tables).map_or(name.as_str(), |(_, known)| known);
        head.push_str(&format!("{spelling}: {value}\r\n"));
    }
    head.push_str("\r\n");
    latin1(&head)
}

/// What Kestrel says for a status of its own.
pub fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}
