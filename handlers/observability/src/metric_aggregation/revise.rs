//! A metric's points in a window, compared with what was announced of it (SPEC 5.2.7). The ledger says what was; points
//! may have been written ahead under a revision which it does not have yet: those are new (A64).

use super::{
    combine,
    ledger::{self, Announced},
    points::{GroupId, GroupPoint},
};
use opsloop_kernel::{Mutant, Window, mutant};
use std::collections::BTreeMap;

/// What becomes of a metric's points in a window.
pub struct Revised {
    /// Whether there is something to announce.
    pub changed: bool,
    /// Whether the points stored are not those that should be.
    pub write: bool,
    pub revision: u32,
    pub hash: String,
    /// As they are to be stored, by group.
    pub groups: Vec<GroupPoint>,
    /// The groups whose content is new, by group.
    pub listed: Vec<GroupPoint>,
}

pub fn revise(
    window: Window,
    fresh: Vec<GroupPoint>,
    known: Vec<GroupPoint>,
    announced: Option<&Announced>,
) -> Revised {
    let hash = ledger::hash(&fresh);
    let before = announced.map_or(0, |a| a.revision);
    let by_data = mutant::is(Mutant::HashesJudgedByData).then(|| ledger::hash(&known));
    let changed = by_data.as_deref().or(announced.map(|a| a.hash.as_str())).unwrap_or_default() != hash;
    let revision = before + u32::from(changed);
    let stored: BTreeMap<&GroupId, &GroupPoint> = known.iter().map(|g| (&g.id, g)).collect();
    let is_announced = |g: &GroupPoint| g.point.revision <= before;

    let mut groups: BTreeMap<GroupId, GroupPoint> = BTreeMap::new();
    for mut group in fresh {
        let same = |s: &&&GroupPoint| {
            is_announced(s) && !s.gone && s.unit == group.unit && s.point.content_hash == group.point.content_hash
        };
        group.point.revision = stored.get(&group.id).filter(same).map_or(revision, |s| s.point.revision);
        groups.insert(group.id.clone(), group);
    }
    // A group that was announced and has nothing any more is announced with nothing, and remembered.
    for old in known.iter().filter(|g| before > 0 && (changed || (g.gone && is_announced(g)))) {
        groups.entry(old.id.clone()).or_insert_with(|| gone(window, old, revision, before));
    }
    let groups: Vec<GroupPoint> = groups.into_values().collect();
    let listed = groups.iter().filter(|g| changed && g.point.revision == revision).cloned().collect();
    Revised { changed, write: groups != known, revision, hash, groups, listed }
}

fn gone(window: Window, old: &GroupPoint, revision: u32, before: u32) -> GroupPoint {
    let revision = if old.gone && old.point.revision <= before { old.point.revision } else { revision };
    let mut point = combine::sealed(combine::empty(window));
    point.revision = revision;
    GroupPoint { id: old.id.clone(), unit: old.unit.clone(), gone: true, point }
}

#[cfg(test)]
#[path = "revise_tests.rs"]
mod tests;
