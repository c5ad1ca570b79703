//! The record of a set of spans (SPEC 5.1.4(5)): a pure function of that set (invariant I5).

use super::{
    artifacts,
    outline::{Outline, Outlines},
    record::TraceRecord,
    signals::{self, Thresholds},
    span::status_of,
    tree::Tree,
};
use crate::{
    events::{Completeness, TraceStatus},
    otlp::Dimensions,
};
use opsloop_kernel::{SpanId, TenantId, Timestamp, TraceId, json::content_hash};
use std::collections::{BTreeMap, BTreeSet};

/// A record is one document; so many modules are a defect of whoever names them.
const SERVICES_MAX: usize = 500;

/// `None`: there are no spans.
pub fn derive(tenant: &TenantId, trace: &TraceId, outlines: &Outlines, thresholds: &Thresholds) -> Option<TraceRecord> {
    let tree = Tree::of(outlines);
    let started = tree.spans.iter().map(|s| s.start).min()?;
    let ended = tree.spans.iter().map(|s| s.end).max()?;
    let root = tree.root().map(|n| tree.spans[n]);
    let known = known(&tree, outlines);
    let status = status(&tree);
    let (services, services_cut) = services(&tree, outlines);
    let context = signals::Context { tenant, module: known.module.as_deref(), status, thresholds };
    let (signals, signals_cut) = signals::of(&tree, &context);
    let mut record = TraceRecord {
        tenant_id: tenant.clone(),
        trace_id: trace.clone(),
        root_span_id: root.and_then(|s| SpanId::of_bytes(&s.id.to_be_bytes())),
        root_span_name: root.map(|s| s.name.clone()),
        started_at: instant(started),
        ended_at: instant(ended),
        duration_ms: (ended - started) / 1_000_000,
        status,
        span_count: count(tree.spans.len()),
        error_span_count: count(tree.spans.iter().filter(|s| s.is_error()).count()),
        services,
        dimensions: known.others(),
        completeness: completeness(&tree),
        anomalies: anomalies(&tree, outlines.cut, services_cut, signals_cut),
        signals,
        artifacts: artifacts::of(&tree, outlines),
        project_id: known.project,
        module_id: known.module,
        environment: known.environment,
        revision: 0,
        content_hash: String::new(),
        last_arrival_at: outlines.last_arrival_at.unwrap_or(Timestamp::EPOCH),
    };
    record.content_hash = content_hash(&record);
    Some(record)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn instant(ns: u64) -> Timestamp {
    i64::try_from(ns).map_or(Timestamp::MAX, Timestamp::from_nanos)
}

/// Each dimension of the root, else of the first span that names one.
fn known(tree: &Tree<'_>, outlines: &Outlines) -> Dimensions {
    let mut known = tree.root().and_then(|n| outlines.dimensions_of(tree.spans[n])).cloned().unwrap_or_default();
    let mut others: Vec<&Outline> = tree.spans.clone();
    others.sort_by_key(|s| s.order());
    for other in others.into_iter().filter_map(|s| outlines.dimensions_of(s)) {
        if is_whole(&known) {
            break;
        }
        fill(&mut known, other);
    }
    known
}

fn fill(known: &mut Dimensions, other: &Dimensions) {
    let pairs = [
        (&mut known.project, &other.project),
        (&mut known.module, &other.module),
        (&mut known.environment, &other.environment),
        (&mut known.execution, &other.execution),
        (&mut known.agent, &other.agent),
        (&mut known.skill, &other.skill),
        (&mut known.artifact, &other.artifact),
        (&mut known.workflow, &other.workflow),
        (&mut known.version, &other.version),
    ];
    for (mine, theirs) in pairs {
        if mine.is_none() {
            mine.clone_from(theirs);
        }
    }
}

fn is_whole(d: &Dimensions) -> bool {
    [&d.project, &d.module, &d.environment, &d.execution, &d.agent, &d.skill, &d.artifact, &d.workflow, &d.version]
        .into_iter()
        .all(Option::is_some)
}

fn services(tree: &Tree<'_>, outlines: &Outlines) -> (Vec<String>, bool) {
    let modules = tree.spans.iter().filter_map(|s| outlines.dimensions_of(s)?.module.as_deref());
    let distinct: BTreeSet<&str> = modules.collect();
    let cut = distinct.len() > SERVICES_MAX;
    (distinct.into_iter().take(SERVICES_MAX).map(str::to_owned).collect(), cut)
}

fn status(tree: &Tree<'_>) -> TraceStatus {
    let root = tree.root();
    if let Some(status) = root.map(|n| status_of(tree.spans[n].status)).filter(|s| *s != TraceStatus::Unset) {
        return status;
    }
    let judged = root.map_or_else(|| tree.tops(), |n| vec![n]);
    let is_error = |n: &usize| tree.spans[*n].is_error() || tree.spans[*n].server_error;
    if judged.iter().any(is_error) { TraceStatus::Error } else { TraceStatus::Unset }
}

fn completeness(tree: &Tree<'_>) -> Completeness {
    match tree.roots.len() {
        _ if tree.has_cycle => Completeness::Malformed,
        2.. => Completeness::Malformed,
        1 if tree.orphans == 0 => Completeness::Complete,
        _ => Completeness::Partial,
    }
}

fn anomalies(tree: &Tree<'_>, spans_cut: bool, services_cut: bool, signals_cut: bool) -> Vec<String> {
    let further = tree.roots.len().saturating_sub(1);
    let all = BTreeMap::from([
        (format!("multiple_roots:{further}"), further > 0),
        (format!("missing_parent:{}", tree.orphans), tree.orphans > 0),
        ("cycle".to_owned(), tree.has_cycle),
        ("span_limit".to_owned(), spans_cut),
        ("service_limit".to_owned(), services_cut),
        ("signal_limit".to_owned(), signals_cut),
    ]);
    all.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
}
