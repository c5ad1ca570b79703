//! FeedbackCreationWorker (SPEC 5.7): resolved incidents, runtime signals and cost anomalies become durable items that
//! say who caused them.
//!
//! The rule easily broken: an item is immutable and there is one per (source, sourceId), so everything that could be
//! told twice meets at a root: that of the incident, anomaly or command, and for signals that of their fingerprint and
//! UTC day. Only a larger revision of an anomaly changes anything, and only `withdrawn`.
//!
//! Left out on purpose: the correlation view (SPEC 5.10) is a later issue. It is a value of the view that says "not
//! there", so events wait for it for two minutes as SPEC 5.7.3(4) has it, and nothing but `observe` will change.

pub mod api;
pub mod attribution;
pub mod decide;
mod draft;
pub mod evidence;
pub mod input;
pub mod item;
mod observe;
pub mod policy;
mod tables;

pub use api::endpoints;
pub use decide::View;
pub use input::Input;
pub use policy::{FeedbackPolicies, FeedbackPolicy};

use crate::events::{FeedbackSource, kind};
use input::CREATE_FEEDBACK_ITEM;
use opsloop_kernel::{
    Chain, Decision, Dedup, DueUnits, Halt, Incoming, Moment, Mutant, Platform, Refusal, Scope, Source, Spec, Stop,
    Timestamp, Trigger, Unit, Worker, mutant, worker::Filter,
};
use std::{fmt, str::FromStr};

pub const NAME: &str = "FeedbackCreationWorker";

#[derive(Clone, Debug, Default)]
pub struct FeedbackCreationWorker {
    pub policies: FeedbackPolicies,
}

/// What is decided at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// An incident, an anomaly, a command.
    Source { source: FeedbackSource, source_id: String },
    /// A trace counts for a fingerprint.
    Signal { fingerprint: String },
    /// The closed hour of a fingerprint is judged.
    Hour { fingerprint: String, hour: Timestamp },
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source { source, source_id } => write!(f, "{}|{source_id}", item::name(*source)),
            Self::Signal { fingerprint } => write!(f, "signal|{fingerprint}"),
            Self::Hour { fingerprint, hour } => write!(f, "hour|{fingerprint}|{}", hour.millis()),
        }
    }
}

impl FromStr for Key {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (what, rest) = text.split_once('|').ok_or("a key is `what|which`")?;
        let source = |source| Ok(Self::Source { source, source_id: rest.to_owned() });
        match what {
            "incident" => source(FeedbackSource::Incident),
            "cost_anomaly" => source(FeedbackSource::CostAnomaly),
            "human" => source(FeedbackSource::Human),
            "agent" => source(FeedbackSource::Agent),
            "signal" => Ok(Self::Signal { fingerprint: rest.to_owned() }),
            "hour" => {
                let (fingerprint, hour) = rest.split_once('|').ok_or("an hour is `fingerprint|milliseconds`")?;
                let hour = Timestamp::from_millis(hour.parse().map_err(|_| format!("`{hour}` is no instant"))?);
                Ok(Self::Hour { fingerprint: fingerprint.to_owned(), hour })
            }
            _ => Err(format!("`{what}` is no kind of unit")),
        }
    }
}

impl Worker for FeedbackCreationWorker {
    const SPEC: Spec = Spec {
        name: NAME,
        platform: Platform::Observability,
        component: "feedback-creation",
        purpose: "Distils resolved incidents, runtime signals and cost anomalies into attributed feedback items.",
        triggers: &[
            Trigger {
                function: "FeedbackCreationWorker",
                source: Source::Events {
                    kinds: &[kind::INCIDENT_RESOLVED, kind::TRACE_RECORDED, kind::COST_ANOMALY_DETECTED],
                    filter: Some(Filter { kind: kind::TRACE_RECORDED, property: "signals", value: "true" }),
                },
                dedup: Dedup::Marker,
            },
            Trigger {
                function: "FeedbackCreationWorkerCommands",
                source: Source::Commands { kinds: &[CREATE_FEEDBACK_ITEM] },
                dedup: Dedup::Marker,
            },
            Trigger {
                function: "FeedbackCreationWorkerTick",
                source: Source::Timer { schedule: "0 * * * * *", cadence_s: 60, offset_s: 0 },
                dedup: Dedup::Natural,
            },
        ],
        emits: &[kind::FEEDBACK_ITEM_CREATED],
        performs: &[],
        key: "an incident, an anomaly, a command; a fingerprint of a trace; a closed hour of a fingerprint",
    };
    type Input = Input;
    type Key = Key;
    type View = View;

    fn accept(&self, incoming: &Incoming) -> Result<Option<Input>, Refusal> {
        match incoming {
            Incoming::Event(envelope) => Input::of(envelope),
            Incoming::Due(due) => Ok(Some(Input::Due(due.clone()))),
            Incoming::Batch(_) => Ok(None),
        }
    }

    fn plan(input: &Input) -> Vec<Chain<Key>> {
        match input {
            Input::Resolved { origin, incident } => {
                vec![vec![of_source(origin, FeedbackSource::Incident, &incident.incident_id)]]
            }
            Input::Anomaly { origin, anomaly } => {
                vec![vec![of_source(origin, FeedbackSource::CostAnomaly, &anomaly.anomaly_id)]]
            }
            Input::Asked { origin, asked } => vec![vec![of_source(origin, asked.source, &origin.event_id)]],
            Input::Traced { origin, trace } => {
                let keys = trace.signals.keys().map(|f| Key::Signal { fingerprint: f.clone() });
                keys.map(|key| vec![unit(origin, key)]).collect()
            }
            Input::Due(due) => closed_hours(due),
        }
    }

    async fn observe(&self, unit: &Unit<Key>, input: &Input, scope: &Scope<'_>) -> Result<View, Stop> {
        observe::observe(unit, input, self.policies.of(scope.tenant()), scope).await
    }

    fn decide(unit: &Unit<Key>, input: &Input, view: &View, at: Moment) -> Result<Decision, Halt> {
        decide::decide(unit, input, view, at)
    }
}

fn of_source(origin: &input::Origin, source: FeedbackSource, source_id: &str) -> Unit<Key> {
    unit(origin, Key::Source { source, source_id: source_id.to_owned() })
}

fn unit(origin: &input::Origin, key: Key) -> Unit<Key> {
    let moved = mutant::is(Mutant::PlanReadsPolicy) && mutant::draw().is_multiple_of(2);
    let stream = item::stream(origin.project.as_deref().filter(|_| !moved));
    Unit { tenant: origin.tenant.clone(), stream, key, due: None }
}

/// Hours are independent of each other: one that fails holds up none.
fn closed_hours(due: &DueUnits) -> Vec<Chain<Key>> {
    let mut chains = vec![];
    for found in &due.found {
        let Some(Ok(key)) = found.id.0.strip_prefix("signal|").map(|rest| format!("hour|{rest}").parse::<Key>()) else {
            continue;
        };
        let (tenant, stream) = (due.tenant.clone(), due.stream.clone());
        chains.push(vec![Unit { tenant, stream, key, due: Some(found.at) }]);
    }
    chains
}

#[cfg(test)]
mod laws;
