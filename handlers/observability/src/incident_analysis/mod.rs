//! IncidentAnalysisWorker (SPEC 5.5): correlates triggers into incidents, enriches them, guards their lifecycle.
//!
//! The one rule easily broken: a source's triggers and clears share one unit and its root, and come in any order. A
//! clear that comes first leaves a mark, and its trigger finds it (A7, A37, A40). Whether a root's incident is open,
//! the incident itself says (A69).
//!
//! Left out on purpose: paging, which is Escalation's (SPEC 5.6); here a critical incident is only Escalated at once.
//! Without correlation views (SPEC 5.10) correlation is not ready: an incident opens first and is enriched later.

mod api;
mod ask;
mod change;
mod clear;
mod command;
mod deployment;
mod due;
pub mod enrich;
mod facts;
mod foreign;
pub mod incident;
pub mod input;
mod key;
pub mod machine;
mod observe;
pub mod policy;
pub mod trigger;
pub mod view;

#[cfg(test)]
mod tests;

pub use api::{endpoints, open_incidents, read_incident, read_log};
pub use ask::commands;
pub use incident::Incident;
pub use key::Key;
pub use policy::{IncidentPolicies, IncidentPolicy};

use crate::events::kind;
use input::{Input, Said, What};
use opsloop_kernel::{
    Chain, Decision, Dedup, Halt, Incoming, Moment, Platform, Refusal, Scope, Source, Spec, Stop, Trigger, Unit, Worker,
};
use view::View;

pub const WORKER: &str = "IncidentAnalysisWorker";

/// Holds the policies of the tenants; everything else is in the store.
#[derive(Clone, Debug, Default)]
pub struct IncidentAnalysisWorker {
    policies: IncidentPolicies,
}

impl IncidentAnalysisWorker {
    pub fn new(policies: IncidentPolicies) -> Self {
        Self { policies }
    }
}

impl Worker for IncidentAnalysisWorker {
    const SPEC: Spec = Spec {
        name: WORKER,
        platform: Platform::Observability,
        component: "incident-analysis",
        purpose: "Correlates triggers into incidents, enriches them with traces, guards their lifecycle.",
        triggers: &[
            Trigger {
                function: WORKER,
                source: Source::Events {
                    kinds: &[
                        kind::ALERT_TRIGGERED,
                        kind::ALERT_RESOLVED,
                        kind::SLO_BREACHED,
                        kind::SLO_RECOVERED,
                        kind::RUNTIME_DEPLOYMENT_COMPLETED,
                        kind::RUNTIME_DEPLOYMENT_ROLLED_BACK,
                        kind::COST_ANOMALY_DETECTED,
                        kind::RUNTIME_DRIFT_DETECTED,
                        kind::RUNTIME_DRIFT_RESOLVED,
                        kind::SECRET_ROTATION_FAILED,
                        kind::SECRET_ROTATED,
                    ],
                    filter: None,
                },
                dedup: Dedup::Marker,
            },
            Trigger {
                function: "IncidentAnalysisWorkerCommands",
                source: Source::Commands { kinds: commands::ALL },
                dedup: Dedup::Marker,
            },
            Trigger {
                function: "IncidentAnalysisWorkerTick",
                source: Source::Timer { schedule: "*/15 * * * * *", cadence_s: 15, offset_s: 0 },
                dedup: Dedup::Natural,
            },
        ],
        emits: &[kind::INCIDENT_OPENED, kind::INCIDENT_TRANSITIONED, kind::INCIDENT_RESOLVED],
        performs: &[],
        key: "source and its id; the incident for commands and what is due",
    };
    type Input = Input;
    type Key = Key;
    type View = View;

    fn accept(&self, incoming: &Incoming) -> Result<Option<Input>, Refusal> {
        let (tenant, what) = match incoming {
            Incoming::Event(e) if commands::ALL.contains(&e.event_type.as_str()) => (&e.tenant_id, ask::of_command(e)?),
            Incoming::Event(e) => (&e.tenant_id, input::of_event(e)?),
            Incoming::Due(due) => (&due.tenant, Some(What::Due(due.clone()))),
            Incoming::Batch(_) => return Ok(None),
        };
        Ok(what.map(|what| Input { tenant: tenant.clone(), what }))
    }

    fn plan(input: &Input) -> Vec<Chain<Key>> {
        key::chains(input)
    }

    async fn observe(&self, unit: &Unit<Key>, input: &Input, scope: &Scope<'_>) -> Result<View, Stop> {
        let policy = self.policies.of(&unit.tenant);
        match (&unit.key, &input.what) {
            (Key::Source(_), What::Said(said)) => match of_unit(said, &unit.key) {
                Some(one) => observe::source(scope, one, policy).await,
                None => Err(Stop::Refusal(no_match(unit))),
            },
            (Key::Deployed { environment, module }, _) => observe::deployed(scope, environment, module).await,
            (Key::Incident(id), _) => observe::incident(scope, id, unit.due, policy).await,
            (Key::Source(_), _) => Err(Stop::Refusal(no_match(unit))),
        }
    }

    fn decide(unit: &Unit<Key>, input: &Input, view: &View, at: Moment) -> Result<Decision, Halt> {
        let (tenant, at) = (&unit.tenant, at.0.floor_millis());
        match (&unit.key, &input.what, view) {
            (Key::Source(_), What::Said(said), View::Source(view)) => match of_unit(said, &unit.key) {
                Some(Said::Trigger(t)) => Ok(trigger::decide(tenant, t, view, at)),
                Some(Said::Clear(c)) => Ok(clear::decide(tenant, c, view, at)),
                Some(Said::TakenBack(m)) => Ok(clear::taken_back(tenant, m, view, at)),
                None => Err(no_match(unit).into()),
            },
            (Key::Incident(_), What::Asked(a), View::Incident(view)) => command::decide(tenant, a, view, at),
            (Key::Incident(_), What::Due(_), View::Incident(view)) => Ok(due::decide(tenant, view, unit.due, at)),
            (Key::Deployed { environment, module }, What::Deployed(d), View::Deployed(kept)) => {
                Ok(deployment::decide(d, environment, module, kept.as_ref()))
            }
            _ => Err(no_match(unit).into()),
        }
    }
}

fn of_unit<'a>(said: &'a [Said], key: &Key) -> Option<&'a Said> {
    said.iter().find(|s| matches!(key, Key::Source(id) if s.source() == id))
}

/// The plan makes units of the input alone, so this is a defect and no message.
fn no_match(unit: &Unit<Key>) -> Refusal {
    Refusal::payload(format!("the unit {} is not of this input", unit.key))
}
