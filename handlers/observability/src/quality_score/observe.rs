//! What a score rests on: the items of thirty days, the incidents and the budgets at the end of its window.

use super::{
    Key,
    decide::{Notice, ProjectView, View, WindowView},
    formula::{Item, LOOKBACK},
    project::{self, Project, Task},
    score::{self, Ledger},
    slos,
    windows::{Window, Zone, just_before},
};
use crate::{
    events::{FeedbackItem, Severity},
    feedback_creation::item::{self as feedback, Held},
    incident_analysis::incident::{self, Incident},
};
use opsloop_kernel::{
    DocId, Order, Page, Scope, Stop, Stream, Timestamp, Unit,
    ports::after_prefix,
    window::{DAY_MS, HOUR_MS},
};
use serde::de::DeserializeOwned;

/// Items of a project in thirty days; of more the newest are used, and the score says `partial`.
const ITEMS_MAX: usize = 10_000;
const INCIDENTS_MAX: usize = 10_000;
const PAGE: usize = 200;
/// Ledgers looked for where windows are to be skipped; more than are skipped at once.
const LEDGERS_MAX: usize = 100;

pub async fn observe(unit: &Unit<Key>, tick: Option<Timestamp>, zone: &str, scope: &Scope<'_>) -> Result<View, Stop> {
    if let Key::Notice { id } = &unit.key {
        return Ok(View::Notice(held::<Notice>(scope, &unit.stream, id).await?));
    }
    let project: Option<Held<Project>> = held(scope, &unit.stream, &DocId::from(project::ROOT)).await?;
    let mut view = ProjectView { zone: zone.to_owned(), project, window: None, ledgers: vec![] };
    let (Some(held), Some(at), Some(tick)) = (&view.project, unit.due, tick) else {
        return Ok(View::Project(Box::new(view)));
    };
    let zone = Zone::named(zone);
    let next = held.body.next(&zone).filter(|t| held.due == Some(at) && t.due <= at);
    match next {
        Some(task) if held.body.is_skipped(&task, tick) => view.ledgers = ledgers(unit, &held.body, scope).await?,
        Some(task) => view.window = Some(window_view(unit, &held.body, &task, &zone, scope).await?),
        None => {}
    }
    Ok(View::Project(Box::new(view)))
}

async fn window_view(
    unit: &Unit<Key>,
    project: &Project,
    task: &Task,
    zone: &Zone,
    scope: &Scope<'_>,
) -> Result<WindowView, Stop> {
    let window = &task.window;
    let (items, more_items) = items_of(&project.project_id, window.end, scope).await?;
    // Of a window that is still open: as things stand at the moment.
    let at = window.end.min(task.due);
    let (incidents, more_incidents) = incidents_open_at(&project.project_id, at, scope).await?;
    let before: Option<Held<Ledger>> = held(scope, &unit.stream, &score::id(&window.before(zone))).await?;
    Ok(WindowView {
        current: held::<Ledger>(scope, &unit.stream, &score::id(window)).await?,
        before: before.and_then(|l| l.body.score),
        items,
        partial: more_items || more_incidents,
        incidents,
        slos: slos::at(&project.project_id, window.end, task.due, scope).await?,
    })
}

/// Newest first, so that the limit leaves out the oldest.
async fn items_of(project: &str, end: Timestamp, scope: &Scope<'_>) -> Result<(Vec<Item>, bool), Stop> {
    let stream = feedback::stream(Some(project));
    let from = feedback::doc::items_from(end.minus(LOOKBACK));
    let until = feedback::doc::items_from(end.plus_millis(1));
    let mut items = vec![];
    let mut after: Option<DocId> = None;
    while items.len() < ITEMS_MAX {
        let page = Page { limit: PAGE.min(ITEMS_MAX - items.len()), after: after.take() };
        let listing = scope.list(&stream, &from, &until, page, Order::Descending).await?;
        for stored in &listing.items {
            items.push(Item::of(&stored.read::<FeedbackItem>()?));
        }
        after = listing.items.last().map(|s| s.document.id.clone());
        if !listing.more || after.is_none() {
            return Ok((items, false));
        }
    }
    Ok((items, true))
}

/// The severities of the project's incidents that were open at an instant, whenever that is asked: so a window that is
/// computed again has the same ones.
async fn incidents_open_at(project: &str, at: Timestamp, scope: &Scope<'_>) -> Result<(Vec<Severity>, bool), Stop> {
    let listing = scope.all(&incident::stream(), incident::doc::INCIDENTS, INCIDENTS_MAX).await?;
    let mut open = vec![];
    for stored in &listing.items {
        let incident: Incident = stored.read()?;
        let resolved = incident.resolved_at.is_some_and(|r| r <= at);
        if incident.project_id.as_deref() == Some(project) && incident.opened_at <= at && !resolved {
            open.push(incident.severity);
        }
    }
    open.sort();
    Ok((open, listing.more))
}

/// The windows at hand that have a ledger: one that an item had brought forward keeps its score.
async fn ledgers(unit: &Unit<Key>, project: &Project, scope: &Scope<'_>) -> Result<Vec<DocId>, Stop> {
    let mut found = vec![];
    for (progress, size_ms) in [(project.hours, HOUR_MS), (project.days, DAY_MS)] {
        let first = Window { size_ms, start: just_before(progress.next), end: progress.next };
        let (from, until) = (score::id(&first).0, after_prefix(&score::prefix(size_ms)));
        let listing = scope.list(&unit.stream, &from, &until, Page::first(LEDGERS_MAX), Order::Ascending).await?;
        found.extend(listing.items.into_iter().map(|s| s.document.id));
    }
    Ok(found)
}

async fn held<T: DeserializeOwned>(scope: &Scope<'_>, stream: &Stream, id: &DocId) -> Result<Option<Held<T>>, Stop> {
    match scope.get(stream, id).await? {
        Some(stored) => Ok(Some(Held::of(&stored)?)),
        None => Ok(None),
    }
}
