//! How a run ended, in the form in which two are compared: without what never counts.

use super::{
    super::reading::{marker, plain, text},
    incidents::{self, Told},
};
use crate::journal::{Applied, Change, End};
use opsloop_embedded::store::Dumped;
use opsloop_kernel::{
    Container, CorrelationId, Document, Envelope, Stream, TenantId, Timestamp, TraceId, Window, Worker as _,
    signal::STALE_RESULTS, window::MINUTE_MS,
};
use opsloop_observability::{alert_evaluation::AlertEvaluationWorker, events::kind, slo_evaluation::SloEvaluation};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Where a document is; of an item from signals without the instant in its id.
pub type Place = (TenantId, Stream, String);

pub struct Outcome {
    pub(super) documents: BTreeMap<Place, Document>,
    pub(super) events: BTreeMap<(TenantId, String), Envelope>,
    pub(super) told: BTreeSet<Told>,
    /// Tenants with incidents or items from signals: by these a quality window may move to another hour.
    pub(super) shifted: BTreeSet<TenantId>,
    /// Tenants of which a batch came after its window was to be closed.
    pub(super) late: BTreeSet<TenantId>,
    /// How many results of rules and SLOs rest on stale input.
    pub(super) stale: f64,
    /// Slots up to here were judged in any order of ticks; a later one may have waited beyond the end.
    pub(super) judged_until: Timestamp,
}

/// A slot waits for its windows (30 s), for a tick that comes (15 s to 60 s), and for the next where one is missed.
const SLOT_WAITS: Duration = Duration::from_secs(150);

/// The outbox, the shell's own records, and the incidents, which are compared by what their logs tell.
const ASIDE: [&str; 9] = ["owed", "stuck", "dead-letter", "incident", "log", "open", "cleared", "group", "escalation"];
/// What an item from signals says whenever it was made: the rest follows from the occurrences known at `createdAt`.
const OF_SIGNAL: [&str; 6] = ["feedbackItemId", "projectId", "source", "sourceId", "category", "severity"];

impl Outcome {
    /// `owed`: the envelopes that the commits of the run owe, in any order.
    pub fn of(end: &End<'_>, owed: impl IntoIterator<Item = Envelope>) -> Self {
        let (mut events, mut of_incidents) = (BTreeMap::new(), BTreeSet::new());
        for e in owed {
            if is_of_incident(&e) {
                of_incidents.insert(e.event_id.to_string());
            } else {
                events.insert((e.tenant_id.clone(), e.event_id.to_string()), counted(&e));
            }
        }
        let mut documents = BTreeMap::new();
        let mut shifted = BTreeSet::new();
        for stored in end.documents {
            if stored.document.kind == "incident" || text(&stored.document.body.0, "source") == "runtime_signal" {
                shifted.insert(stored.tenant.clone());
            }
            if let Some((id, document)) = kept(stored, &of_incidents) {
                documents.insert((stored.tenant.clone(), stored.stream.clone(), id), document);
            }
        }
        let stale = end.recorded.iter().filter(|(name, _)| is_stale_result(name)).map(|(_, n)| n).sum();
        let told = incidents::told(end.documents, &end.plan.contested);
        let judged_until = end.cast.rest - SLOT_WAITS;
        Self { documents, events, told, shifted, late: BTreeSet::new(), stale, judged_until }
    }

    pub fn with_late(self, late: BTreeSet<TenantId>) -> Self {
        Self { late, ..self }
    }
}

/// Whether a commit stores raw points of a 1m window that is closed by then, or may be at this very instant.
pub fn is_late(commit: &Applied) -> bool {
    let window = |c: &Change| c.id.0.split('|').nth(1).and_then(|ms| ms.parse().ok()).map(Timestamp::from_millis);
    let mut stored = commit.changes.iter().filter(|c| c.before.is_none() && c.kind() == "chunk").filter_map(window);
    commit.stream.container == Container::Metrics
        && stored.any(|start| Window { size_ms: MINUTE_MS, start }.closes_at() <= commit.at)
}

fn is_stale_result(name: &str) -> bool {
    let (worker, signal) = name.split_once('|').unwrap_or_default();
    [AlertEvaluationWorker::SPEC.name, SloEvaluation::SPEC.name].contains(&worker)
        && signal.starts_with(STALE_RESULTS.name)
}

/// Incidents and what is made of them: which of two sources opens one is a matter of order.
fn is_of_incident(e: &Envelope) -> bool {
    match e.event_type.as_str() {
        kind::INCIDENT_OPENED | kind::INCIDENT_TRANSITIONED | kind::INCIDENT_RESOLVED => true,
        kind::FEEDBACK_ITEM_CREATED => text(&e.payload.0, "source") == "incident",
        _ => false,
    }
}

fn counted(e: &Envelope) -> Envelope {
    let mut e = plain(e);
    if e.event_type != kind::FEEDBACK_ITEM_CREATED || text(&e.payload.0, "source") != "runtime_signal" {
        return e;
    }
    // Told of whichever occurrence was the tenth to arrive (SPEC 5.7.3).
    only_of_signal(&mut e.payload.0);
    (e.occurred_at, e.causation_id, e.causation_depth) = (Timestamp::EPOCH, None, 0);
    (e.module_id, e.partition_key) = (None, String::new());
    e.dimensions.clear();
    if let (Ok(trace), Ok(correlation)) = (
        TraceId::parse("00000000000000000000000000000001"),
        CorrelationId::parse("corr-00000000-0000-0000-0000-000000000000"),
    ) {
        (e.trace_id, e.correlation_id) = (trace, correlation);
    }
    e
}

fn only_of_signal(item: &mut Value) {
    if let Some(fields) = item.as_object_mut() {
        fields.retain(|name, _| OF_SIGNAL.contains(&name.as_str()));
    }
}

/// Under which id a document counts, and as what; `None`: it does not.
fn kept(stored: &Dumped, of_incidents: &BTreeSet<String>) -> Option<(String, Document)> {
    let kind = stored.document.kind.as_ref();
    if ASIDE.contains(&kind) {
        return None;
    }
    let source = text(&stored.document.body.0, "source");
    let id = &stored.document.id;
    match kind {
        "seen" => return marked(stored, of_incidents),
        "feedback-item" if source == "incident" => return None,
        "feedback-root" if id.0.starts_with("source|incident|") => return None,
        _ => {}
    }
    let mut document = stored.document.clone();
    // All documents of a trace leave at one instant, which the first batch sets that comes.
    if stored.stream.container == Container::Telemetry && !stored.stream.name.starts_with("logs/") {
        document.expires = None;
    }
    let fields = document.body.0.as_object_mut();
    match kind {
        "feedback-item" if source == "runtime_signal" => {
            let id = undated(&id.0);
            only_of_signal(&mut document.body.0);
            document.id = id.clone().into();
            return Some((id, document));
        }
        "signal-day" => {
            if let Some(Value::String(item)) = fields.and_then(|f| f.get_mut("item")) {
                *item = undated(item);
            }
        }
        // Which tick first found a slot waiting.
        "slots" => {
            fields.map(|f| f.remove("waits"));
        }
        _ => {}
    }
    Some((id.0.clone(), document))
}

/// A marker counts by its id; its life is that of the shell's clock, and what it answers of an incident is the
/// incident's.
fn marked(stored: &Dumped, of_incidents: &BTreeSet<String>) -> Option<(String, Document)> {
    let (_, event, unit) = marker(&stored.document.id)?;
    if of_incidents.contains(event) || unit.starts_with("inc-") {
        return None;
    }
    let mut document = stored.document.clone();
    document.expires = None;
    if stored.stream.name == "incidents" {
        document.body.0 = Value::Null;
    }
    Some((document.id.0.clone(), document))
}

/// `item|<instant>|<id>` without the instant.
fn undated(id: &str) -> String {
    id.rsplit_once('|').map_or_else(|| id.to_owned(), |(_, id)| format!("item|{id}"))
}
