//! What should become true, and why. Data, not deeds.

use crate::{
    document::{Body, Write},
    freshness::Freshness,
    ident::{CorrelationId, TraceId},
    ids::KeyParts,
    signal::Signal,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a decision is what it is: a short phrase (`already-open`).
pub type Reason = &'static str;

#[must_use]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    pub reason: Reason,
    /// Written in batches of their own before the one that counts; nothing has happened until that one is in (A64).
    pub ahead: Vec<Write>,
    pub writes: Vec<Write>,
    pub facts: Vec<Fact>,
    pub effects: Vec<Effect>,
    pub notes: Vec<Note>,
    pub answer: Option<Answer>,
}

impl Decision {
    pub fn because(reason: Reason) -> Self {
        Self { reason, ahead: vec![], writes: vec![], facts: vec![], effects: vec![], notes: vec![], answer: None }
    }
    pub fn write(mut self, w: Write) -> Self {
        self.writes.push(w);
        self
    }
    pub fn write_ahead(mut self, w: Write) -> Self {
        self.ahead.push(w);
        self
    }
    pub fn emit(mut self, f: Fact) -> Self {
        self.facts.push(f);
        self
    }
    pub fn perform(mut self, e: Effect) -> Self {
        self.effects.push(e);
        self
    }
    pub fn note(mut self, n: Note) -> Self {
        self.notes.push(n);
        self
    }
    pub fn answer(mut self, status: u16, body: &impl Serialize) -> Self {
        self.answer = Some(Answer { status, body: Body::of(body) });
        self
    }
    /// Changes nothing and announces nothing.
    pub fn is_nothing(&self) -> bool {
        self.ahead.is_empty() && self.writes.is_empty() && self.facts.is_empty() && self.effects.is_empty()
    }
}

/// What happened, to be published. Its identity is derived when the decision is bound (SPEC 3.2).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fact {
    pub kind: &'static str,
    pub key: KeyParts,
    pub revision: u32,
    pub occurred_at: Timestamp,
    pub context: Bears,
    pub about: About,
    pub payload: Body,
}

/// Whose trace and correlation a fact continues (A47).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Bears {
    /// Those of the event that is decided about; `correlation` where the aggregate has its own.
    Inherit { correlation: Option<CorrelationId> },
    /// A time-driven unit is a root: trace and correlation of (worker, slot, tenant, scope) (SPEC 3.9).
    Slot { scope: String, slot: Timestamp },
    /// One that the state holds, such as that of an incident, or of a recorded trace.
    Of(Context),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    pub trace_id: TraceId,
    pub correlation_id: CorrelationId,
}

/// What a fact is about: the envelope's fields beside identity and payload.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct About {
    /// `<AggregateType>/<id>`
    pub subject: String,
    /// Empty: the subject's id.
    pub partition_key: String,
    pub project: Option<String>,
    pub module: Option<String>,
    pub environment: Option<String>,
    pub dimensions: BTreeMap<String, String>,
    pub freshness: Option<Freshness>,
    /// Broker properties beside those of every event (`signals`, `exemplars`).
    pub properties: BTreeMap<&'static str, String>,
}

/// What is to be done outside, once the decision is durable; a message of kind `Effect` to its own worker (A60).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    pub name: String,
    pub body: Body,
}

/// A declared signal with its value: what a worker wants counted. The shell records it after the commit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Note {
    pub signal: &'static Signal,
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}
impl Note {
    pub fn count(signal: &'static Signal, value: u64) -> Self {
        Self { signal, labels: vec![], value: value as f64 }
    }
    pub fn label(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}

/// The answer of a command, kept with its marker so that a retry gets the same one (A53).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub status: u16,
    pub body: Body,
}
