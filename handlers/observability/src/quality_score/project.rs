//! The root of a project, the document `project` of its stream: which windows are to be computed, and when it wants
//! to be looked at (SPEC 5.8.1). Everything that makes a window due meets here: its close, an item that brings it
//! forward, and one that arrived after its windows were computed.

use super::{
    NAME,
    windows::{Window, Zone, just_before},
};
use opsloop_kernel::{
    Container, DocId, Document, Stream, Timestamp,
    ids::percent,
    window::{DAY_MS, HOUR_MS, MINUTE_MS, REOPEN_HORIZON},
};
use serde::{Deserialize, Serialize};

/// Where the scores of a project lie.
pub fn stream(project: &str) -> Stream {
    Stream::new(Container::State, format!("quality/{}", percent(project)))
}
pub const ROOT: &str = "project";

/// A window to be computed at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub due: Timestamp,
    pub window: Window,
    /// At its close; otherwise brought forward, or revised.
    #[serde(default)]
    pub closes: bool,
}
impl Task {
    fn order(&self) -> (Timestamp, (Timestamp, i64, Timestamp)) {
        (self.due, self.window.order())
    }
}

/// How far the windows of one size are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The start of the first that was not computed at its close.
    pub next: Timestamp,
    /// The end of the newest that was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub newest: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    pub project_id: String,
    pub hours: Progress,
    pub days: Progress,
    /// Brought forward or to be revised, in the order of their doing, each window once.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tasks: Vec<Task>,
    /// The newest instant that was computed: a minute at or before it is not "to come".
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub done: Option<Timestamp>,
    /// Nothing was known of it in 30 days: it has no scores until somebody wakes it.
    #[serde(default)]
    pub asleep: bool,
}

impl Project {
    pub fn new(project_id: &str, since: Timestamp, zone: &Zone) -> Self {
        let begin = |size_ms| Progress { next: Window::of(size_ms, since, zone).start, newest: None };
        Self {
            project_id: project_id.to_owned(),
            hours: begin(HOUR_MS),
            days: begin(DAY_MS),
            tasks: vec![],
            done: None,
            asleep: false,
        }
    }

    /// Its windows are computed at their closes, from `since` on: one that slept leaves out what it slept through, one
    /// that has computed nothing yet begins with the earliest that was heard of it, whatever came first (A7).
    pub fn wake(&mut self, since: Timestamp, zone: &Zone) {
        let slept = std::mem::take(&mut self.asleep);
        for (progress, size_ms) in [(&mut self.hours, HOUR_MS), (&mut self.days, DAY_MS)] {
            let start = Window::of(size_ms, since, zone).start;
            if slept {
                progress.next = progress.next.max(start);
            } else if progress.newest.is_none() {
                progress.next = progress.next.min(start);
            }
        }
    }

    /// An item came, told at `at`: the next full minute not yet computed does the hour in which it lies and, oldest
    /// first, the windows that hold the item and were computed without it, as far as they may be revised.
    pub fn bring_forward(&mut self, at: Timestamp, created_at: Timestamp, zone: &Zone) {
        self.wake(created_at.max(at.minus(REOPEN_HORIZON)), zone);
        let after = self.done.map_or(at, |done| done.max(at));
        let minute = after.floor_to(MINUTE_MS, 0).plus_millis(MINUTE_MS);
        for window in self.computed_since(created_at, zone) {
            self.add(Task { due: minute, window, closes: false });
        }
        self.add(Task { due: minute, window: Window::hour_of(minute), closes: false });
        self.drop_what_closes();
    }

    /// What is at its close by the newest instant heard of needs no bringing forward, and what was sealed meanwhile is
    /// not revised any more: so an outage piles up nothing.
    fn drop_what_closes(&mut self) {
        let Some(heard) = self.tasks.iter().map(|t| t.due).max() else { return };
        let newest = self.hours.newest.unwrap_or(Timestamp::EPOCH);
        let tasks = std::mem::take(&mut self.tasks);
        let stays = |t: &Task| {
            if self.has_closed(&t.window) { !t.window.is_sealed(newest) } else { t.window.closes_at() > heard }
        };
        self.tasks = tasks.into_iter().filter(stays).collect();
    }

    fn computed_since(&self, created_at: Timestamp, zone: &Zone) -> Vec<Window> {
        let Some(newest) = self.hours.newest else { return vec![] };
        let mut windows = vec![];
        for (progress, size_ms) in [(self.hours, HOUR_MS), (self.days, DAY_MS)] {
            let first = just_before(created_at).max(just_before(newest.minus(REOPEN_HORIZON)));
            let mut window = Window::of(size_ms, first, zone);
            while window.start < progress.next {
                if !window.is_sealed(newest) {
                    windows.push(window);
                }
                window = Window::of(size_ms, window.end, zone);
            }
        }
        windows
    }

    fn add(&mut self, task: Task) {
        if let Some(known) = self.tasks.iter_mut().find(|t| t.window == task.window) {
            known.due = known.due.min(task.due);
        } else {
            self.tasks.push(task);
        }
        self.tasks.sort_by_key(Task::order);
    }

    /// What is to be done first.
    pub fn next(&self, zone: &Zone) -> Option<Task> {
        if self.asleep {
            return None;
        }
        let closing = |window: Window| Task { due: window.closes_at(), window, closes: true };
        let hour = closing(Window::hour_of(self.hours.next));
        let day = closing(Window::day_of(self.days.next, zone));
        self.tasks.first().copied().into_iter().chain([hour, day]).min_by_key(Task::order)
    }

    /// The task is over, whatever came of it.
    pub fn finish(&mut self, task: &Task) {
        self.done = Some(self.done.map_or(task.due, |done| done.max(task.due)));
        if !task.closes {
            self.tasks.retain(|t| t.window != task.window);
            return;
        }
        let progress = if task.window.size_ms == DAY_MS { &mut self.days } else { &mut self.hours };
        *progress = Progress { next: task.window.end, newest: Some(task.window.end) };
    }

    /// Whether the window was computed at its close.
    pub fn has_closed(&self, window: &Window) -> bool {
        let progress = if window.size_ms == DAY_MS { self.days } else { self.hours };
        window.start < progress.next
    }

    /// What closed more than 24 h before the tick is not caught up; how far a revision goes is bounded when it is told.
    pub fn is_skipped(&self, task: &Task, tick: Timestamp) -> bool {
        !self.has_closed(&task.window) && task.window.is_past_catch_up(tick)
    }

    pub fn document(&self, zone: &Zone) -> Document {
        let document = Document::new(DocId::from(ROOT), "quality-project", self);
        match self.next(zone) {
            Some(task) => document.due(NAME, task.due),
            None => document,
        }
    }
}

#[cfg(test)]
#[path = "project_tests.rs"]
mod tests;
