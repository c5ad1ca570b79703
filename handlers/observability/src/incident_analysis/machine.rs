//! The states of an incident and what leads from one to another (SPEC 5.5.3): a table, and the guards beside it.
//! What is not in the table is `InvalidTransition` and changes nothing.

use super::{incident::Incident, policy::IncidentPolicy};
use crate::events::{IncidentStatus, RootCause, Severity};
use opsloop_kernel::Timestamp;

/// Why somebody wants another state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Acknowledge,
    /// Begin analysis; also the acknowledge timeout, by the system.
    Begin,
    Mitigate,
    /// Critical severity, or a timer of the escalation.
    Escalate,
    /// On-call engaged.
    Engage,
    Resolve,
}

impl Cause {
    pub const ALL: [Self; 6] =
        [Self::Acknowledge, Self::Begin, Self::Mitigate, Self::Escalate, Self::Engage, Self::Resolve];

    pub fn leads_to(self) -> IncidentStatus {
        match self {
            Self::Acknowledge => IncidentStatus::Acknowledged,
            Self::Begin | Self::Engage => IncidentStatus::Investigating,
            Self::Mitigate => IncidentStatus::Mitigated,
            Self::Escalate => IncidentStatus::Escalated,
            Self::Resolve => IncidentStatus::Resolved,
        }
    }

    /// The table of SPEC 5.5.3; Open → Resolved by gap G-10, Open → Escalated by G-11.
    pub fn leaves(self, from: IncidentStatus) -> bool {
        use IncidentStatus as S;
        match self {
            Self::Acknowledge => from == S::Open,
            Self::Begin => from == S::Acknowledged,
            Self::Mitigate => from == S::Investigating,
            Self::Escalate => matches!(from, S::Open | S::Investigating),
            Self::Engage => from == S::Escalated,
            Self::Resolve => matches!(from, S::Open | S::Investigating | S::Mitigated),
        }
    }
}

/// The domain's no to a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    InvalidTransition { from: IncidentStatus, to: IncidentStatus },
    PreconditionFailed { rule: &'static str },
}

/// What a resolution brings along.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resolution<'a> {
    pub root_cause: Option<&'a RootCause>,
    /// Past the confirmation, for this reason.
    pub force: bool,
    pub reason: Option<&'a str>,
}

/// Where `cause` leads the incident, or why it may not.
pub fn next(incident: &Incident, cause: Cause) -> Result<IncidentStatus, No> {
    let to = cause.leads_to();
    if cause.leaves(incident.status) { Ok(to) } else { Err(No::InvalidTransition { from: incident.status, to }) }
}

/// The guards of the three edges to Resolved; the root cause that it will have.
pub fn may_resolve(
    incident: &Incident,
    by: Resolution<'_>,
    policy: &IncidentPolicy,
    at: Timestamp,
) -> Result<RootCause, No> {
    next(incident, Cause::Resolve)?;
    let Some(root_cause) = by.root_cause.or(incident.root_cause.as_ref()).cloned() else {
        return Err(No::PreconditionFailed { rule: "rootCause" });
    };
    if incident.status != IncidentStatus::Mitigated || is_confirmed(incident, policy, at) {
        return Ok(root_cause);
    }
    if !by.force {
        return Err(No::PreconditionFailed { rule: "confirmMs" });
    }
    let recorded = by.reason.is_some_and(|r| !r.trim().is_empty());
    if recorded { Ok(root_cause) } else { Err(No::PreconditionFailed { rule: "reason" }) }
}

/// No active source for `confirmMs`, budget episodes aside.
fn is_confirmed(incident: &Incident, policy: &IncidentPolicy, at: Timestamp) -> bool {
    confirmed_at(incident, policy).is_some_and(|end| at >= end)
}

/// The end of `confirmMs`; `None` while something goes on.
pub fn confirmed_at(incident: &Incident, policy: &IncidentPolicy) -> Option<Timestamp> {
    incident.quiet_since().map(|since| since.plus_millis(policy.confirm_ms))
}

/// A critical incident waits for nobody: from Open and Investigating it escalates at once.
pub fn escalates_at_once(incident: &Incident) -> bool {
    incident.severity == Severity::Critical && Cause::Escalate.leaves(incident.status)
}
