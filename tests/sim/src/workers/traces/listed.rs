//! A record is announced only where the index lists it (SPEC 5.1.5): its entries come first in the chain, and a chain
//! ends at a unit that failed (SPEC 3.5).

use super::model::{head_change, trace_of};
use crate::{
    journal::{Applied, Oracle, Verdict},
    workers::check::Check,
};
use opsloop_kernel::{TenantId, TraceId};
use opsloop_observability::{
    events::kind::TRACE_RECORDED,
    trace_ingestion::{Head, index},
};
use std::collections::BTreeMap;

/// By tenant, stream and id: the revision that an entry lists.
type Entries = BTreeMap<(TenantId, String, String), u64>;

pub fn rule() -> Box<dyn Oracle> {
    Check::of_commits("TIW index", listed)
}

fn listed(entries: &mut Entries, commit: &Applied) -> Verdict {
    for change in commit.changes.iter().filter(|c| c.kind() == index::KIND) {
        let key = (commit.tenant.clone(), commit.stream.name.clone(), change.id.0.clone());
        match &change.after {
            Some(entry) => entries.insert(key, entry.body.0["revision"].as_u64().unwrap_or(0)),
            None => entries.remove(&key),
        };
    }
    let (Some(trace), Some(head)) = (trace_of(commit), head_change(commit)) else { return Ok(()) };
    let (Some(due), Some(after)) = (head.before.as_ref().and_then(|d| d.due.as_ref()), &head.after) else {
        return Ok(());
    };
    if !commit.owed.iter().any(|e| e.event_type == TRACE_RECORDED) {
        return Ok(());
    }
    let head: Head = after.body.read().map_err(|e| e.to_string())?;
    let Some(record) = head.record else { return Ok(()) };
    let stream = index::stream_of(&TraceId::parse(trace)?, due.at).name;
    for id in index::ids_of(&record) {
        let revision = entries.get(&(commit.tenant.clone(), stream.clone(), id)).copied();
        if revision.is_none_or(|r| r < u64::from(record.revision)) {
            let told = record.revision;
            return Err(format!(
                "trace {trace}, revision {told}: announced while the index of {stream} lists {revision:?}"
            ));
        }
    }
    Ok(())
}
