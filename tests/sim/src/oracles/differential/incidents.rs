//! Incidents: the same sets of (source, episode, kind of log entry), always (SPEC 13.1(7)). `opened` is left out and
//! `attached` read as `trigger`, for which of two sources opens is a matter of order; entries that speak of no source
//! follow from that too. So is what a log says of what is over: a retraction that is taken back is a note only while
//! an incident is open (SPEC 5.5.4), and where operators resolve, a clear finds its incident open or not.

use super::{super::reading::text, Outcome};
use crate::journal::Verdict;
use opsloop_embedded::store::Dumped;
use opsloop_kernel::{TenantId, Timestamp};
use opsloop_observability::events::kind;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

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

/// The episodes of our own rules and SLOs that were not announced alike: what incidents tell of them follows.
fn announced_apart(calm: &Outcome, disturbed: &Outcome) -> BTreeSet<Episode> {
    let (one, other) = (announced(calm), announced(disturbed));
    let all: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    all.into_iter().filter(|episode| one.get(episode) != other.get(episode)).cloned().collect()
}

/// Tenant, source, its id and the episode.
type Episode = (TenantId, &'static str, String, String);

/// When, what, by which rule, and whether it was suppressed: by a silence, say, that was made while the slot still waited.
type Announced<'o> = BTreeSet<(Timestamp, &'o str, &'o str, bool)>;

fn announced(outcome: &Outcome) -> BTreeMap<Episode, Announced<'_>> {
    let mut all: BTreeMap<Episode, BTreeSet<_>> = BTreeMap::new();
    for e in outcome.events.values() {
        let of = |name: &str| text(&e.payload.0, name);
        let (source, id) = match e.event_type.as_str() {
            kind::ALERT_TRIGGERED | kind::ALERT_RESOLVED => {
                ("alert", format!("{}:{}", of("ruleId"), of("fingerprint")))
            }
            kind::SLO_BREACHED | kind::SLO_RECOVERED => ("slo", of("sloId").to_owned()),
            _ => continue,
        };
        let episode = (e.tenant_id.clone(), source, id, of("episodeId").to_owned());
        all.entry(episode).or_default().insert((
            e.occurred_at,
            e.event_type.as_str(),
            of("rule"),
            e.payload.0.get("suppressedBy").is_some(),
        ));
    }
    all
}

/// Of what was announced in both runs, or came from outside.
pub fn same(calm: &Outcome, disturbed: &Outcome) -> Verdict {
    let apart = announced_apart(calm, disturbed);
    let is_of = |t: &Told| {
        let of = |a: &&Episode| (&a.0, a.1, &a.2, &a.3) == (&t.tenant, t.source.as_str(), &t.id, &t.episode);
        apart.iter().any(|a| of(&a))
    };
    if let Some(missing) = calm.told.difference(&disturbed.told).find(|t| !is_of(t)) {
        return Err(format!("incidents: {missing} was told in the calm run only"));
    }
    match disturbed.told.difference(&calm.told).find(|t| !is_of(t)) {
        Some(more) => Err(format!("incidents: {more} was told in the disturbed run only")),
        None => Ok(()),
    }
}
