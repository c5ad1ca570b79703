//! A span as it is kept and shown (SPEC 5.1.3), and how it is made of what came.

use super::stored::{Origin, StoredSpan};
use crate::otlp::{
    Dimensions, json_map, normalise,
    proto::{
        common::v1::KeyValue,
        trace::v1::{Span as OtlpSpan, Status},
    },
};
use opsloop_kernel::{SpanId, TraceId};
use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpanKind {
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanFlag {
    /// The end was before the start and is the start now.
    ClockAdjusted,
    /// The span named itself its parent; it has none now.
    SelfParent,
}

/// Bits of [`SpanFlag`] in `marks`.
pub const CLOCK_ADJUSTED: u32 = 1;
pub const SELF_PARENT: u32 = 2;
/// `STATUS_CODE_ERROR`, `STATUS_CODE_OK` and `SPAN_KIND_CLIENT` of OTLP.
pub const STATUS_OK: i32 = 1;
pub const STATUS_ERROR: i32 = 2;
pub const KIND_CLIENT: i32 = 3;

/// Nanoseconds are decimal text: a JSON number would lose some.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent_span_id: Option<SpanId>,
    pub name: String,
    pub kind: SpanKind,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    pub start_ns: String,
    pub end_ns: String,
    pub duration_ms: u64,
    pub status: crate::events::TraceStatus,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status_message: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub trace_state: String,
    pub attributes: Map<String, Value>,
    pub events: Vec<SpanEvent>,
    pub links: Vec<SpanLink>,
    pub dropped: Dropped,
    pub flags: Vec<SpanFlag>,
    pub dimensions: Dimensions,
    pub resource: Map<String, Value>,
    pub scope: Scope,
    pub content_hash: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpanEvent {
    pub time_ns: String,
    pub name: String,
    pub attributes: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpanLink {
    pub trace_id: String,
    pub span_id: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub trace_state: String,
    pub attributes: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    pub attributes: u32,
    pub events: u32,
    pub links: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scope {
    pub name: String,
    pub version: String,
    pub attributes: Map<String, Value>,
}

/// A span that passed validation, in the form in which it is kept (SPEC 5.1.4(2), (3)). `origin_hash` is that of its
/// resource and scope, which are part of its content.
pub fn stored(mut span: OtlpSpan, dimensions: &Dimensions, origin_hash: &[u8]) -> StoredSpan {
    normalise::span(&mut span);
    let span_id = id_number(&span.span_id);
    let (parent, self_parent) = match id_number(&span.parent_span_id) {
        p if p == span_id => (0, SELF_PARENT),
        p => (p, 0),
    };
    let start = bounded(span.start_time_unix_nano);
    let end = bounded(span.end_time_unix_nano);
    let adjusted = if end < start { CLOCK_ADJUSTED } else { 0 };
    by_key(&mut span.attributes);
    let Status { message, code } = span.status.unwrap_or_default();
    let mut stored = StoredSpan {
        span_id,
        parent,
        start,
        end: end.max(start),
        kind: span.kind,
        status: if matches!(code, STATUS_OK | STATUS_ERROR) { code } else { 0 },
        marks: self_parent | adjusted,
        name: span.name,
        hash: vec![],
        error_type: error_type(&span.attributes),
        server_error: is_server_error(&span.attributes),
        dimensions: 0,
        origin: 0,
        trace_state: span.trace_state,
        flags: span.flags,
        attributes: span.attributes,
        dropped_attributes: span.dropped_attributes_count,
        events: span.events,
        dropped_events: span.dropped_events_count,
        links: span.links,
        dropped_links: span.dropped_links_count,
        status_message: message,
    };
    stored.hash = content_hash(&stored, dimensions, origin_hash);
    stored
}

/// The hash of what is kept of a span, its dimensions and origin included; independent of the order of attributes, and
/// of the tables of a chunk.
fn content_hash(span: &StoredSpan, dimensions: &Dimensions, origin_hash: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(span.encode_to_vec());
    hash.update(super::stored::StoredDimensions::from(dimensions.clone()).encode_to_vec());
    hash.update(origin_hash);
    hash.finalize().to_vec()
}

pub fn origin_hash(origin: &Origin) -> Vec<u8> {
    Sha256::digest(origin.encode_to_vec()).to_vec()
}

/// Attributes as a map has them: in order of keys, one of each.
pub fn by_key(attributes: &mut Vec<KeyValue>) {
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
    attributes.dedup_by(|later, first| later.key == first.key);
}

/// A validated id as a number; 0 where there is none.
fn id_number(bytes: &[u8]) -> u64 {
    <[u8; 8]>::try_from(bytes).map_or(0, u64::from_be_bytes)
}

/// Instants beyond the year 2262 are no instants of ours.
fn bounded(ns: u64) -> u64 {
    ns.min(i64::MAX.unsigned_abs())
}

fn error_type(attributes: &[KeyValue]) -> Option<String> {
    find(attributes, "error.type")
}

fn find(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|a| a.key == key)?.value.as_ref()?;
    crate::otlp::attributes::text_of(value).map(|t| t.into_owned())
}

/// HTTP status ≥ 500, or one of the RPC codes unknown, deadline exceeded, unimplemented, internal, unavailable and data
/// loss, by number or name (SPEC 5.1.4(5)).
fn is_server_error(attributes: &[KeyValue]) -> bool {
    const CODES: [(&str, &str); 6] = [
        ("2", "unknown"),
        ("4", "deadline_exceeded"),
        ("12", "unimplemented"),
        ("13", "internal"),
        ("14", "unavailable"),
        ("15", "data_loss"),
    ];
    const RPC: [&str; 3] = ["rpc.grpc.status_code", "rpc.response.status_code", "rpc.connect_rpc.error_code"];
    let http = find(attributes, "http.response.status_code").and_then(|s| s.parse::<u32>().ok());
    let is_code = |text: String| CODES.iter().any(|(n, name)| text == *n || text.eq_ignore_ascii_case(name));
    http.is_some_and(|s| s >= 500) || RPC.iter().filter_map(|key| find(attributes, key)).any(is_code)
}

/// A stored span as it is shown.
pub fn shown(trace: &TraceId, span: StoredSpan, origin: &Origin, dimensions: Dimensions) -> Option<Span> {
    let events = span.events.iter().map(|e| SpanEvent {
        time_ns: e.time_unix_nano.to_string(),
        name: e.name.clone(),
        attributes: json_map(&e.attributes),
    });
    let links = span.links.iter().map(|l| SpanLink {
        trace_id: hex::encode(&l.trace_id),
        span_id: hex::encode(&l.span_id),
        trace_state: l.trace_state.clone(),
        attributes: json_map(&l.attributes),
    });
    Some(Span {
        trace_id: trace.clone(),
        span_id: SpanId::of_bytes(&span.span_id.to_be_bytes())?,
        parent_span_id: SpanId::of_bytes(&span.parent.to_be_bytes()),
        kind: kind_of(span.kind),
        module_id: dimensions.module.clone(),
        start_ns: span.start.to_string(),
        end_ns: span.end.to_string(),
        duration_ms: (span.end - span.start) / 1_000_000,
        status: status_of(span.status),
        status_message: (!span.status_message.is_empty()).then_some(span.status_message),
        attributes: json_map(&span.attributes),
        events: events.collect(),
        links: links.collect(),
        dropped: Dropped {
            attributes: span.dropped_attributes,
            events: span.dropped_events,
            links: span.dropped_links,
        },
        flags: flags_of(span.marks),
        dimensions,
        resource: json_map(&origin.resource),
        scope: Scope {
            name: origin.scope_name.clone(),
            version: origin.scope_version.clone(),
            attributes: json_map(&origin.scope),
        },
        content_hash: hex::encode(&span.hash),
        name: span.name,
        trace_state: span.trace_state,
    })
}

/// An unspecified kind is internal (OTLP).
fn kind_of(kind: i32) -> SpanKind {
    match kind {
        2 => SpanKind::Server,
        KIND_CLIENT => SpanKind::Client,
        4 => SpanKind::Producer,
        5 => SpanKind::Consumer,
        _ => SpanKind::Internal,
    }
}

pub fn status_of(status: i32) -> crate::events::TraceStatus {
    match status {
        STATUS_OK => crate::events::TraceStatus::Ok,
        STATUS_ERROR => crate::events::TraceStatus::Error,
        _ => crate::events::TraceStatus::Unset,
    }
}

fn flags_of(marks: u32) -> Vec<SpanFlag> {
    [(CLOCK_ADJUSTED, SpanFlag::ClockAdjusted), (SELF_PARENT, SpanFlag::SelfParent)]
        .into_iter()
        .filter(|(bit, _)| marks & bit != 0)
        .map(|(_, flag)| flag)
        .collect()
}
