//! What people ask of an incident (SPEC 5.5.3, 14.2). The domain's no is an answer, and is kept with the marker like
//! every other (A53).

use super::{
    change::Change,
    facts::Teller,
    incident::{Incident, Loaded},
    input::{Ask, Asked},
    machine::{self, No, Resolution},
    view::IncidentView,
};
use opsloop_kernel::{Decision, Halt, TenantId, Timestamp};
use serde_json::{Value, json};

/// Notes are part of the incident's document: so many of 4 KiB leave it well below 1 MB.
pub const NOTES_MAX: usize = 100;
/// What an answer shows of the lists; the rest is read by query.
pub const SOURCES_SHOWN_MAX: usize = 50;
pub const NOTES_SHOWN_MAX: usize = 20;

pub(super) fn decide(tenant: &TenantId, a: &Asked, view: &IncidentView, at: Timestamp) -> Result<Decision, Halt> {
    let Some(found) = &view.incident else {
        let detail = format!("there is no incident `{}`", a.incident_id);
        return Ok(
            Decision::because("unknown-incident").answer(404, &json!({ "errorKind": "not_found", "detail": detail }))
        );
    };
    let teller = Teller { tenant, due: false };
    let mut change = Change::of(found, &view.policy, teller);
    match carry_out(&mut change, a, found, view, at) {
        Ok(reason) => {
            let shown = shown(&change.incident);
            Ok(change.into(Decision::because(reason)).answer(200, &shown))
        }
        Err(no) => Ok(refused(&no)),
    }
}

fn carry_out(
    change: &mut Change<'_>,
    a: &Asked,
    found: &Loaded<Incident>,
    view: &IncidentView,
    at: Timestamp,
) -> Result<&'static str, No> {
    match &a.what {
        Ask::Move { to, reason } => {
            let to = machine::next(&found.body, to.cause())?;
            change.enter(to, at, &a.actor, reason.clone());
            Ok("moved")
        }
        Ask::Resolve { root_cause, force, reason } => {
            let by = Resolution { root_cause: root_cause.as_ref(), force: *force, reason: reason.as_deref() };
            let cause = machine::may_resolve(&found.body, by, &view.policy, at)?;
            change.resolve(cause, at, &a.actor, reason.clone());
            Ok("resolved")
        }
        Ask::Note { text } => {
            if found.body.post_mortem_notes.len() >= NOTES_MAX {
                return Err(No::PreconditionFailed { rule: "postMortemNotes" });
            }
            change.note(at, &a.actor, text);
            Ok("noted")
        }
    }
}

fn refused(no: &No) -> Decision {
    match no {
        No::InvalidTransition { from, to } => Decision::because("invalid-transition").answer(
            409,
            &json!({
                "errorKind": "invalid_transition",
                "detail": format!("an incident that is {from:?} does not become {to:?} by this"),
                "from": from,
                "to": to,
            }),
        ),
        No::PreconditionFailed { rule } => Decision::because("precondition-failed").answer(
            409,
            &json!({
                "errorKind": "precondition_failed",
                "detail": format!("the rule `{rule}` is not fulfilled: {}", meaning(rule)),
                "rule": rule,
            }),
        ),
    }
}

fn meaning(rule: &str) -> &'static str {
    match rule {
        "rootCause" => "a resolution names its root cause",
        "confirmMs" => {
            "a source is active, or has been within the time of confirmation; `force` with a reason goes past"
        }
        "reason" => "`force` needs a reason",
        _ => "the incident has as many notes as it may have",
    }
}

/// The incident as answers and queries show it: without its schedule, long lists cut.
pub fn shown(incident: &Incident) -> Value {
    let mut value = serde_json::to_value(incident).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut value {
        fields.remove("plan");
        fields.insert("sourceCount".into(), json!(incident.sources.len()));
        fields.insert("sources".into(), json!(incident.sources.iter().take(SOURCES_SHOWN_MAX).collect::<Vec<_>>()));
        let skipped = incident.post_mortem_notes.len().saturating_sub(NOTES_SHOWN_MAX);
        let notes: Vec<_> = incident.post_mortem_notes.iter().skip(skipped).collect();
        fields.insert("postMortemNotes".into(), json!(notes));
    }
    value
}
