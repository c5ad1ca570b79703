//! The index `traces-by/<hour>/<0 to 3>` (SPEC 5.1.5, A48): which traces were announced in an hour, by module and by
//! root, so that others list them without reading the traces.

use super::record::TraceRecord;
use crate::events::TraceStatus;
use opsloop_kernel::{
    Container, Document, Fault, Order, Page, Scope, Stored, Stream, Timestamp, TraceId, Write, ids::digest,
    ports::after_prefix, window::HOUR_MS,
};
use serde::{Deserialize, Serialize};

pub const KIND: &str = "trace-entry";
/// Streams of an hour.
pub const PARTS: u8 = 4;
const MODULES_MAX: usize = 16;
const NO_MODULE: &str = "-";

/// What the index says of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub trace_id: TraceId,
    pub revision: u32,
    pub status: TraceStatus,
    pub duration_ms: u64,
    pub services: Vec<String>,
    /// Of the record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    pub root_span_name: String,
    /// The due instant of the emission.
    pub at: Timestamp,
}

/// Where the entries of a trace lie that is due at `at`.
pub fn stream_of(trace: &TraceId, at: Timestamp) -> Stream {
    let first = u8::from_str_radix(&trace.as_str()[..2], 16).unwrap_or_default();
    part_of(at, first % PARTS)
}

fn part_of(at: Timestamp, part: u8) -> Stream {
    Stream::new(Container::Telemetry, format!("traces-by/{}/{part}", at.floor_to(HOUR_MS, 0).millis()))
}

/// Ids of all entries of a module begin with this; of spans that name none, the module is `None`.
pub fn module_prefix(module: Option<&str>) -> String {
    format!("{}|", hash([module.unwrap_or(NO_MODULE)]))
}

/// Ids of the entries of one root begin with this: those of the module of its record.
pub fn root_prefix(module: Option<&str>, root_span_name: &str) -> String {
    format!("{}{}|", module_prefix(module), root_hash(module, root_span_name))
}

/// Entries of an hour whose ids begin with `prefix`, at most `max` of them, in no promised order.
pub async fn list_index(scope: &Scope<'_>, hour: Timestamp, prefix: &str, max: usize) -> Result<Vec<Entry>, Fault> {
    let mut found = vec![];
    for part in 0..PARTS {
        let listing = scope.all(&part_of(hour, part), prefix, max.saturating_sub(found.len())).await?;
        found.extend(listing.items.iter().filter_map(|s| s.read::<Entry>().ok()));
        if found.len() >= max {
            break;
        }
    }
    Ok(found)
}

/// Ids of the entries of a record: one for each module that its spans name, its own first. A record without root has
/// none.
pub fn ids_of(record: &TraceRecord) -> Vec<String> {
    let Some(root) = &record.root_span_name else { return vec![] };
    let own = record.module_id.as_deref();
    let tail = format!("{}|{}", root_hash(own, root), record.trace_id);
    let others = record.services.iter().map(String::as_str).filter(|m| Some(*m) != own).map(Some);
    let modules = std::iter::once(own).chain(others).take(MODULES_MAX);
    modules.map(|module| format!("{}{tail}", module_prefix(module))).collect()
}

/// The entries as they stand in the store.
pub async fn read_entries(scope: &Scope<'_>, stream: &Stream, record: &TraceRecord) -> Result<Vec<Stored>, Fault> {
    let mut found = vec![];
    for prefix in ids_of(record) {
        let page = Page::first(1);
        found.extend(scope.list(stream, &prefix, &after_prefix(&prefix), page, Order::Ascending).await?.items);
    }
    Ok(found)
}

/// Saves the entries of a record where none of a larger revision stands; the same one again changes nothing.
pub fn writes(record: &TraceRecord, at: Timestamp, standing: &[Stored], expires: Timestamp) -> Vec<Write> {
    let entry = Entry {
        trace_id: record.trace_id.clone(),
        revision: record.revision,
        status: record.status,
        duration_ms: record.duration_ms,
        services: record.services.clone(),
        module_id: record.module_id.clone(),
        root_span_name: record.root_span_name.clone().unwrap_or_default(),
        at,
    };
    let mut writes = vec![];
    for id in ids_of(record) {
        let held = standing.iter().find(|s| s.document.id.0 == id);
        let stands = |s: &Stored| s.read::<Entry>().is_ok_and(|e| e.revision > entry.revision || e == entry);
        if !held.is_some_and(stands) {
            let document = Document::new(id, KIND, &entry).expires(expires);
            writes.push(Write::Save(document, held.map(|s| s.etag.clone())));
        }
    }
    writes
}

fn root_hash(module: Option<&str>, root_span_name: &str) -> String {
    hash([module.unwrap_or(NO_MODULE), root_span_name])
}

fn hash<const N: usize>(parts: [&str; N]) -> String {
    digest(parts).chars().take(16).collect()
}
