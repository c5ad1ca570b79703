//! What the host remembers of its timers, in one small file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `last` none: it has never run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimerStatus {
    pub last: Option<Timestamp>,
    pub next: Timestamp,
    pub last_updated: Timestamp,
}

#[derive(Debug, Default)]
pub struct TimerStore {
    /// `None`: remembered only as long as the host lives.
    path: Option<PathBuf>,
    known: Mutex<BTreeMap<String, TimerStatus>>,
}

impl TimerStore {
    /// A file that is missing or unreadable is an empty one: the next run of each timer is then its first.
    pub fn open(path: Option<PathBuf>) -> Self {
        let text = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let known = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        Self { path, known: Mutex::new(known) }
    }

    pub fn get(&self, function: &str) -> Option<TimerStatus> {
        self.lock().get(function).copied()
    }

    /// Written whole beside the old file, which it then replaces.
    pub fn set(&self, function: &str, status: TimerStatus) {
        let mut known = self.lock();
        known.insert(function.to_owned(), status);
        let Some(path) = &self.path else { return };
        let written = serde_json::to_vec_pretty(&*known).map_err(std::io::Error::from).and_then(|bytes| {
            let beside = path.with_extension("tmp");
            std::fs::write(&beside, bytes)?;
            std::fs::rename(&beside, path)
        });
        if let Err(why) = written {
            tracing::error!(%why, function, "timer status could not be written");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, TimerStatus>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
