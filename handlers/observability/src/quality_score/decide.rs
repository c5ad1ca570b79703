//! One window a decision, oldest first; the shell comes back while anything is due (SPEC 5.8, 3.8).

use super::{
    Input, Key, NAME,
    formula::{self, Inputs, Item},
    project::Project,
    score::{self, Ledger, Of, QualityScore, Status},
    windows::Zone,
};
use crate::{events::Severity, feedback_creation::item::Held};
use opsloop_kernel::{
    Decision, DocId, Document, ETag, Freshness, Moment, Note, Timestamp, Unit, Write, freshness::StaleReason, signal,
};
use serde::{Deserialize, Serialize};

/// Windows beyond the catch-up are marked so many at a time.
const SKIPPED_AT_ONCE: usize = 48;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum View {
    Project(Box<ProjectView>),
    /// The etag of a notice that is still due.
    Notice(Option<Held<Notice>>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectView {
    /// The tenant's, by its IANA name.
    pub zone: String,
    pub project: Option<Held<Project>>,
    /// What the window that is to be computed next rests on; only where it is due.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub window: Option<WindowView>,
    /// Ledgers there are among the windows to be skipped.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ledgers: Vec<DocId>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowView {
    pub current: Option<Held<Ledger>>,
    /// The score of the window before.
    pub before: Option<QualityScore>,
    pub items: Vec<Item>,
    /// There are more items than are read: the newest are used.
    #[serde(default)]
    pub partial: bool,
    /// Those opened by the window's end that are not resolved.
    pub incidents: Vec<Severity>,
    pub slos: Vec<Slo>,
}

/// An SLO of the project at the window's end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slo {
    pub slo_id: String,
    /// Of the last fresh status; none where there was never one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<Budget>,
    /// Its status at the window's end is stale.
    pub stale: bool,
}
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    pub remaining: f64,
    pub as_of: Timestamp,
}

/// The document with which another worker's stream asks that a project be scored (`super::notice`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    pub project_id: String,
}

pub fn decide(unit: &Unit<Key>, input: &Input, view: &View, at: Moment) -> Decision {
    match (&unit.key, input, view) {
        (Key::Project, Input::Told { project, created_at, .. }, View::Project(v)) => told(project, *created_at, v, at),
        (Key::Start { project }, _, View::Project(v)) => told(project, None, v, at),
        (Key::Project, Input::Due(due), View::Project(v)) => compute(unit, due.tick, v, at),
        (Key::Notice { id }, _, View::Notice(held)) => take_down(id, held.as_ref(), at),
        _ => Decision::because("not-of-this-unit"),
    }
}

/// Somebody speaks of the project: an item brings it forward, anything else only starts its schedule.
fn told(project: &str, created_at: Option<Timestamp>, v: &ProjectView, at: Moment) -> Decision {
    let zone = Zone::named(&v.zone);
    let held = v.project.as_ref();
    let mut next = held.map_or_else(|| Project::new(project, at.0, &zone), |h| h.body.clone());
    match created_at {
        Some(created_at) => next.bring_forward(at.0, created_at, &zone),
        None => next.wake(at.0, &zone),
    }
    if held.is_some_and(|h| h.body == next) {
        return Decision::because("already-due");
    }
    let reason = if created_at.is_some() { "brought-forward" } else { "scheduled" };
    Decision::because(reason).write(Write::Save(next.document(&zone), etag(held)))
}

/// The notice has been followed: its root exists, or did before.
fn take_down(id: &DocId, held: Option<&Held<Notice>>, at: Moment) -> Decision {
    match held.filter(|h| h.due == Some(at.0)) {
        Some(h) => Decision::because("followed").write(Write::Delete(id.clone(), h.etag.clone())),
        None => Decision::because("no-longer-due"),
    }
}

fn compute(unit: &Unit<Key>, tick: Timestamp, v: &ProjectView, at: Moment) -> Decision {
    let zone = Zone::named(&v.zone);
    let Some(held) = v.project.as_ref().filter(|h| h.due == Some(at.0)) else {
        return Decision::because("no-longer-due");
    };
    let mut project = held.body.clone();
    let Some(task) = project.next(&zone).filter(|t| t.due <= at.0) else {
        // A changed time zone moved the day: the root is due when that says so.
        return Decision::because("due-later").write(save(&project, &zone, held));
    };
    if project.is_skipped(&task, tick) {
        return skip(v, held, tick, &zone);
    }
    let Some(window) = &v.window else { return Decision::because("nothing-observed") };
    let is_revision = !task.closes && project.has_closed(&task.window);
    project.finish(&task);
    let known = window.current.as_ref().and_then(|l| l.body.score.as_ref());
    if is_revision && window.was_skipped() {
        return Decision::because("skipped-before").write(save(&project, &zone, held));
    }
    let inputs = window.inputs();
    let scored = formula::score(&inputs, task.window.end);
    if scored.inputs.is_none() && known.is_none() {
        // SLOs whose first status is to come keep it awake: nobody would wake it for them.
        project.asleep = task.closes && project.tasks.is_empty() && window.slos.is_empty();
        return Decision::because("no-input").write(save(&project, &zone, held));
    }
    let of = Of { tenant: &unit.tenant, project: &project.project_id, window: &task.window };
    let freshness = window.freshness(task.window.end.min(at.0));
    let stale = freshness.stale;
    let mut score = of.score(scored, window.before.as_ref(), freshness, at.0);
    if known.is_some_and(|k| k.content_hash == score.content_hash) {
        return Decision::because("unchanged").write(save(&project, &zone, held));
    }
    score.announced.revision = known.map_or(0, |k| k.announced.revision) + 1;
    let fact = of.computed(&score, at.0);
    let ledger = Ledger { status: Status::Done, score: Some(score) }.document(&task.window);
    let decision = Decision::because("computed")
        .write(save(&project, &zone, held))
        .write(Write::Save(ledger, etag(window.current.as_ref())))
        .emit(fact);
    if stale { decision.note(Note::count(&signal::STALE_RESULTS, 1)) } else { decision }
}

/// Marks windows as skipped, a batch at a time. One that an item had brought forward has a ledger, and keeps it.
fn skip(v: &ProjectView, held: &Held<Project>, tick: Timestamp, zone: &Zone) -> Decision {
    let mut project = held.body.clone();
    let mut marked: Vec<Document> = vec![];
    while let Some(task) = project.next(zone).filter(|t| project.is_skipped(t, tick)) {
        if marked.len() == SKIPPED_AT_ONCE {
            break;
        }
        project.finish(&task);
        if task.closes && !v.ledgers.contains(&score::id(&task.window)) {
            marked.push(Ledger { status: Status::Skipped, score: None }.document(&task.window));
        }
    }
    let note = Note::count(&signal::SLOTS_SKIPPED, marked.len() as u64);
    let decision = Decision::because("skipped").write(save(&project, zone, held)).note(note);
    marked.into_iter().fold(decision, |d, document| d.write(Write::Save(document, None)))
}

impl WindowView {
    fn was_skipped(&self) -> bool {
        self.current.as_ref().is_some_and(|l| l.body.status == Status::Skipped)
    }

    fn inputs(&self) -> Inputs {
        Inputs {
            items: self.items.clone(),
            incidents: self.incidents.clone(),
            budgets: self.slos.iter().filter_map(|s| s.last.map(|b| b.remaining)).collect(),
        }
    }

    /// As old as the oldest budget used; items are facts, and as fresh as the window.
    fn freshness(&self, at: Timestamp) -> Freshness {
        let as_of = self.slos.iter().filter_map(|s| s.last.map(|b| b.as_of)).fold(at, Timestamp::min);
        let stale_slo = self.slos.iter().any(|s| s.stale);
        let reason = match (self.partial, stale_slo) {
            (true, _) => Some(StaleReason::Partial),
            (false, true) => Some(StaleReason::Lagging),
            (false, false) => None,
        };
        Freshness { as_of, lag_ms: at.millis_since(as_of).unsigned_abs(), stale: reason.is_some(), reason }
    }
}

fn save(project: &Project, zone: &Zone, held: &Held<Project>) -> Write {
    Write::Save(project.document(zone), Some(held.etag.clone()))
}

fn etag<T>(held: Option<&Held<T>>) -> Option<ETag> {
    held.map(|h| h.etag.clone())
}

/// Asks, from the stream of another worker's unit and in its commit, that a project be scored from now on: an SLO is
/// input enough (SPEC 5.8.3), and no event tells of one that is well.
pub fn notice(project: &str, at: Timestamp) -> Write {
    let body = Notice { project_id: project.to_owned() };
    Write::Put(Document::new(notice_id(project), "quality-notice", &body).due(NAME, at))
}

pub const NOTICE: &str = "quality|";
pub fn notice_id(project: &str) -> DocId {
    DocId(format!("{NOTICE}{}", opsloop_kernel::ids::percent(project)))
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
