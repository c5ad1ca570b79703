//! The points document: all groups of all definitions and kinds of a metric in one window (SPEC 5.2.4).

use super::{
    names,
    types::{MetricPoint, SeriesKind},
};
use opsloop_kernel::{LabelSet, Refusal, Stored, Timestamp, Window};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Chunks, carries, ledgers and points above this are several documents (SPEC 5.2.4).
pub const PART_BYTES_MAX: usize = 256 * 1024;
/// How long points are kept, by the size of their window.
pub const fn kept_ms(size_ms: i64) -> i64 {
    use opsloop_kernel::window::{DAY_MS, FIVE_MINUTES_MS, MINUTE_MS};
    match size_ms {
        MINUTE_MS => 8 * DAY_MS,
        FIVE_MINUTES_MS => 30 * DAY_MS,
        _ => 400 * DAY_MS,
    }
}

/// Which group of which definition a point is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupId {
    /// The labels of a definition other than the default, in byte order; `None` is the default one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group_by: Option<Vec<String>>,
    pub kind: SeriesKind,
    pub group_key: LabelSet,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupPoint {
    #[serde(flatten)]
    pub id: GroupId,
    pub unit: String,
    /// A group that had a point in an earlier revision and has none any more: what is left is that it was announced.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub gone: bool,
    pub point: MetricPoint,
}

/// One document, or one part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PointsPart {
    pub metric: String,
    #[serde(flatten)]
    pub window: Window,
    pub part: usize,
    /// How many documents these points are; one that is beyond is left from an earlier revision.
    pub parts: usize,
    pub groups: Vec<GroupPoint>,
}

/// All points of a metric in a window, by group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowPoints {
    #[serde(flatten)]
    pub window: Window,
    pub groups: Vec<GroupPoint>,
}

/// All groups of one document in its parts, those that are gone too, as stored.
pub fn groups_of(stored: &[Stored]) -> Result<Vec<GroupPoint>, Refusal> {
    let parts = stored.iter().map(Stored::read::<PointsPart>).collect::<Result<Vec<_>, _>>()?;
    Ok(whole(parts))
}

/// Puts the parts of documents together, in the order of their windows. `keep` says which points are wanted.
pub fn assemble<'a>(
    parts: impl IntoIterator<Item = &'a Stored>,
    keep: &(dyn Fn(&GroupPoint) -> bool + Sync),
) -> Result<Vec<WindowPoints>, Refusal> {
    let mut windows: BTreeMap<Timestamp, Vec<PointsPart>> = BTreeMap::new();
    for stored in parts {
        let part: PointsPart = stored.read()?;
        windows.entry(part.window.start).or_default().push(part);
    }
    let mut out = Vec::with_capacity(windows.len());
    for parts in windows.into_values() {
        let Some(window) = parts.first().map(|p| p.window) else { continue };
        let groups: Vec<GroupPoint> = whole(parts).into_iter().filter(|g| !g.gone && keep(g)).collect();
        if !groups.is_empty() {
            out.push(WindowPoints { window, groups });
        }
    }
    Ok(out)
}

/// By group. A correction that is under way may have moved a group from one part to another: the newer revision counts.
fn whole(parts: Vec<PointsPart>) -> Vec<GroupPoint> {
    let count = parts.iter().find(|p| p.part == 0).map_or(0, |p| p.parts);
    let mut groups: BTreeMap<GroupId, GroupPoint> = BTreeMap::new();
    for group in parts.into_iter().filter(|p| p.part < count).flat_map(|p| p.groups) {
        if groups.get(&group.id).is_none_or(|seen| seen.point.revision < group.point.revision) {
            groups.insert(group.id.clone(), group);
        }
    }
    groups.into_values().collect()
}

/// Lays groups out in parts of bounded size, each with its document id.
pub fn parts_of(metric: &str, window: Window, groups: &[GroupPoint]) -> Vec<(String, PointsPart)> {
    let mut parts: Vec<Vec<GroupPoint>> = vec![vec![]];
    let mut filled = 0;
    for group in groups {
        let size = serde_json::to_vec(group).map_or(0, |v| v.len());
        if filled > 0 && filled + size > PART_BYTES_MAX {
            parts.push(vec![]);
            filled = 0;
        }
        filled += size;
        if let Some(last) = parts.last_mut() {
            last.push(group.clone());
        }
    }
    let (id, count) = (names::points_id(metric, window), parts.len());
    let part = |(n, groups)| {
        (names::part_id(&id, n), PointsPart { metric: metric.to_owned(), window, part: n, parts: count, groups })
    };
    parts.into_iter().enumerate().map(part).collect()
}
