//! What the artifacts that the spans name have to do with the errors of a trace (SPEC 5.1.4(5)).

use super::{
    outline::{Outline, Outlines},
    tree::Tree,
};
use crate::events::TraceArtifact;
use std::collections::BTreeMap;

const ARTIFACTS_MAX: usize = 20;

#[derive(Default)]
struct Tally<'a> {
    spans: Vec<&'a Outline>,
    error_origins: u32,
    error_spans: u32,
    self_time: u64,
}

pub fn of(tree: &Tree<'_>, outlines: &Outlines) -> Vec<TraceArtifact> {
    let mut all: BTreeMap<&str, Tally<'_>> = BTreeMap::new();
    let mut total: u64 = 0;
    for (n, span) in tree.spans.iter().enumerate() {
        let own = tree.self_time(n);
        total = total.saturating_add(own);
        let Some(artifact) = outlines.dimensions_of(span).and_then(|d| d.artifact.as_deref()) else { continue };
        let tally = all.entry(artifact).or_default();
        tally.spans.push(span);
        tally.self_time = tally.self_time.saturating_add(own);
        let caused_below = tree.children[n].iter().any(|c| tree.spans[*c].is_error());
        match (span.is_error(), caused_below) {
            (true, false) => tally.error_origins += 1,
            (true, true) => tally.error_spans += 1,
            (false, _) => {}
        }
    }
    let mut found: Vec<TraceArtifact> = all.into_iter().map(|(id, t)| artifact(id, t, total, outlines)).collect();
    // By score; the list was in order of ids, and the sort is stable.
    found.sort_by(|a, b| score(b).total_cmp(&score(a)));
    found.truncate(ARTIFACTS_MAX);
    found
}

fn artifact(id: &str, mut tally: Tally<'_>, total: u64, outlines: &Outlines) -> TraceArtifact {
    tally.spans.sort_by_key(|s| s.order());
    let dimensions = || tally.spans.iter().filter_map(|s| outlines.dimensions_of(s));
    TraceArtifact {
        artifact_id: id.to_owned(),
        agent_id: dimensions().find_map(|d| d.agent.clone()),
        skill_id: dimensions().find_map(|d| d.skill.clone()),
        error_origins: tally.error_origins,
        error_spans: tally.error_spans,
        self_time_share: if total == 0 { 0.0 } else { tally.self_time as f64 / total as f64 },
    }
}

/// SPEC 5.7.3(4b).
fn score(a: &TraceArtifact) -> f64 {
    3.0 * f64::from(a.error_origins) + f64::from(a.error_spans) + a.self_time_share
}
