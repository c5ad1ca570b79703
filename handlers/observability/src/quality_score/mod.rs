//! QualityScoreWorker (SPEC 5.8): a score per project and artifact, for each hour and each day of the tenant.
//!
//! The rule easily broken: a score is a function of its window. Items, incidents and budgets are those of the window's
//! end, whenever it is computed, so that computing it again changes nothing and a late item changes exactly what it
//! was part of.
//!
//! *Which projects are scored.* A project has a root, `project` in the stream `quality/<projectId>`, which bears `due`:
//! it is made by the first feedback item, by the first incident (`IncidentOpened`), or, because no event tells of an
//! SLO that is well, by a notice: a document `quality|<projectId>` that the unit saving an SLO puts into its own
//! stream, in its own commit, due for this worker (`notice`). The tick follows it: it makes the root, then takes the
//! notice down. A project of which nothing is known in 30 days sleeps until one of them comes again.

mod api;
pub mod decide;
pub mod formula;
mod observe;
pub mod project;
pub mod score;
mod slos;
pub mod windows;

pub use api::endpoints;
pub use decide::{View, notice};

use crate::events::{FeedbackItem, kind};
use opsloop_kernel::{
    Chain, Decision, Dedup, DocId, DueUnits, Envelope, Halt, Incoming, Moment, Platform, Refusal, Scope, Source, Spec,
    Stop, Stream, TenantId, Timestamp, Trigger, Unit, Worker, ident, incoming::FoundDue,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

pub const NAME: &str = "QualityScoreWorker";
const UTC: &str = "UTC";

#[derive(Clone, Debug, Default)]
pub struct QualityScoreWorker {
    pub zones: Zones,
}

/// The time zone of each tenant (SPEC 3.4), by its IANA name; the others have UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Zones(pub BTreeMap<String, String>);
impl Zones {
    pub fn of(&self, tenant: &TenantId) -> &str {
        self.0.get(tenant.as_str()).map_or(UTC, String::as_str)
    }
    /// Names that are no time zone, for whoever reads the settings.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str).filter(|name| !windows::Zone::exists(name))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// Somebody speaks of a project; of an item it is said when it was created.
    #[serde(rename_all = "camelCase")]
    Told {
        tenant: TenantId,
        project: String,
        created_at: Option<Timestamp>,
    },
    Due(DueUnits),
}

/// What is decided at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The project of the stream: told of, or with a window due.
    Project,
    /// The root of a project of which a notice tells.
    Start { project: String },
    /// The notice itself, in the stream of whoever put it.
    Notice { id: DocId },
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project => f.write_str(project::ROOT),
            Self::Start { project } => write!(f, "start|{project}"),
            Self::Notice { id } => write!(f, "{id}"),
        }
    }
}

impl FromStr for Key {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == project::ROOT {
            return Ok(Self::Project);
        }
        match text.split_once('|') {
            Some(("start", project)) => Ok(Self::Start { project: project.to_owned() }),
            Some(("quality", _)) => Ok(Self::Notice { id: DocId::from(text) }),
            _ => Err(format!("`{text}` is no unit of quality")),
        }
    }
}

impl Worker for QualityScoreWorker {
    const SPEC: Spec = Spec {
        name: NAME,
        platform: Platform::Observability,
        component: "quality-score",
        purpose: "Scores each project and its artifacts by the hour and by the day.",
        triggers: &[
            Trigger {
                function: "QualityScoreWorker",
                source: Source::Timer { schedule: "0 * * * * *", cadence_s: 60, offset_s: 0 },
                dedup: Dedup::Natural,
            },
            Trigger {
                function: "QualityScoreWorkerEvents",
                source: Source::Events { kinds: &[kind::FEEDBACK_ITEM_CREATED, kind::INCIDENT_OPENED], filter: None },
                dedup: Dedup::Marker,
            },
        ],
        emits: &[kind::QUALITY_SCORE_COMPUTED],
        performs: &[],
        key: "a project",
    };
    type Input = Input;
    type Key = Key;
    type View = View;

    fn accept(&self, incoming: &Incoming) -> Result<Option<Input>, Refusal> {
        match incoming {
            Incoming::Event(envelope) => told(envelope),
            Incoming::Due(due) => Ok(Some(Input::Due(due.clone()))),
            Incoming::Batch(_) => Ok(None),
        }
    }

    fn plan(input: &Input) -> Vec<Chain<Key>> {
        match input {
            Input::Told { tenant, project, .. } => {
                vec![vec![unit(tenant, project::stream(project), Key::Project, None)]]
            }
            Input::Due(due) => due.found.iter().filter_map(|found| due_chain(due, found)).collect(),
        }
    }

    async fn observe(&self, unit: &Unit<Key>, input: &Input, scope: &Scope<'_>) -> Result<View, Stop> {
        let tick = match input {
            Input::Due(due) => Some(due.tick),
            Input::Told { .. } => None,
        };
        observe::observe(unit, tick, self.zones.of(scope.tenant()), scope).await
    }

    fn decide(unit: &Unit<Key>, input: &Input, view: &View, at: Moment) -> Result<Decision, Halt> {
        Ok(decide::decide(unit, input, view, at))
    }
}

/// Items and incidents without a project make no score.
fn told(envelope: &Envelope) -> Result<Option<Input>, Refusal> {
    let created_at = match envelope.event_type.as_str() {
        kind::FEEDBACK_ITEM_CREATED => Some(envelope.read::<FeedbackItem>()?.created_at),
        kind::INCIDENT_OPENED => None,
        _ => return Ok(None),
    };
    let Some(project) = envelope.project_id.clone() else { return Ok(None) };
    Ok(Some(Input::Told { tenant: envelope.tenant_id.clone(), project, created_at }))
}

/// A root is computed; a notice is followed, root first, so that a crash between the two follows it again.
fn due_chain(due: &DueUnits, found: &FoundDue) -> Option<Chain<Key>> {
    let at = Some(found.at);
    if found.id.0 == project::ROOT {
        return Some(vec![unit(&due.tenant, due.stream.clone(), Key::Project, at)]);
    }
    let project = found.id.0.strip_prefix(decide::NOTICE).filter(|p| ident::is_slug(p))?;
    let start = Key::Start { project: project.to_owned() };
    let notice = Key::Notice { id: found.id.clone() };
    Some(vec![
        unit(&due.tenant, project::stream(project), start, at),
        unit(&due.tenant, due.stream.clone(), notice, at),
    ])
}

fn unit(tenant: &TenantId, stream: Stream, key: Key, due: Option<Timestamp>) -> Unit<Key> {
    Unit { tenant: tenant.clone(), stream, key, due }
}
