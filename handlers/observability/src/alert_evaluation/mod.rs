//! AlertEvaluationWorker (SPEC 5.3): rules over series, instances per label set, triggers and clears.
//!
//! The domain wants every slot decided once, on the same windows, whether the day is calm or not: slot T reads exactly
//! the windows that close by T, and until their watermark is there it stays due (A67). The rule easily broken: missing
//! data never resolves (SPEC 3.11). Left out on purpose: `MetricAggregated` wakes nothing here (gap G-05), and a label
//! set is matched across selectors only where both group by the same labels.

pub mod commands;
pub mod documents;
mod facts;
pub mod http;
pub mod instance;
mod observe;
pub mod rule;
pub mod slot;
pub mod suppression;

pub use http::endpoints;
pub use instance::{Instance, State};
pub use rule::{AlertRule, NoDataPolicy};
pub use suppression::{InhibitRule, Silence};

use crate::{events::kind, metric_aggregation::names, series::source};
use commands::{Command, NoteView, RuleView};
use opsloop_kernel::{
    Chain, Decision, Dedup, Halt, Incoming, Moment, Platform, Refusal, Scope, Source, Spec, Stop, Stored, Stream,
    TenantId, Timestamp, Trigger, Unit, Worker, incoming::FoundDue,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Evaluates alert rules. `buckets` is the deployment's `metricBuckets` (SPEC 5.2.4).
#[derive(Clone, Copy, Debug)]
pub struct AlertEvaluationWorker {
    pub buckets: u16,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Input {
    /// Slots that are due.
    Due {
        tenant: TenantId,
        tick: Timestamp,
        found: Vec<FoundDue>,
    },
    Command {
        tenant: TenantId,
        buckets: u16,
        command: Command,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum View {
    Slot(Box<slot::SlotView>),
    Rule(Box<RuleView>),
    /// The root of a bucket, which definitions are added to.
    Bucket(Option<Stored>),
    Note(NoteView),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Slots(String),
    Rule(String),
    Bucket(u16),
    Silence(String),
    Inhibition(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slots(id) => write!(f, "slots|{id}"),
            Self::Rule(id) => write!(f, "rule|{id}"),
            Self::Bucket(n) => write!(f, "bucket|{n}"),
            Self::Silence(id) => write!(f, "silence|{id}"),
            Self::Inhibition(id) => write!(f, "inhibit|{id}"),
        }
    }
}

impl FromStr for Key {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let wrong = || format!("`{s}` is no unit of {}", documents::WORKER);
        let (sort, id) = s.split_once('|').ok_or_else(wrong)?;
        match sort {
            "slots" => Ok(Self::Slots(id.to_owned())),
            "rule" => Ok(Self::Rule(id.to_owned())),
            "bucket" => id.parse().map(Self::Bucket).map_err(|_| wrong()),
            "silence" => Ok(Self::Silence(id.to_owned())),
            "inhibit" => Ok(Self::Inhibition(id.to_owned())),
            _ => Err(wrong()),
        }
    }
}

impl Worker for AlertEvaluationWorker {
    const SPEC: Spec = Spec {
        name: documents::WORKER,
        platform: Platform::Observability,
        component: "alert-evaluation",
        purpose: "Evaluates alert rules against series and raises triggers.",
        triggers: &[
            Trigger {
                function: "AlertEvaluationWorker",
                source: Source::Timer { schedule: "*/15 * * * * *", cadence_s: 15, offset_s: 0 },
                dedup: Dedup::Natural,
            },
            Trigger {
                function: "AlertEvaluationWorkerEvents",
                source: Source::Commands { kinds: commands::KINDS },
                dedup: Dedup::Marker,
            },
        ],
        emits: &[kind::ALERT_TRIGGERED, kind::ALERT_RESOLVED],
        performs: &[],
        key: "rule",
    };
    type Input = Input;
    type Key = Key;
    type View = View;

    fn accept(&self, incoming: &Incoming) -> Result<Option<Input>, Refusal> {
        match incoming {
            Incoming::Due(due) => {
                Ok(Some(Input::Due { tenant: due.tenant.clone(), tick: due.tick, found: due.found.clone() }))
            }
            Incoming::Event(envelope) => {
                let Some(command) = Command::read(envelope)? else { return Ok(None) };
                let tenant = envelope.tenant_id.clone();
                Ok(Some(Input::Command { tenant, buckets: self.buckets, command }))
            }
            Incoming::Batch(_) => Ok(None),
        }
    }

    fn plan(input: &Input) -> Vec<Chain<Key>> {
        match input {
            Input::Due { tenant, found, .. } => found.iter().filter_map(|f| slot_unit(tenant, f)).collect(),
            Input::Command { tenant, buckets, command } => vec![command_chain(tenant, *buckets, command)],
        }
    }

    async fn observe(&self, unit: &Unit<Key>, input: &Input, scope: &Scope<'_>) -> Result<View, Stop> {
        match &unit.key {
            Key::Slots(id) => {
                let (at, tick) = (unit.due.unwrap_or_default(), tick_of(input));
                Ok(View::Slot(Box::new(observe::slot(scope, id, at, tick, self.buckets).await?)))
            }
            Key::Rule(id) => Ok(View::Rule(Box::new(observe::rule(scope, id).await?))),
            Key::Bucket(_) => Ok(View::Bucket(scope.get(&unit.stream, &names::BUCKET.into()).await?)),
            Key::Silence(id) => {
                let id = documents::silence_id(id);
                Ok(View::Note(observe::note(scope, documents::SILENCES, id).await?))
            }
            Key::Inhibition(id) => {
                let id = documents::inhibition_id(id);
                Ok(View::Note(observe::note(scope, documents::INHIBITIONS, id).await?))
            }
        }
    }

    fn decide(unit: &Unit<Key>, input: &Input, view: &View, at: Moment) -> Result<Decision, Halt> {
        match (view, input) {
            (View::Slot(view), Input::Due { tick, .. }) => slot::decide(&unit.tenant, view, at.0, *tick),
            (View::Bucket(stored), Input::Command { buckets, command, .. }) => {
                let Key::Bucket(n) = unit.key else { return Ok(Decision::because("no-bucket")) };
                commands::bucket(stored.as_ref(), command, n, *buckets, at)
            }
            (View::Rule(view), Input::Command { command, .. }) => Ok(commands::rule(view, command, at.0)),
            (View::Note(view), Input::Command { command, .. }) => Ok(commands::note(view, command)),
            _ => Ok(Decision::because("not-for-this-unit")),
        }
    }
}

fn tick_of(input: &Input) -> Timestamp {
    match input {
        Input::Due { tick, .. } => *tick,
        Input::Command { .. } => Timestamp::EPOCH,
    }
}

fn slot_unit(tenant: &TenantId, found: &FoundDue) -> Option<Chain<Key>> {
    let id = found.id.0.strip_prefix(documents::ROOTS)?.to_owned();
    let (tenant, stream) = (tenant.clone(), documents::stream());
    Some(vec![Unit { tenant, stream, key: Key::Slots(id), due: Some(found.at) }])
}

/// The buckets first: a rule that is stored has its definitions (A28). A command that is refused touches none.
fn command_chain(tenant: &TenantId, buckets: u16, command: &Command) -> Chain<Key> {
    let unit = |stream: Stream, key: Key| Unit { tenant: tenant.clone(), stream, key, due: None };
    let mut chain = vec![];
    if let Command::SaveAlertRule(rule) = command
        && rule.check().is_ok()
    {
        let touched = source::definitions(&commands::selectors(rule), buckets);
        chain.extend(touched.keys().map(|n| unit(names::stream_of_bucket(*n), Key::Bucket(*n))));
    }
    chain.push(unit(documents::stream(), command.key()));
    chain
}

#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
