//! What a trace says of its software (SPEC 5.1.4(6)): errors, latency, storms of retries, with fingerprints that are
//! the same for every such trace of a module and root.

use super::{outline::Outline, span::KIND_CLIENT, tree::Tree};
use crate::events::{RuntimeSignal, SignalKind, TraceStatus};
use opsloop_kernel::{SpanId, TenantId, ids::digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Of one trace, in the order in which they are sorted: a record is one document.
const SIGNALS_MAX: usize = 20;
const STORM_CHILDREN_MIN: usize = 5;
const STORM_ERRORS_MIN: usize = 4;
pub const LATENCY_THRESHOLD_MS: u64 = 2_000;

/// From which duration of a root on a trace is slow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Thresholds {
    pub latency_ms: u64,
    /// Of modules that have their own.
    #[serde(default)]
    pub latency_ms_by_module: BTreeMap<String, u64>,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { latency_ms: LATENCY_THRESHOLD_MS, latency_ms_by_module: BTreeMap::new() }
    }
}

impl Thresholds {
    fn of(&self, module: Option<&str>) -> u64 {
        module.and_then(|m| self.latency_ms_by_module.get(m)).copied().unwrap_or(self.latency_ms)
    }
}

/// What signals take from the record.
pub struct Context<'a> {
    pub tenant: &'a TenantId,
    pub module: Option<&'a str>,
    pub status: TraceStatus,
    pub thresholds: &'a Thresholds,
}

/// The signals, and whether there were more.
pub fn of(tree: &Tree<'_>, context: &Context<'_>) -> (Vec<RuntimeSignal>, bool) {
    let mut found: Vec<((u64, u64), RuntimeSignal)> = vec![];
    found.extend(error_trace(tree, context));
    found.extend(latency_outlier(tree, context));
    found.extend(retry_storms(tree, context));
    found.sort_by(|(a_origin, a), (b_origin, b)| {
        (name_of(a.kind), a_origin, &a.span_name).cmp(&(name_of(b.kind), b_origin, &b.span_name))
    });
    let cut = found.len() > SIGNALS_MAX;
    (found.into_iter().take(SIGNALS_MAX).map(|(_, s)| s).collect(), cut)
}

type Found = ((u64, u64), RuntimeSignal);

fn error_trace(tree: &Tree<'_>, context: &Context<'_>) -> Option<Found> {
    if context.status != TraceStatus::Error {
        return None;
    }
    let holds = tree.holds_error();
    let top = tree.root().or_else(|| in_place_of_root(tree, &holds))?;
    let origin = tree.spans[descend(tree, &holds, top)];
    let error_type = origin.error_type.clone();
    let ending = error_type.clone().unwrap_or_default();
    let fingerprint = fingerprint(context, &tree.spans[top].name, &[&ending]);
    signal(SignalKind::ErrorTrace, origin, &origin.name, fingerprint, context, |s| s.error_type = error_type)
}

/// Without root: the earliest span without a present parent that is or holds an error span, otherwise the one that made
/// the status.
fn in_place_of_root(tree: &Tree<'_>, holds: &[bool]) -> Option<usize> {
    let tops = tree.tops();
    let holding = tops.iter().find(|n| holds[**n]);
    holding.or_else(|| tops.iter().find(|n| tree.spans[**n].server_error)).copied()
}

/// The last error span met on the way down through the earliest child that holds one; without any, where it began.
fn descend(tree: &Tree<'_>, holds: &[bool], from: usize) -> usize {
    let (mut at, mut last) = (from, from);
    while let Some(child) = tree.children[at].iter().find(|c| holds[**c]) {
        at = *child;
        if tree.spans[at].is_error() {
            last = at;
        }
    }
    last
}

fn latency_outlier(tree: &Tree<'_>, context: &Context<'_>) -> Option<Found> {
    let root = tree.spans[tree.root()?];
    let (observed, threshold) = (root.duration_ns() / 1_000_000, context.thresholds.of(context.module));
    if observed <= threshold {
        return None;
    }
    let kind = SignalKind::LatencyOutlier;
    let fingerprint = fingerprint(context, &root.name, &[name_of(kind)]);
    signal(kind, root, &root.name, fingerprint, context, |s| {
        s.observed_ms = Some(observed);
        s.threshold_ms = Some(threshold);
    })
}

fn retry_storms(tree: &Tree<'_>, context: &Context<'_>) -> Vec<Found> {
    let root_name = tree.root().map_or("", |n| tree.spans[n].name.as_str());
    let kind = SignalKind::RetryStorm;
    let mut found = vec![];
    for (n, children) in tree.children.iter().enumerate().filter(|(_, c)| c.len() >= STORM_CHILDREN_MIN) {
        let mut calls: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for child in children.iter().map(|c| tree.spans[*c]).filter(|c| c.kind == KIND_CLIENT) {
            let (all, errors) = calls.entry(&child.name).or_default();
            *all += 1;
            *errors += usize::from(child.is_error());
        }
        for (name, (all, errors)) in calls {
            if all >= STORM_CHILDREN_MIN && errors >= STORM_ERRORS_MIN {
                let fingerprint = fingerprint(context, root_name, &[name_of(kind), name]);
                found.extend(signal(kind, tree.spans[n], name, fingerprint, context, |_| {}));
            }
        }
    }
    found
}

fn signal(
    kind: SignalKind,
    origin: &Outline,
    span_name: &str,
    fingerprint: String,
    context: &Context<'_>,
    more: impl FnOnce(&mut RuntimeSignal),
) -> Option<Found> {
    // Ids of stored spans are never zero.
    let origin_span_id = SpanId::of_bytes(&origin.id.to_be_bytes())?;
    let mut signal = RuntimeSignal {
        kind,
        fingerprint,
        module_id: context.module.map(str::to_owned),
        span_name: span_name.to_owned(),
        error_type: None,
        observed_ms: None,
        threshold_ms: None,
        origin_span_id,
    };
    more(&mut signal);
    Some((origin.order(), signal))
}

fn fingerprint(context: &Context<'_>, root_name: &str, ending: &[&str]) -> String {
    let head = [context.tenant.as_str(), context.module.unwrap_or_default(), root_name];
    digest(head.iter().chain(ending)).chars().take(16).collect()
}

/// As on the wire; also the order of kinds.
fn name_of(kind: SignalKind) -> &'static str {
    match kind {
        SignalKind::ErrorTrace => "error_trace",
        SignalKind::LatencyOutlier => "latency_outlier",
        SignalKind::RetryStorm => "retry_storm",
    }
}
