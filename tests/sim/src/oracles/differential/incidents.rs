//! Incidents: the same sets of (source, episode, kind of log entry), always (SPEC 13.1(7)). `opened` is left out and
//! `attached` read as `trigger`, for which of two sources opens is a matter of order; entries that speak of no source
//! follow from that too. So is what a log says of what is over: a retraction that is taken back is a note only while
//! an incident is open (SPEC 5.5.4), and where operators resolve, a clear finds its incident open or not.

use super::{super::reading::text, Outcome};
use crate::journal::Verdict;
use opsloop_embedded::store::Dumped;
use opsloop_kernel::TenantId;
use std::{collections::BTreeSet, fmt};

/// That an entry of this kind was told of an episode.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    tenant: TenantId,
    source: String,
    id: String,
    rule: String,
    episode: String,
    kind: String,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, source, id, rule, episode, kind } = self;
        write!(f, "`{kind}` of {source} {id} (rule `{rule}`, episode `{episode}`) of {tenant}")
    }
}

pub fn told(documents: &[Dumped], contested: &BTreeSet<TenantId>) -> BTreeSet<Told> {
    let logs = documents.iter().filter(|d| d.document.kind == "log");
    let of = |d: &Dumped| {
        let entry = &d.document.body.0;
        let reference = entry.get("ref")?;
        let kind = match text(entry, "kind") {
            "opened" | "note" => return None,
            "cleared" if contested.contains(&d.tenant) => return None,
            "attached" => "trigger",
            other => other,
        };
        Some(Told {
            tenant: d.tenant.clone(),
            source: text(reference, "kind").to_owned(),
            id: text(reference, "id").to_owned(),
            rule: text(entry, "rule").to_owned(),
            episode: text(entry, "episodeId").to_owned(),
            kind: kind.to_owned(),
        })
    };
    logs.filter_map(of).collect()
}

pub fn same(calm: &Outcome, disturbed: &Outcome) -> Verdict {
    if let Some(missing) = calm.told.difference(&disturbed.told).next() {
        return Err(format!("incidents: {missing} was told in the calm run only"));
    }
    match disturbed.told.difference(&calm.told).next() {
        Some(more) => Err(format!("incidents: {more} was told in the disturbed run only")),
        None => Ok(()),
    }
}
