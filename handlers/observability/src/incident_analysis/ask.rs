//! Commands: from the bodies of requests to what the worker is asked (SPEC 14.2). What is wrong is said before an
//! envelope is made; the queue `commands` is held to the same rules.

use super::{
    incident::SourceKind,
    input::{Ask, Asked, Move, Said, TITLE_CHARS_MAX, What, clipped, source, trigger},
};
use crate::events::{Ref, RootCause, Severity};
use opsloop_kernel::{Body, Envelope, Refusal, ident};
use serde::{Deserialize, Serialize};

/// Names of the commands, spelled once.
pub mod commands {
    pub const OPEN: &str = "OpenIncident";
    pub const ACKNOWLEDGE: &str = "AcknowledgeIncident";
    pub const BEGIN: &str = "BeginInvestigation";
    pub const MITIGATE: &str = "ApplyMitigation";
    pub const ENGAGE: &str = "EngageOnCall";
    pub const RESOLVE: &str = "ResolveIncident";
    pub const NOTE: &str = "AppendPostMortemNote";
    pub const ALL: &[&str] = &[OPEN, ACKNOWLEDGE, BEGIN, MITIGATE, ENGAGE, RESOLVE, NOTE];
}

/// A note, a reason or a summary: a few paragraphs.
pub const TEXT_BYTES_MAX: usize = 4_096;
/// References beside a root cause.
pub const EVIDENCE_MAX: usize = 20;
pub const REF_BYTES_MAX: usize = 256;
/// Who asks where nobody is named: the queue and the local mode.
const OPERATOR: &str = "operator";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    title: String,
    severity: Severity,
    #[serde(default)]
    project_id: Option<String>,
    #[serde(default)]
    module_id: Option<String>,
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    actor: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    incident_id: String,
    #[serde(default)]
    actor: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    root_cause: Option<RootCause>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    text: Option<String>,
}

/// `None`: no command of ours.
pub fn of_command(e: &Envelope) -> Result<Option<What>, Refusal> {
    let kind = e.event_type.as_str();
    if kind == commands::OPEN {
        return open(e).map(Some);
    }
    if !commands::ALL.contains(&kind) {
        return Ok(None);
    }
    asked(kind, &e.payload).map(What::Asked).map(Some)
}

/// What is wrong with the payload of a command, if anything.
pub fn check(kind: &str, payload: &Body) -> Result<(), Refusal> {
    if kind == commands::OPEN { opened(payload).map(|_| ()) } else { asked(kind, payload).map(|_| ()) }
}

/// A manual incident is a source of its own: its id and its episode are the command's.
fn open(e: &Envelope) -> Result<What, Refusal> {
    let o = opened(&e.payload)?;
    let id = e.event_id.to_string();
    let mut t = trigger(e, source(SourceKind::Manual, id.clone()), id, o.severity, o.title);
    t.project_id = o.project_id.or(t.project_id);
    t.module_id = o.module_id.or(t.module_id);
    t.environment = o.environment.or(t.environment);
    t.actor = actor(o.actor)?;
    Ok(What::Said(vec![Said::Trigger(Box::new(t))]))
}

fn opened(payload: &Body) -> Result<Open, Refusal> {
    let o: Open = payload.read()?;
    if o.title.trim().is_empty() || clipped(&o.title) != o.title {
        return Err(Refusal::payload(format!("`title` has 1 to {TITLE_CHARS_MAX} characters")));
    }
    if o.severity == Severity::Info {
        return Err(Refusal::payload("`severity` is one of critical, high, warning"));
    }
    for (name, value) in [("projectId", &o.project_id), ("moduleId", &o.module_id)] {
        if value.as_ref().is_some_and(|v| !ident::is_slug(v)) {
            return Err(Refusal::payload(format!("`{name}` is not an id")));
        }
    }
    if o.environment.as_deref().is_some_and(|v| !matches!(v, "dev" | "test" | "staging" | "prod")) {
        return Err(Refusal::payload("`environment` is none of dev, test, staging, prod"));
    }
    actor(o.actor.clone())?;
    Ok(o)
}

fn asked(kind: &str, payload: &Body) -> Result<Asked, Refusal> {
    let p: Payload = payload.read()?;
    if !p.incident_id.strip_prefix("inc-").is_some_and(ident::is_token) {
        return Err(Refusal::payload("`incidentId` is not an id of an incident"));
    }
    text("reason", p.reason.as_deref())?;
    let actor = actor(p.actor)?;
    let moves = |to| Ask::Move { to, reason: p.reason.clone() };
    let what = match kind {
        commands::ACKNOWLEDGE => moves(Move::Acknowledge),
        commands::BEGIN => moves(Move::Begin),
        commands::MITIGATE => moves(Move::Mitigate),
        commands::ENGAGE => moves(Move::Engage),
        commands::RESOLVE => {
            let root_cause = p.root_cause.map(|r| root_cause(r, &actor)).transpose()?;
            Ask::Resolve { root_cause, force: p.force, reason: p.reason }
        }
        _ => note(p.text)?,
    };
    Ok(Asked { incident_id: p.incident_id, actor, what })
}

fn note(text_of: Option<String>) -> Result<Ask, Refusal> {
    let Some(said) = text_of.filter(|t| !t.trim().is_empty()) else {
        return Err(Refusal::payload("`text` is missing"));
    };
    text("text", Some(&said))?;
    Ok(Ask::Note { text: said })
}

fn root_cause(mut r: RootCause, actor: &str) -> Result<RootCause, Refusal> {
    text("rootCause.summary", Some(&r.summary))?;
    let fits = |e: &Ref| e.kind.len() <= REF_BYTES_MAX && e.id.len() <= REF_BYTES_MAX;
    if r.evidence.len() > EVIDENCE_MAX || !r.evidence.iter().all(fits) {
        let why = format!("`rootCause.evidence` has at most {EVIDENCE_MAX} references of {REF_BYTES_MAX} bytes");
        return Err(Refusal::payload(why));
    }
    for (name, id) in [("artifactId", &r.artifact_id), ("agentId", &r.agent_id), ("skillId", &r.skill_id)] {
        if id.as_ref().is_some_and(|v| !ident::is_user_id(v)) {
            return Err(Refusal::payload(format!("`rootCause.{name}` is not an id")));
        }
    }
    if r.recorded_by.is_empty() {
        r.recorded_by = actor.to_owned();
    }
    Ok(r)
}

fn actor(named: Option<String>) -> Result<String, Refusal> {
    let actor = named.unwrap_or_else(|| OPERATOR.to_owned());
    let fits = !actor.is_empty() && actor.len() <= 256;
    if fits { Ok(actor) } else { Err(Refusal::payload("`actor` has 1 to 256 bytes")) }
}

fn text(name: &str, value: Option<&str>) -> Result<(), Refusal> {
    let fits = value.is_none_or(|v| v.len() <= TEXT_BYTES_MAX);
    if fits { Ok(()) } else { Err(Refusal::payload(format!("`{name}` is beyond {TEXT_BYTES_MAX} bytes"))) }
}
