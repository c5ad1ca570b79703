//! A background worker, and what it says of itself. Its `SPEC` is the one source of files, routes and tables (DESIGN 8).

use crate::{
    decision::{Decision, Effect},
    fault::{Halt, Refusal, Stop},
    ident::EventId,
    incoming::{Chain, Incoming, Unit, UnitKey},
    ports::Scope,
    time::Moment,
};
use serde::{Serialize, de::DeserializeOwned};
use std::future::Future;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    Observability,
    Runtime,
    Orchestration,
    Scheduler,
}
impl Platform {
    pub fn name(self) -> &'static str {
        match self {
            Self::Observability => "observability",
            Self::Runtime => "runtime",
            Self::Orchestration => "orchestration",
            Self::Scheduler => "scheduler",
        }
    }
}

/// How a repetition is absorbed (A54).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Dedup {
    /// A marker document, first in the commit, also where the decision is "nothing" (A39).
    Marker,
    /// The state absorbs it; the `absorbs` law proves that.
    Natural,
}

/// What calls the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Source {
    /// Events of these kinds, from the worker's own subscription of the topic. `filter` narrows them further: a
    /// broker property and the value it must have, for the kinds named.
    Events { kinds: &'static [&'static str], filter: Option<Filter> },
    /// Commands of these kinds, over HTTP: run inline, without a function of their own (A29).
    Commands { kinds: &'static [&'static str] },
    /// A telemetry queue.
    Queue { name: &'static str },
    /// What is due: six-field NCRONTAB; the cadence and offset in seconds say the same for SPEC 3.8.
    Timer { schedule: &'static str, cadence_s: u32, offset_s: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Filter {
    pub kind: &'static str,
    pub property: &'static str,
    pub value: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Trigger {
    pub function: &'static str,
    pub source: Source,
    pub dedup: Dedup,
}

/// Static data only: what a worker is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spec {
    /// The name of SPEC 2.1; of markers, audiences and `due.what`.
    pub name: &'static str,
    pub platform: Platform,
    /// The last part of `urn:factory:<platform>:<component>`.
    pub component: &'static str,
    pub purpose: &'static str,
    pub triggers: &'static [Trigger],
    pub emits: &'static [&'static str],
    pub performs: &'static [&'static str],
    /// What a unit is, for people.
    pub key: &'static str,
}

impl Spec {
    pub fn trigger(&self, function: &str) -> Option<&'static Trigger> {
        self.triggers.iter().find(|t| t.function == function)
    }
    pub fn timer(&self) -> Option<&'static Trigger> {
        self.triggers.iter().find(|t| matches!(t.source, Source::Timer { .. }))
    }
}

/// One background worker. `accept`, `plan` and `decide` are pure; `observe` reads through its scope and nothing else.
pub trait Worker: Send + Sync + 'static {
    const SPEC: Spec;
    type Input: Serialize + DeserializeOwned + Send + Sync;
    type Key: UnitKey;
    type View: Serialize + DeserializeOwned + Send + Sync;

    /// `None`: not for us, counted `ignored`. Malformed → refusal.
    fn accept(&self, incoming: &Incoming) -> Result<Option<Self::Input>, Refusal>;
    /// Which units the input touches: a function of the input alone (A6).
    fn plan(input: &Self::Input) -> Vec<Chain<Self::Key>>;
    fn observe(
        &self,
        unit: &Unit<Self::Key>,
        input: &Self::Input,
        scope: &Scope<'_>,
    ) -> impl Future<Output = Result<Self::View, Stop>> + Send;
    /// What should become true, and why. No self, no clock, no I/O.
    fn decide(unit: &Unit<Self::Key>, input: &Self::Input, view: &Self::View, at: Moment) -> Result<Decision, Halt>;
}

/// A worker whose decisions reach outside the store.
pub trait Performer: Worker {
    /// Carries out one committed effect, at least once, idempotent under `id`; what came of it is the next input.
    fn perform(
        &self,
        id: &EventId,
        effect: &Effect,
        scope: &Scope<'_>,
    ) -> impl Future<Output = Result<Self::Input, Stop>> + Send;
}
