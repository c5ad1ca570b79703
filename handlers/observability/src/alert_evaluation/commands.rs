//! Commands (SPEC 14.2): rules with their definitions and first slot, silences, inhibition rules.

use super::{
    Key,
    documents::{self, Root, StoredRule},
    rule::AlertRule,
    slot::grid,
    suppression::{InhibitRule, Silence},
};
use crate::{
    metric_aggregation::{Selector, with_definitions},
    series::{Held, Pace, held::save, source},
};
use opsloop_kernel::{Decision, Envelope, Halt, Moment, Refusal, Stored, Timestamp, Write, ids::derived_id};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub const SAVE_RULE: &str = "SaveAlertRule";
pub const DELETE_RULE: &str = "DeleteAlertRule";
pub const CREATE_SILENCE: &str = "CreateSilence";
pub const SAVE_INHIBITION: &str = "SaveInhibitRule";
pub const DELETE_INHIBITION: &str = "DeleteInhibitRule";
pub const KINDS: &[&str] = &[SAVE_RULE, DELETE_RULE, CREATE_SILENCE, SAVE_INHIBITION, DELETE_INHIBITION];

/// Rules of one tenant: inhibition reads them all.
pub const RULES_MAX: usize = 1_000;
/// Silences and inhibition rules of one tenant: each slot reads them.
pub const NOTES_MAX: usize = 500;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    SaveAlertRule(Box<AlertRule>),
    DeleteAlertRule(RuleRef),
    CreateSilence(Silence),
    SaveInhibitRule(InhibitRule),
    DeleteInhibitRule(NoteRef),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleRef {
    pub rule_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRef {
    pub id: String,
}

impl Command {
    /// `None`: a kind that is not ours. What has no id gets one that is derived from the command.
    pub fn read(envelope: &Envelope) -> Result<Option<Self>, Refusal> {
        let (tenant, event) = (&envelope.tenant_id, envelope.event_id.as_str());
        let named = |id: &mut String, prefix: &str| {
            if id.is_empty() {
                *id = derived_id(prefix, prefix, tenant, [event]);
            }
        };
        Ok(Some(match envelope.event_type.as_str() {
            SAVE_RULE => {
                let mut rule: AlertRule = envelope.read()?;
                named(&mut rule.rule_id, "alr");
                rule.project_id = rule.project_id.or_else(|| envelope.project_id.clone());
                Self::SaveAlertRule(Box::new(rule))
            }
            DELETE_RULE => Self::DeleteAlertRule(envelope.read()?),
            CREATE_SILENCE => {
                let mut silence: Silence = envelope.read()?;
                named(&mut silence.id, "sil");
                Self::CreateSilence(silence)
            }
            SAVE_INHIBITION => {
                let mut rule: InhibitRule = envelope.read()?;
                named(&mut rule.id, "inh");
                Self::SaveInhibitRule(rule)
            }
            DELETE_INHIBITION => Self::DeleteInhibitRule(envelope.read()?),
            _ => return Ok(None),
        }))
    }

    pub fn key(&self) -> Key {
        match self {
            Self::SaveAlertRule(rule) => Key::Rule(rule.rule_id.clone()),
            Self::DeleteAlertRule(r) => Key::Rule(r.rule_id.clone()),
            Self::CreateSilence(silence) => Key::Silence(silence.id.clone()),
            Self::SaveInhibitRule(rule) => Key::Inhibition(rule.id.clone()),
            Self::DeleteInhibitRule(r) => Key::Inhibition(r.id.clone()),
        }
    }
}

/// What a command about a rule looks at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleView {
    pub rule: Option<Held<StoredRule>>,
    pub root: Option<Held<Root>>,
    /// Whether the tenant has as many rules as it may.
    pub full: bool,
}

/// What a command about a silence or an inhibition rule looks at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NoteView {
    pub stored: Option<Stored>,
    pub full: bool,
}

pub fn selectors(rule: &AlertRule) -> Vec<Selector> {
    rule.condition.reads().into_iter().map(|r| r.selector).collect()
}

/// The bucket's part of a saved rule: the definitions that it reads exist from the next window on (A28).
pub fn bucket(stored: Option<&Stored>, command: &Command, n: u16, buckets: u16, at: Moment) -> Result<Decision, Halt> {
    let Command::SaveAlertRule(rule) = command else { return Ok(Decision::because("no-definitions")) };
    let wanted = source::definitions(&selectors(rule), buckets).remove(&n).unwrap_or_default();
    Ok(match with_definitions(stored, &wanted, at)? {
        Some(write) => Decision::because("definitions-added").write(write),
        None => Decision::because("definitions-exist"),
    })
}

pub fn rule(view: &RuleView, command: &Command, at: Timestamp) -> Decision {
    match command {
        Command::SaveAlertRule(rule) => saved(view, rule, at),
        Command::DeleteAlertRule(r) => deleted(view, &r.rule_id, at),
        _ => Decision::because("not-for-this-unit"),
    }
}

fn saved(view: &RuleView, rule: &AlertRule, at: Timestamp) -> Decision {
    if let Err(why) = rule.check() {
        return no("invalid-rule", 400, "invalid", &why);
    }
    if view.rule.is_none() && view.full {
        return no("too-many-rules", 409, "precondition_failed", &format!("a tenant has at most {RULES_MAX} rules"));
    }
    let old = view.rule.as_ref().map(|h| &h.body);
    let version = old.map_or(1, |o| o.rule.version.saturating_add(1));
    let stored = StoredRule { rule: AlertRule { version, ..rule.clone() }, deleted: false };
    let due = next_slot(view, &stored, at);
    let mut root = view.root.as_ref().map_or_else(|| Root::of(&rule.rule_id), |h| h.body.clone());
    if view.root.as_ref().is_none_or(|h| h.due.is_none()) {
        root = Root { pace: Pace::default(), ..Root::of(&rule.rule_id) };
    }
    let body = json!({"ruleId": rule.rule_id, "version": version, "nextSlot": due});
    Decision::because("rule-saved")
        .write(save(root.document(due), view.root.as_ref()))
        .write(save(stored.document(), view.rule.as_ref()))
        .answer(if old.is_some() { 200 } else { 201 }, &body)
}

/// A slot that is due stays so, also for a rule that ends with it; on another grid the next one counts from the last
/// that was evaluated. A rule that is not evaluated yet begins after the command.
fn next_slot(view: &RuleView, rule: &StoredRule, at: Timestamp) -> Option<Timestamp> {
    let new = grid(&rule.rule);
    match (&view.root, &view.rule) {
        (Some(Held { due: Some(due), body, .. }), Some(old)) => {
            let kept = grid(&old.body.rule) == new;
            Some(if kept { *due } else { new.after(body.pace.last_slot.unwrap_or(at)) })
        }
        (root, _) => rule.is_live().then(|| new.after(root.as_ref().map_or(at, |h| h.body.pace.resumes(at)))),
    }
}

/// The rule is gone with its next slot, which clears what is raised (SPEC 5.3.4(8)).
fn deleted(view: &RuleView, id: &str, at: Timestamp) -> Decision {
    let Some(held) = view.rule.as_ref().filter(|h| !h.body.deleted) else {
        return no("no-such-rule", 404, "not_found", &format!("there is no alert rule `{id}`"));
    };
    let stored = StoredRule { deleted: true, ..held.body.clone() };
    let root = view.root.as_ref().map_or_else(|| Root::of(id), |h| h.body.clone());
    let from = view.root.as_ref().map_or(at, |h| h.body.pace.resumes(at));
    let due = view.root.as_ref().and_then(|h| h.due).unwrap_or_else(|| grid(&stored.rule).after(from));
    Decision::because("rule-deleted")
        .write(save(root.document(Some(due)), view.root.as_ref()))
        .write(save(stored.document(), Some(held)))
        .answer(200, &json!({"ruleId": id, "lastSlot": due}))
}

pub fn note(view: &NoteView, command: &Command) -> Decision {
    let etag = view.stored.as_ref().map(|s| s.etag.clone());
    let (checked, document, id) = match command {
        Command::CreateSilence(s) => (s.check(), documents::silence_document(s), &s.id),
        Command::SaveInhibitRule(r) => (r.check(), documents::inhibition_document(r), &r.id),
        Command::DeleteInhibitRule(r) => {
            let Some(stored) = &view.stored else {
                return no("no-such-inhibition", 404, "not_found", &format!("there is no inhibition rule `{}`", r.id));
            };
            let delete = Write::Delete(stored.document.id.clone(), stored.etag.clone());
            return Decision::because("deleted").write(delete).answer(200, &json!({"id": r.id}));
        }
        _ => return Decision::because("not-for-this-unit"),
    };
    if let Err(why) = checked {
        return no("invalid", 400, "invalid", &why);
    }
    if etag.is_none() && view.full {
        return no("too-many", 409, "precondition_failed", &format!("a tenant has at most {NOTES_MAX} of these"));
    }
    let status = if etag.is_none() { 201 } else { 200 };
    Decision::because("saved").write(Write::Save(document, etag)).answer(status, &json!({"id": id}))
}

fn no(reason: &'static str, status: u16, kind: &str, detail: &str) -> Decision {
    Decision::because(reason).answer(status, &json!({"errorKind": kind, "detail": detail}))
}
