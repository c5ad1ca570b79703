//! The strict sense: the same documents and the same events, but for a revision that a lost reply may add.

use super::{super::reading::difference, Outcome, outcome::Place, results::unrevised};
use crate::journal::Verdict;
use opsloop_kernel::{Document, Envelope, TenantId};
use opsloop_observability::events::kind;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub fn same(calm: &Outcome, disturbed: &Outcome) -> Verdict {
    let shifted: BTreeSet<&TenantId> = calm.shifted.union(&disturbed.shifted).collect();
    events(calm, disturbed, &shifted)?;
    documents(calm, disturbed, &shifted)
}

/// Walks two sorted maps together: what one of them lacks, and where both have something else.
fn compare<'a, K: Ord, V: PartialEq>(
    calm: &'a BTreeMap<K, V>,
    disturbed: &'a BTreeMap<K, V>,
    mut differ: impl FnMut(&'a K, Option<&'a V>, Option<&'a V>) -> Verdict,
) -> Verdict {
    for (key, value) in calm {
        match disturbed.get(key) {
            Some(other) if other == value => {}
            other => differ(key, Some(value), other)?,
        }
    }
    let more = disturbed.iter().filter(|(key, _)| !calm.contains_key(*key));
    more.into_iter().try_for_each(|(key, value)| differ(key, None, Some(value)))
}

fn events(calm: &Outcome, disturbed: &Outcome, shifted: &BTreeSet<&TenantId>) -> Verdict {
    compare(&calm.events, &disturbed.events, |(tenant, id), a, b| {
        let Some(e) = a.or(b) else { return Ok(()) };
        if e.event_type == kind::QUALITY_SCORE_COMPUTED && shifted.contains(tenant) {
            return Ok(());
        }
        let what = format!("{} {id} ({}) of {tenant}", e.event_type, e.subject);
        match (a, b) {
            (Some(a), Some(b)) => Err(format!("{what} differs: {}", difference(&value(a), &value(b)))),
            (None, Some(more)) if repeats(disturbed, more) => Ok(()),
            (Some(_), None) => Err(format!("{what} is owed in the calm run only")),
            _ => Err(format!("{what} is owed in the disturbed run only")),
        }
    })
}

fn value(e: &Envelope) -> Value {
    serde_json::to_value(e).unwrap_or_default()
}

/// A commit whose reply was lost may add a revision that says what the one before it said.
fn repeats(outcome: &Outcome, more: &Envelope) -> bool {
    let before = |e: &&Envelope| {
        (&e.tenant_id, &e.event_type, &e.idempotency_key, e.revision + 1)
            == (&more.tenant_id, &more.event_type, &more.idempotency_key, more.revision)
    };
    let found = outcome.events.values().find(before);
    found.is_some_and(|e| unrevised(&e.payload.0) == unrevised(&more.payload.0))
}

fn documents(calm: &Outcome, disturbed: &Outcome, shifted: &BTreeSet<&TenantId>) -> Verdict {
    compare(&calm.documents, &disturbed.documents, |place, a, b| {
        let Some(d) = a.or(b) else { return Ok(()) };
        if d.kind.starts_with("quality-") && shifted.contains(&place.0) {
            return Ok(());
        }
        let what = named(place, d);
        match (a, b) {
            (Some(a), Some(b)) if same_but_for_revision(a, b) => Ok(()),
            (Some(a), Some(b)) => Err(format!("{what} differs: {}", difference(&whole(a), &whole(b)))),
            (Some(_), None) => Err(format!("{what} is there in the calm run only")),
            _ => Err(format!("{what} is there in the disturbed run only")),
        }
    })
}

fn named((tenant, stream, id): &Place, document: &Document) -> String {
    format!("{} {id} in {} of {tenant}", document.kind, stream.name)
}

fn whole(document: &Document) -> Value {
    serde_json::to_value(document).unwrap_or_default()
}

fn same_but_for_revision(a: &Document, b: &Document) -> bool {
    let revised = matches!(a.kind.as_ref(), "points" | "ledger" | "head" | "trace-entry");
    revised
        && (&a.kind, &a.due, a.expires) == (&b.kind, &b.due, b.expires)
        && unrevised(&a.body.0) == unrevised(&b.body.0)
}
