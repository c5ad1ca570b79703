//! Bounded loops (SPEC 13.1(6), 3.9): what no input renews comes to an end, and no aggregate talks without end. That a
//! run comes to rest at all the run itself sees to.

use crate::{
    journal::{Applied, Oracle, Verdict},
    plan::{Cast, Plan},
};
use opsloop_kernel::{EventId, TenantId, Timestamp, window::MINUTE_MS};
use std::collections::BTreeMap;

/// Facts of our own that follow from each other without an input between them: an alert opens an incident; a resolved
/// one, or a trace, makes an item. Nothing is longer, and one more is granted.
const CHAIN_MAX: u32 = 3;
/// Events that an aggregate has whatever comes.
const FREE: usize = 100;
/// A flapping rule has a few series, of which each slot may announce something.
const PER_MINUTE: usize = 8;
/// A late arrival revises what it belongs to, in windows of three sizes.
const PER_ARRIVAL: usize = 4;

pub struct BoundedLoops {
    start: Timestamp,
    arrivals: usize,
    events: BTreeMap<(TenantId, String), usize>,
    /// How many facts of our own led to each.
    chains: BTreeMap<(TenantId, EventId), u32>,
}

impl BoundedLoops {
    pub fn new(cast: &Cast, plan: &Plan) -> Self {
        Self { start: cast.start, arrivals: plan.arrivals.len(), events: BTreeMap::new(), chains: BTreeMap::new() }
    }

    /// An outage makes a run long: what counts is the time that has passed.
    fn limit(&self, now: Timestamp) -> usize {
        let minutes = usize::try_from(now.millis_since(self.start) / MINUTE_MS).unwrap_or(0);
        FREE + PER_MINUTE * minutes + PER_ARRIVAL * self.arrivals
    }
}

impl Oracle for BoundedLoops {
    fn name(&self) -> &'static str {
        "bounded loops"
    }

    fn applied(&mut self, commit: &Applied) -> Verdict {
        let limit = self.limit(commit.at);
        for e in &commit.owed {
            let cause = e.causation_id.clone().map(|id| (e.tenant_id.clone(), id));
            let chain = cause.and_then(|c| self.chains.get(&c)).map_or(0, |n| n + 1);
            if chain > CHAIN_MAX {
                let (kind, id) = (&e.event_type, &e.event_id);
                return Err(format!("{kind} {id} follows from {chain} facts of our own in a row: a loop"));
            }
            self.chains.insert((e.tenant_id.clone(), e.event_id.clone()), chain);
            let events = self.events.entry((e.tenant_id.clone(), e.subject.clone())).or_default();
            *events += 1;
            if *events > limit {
                return Err(format!("{} of {} has more than {limit} events", e.subject, e.tenant_id));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rig::*, *};
    use serde_json::json;

    #[test]
    fn a_chain_that_feeds_itself_is_noticed() {
        let mut oracle = BoundedLoops::new(&cast(), &Plan::default());
        let mut last = fact("A", "0", json!({}));
        oracle.applied(&commit(vec![], vec![last.clone()])).unwrap();
        for n in 1..=CHAIN_MAX {
            last = caused(fact("A", &n.to_string(), json!({})), &last);
            oracle.applied(&commit(vec![], vec![last.clone()])).unwrap();
        }
        fails(oracle.applied(&commit(vec![], vec![caused(fact("A", "x", json!({})), &last)])), "4 facts of our own");
    }

    #[test]
    fn an_aggregate_that_talks_without_end_is_noticed() {
        let mut oracle = BoundedLoops::new(&cast(), &Plan::default());
        let commit = Applied { at: at("10:30:00"), ..commit(vec![], vec![fact("A", "0", json!({}))]) };
        let limit = FREE + 30 * PER_MINUTE;
        (0..limit).for_each(|_| oracle.applied(&commit).unwrap());
        fails(oracle.applied(&commit), "Thing/0 of acme has more than 340 events");
    }
}
