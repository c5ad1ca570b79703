//! SLO evaluation (SPEC 5.4): burn rates over several windows, the error budget, breaches and recoveries.
//!
//! The slot is the minute, read in event time like those of alert rules (A67). The rule easily broken: stale data keeps
//! the state, so a lagging aggregation yields a status marked stale and never a recovery (SPEC 5.4.6). Left out on
//! purpose: a status is not recomputed when late facts revise its windows, for every slot is decided once.

pub mod burn;
pub mod cells;
pub mod commands;
pub mod documents;
mod facts;
pub mod http;
mod observe;
pub mod reader;
pub mod slo;
pub mod slot;

pub use documents::SloStatus;
pub use http::endpoints;
pub use reader::{LastFresh, last_fresh_status, list_slos};
pub use slo::SloDefinition;

use crate::{events::kind, metric_aggregation::names, series::source};
use commands::{Command, SloView};
use opsloop_kernel::{
    Chain, Decision, Dedup, Halt, Incoming, Moment, Platform, Refusal, Scope, Source, Spec, Stop, Stored, Stream,
    TenantId, Timestamp, Trigger, Unit, Worker, incoming::FoundDue,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Evaluates SLOs. `buckets` is the deployment's `metricBuckets` (SPEC 5.2.4).
#[derive(Clone, Copy, Debug)]
pub struct SloEvaluation {
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
    Slo(Box<SloView>),
    /// The root of a bucket, which definitions are added to.
    Bucket(Option<Stored>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Slots(String),
    Slo(String),
    Bucket(u16),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slots(id) => write!(f, "slots|{id}"),
            Self::Slo(id) => write!(f, "slo|{id}"),
            Self::Bucket(n) => write!(f, "bucket|{n}"),
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
            "slo" => Ok(Self::Slo(id.to_owned())),
            "bucket" => id.parse().map(Self::Bucket).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

impl Worker for SloEvaluation {
    const SPEC: Spec = Spec {
        name: documents::WORKER,
        platform: Platform::Observability,
        component: "slo-evaluation",
        purpose: "Tracks error budgets and detects breaches.",
        triggers: &[
            Trigger {
                function: "SloEvaluation",
                source: Source::Timer { schedule: "0 * * * * *", cadence_s: 60, offset_s: 0 },
                dedup: Dedup::Natural,
            },
            Trigger {
                function: "SloEvaluationEvents",
                source: Source::Commands { kinds: commands::KINDS },
                dedup: Dedup::Marker,
            },
        ],
        emits: &[kind::SLO_BREACHED, kind::SLO_RECOVERED, kind::GOVERNANCE_REVIEW_REQUESTED],
        performs: &[],
        key: "SLO",
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
            Key::Slo(id) => Ok(View::Slo(Box::new(observe::slo(scope, id).await?))),
            Key::Bucket(_) => Ok(View::Bucket(scope.get(&unit.stream, &names::BUCKET.into()).await?)),
        }
    }

    fn decide(unit: &Unit<Key>, input: &Input, view: &View, at: Moment) -> Result<Decision, Halt> {
        match (view, input) {
            (View::Slot(view), Input::Due { tick, .. }) => Ok(slot::decide(&unit.tenant, view, at.0, *tick)),
            (View::Bucket(stored), Input::Command { buckets, command, .. }) => {
                let Key::Bucket(n) = unit.key else { return Ok(Decision::because("no-bucket")) };
                commands::bucket(stored.as_ref(), command, n, *buckets, at)
            }
            (View::Slo(view), Input::Command { command, .. }) => Ok(commands::slo(view, command, at.0)),
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

/// The buckets first: an SLO that is stored has its definitions (A28). A command that is refused touches none.
fn command_chain(tenant: &TenantId, buckets: u16, command: &Command) -> Chain<Key> {
    let unit = |stream: Stream, key: Key| Unit { tenant: tenant.clone(), stream, key, due: None };
    let mut chain = vec![];
    if let Command::SaveSlo(slo) = command
        && slo.check().is_ok()
    {
        let touched = source::definitions(&slo.sli.selectors(), buckets);
        chain.extend(touched.keys().map(|n| unit(names::stream_of_bucket(*n), Key::Bucket(*n))));
    }
    chain.push(unit(documents::stream(), command.key()));
    chain
}
