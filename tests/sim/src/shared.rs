//! The world of one run, as all of its ports see it.

use crate::{
    blobs::Blobs,
    broker::Broker,
    faults::{Chance, Fault},
    record::Journal,
    time::Time,
    turns::Turns,
};
use opsloop_kernel::Timestamp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Longer than a lock holds.
const HANG_MS: u64 = 360_000;

pub struct Shared {
    pub time: Arc<Time>,
    pub turns: Arc<Turns>,
    pub chance: Chance,
    pub journal: Arc<Journal>,
    broker: Mutex<Broker>,
    blobs: Mutex<Blobs>,
    /// Retries come at once: every message is handled before anything else is due (A70).
    pub at_once: bool,
    outages: Vec<Outage>,
    trace: Option<Mutex<Vec<String>>>,
}

/// A dependency is away.
#[derive(Clone, Debug)]
pub struct Outage {
    pub of: Dependency,
    pub from: Timestamp,
    pub until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    Store,
    Broker,
    Blobs,
}

impl Shared {
    pub fn new(
        time: Arc<Time>,
        chance: Chance,
        broker: Broker,
        at_once: bool,
        outages: Vec<Outage>,
        trace: bool,
    ) -> Self {
        Self {
            time,
            turns: Arc::default(),
            chance,
            journal: Arc::default(),
            broker: Mutex::new(broker),
            blobs: Mutex::default(),
            at_once,
            outages,
            trace: trace.then(Mutex::default),
        }
    }

    pub fn broker(&self) -> MutexGuard<'_, Broker> {
        self.broker.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub fn blobs(&self) -> MutexGuard<'_, Blobs> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When this dependency is back, if it is away now.
    pub fn away(&self, dependency: Dependency) -> Option<Timestamp> {
        let now = self.time.now();
        let away = self.outages.iter().find(|o| o.of == dependency && o.from <= now && now < o.until)?;
        self.chance.count(Fault::Outage, 1);
        Some(away.until)
    }

    /// One turn of whoever calls, later where calls are slow.
    pub async fn turn(&self, subject: u64) {
        let now = self.time.now();
        let slow = self.chance.draw(Fault::SlowCall, subject).map(|drawn| drawn % 10_000);
        let late = slow.or_else(|| self.chance.draw(Fault::Hang, subject).map(|drawn| drawn % HANG_MS));
        self.turns.turn(now.plus_millis(late.unwrap_or(0) as i64), false).await;
    }

    /// A line of the trace, where there is one.
    pub fn say(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let text = format!("{} {:>5}  {}", self.time.now(), self.journal.turn(), line());
            trace.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        }
    }

    pub fn trace(&self) -> Vec<String> {
        let taken = self.trace.as_ref().map(|t| t.lock().unwrap_or_else(PoisonError::into_inner).clone());
        taken.unwrap_or_default()
    }
}
