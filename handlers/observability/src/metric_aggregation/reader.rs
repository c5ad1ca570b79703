//! How other workers and the API read series. The watermark is read before the points that it speaks of: the reads of
//! one client are monotonic per stream, so what it says is closed is there (SPEC 3.13, A65).

use super::{
    bucket::Bucket,
    names,
    points::{GroupPoint, WindowPoints, assemble},
};
use opsloop_kernel::{Freshness, Order, Page, Scope, Stop, Stored, Stream, Timestamp, window::stale_after};

/// Points documents read at once.
const PAGE: usize = 50;

/// The root of a metric's bucket as stored, for `with_definitions`.
pub async fn root(scope: &Scope<'_>, stream: &Stream) -> Result<Option<Stored>, Stop> {
    Ok(scope.get(stream, &names::BUCKET.into()).await?)
}

/// Watermarks and definitions of a metric's bucket; of one that does not exist yet none.
pub async fn read_bucket(scope: &Scope<'_>, stream: &Stream) -> Result<Bucket, Stop> {
    let stored = root(scope, stream).await?;
    Ok(stored.map(|s| s.read()).transpose()?.unwrap_or_default())
}

/// The points of a metric in the windows with `from ≤ start < until`, in their order; `stream` is `names::stream_of`
/// the metric. Only points that `keep` wants are held. The caller bounds the range.
pub async fn read_points(
    scope: &Scope<'_>,
    stream: &Stream,
    metric: &str,
    size_ms: i64,
    from: Timestamp,
    until: Timestamp,
    keep: &(dyn Fn(&GroupPoint) -> bool + Sync),
) -> Result<Vec<WindowPoints>, Stop> {
    let (first, end) = (names::points_from(metric, size_ms, from), names::points_from(metric, size_ms, until));
    let mut windows: Vec<WindowPoints> = Vec::new();
    let mut carried: Vec<Stored> = Vec::new();
    let mut after = None;
    loop {
        let page = scope.list(stream, &first, &end, Page { limit: PAGE, after }, Order::Ascending).await?;
        after = page.items.last().map(|s| s.document.id.clone());
        carried.extend(page.items);
        let more = page.more && after.is_some();
        // The last window of a page may go on in the next one.
        let whole = if more { carried.len() - trailing(&carried) } else { carried.len() };
        windows.extend(assemble(carried.drain(..whole).collect::<Vec<_>>().iter(), keep)?);
        if !more {
            return Ok(windows);
        }
    }
}

/// How many documents at the end are parts of one window.
fn trailing(items: &[Stored]) -> usize {
    let window = |s: &Stored| s.document.id.0.splitn(5, '|').take(4).collect::<Vec<_>>().join("|");
    let last = items.last().map(window);
    items.iter().rev().take_while(|s| Some(window(s)) == last).count()
}

/// How old what was read is, for a reader that evaluates now (SPEC 3.11): `lagging` while aggregation itself is behind,
/// `no_data` where it is not and there is nothing (A21).
pub fn freshness(now: Timestamp, size_ms: i64, watermark: Option<Timestamp>, as_of: Timestamp) -> Freshness {
    let limit = stale_after(size_ms);
    let lagging = watermark.is_none_or(|w| now.millis_since(w) > limit.as_millis() as i64);
    Freshness::at(now, as_of, limit, lagging)
}
