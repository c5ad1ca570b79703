//! Names of what the worker stores: stream, documents, series and keys (SPEC 5.2.3, 5.2.4, 5.2.7).

use super::types::{Aggregation, SeriesKind};
use opsloop_kernel::{
    Container, LabelSet, Stream, TenantId, Timestamp, Window,
    ids::{self, KeyParts, padded, percent},
};

pub const BUCKET: &str = "bucket";
const RAW: &str = "raw";
const DIRTY: &str = "dirty";
const CARRY: &str = "carry";
const LEDGER: &str = "window";
const POINTS: &str = "points";
const STREAM: &str = "metrics/";
const COMPONENT: &str = "metric-aggregation";

/// The stream of a bucket: everything of its metrics (A65).
pub fn stream_of_bucket(bucket: u16) -> Stream {
    Stream::new(Container::Metrics, format!("{STREAM}{bucket}"))
}
/// The stream that a metric lies in.
pub fn stream_of(metric: &str, buckets: u16) -> Stream {
    stream_of_bucket(ids::bucket(metric, buckets))
}

/// Chunk: the raw points of a batch part in a 1m window.
pub fn raw_id(window: Timestamp, batch_id: &str, part: u32) -> String {
    format!("{}{}|{part}", raw_prefix(window), percent(batch_id))
}
/// The id of a chunk without the number of one of its own documents.
pub fn chunk_of(id: &str) -> &str {
    let end = id.match_indices('|').nth(3).map_or(id.len(), |(at, _)| at);
    &id[..end]
}
pub fn raw_prefix(window: Timestamp) -> String {
    format!("{RAW}|{}|", padded(window))
}
/// Mark: a window to be closed.
pub fn dirty_id(window: Window) -> String {
    format!("{}{}", dirty_prefix(window.size_ms), padded(window.start))
}
pub fn dirty_prefix(size_ms: i64) -> String {
    format!("{DIRTY}|{size_ms}|")
}
/// The window of a mark's id.
pub fn window_of_mark(id: &str) -> Option<Window> {
    let (size, start) = id.strip_prefix(DIRTY)?.strip_prefix('|')?.split_once('|')?;
    let (size_ms, start) = (size.parse().ok()?, start.parse().ok()?);
    super::types::SIZES.contains(&size_ms).then_some(Window { size_ms, start: Timestamp::from_millis(start) })
}
/// The stream states after a 1m window.
pub fn carry_id(window: Timestamp) -> String {
    format!("{}{}", carry_prefix(), padded(window))
}
pub fn carry_prefix() -> String {
    format!("{CARRY}|")
}
/// The 1m window whose states a carry, or a part of one, holds.
pub fn window_of_carry(id: &str) -> Option<Timestamp> {
    let digits = id.strip_prefix(CARRY)?.strip_prefix('|')?.split('|').next()?;
    digits.parse().ok().map(Timestamp::from_millis)
}
/// Ledger: revision and hash per metric.
pub fn ledger_id(window: Window) -> String {
    format!("{LEDGER}|{}|{}", window.size_ms, padded(window.start))
}
/// The points of a metric in a window.
pub fn points_id(metric: &str, window: Window) -> String {
    points_from(metric, window.size_ms, window.start)
}
/// The first id of a metric's points at or after an instant.
pub fn points_from(metric: &str, size_ms: i64, from: Timestamp) -> String {
    format!("{POINTS}|{}|{size_ms}|{}", percent(metric), padded(from))
}
/// The id of a further part of a document that is too large for one; the first part has the bare id.
pub fn part_id(id: &str, part: usize) -> String {
    if part == 0 { id.to_owned() } else { format!("{id}|{part}") }
}

/// What a series or point key ends in (SPEC 5.2.3): the kind unless it is `counter`, then the groupBy of a definition
/// other than the default.
fn ending(kind: SeriesKind, group_by: Option<&[String]>) -> Vec<String> {
    let mut parts = Vec::new();
    if kind != SeriesKind::Counter {
        parts.push(kind.name().to_owned());
    }
    if let Some(labels) = group_by {
        let mut sorted = labels.to_vec();
        sorted.sort();
        parts.push(sorted.join(","));
    }
    parts
}

pub fn series_id(
    tenant: &TenantId,
    metric: &str,
    size_ms: i64,
    group_key: &LabelSet,
    aggregation: Aggregation,
    kind: SeriesKind,
    group_by: Option<&[String]>,
) -> String {
    let mut parts = vec![metric.to_owned(), size_ms.to_string(), group_key.canonical(), aggregation.name().to_owned()];
    parts.extend(ending(kind, group_by));
    ids::derived_id("ser", "series", tenant, parts)
}

/// The idempotency key of one point (SPEC 5.2.7).
pub fn point_key(
    tenant: &TenantId,
    metric: &str,
    window: Window,
    group_key: &LabelSet,
    kind: SeriesKind,
    group_by: Option<&[String]>,
) -> String {
    let mut parts = window_parts(metric, window);
    parts.push(group_key.canonical());
    parts.extend(ending(kind, group_by));
    KeyParts::new(COMPONENT, tenant, parts).key()
}

/// The key of the envelope of a metric's window: without groupKey and what follows it.
pub fn window_key(tenant: &TenantId, metric: &str, window: Window) -> KeyParts {
    KeyParts::new(COMPONENT, tenant, window_parts(metric, window))
}
fn window_parts(metric: &str, window: Window) -> Vec<String> {
    vec![metric.to_owned(), window.size_ms.to_string(), window.start.millis().to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_795_255_200_000);

    #[test]
    fn fnd_01_keys_and_series_ids_equal_the_vectors() {
        let tenant = TenantId::parse("acme").unwrap();
        let window = Window { size_ms: 60_000, start: START };
        let group: LabelSet = [("environment", "prod"), ("moduleId", "mod-api")].into_iter().collect();
        let requests = "http.server.requests";
        let duration = "http.server.request.duration";
        assert_eq!(
            point_key(&tenant, requests, window, &group, SeriesKind::Counter, None),
            "50013cabdcdcb5ede3ec9b7746cb06cfa52c0d1096d98136f266abf717c23e90"
        );
        assert_eq!(
            series_id(&tenant, requests, 60_000, &group, Aggregation::Sum, SeriesKind::Counter, None),
            "ser-4931ea5c-b8fe-560c-b7b6-5c51b8980d1f"
        );
        assert_eq!(
            point_key(&tenant, duration, window, &group, SeriesKind::Histogram, None),
            "6cac63a873d81f9d1e25f2d647f3923318353f6f6ae41149b4e1e99e74bad542"
        );
        assert_eq!(
            series_id(&tenant, duration, 60_000, &group, Aggregation::Count, SeriesKind::Histogram, None),
            "ser-3d7cfdb6-5841-558b-b94c-ce8c7655bc8b"
        );
        let by = ["status", "projectId", "moduleId", "environment"].map(String::from);
        let group: LabelSet =
            [("environment", "prod"), ("moduleId", "mod-api"), ("projectId", "booking"), ("status", "500")]
                .into_iter()
                .collect();
        assert_eq!(
            point_key(&tenant, duration, window, &group, SeriesKind::Histogram, Some(&by)),
            "8ff60f4678b35c178dc92042462f29e69c8ed359f9a2c7baed088939162d9090"
        );
        assert_eq!(
            series_id(&tenant, duration, 60_000, &group, Aggregation::Count, SeriesKind::Histogram, Some(&by)),
            "ser-7be2640c-cf46-5b4a-b152-cdc976add7fa"
        );
        assert_eq!(stream_of(requests, 8).name, "metrics/3");
        assert_eq!(stream_of(duration, 8).name, "metrics/1");
    }

    #[test]
    fn a_mark_names_its_window() {
        let window = Window { size_ms: 300_000, start: START };
        assert_eq!(dirty_id(window), "dirty|300000|1795255200000");
        assert_eq!(window_of_mark(&dirty_id(window)), Some(window));
        assert_eq!(window_of_mark("dirty|7|1795255200000"), None);
        assert_eq!(window_of_mark(BUCKET), None);
        let raw = raw_id(START, "ab|c", 3);
        assert_eq!(raw, "raw|1795255200000|ab%7Cc|3");
        assert_eq!((chunk_of(&raw), chunk_of(&part_id(&raw, 2))), (raw.as_str(), raw.as_str()));
        assert_eq!(window_of_carry(&part_id(&carry_id(START), 2)), Some(START));
        assert_eq!(points_id("a/b|c", window), "points|a%2Fb%7Cc|300000|1795255200000");
    }
}
