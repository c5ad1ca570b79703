//! The decisions: one item per (source, sourceId), whatever comes twice and in whatever order (SPEC 5.7.3, I1).

use super::{
    Key, NAME,
    attribution::{Artifact, Attributed, Correlated, Deployed, Known, attribute},
    draft,
    evidence::{self, Before, Counted, Day, Hour, MIN_OCCURRENCES, Occurrence},
    input::{CostAnomaly, Input, NewFeedback, Origin, Traced},
    item::{self, Draft, Held, Root, doc},
    policy::FeedbackPolicy,
};
use crate::events::{FeedbackItem, RuntimeSignal, Withdrawn};
use opsloop_kernel::{Bears, Decision, Document, ETag, Halt, Moment, Mutant, TenantId, Timestamp, Unit, Write, mutant};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long an event waits for the correlation view of its trace, and how often it looks (SPEC 5.7.3(4)).
const WAITS_FOR: Duration = Duration::from_secs(120);
const LOOKS_AGAIN: Duration = Duration::from_secs(15);
const RETRACTED: &str = "cost_anomaly_retracted";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum View {
    Source(SourceView),
    Signal(SignalView),
    Hour(HourView),
}

/// Of an incident, an anomaly or a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceView {
    pub root: Option<Held<Root>>,
    /// Read only where a later revision of an anomaly may change it.
    pub item: Option<Held<FeedbackItem>>,
    pub cause: CauseView,
}

/// Of one trace and one of its fingerprints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SignalView {
    pub policy: FeedbackPolicy,
    pub before: Before,
    pub cause: CauseView,
}

/// Of a closed hour of a fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HourView {
    pub policy: FeedbackPolicy,
    pub hour: Option<Held<Hour>>,
    pub day: Option<Held<Day>>,
    /// How many traces of the root the hour had, counted to `100 · occurrences + 1`.
    pub traces: u64,
    pub cause: CauseView,
}

/// What is read to attribute an item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CauseView {
    pub correlated: Correlated,
    pub deployed: Option<Deployed>,
}

impl CauseView {
    fn known<'a>(&'a self, named: Option<&'a Artifact>, suspected_deployment: Option<&'a str>) -> Known<'a> {
        let correlated = match &self.correlated {
            Correlated::NotThere => None,
            Correlated::There { artifacts } => Some(artifacts.as_slice()),
        };
        Known { named, correlated, suspected_deployment, deployed: self.deployed.as_ref() }
    }
}

pub fn decide(unit: &Unit<Key>, input: &Input, view: &View, at: Moment) -> Result<Decision, Halt> {
    match (&unit.key, input, view) {
        (Key::Source { .. }, Input::Resolved { origin, incident }, View::Source(v)) => {
            let named = draft::named_by(incident);
            let known = v.cause.known(named.as_ref(), incident.suspected_deployment_id.as_deref());
            once(v, origin, known, at, || draft::of_incident(origin, incident))
        }
        (Key::Source { .. }, Input::Anomaly { origin, anomaly }, View::Source(v)) => of_anomaly(v, origin, anomaly, at),
        (Key::Source { .. }, Input::Asked { origin, asked }, View::Source(v)) => Ok(of_asked(v, origin, asked, at)),
        (Key::Signal { fingerprint }, Input::Traced { origin, trace }, View::Signal(v)) => {
            match trace.signals.get(fingerprint) {
                Some(signal) => of_signal(fingerprint, origin, trace, signal, v, at),
                None => Ok(Decision::because("no-such-signal")),
            }
        }
        (Key::Hour { .. }, Input::Due(_), View::Hour(v)) => Ok(of_hour(unit, v, at)),
        _ => Ok(Decision::because("not-of-this-unit")),
    }
}

/// An item of what can be told once only.
fn once(
    v: &SourceView,
    origin: &Origin,
    known: Known<'_>,
    at: Moment,
    draft: impl FnOnce() -> Draft,
) -> Result<Decision, Halt> {
    if v.root.is_some() {
        return Ok(Decision::because("duplicate"));
    }
    wait(origin, known, at)?;
    let item = draft().item(&origin.tenant, attribute(known), origin.occurred_at);
    Ok(create(origin, &item, 0, at))
}

fn of_anomaly(v: &SourceView, origin: &Origin, anomaly: &CostAnomaly, at: Moment) -> Result<Decision, Halt> {
    if let Some(root) = &v.root {
        return Ok(revise(v, root, origin, anomaly, at));
    }
    let known = v.cause.known(None, None);
    wait(origin, known, at)?;
    let mut item = draft::of_anomaly(origin, anomaly).item(&origin.tenant, attribute(known), origin.occurred_at);
    item.withdrawn = withdrawn(anomaly, at);
    Ok(create(origin, &item, origin.revision, at))
}

/// A larger revision of the anomaly decides whether the item is withdrawn; nothing else of it ever changes.
fn revise(v: &SourceView, root: &Held<Root>, origin: &Origin, anomaly: &CostAnomaly, at: Moment) -> Decision {
    let is_newer = origin.revision > root.body.revision || mutant::is(Mutant::OlderRevisionWins);
    let Some(held) = v.item.as_ref().filter(|_| is_newer) else {
        return Decision::because("duplicate");
    };
    let newer = Root { revision: origin.revision, ..root.body.clone() };
    let moved = Write::Save(root_document(&held.body, &newer), Some(root.etag.clone()));
    if held.body.withdrawn.is_some() == anomaly.retracted {
        return Decision::because("nothing-new").write(moved);
    }
    let item = FeedbackItem { withdrawn: withdrawn(anomaly, at), ..held.body.clone() };
    let reason = if anomaly.retracted { "withdrawn" } else { "reinstated" };
    Decision::because(reason)
        .write(moved)
        .write(Write::Save(item::document(&item), Some(held.etag.clone())))
        .emit(item::created(&origin.tenant, &item, origin.revision, at.0, inherit()))
}

fn withdrawn(anomaly: &CostAnomaly, at: Moment) -> Option<Withdrawn> {
    anomaly.retracted.then(|| Withdrawn { at: at.0, reason: RETRACTED.to_owned() })
}

/// A person does not wait for a view: what they did not name stays unnamed.
fn of_asked(v: &SourceView, origin: &Origin, asked: &NewFeedback, at: Moment) -> Decision {
    let id = item::feedback_item_id(&origin.tenant, asked.source, &origin.event_id);
    if v.root.is_some() {
        return Decision::because("duplicate").answer(200, &serde_json::json!({ "feedbackItemId": id }));
    }
    let named = asked.named();
    let attributed = attribute(v.cause.known(named.as_ref(), None));
    let item = draft::of_asked(origin, asked).item(&origin.tenant, attributed, origin.occurred_at);
    create(origin, &item, 0, at).answer(201, &item)
}

fn create(origin: &Origin, item: &FeedbackItem, revision: u32, at: Moment) -> Decision {
    let document = item::document(item);
    let root = Root { item: document.id.clone(), revision };
    Decision::because("created")
        .write(Write::Save(root_document(item, &root), None))
        .write(Write::Save(document, None))
        .emit(item::created(&origin.tenant, item, revision, at.0, inherit()))
}

fn root_document(item: &FeedbackItem, root: &Root) -> Document {
    Document::new(doc::root(item.source, &item.source_id), "feedback-root", root)
}

fn inherit() -> Bears {
    Bears::Inherit { correlation: None }
}

/// What is not named may yet be known by the trace: a look every 15 s, until 2 min after the event.
fn wait(origin: &Origin, known: Known<'_>, at: Moment) -> Result<(), Halt> {
    let until = origin.occurred_at.plus(WAITS_FOR);
    if known.named.is_some() || known.correlated.is_some() || at.0 >= until {
        return Ok(());
    }
    Err(Halt::Again { at: at.0.plus(LOOKS_AGAIN).min(until), reason: "no-correlation-view-yet" })
}

fn of_signal(
    fingerprint: &str,
    origin: &Origin,
    trace: &Traced,
    signal: &RuntimeSignal,
    v: &SignalView,
    at: Moment,
) -> Result<Decision, Halt> {
    if v.before.has(trace.revision) {
        return Ok(Decision::because("already-counted"));
    }
    let occurrence = Occurrence::of(origin, trace, signal);
    let counted = Counted { at: occurrence.at, revision: trace.revision };
    let mut after = v.before.with(fingerprint, occurrence, origin.project.as_deref());
    let tenth = after.day.first.get(MIN_OCCURRENCES - 1).map(|o| o.at);
    let wanted = v.policy.signal_items && after.day.item.is_none();
    let mut decision = Decision::because("counted");
    if let Some(created_at) = tenth.filter(|_| wanted) {
        let known = v.cause.known(None, None);
        wait(origin, known, at)?;
        if let Some(item) = item_of(&mut after.day, attribute(known), &origin.tenant, created_at) {
            decision = Decision::because("created")
                .write(Write::Save(item::document(&item), None))
                .emit(item::created(&origin.tenant, &item, 0, at.0, inherit()));
        }
    }
    let due = after.hour.judged_at();
    decision = decision
        .write(Write::Save(after.day.document(), etag(&v.before.day)))
        .write(Write::Save(after.hour.document().due(NAME, due), etag(&v.before.hour)))
        .write(Write::Save(counted.document(fingerprint, &trace.trace_id), etag(&v.before.counted)));
    if let Some(hour) = &after.left_hour {
        let due = v.before.left_hour.as_ref().and_then(|h| h.due);
        decision = decision.write(Write::Save(with_due(hour.document(), due), etag(&v.before.left_hour)));
    }
    if let Some(day) = &after.left_day {
        decision = decision.write(Write::Save(day.document(), etag(&v.before.left_day)));
    }
    Ok(decision)
}

/// The closed hour is judged under the trace of its slot; afterwards it is not due, until something late is counted.
fn of_hour(unit: &Unit<Key>, v: &HourView, at: Moment) -> Decision {
    let Some(hour) = v.hour.as_ref().filter(|h| h.due == Some(at.0)) else {
        return Decision::because("no-longer-due");
    };
    let done = Write::Save(hour.body.document(), Some(hour.etag.clone()));
    let Some(held) = &v.day else { return Decision::because("no-occurrence").write(done) };
    if held.body.item.is_some() {
        return Decision::because("item-exists").write(done);
    }
    if !v.policy.signal_items {
        return Decision::because("signal-items-off").write(done);
    }
    if let Err(reason) = evidence::judge(hour.body.count, v.traces) {
        return Decision::because(reason).write(done);
    }
    let mut day = held.body.clone();
    let attributed = attribute(v.cause.known(None, None));
    let Some(item) = item_of(&mut day, attributed, &unit.tenant, at.0) else {
        return Decision::because("no-occurrence").write(done);
    };
    let context = Bears::Slot { scope: hour.body.fingerprint.clone(), slot: hour.body.hour };
    Decision::because("created")
        .write(Write::Save(day.document(), Some(held.etag.clone())))
        .write(done)
        .write(Write::Save(item::document(&item), None))
        .emit(item::created(&unit.tenant, &item, 0, at.0, context))
}

/// The item of a fingerprint and day; its root remembers it.
fn item_of(day: &mut Day, by: Attributed, tenant: &TenantId, created_at: Timestamp) -> Option<FeedbackItem> {
    let item = draft::of_signal(day, day.first.first()?).item(tenant, by, created_at);
    day.item = Some(doc::item(item.created_at, &item.feedback_item_id));
    Some(item)
}

fn with_due(document: Document, due: Option<Timestamp>) -> Document {
    match due {
        Some(at) => document.due(NAME, at),
        None => document,
    }
}

fn etag<T>(held: &Option<Held<T>>) -> Option<ETag> {
    held.as_ref().map(|h| h.etag.clone())
}
