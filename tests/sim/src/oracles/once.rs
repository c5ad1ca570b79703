//! No effect twice (SPEC 13.1(1), 3.5): an event is owed by one commit, a marker is written once in its horizon.

use super::reading;
use crate::journal::{Applied, Change, Oracle, Verdict};
use opsloop_kernel::{DocId, EventId, Stream, TenantId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// A marker lives 35 d by the clock that wrote it (A15), which may have been stepped since by less than a day.
const HORIZON_MS: i64 = 34 * 86_400_000;

#[derive(Default)]
pub struct OwedOnce {
    owed: BTreeMap<(TenantId, EventId), u64>,
    markers: BTreeMap<(TenantId, Stream, DocId), Timestamp>,
}

impl OwedOnce {
    fn marked(&mut self, commit: &Applied, change: &Change) -> Verdict {
        let Some(marker) = &change.after else { return Ok(()) };
        let id = &marker.id;
        let life = marker.expires.map_or(i64::MAX, |e| e.millis_since(commit.at));
        if life < HORIZON_MS {
            return Err(format!("the marker {id} lives {} h: a replay would not find it (A15)", life / 3_600_000));
        }
        let key = (commit.tenant.clone(), commit.stream.clone(), id.clone());
        match self.markers.insert(key, commit.at) {
            Some(before) if commit.at.millis_since(before) < HORIZON_MS => {
                Err(format!("the marker {id} of {} is written twice, first at {before}", commit.tenant))
            }
            _ => Ok(()),
        }
    }
}

impl Oracle for OwedOnce {
    fn name(&self) -> &'static str {
        "owed once"
    }

    fn applied(&mut self, commit: &Applied) -> Verdict {
        for change in commit.changes.iter().filter(|c| c.kind() == "seen") {
            self.marked(commit, change)?;
        }
        if let Some(marker) = &commit.marker
            && !commit.changes.iter().any(|c| c.id == *marker && c.before.is_none() && c.after.is_some())
        {
            return Err(format!("a batch that begins with the marker {marker} did not create it"));
        }
        let moved = moved(commit);
        for e in commit.owed.iter().filter(|e| !moved.contains(e.event_id.as_str())) {
            let key = (e.tenant_id.clone(), e.event_id.clone());
            if let Some(turn) = self.owed.insert(key, commit.turn) {
                let (kind, id) = (&e.event_type, &e.event_id);
                return Err(format!("{kind} {id} of {} is owed twice, first in turn {turn}", e.tenant_id));
            }
        }
        Ok(())
    }
}

/// What only went from one outbox document to another: set aside as stuck, or driven again (A16).
fn moved(commit: &Applied) -> BTreeSet<&str> {
    let gone = commit.changes.iter().filter(|c| matches!(c.kind(), "owed" | "stuck") && c.after.is_none());
    let lists = gone.filter_map(|c| c.before.as_ref()?.body.0.get("messages")?.as_array());
    lists.flatten().map(|m| reading::text(m, "id")).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::rig::*, *};
    use opsloop_kernel::Document;
    use serde_json::json;

    #[test]
    fn a_fact_owed_by_two_commits_is_noticed() {
        let fact = fact("A", "1", json!({}));
        let mut oracle = OwedOnce::default();
        let commit = commit(vec![], vec![fact]);
        oracle.applied(&commit).unwrap();
        fails(oracle.applied(&commit), "is owed twice, first in turn 1");
    }

    #[test]
    fn what_is_set_aside_is_not_owed_again() {
        let fact = fact("A", "1", json!({}));
        let mut oracle = OwedOnce::default();
        oracle.applied(&commit(vec![], vec![fact.clone()])).unwrap();
        let old = Document::new("owed|1", "owed", &json!({"messages": [{"id": fact.event_id}]}));
        let gone = Change { id: old.id.clone(), before: Some(old), after: None };
        oracle.applied(&commit(vec![gone], vec![fact])).unwrap();
    }

    #[test]
    fn a_marker_written_twice_is_noticed_until_its_horizon() {
        let mut oracle = OwedOnce::default();
        let first = about("W", "evt-1", commit(vec![], vec![]));
        oracle.applied(&first).unwrap();
        fails(oracle.applied(&first), "seen|W|evt-1|unit of acme is written twice");
        let mut late = commit(vec![], vec![]);
        late.at = late.at.plus_millis(36 * 86_400_000);
        oracle.applied(&about("W", "evt-1", late)).unwrap();
    }

    #[test]
    fn a_marker_that_dies_early_or_is_missing_is_noticed() {
        let early = Document::new("seen|W|evt-1|u", "seen", &json!({})).expires(at("12:05:01"));
        fails(OwedOnce::default().applied(&commit(vec![saved(early)], vec![])), "lives 2 h");
        let mut without = commit(vec![], vec![]);
        without.marker = Some("seen|W|evt-1|u".into());
        fails(OwedOnce::default().applied(&without), "did not create it");
    }
}
