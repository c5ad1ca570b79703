//! What the commits have put into each bucket: raw chunks, marks, carries, ledgers and points.

use crate::{
    journal::{Applied, Change, Verdict},
    workers::shared::Model,
};
use opsloop_kernel::{Container, Document, ETag, Stored, TenantId, Timestamp, Window, window::MINUTE_MS};
use opsloop_observability::metric_aggregation::{
    Bucket, Carry, Chunk, GroupPoint, Ledger, compact::unpack, names, points::PointsPart,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Metrics {
    pub all: BTreeMap<(TenantId, String), Held>,
}

#[derive(Default)]
pub struct Held {
    /// By 1m window, then by id.
    pub raw: BTreeMap<Timestamp, BTreeMap<String, Chunk>>,
    pub carries: BTreeMap<Timestamp, Carry>,
    /// Which mark stands since which save of the root.
    pub marks: BTreeMap<Window, u64>,
    pub ledgers: BTreeMap<Window, Ledger>,
    /// By metric and window.
    pub points: BTreeMap<(String, Window), Vec<GroupPoint>>,
    /// How often the root was saved.
    pub saves: u64,
}

/// The window whose mark a change is.
pub fn mark_of(change: &Change) -> Option<Window> {
    names::window_of_mark(&change.id.0)
}

pub fn ledger_window(id: &str) -> Option<Window> {
    let (size, start) = id.strip_prefix("window|")?.split_once('|')?;
    Some(Window { size_ms: size.parse().ok()?, start: Timestamp::from_millis(start.parse().ok()?) })
}

pub fn ledger(document: Option<&Document>) -> Result<Ledger, String> {
    let stored: Vec<Stored> = document.into_iter().map(of).collect();
    Ledger::read(&stored).map_err(|e| e.to_string())
}

pub fn bucket(document: Option<&Document>) -> Result<Bucket, String> {
    document.map_or(Ok(Bucket::default()), |d| d.body.read().map_err(|e| e.to_string()))
}

pub fn is_of_a_bucket(commit: &Applied) -> bool {
    commit.stream.container == Container::Metrics
}

fn of(document: &Document) -> Stored {
    Stored { document: document.clone(), etag: ETag(String::new()) }
}

impl Metrics {
    pub fn of(&self, commit: &Applied) -> Option<&Held> {
        let key = (commit.tenant.clone(), commit.stream.name.clone());
        self.all.get(&key).filter(|_| is_of_a_bucket(commit))
    }
}

impl Model for Metrics {
    fn follow(&mut self, commit: &Applied) -> Verdict {
        if !is_of_a_bucket(commit) {
            return Ok(());
        }
        let held = self.all.entry((commit.tenant.clone(), commit.stream.name.clone())).or_default();
        for change in &commit.changes {
            held.change(change)?;
        }
        held.saves += u64::from(commit.changes.iter().any(|c| c.id.0 == names::BUCKET));
        Ok(())
    }
}

impl Held {
    fn change(&mut self, change: &Change) -> Verdict {
        let after = change.after.as_ref();
        match change.kind() {
            "chunk" => self.chunk(&change.id.0, after),
            "mark" => {
                self.mark(change);
                Ok(())
            }
            "carry" => self.carry(&change.id.0, after),
            "ledger" => {
                if let Some(window) = ledger_window(&change.id.0) {
                    self.ledgers.insert(window, ledger(after)?);
                }
                Ok(())
            }
            "points" => self.point(change),
            _ => Ok(()),
        }
    }

    fn chunk(&mut self, id: &str, after: Option<&Document>) -> Verdict {
        let start = id.split('|').nth(1).and_then(|ms| ms.parse().ok()).map(Timestamp::from_millis);
        let Some(start) = start else { return Err(format!("{id} names no window")) };
        let chunks = self.raw.entry(start).or_default();
        match unpacked::<Chunk>(after)? {
            Some(chunk) => chunks.insert(id.to_owned(), chunk),
            None => chunks.remove(id),
        };
        Ok(())
    }

    fn carry(&mut self, id: &str, after: Option<&Document>) -> Verdict {
        let start = names::window_of_carry(id).ok_or_else(|| format!("{id} names no window"))?;
        match unpacked::<Carry>(after)? {
            Some(carry) => self.carries.insert(start, carry),
            None => self.carries.remove(&start),
        };
        Ok(())
    }

    /// A mark put anew stands since it was put first.
    fn mark(&mut self, change: &Change) {
        let Some(window) = mark_of(change) else { return };
        if change.after.is_none() {
            self.marks.remove(&window);
        } else {
            self.marks.entry(window).or_insert(self.saves);
        }
    }

    fn point(&mut self, change: &Change) -> Verdict {
        let read = |d: &Document| d.body.read::<PointsPart>().map_err(|e| e.to_string());
        if let Some(part) = change.after.as_ref().map(read).transpose()? {
            self.points.insert((part.metric, part.window), part.groups);
        } else if let Some(part) = change.before.as_ref().map(read).transpose()? {
            self.points.remove(&(part.metric, part.window));
        }
        Ok(())
    }

    /// The points of a metric's window that are not gone.
    pub fn groups(&self, metric: &str, window: Window) -> impl Iterator<Item = &GroupPoint> {
        self.points.get(&(metric.to_owned(), window)).into_iter().flatten().filter(|g| !g.gone)
    }

    pub fn minute(start: Timestamp) -> Window {
        Window { size_ms: MINUTE_MS, start }
    }
}

/// What the plans send fits one document each.
fn unpacked<T: prost::Message + Default>(document: Option<&Document>) -> Result<Option<T>, String> {
    let Some(document) = document else { return Ok(None) };
    let whole = unpack::<T>(&[of(document)]).map_err(|e| e.to_string())?;
    whole.map(|(content, _)| Some(content)).ok_or_else(|| format!("{} is not whole", document.id))
}
