//! Commands (SPEC 14.2): an SLO with its definitions and first slot, and its end.

use super::{
    Key,
    documents::{Root, StoredSlo},
    slo::SloDefinition,
    slot::GRID,
};
use crate::{
    metric_aggregation::with_definitions,
    quality_score,
    series::{Held, held::save, source},
};
use opsloop_kernel::{Decision, Envelope, Halt, Moment, Refusal, Stored, Timestamp, ids::derived_id};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub const SAVE: &str = "SaveSlo";
pub const DELETE: &str = "DeleteSlo";
pub const KINDS: &[&str] = &[SAVE, DELETE];

/// SLOs of one tenant.
pub const SLOS_MAX: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    SaveSlo(Box<SloDefinition>),
    DeleteSlo(SloRef),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SloRef {
    pub slo_id: String,
}

impl Command {
    /// `None`: a kind that is not ours. What has no id gets one that is derived from the command.
    pub fn read(envelope: &Envelope) -> Result<Option<Self>, Refusal> {
        match envelope.event_type.as_str() {
            SAVE => {
                let mut slo: SloDefinition = envelope.read()?;
                if slo.slo_id.is_empty() {
                    slo.slo_id = derived_id("slo", "slo", &envelope.tenant_id, [envelope.event_id.as_str()]);
                }
                slo.project_id = slo.project_id.or_else(|| envelope.project_id.clone());
                Ok(Some(Self::SaveSlo(Box::new(slo))))
            }
            DELETE => Ok(Some(Self::DeleteSlo(envelope.read()?))),
            _ => Ok(None),
        }
    }

    pub fn key(&self) -> Key {
        match self {
            Self::SaveSlo(slo) => Key::Slo(slo.slo_id.clone()),
            Self::DeleteSlo(r) => Key::Slo(r.slo_id.clone()),
        }
    }
}

/// What a command looks at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SloView {
    pub slo: Option<Held<StoredSlo>>,
    pub root: Option<Held<Root>>,
    /// Whether the tenant has as many SLOs as it may.
    pub full: bool,
}

/// The bucket's part of a saved SLO: the definitions that it reads exist from the next window on (A28).
pub fn bucket(stored: Option<&Stored>, command: &Command, n: u16, buckets: u16, at: Moment) -> Result<Decision, Halt> {
    let Command::SaveSlo(slo) = command else { return Ok(Decision::because("no-definitions")) };
    let wanted = source::definitions(&slo.sli.selectors(), buckets).remove(&n).unwrap_or_default();
    Ok(match with_definitions(stored, &wanted, at)? {
        Some(write) => Decision::because("definitions-added").write(write),
        None => Decision::because("definitions-exist"),
    })
}

pub fn slo(view: &SloView, command: &Command, at: Timestamp) -> Decision {
    match command {
        Command::SaveSlo(slo) => saved(view, slo, at),
        Command::DeleteSlo(r) => deleted(view, &r.slo_id, at),
    }
}

/// A slot that is due stays so, also for an SLO that ends with it; one that is not evaluated begins after the command.
fn saved(view: &SloView, slo: &SloDefinition, at: Timestamp) -> Decision {
    if let Err(why) = slo.check() {
        return no("invalid-slo", 400, "invalid", &why);
    }
    if view.slo.is_none() && view.full {
        return no("too-many-slos", 409, "precondition_failed", &format!("a tenant has at most {SLOS_MAX} SLOs"));
    }
    let old = view.slo.as_ref().map(|h| &h.body);
    let version = old.map_or(1, |o| o.slo.version.saturating_add(1));
    let stored = StoredSlo { slo: SloDefinition { version, ..slo.clone() }, deleted: false };
    let running = view.root.as_ref().filter(|h| h.due.is_some());
    let from = view.root.as_ref().map_or(at, |h| h.body.pace.resumes(at));
    let due = running.and_then(|h| h.due).or_else(|| stored.is_live().then(|| GRID.after(from)));
    let root = running.map_or_else(|| Root::of(&slo.slo_id), |h| h.body.clone());
    let body = json!({"sloId": slo.slo_id, "version": version, "nextSlot": due});
    let decision = Decision::because("slo-saved")
        .write(save(root.document(due), view.root.as_ref()))
        .write(save(stored.document(), view.slo.as_ref()))
        .answer(if old.is_some() { 200 } else { 201 }, &body);
    // No event tells quality of an SLO that is well.
    match &slo.project_id {
        Some(project) => decision.write(quality_score::notice(project, at)),
        None => decision,
    }
}

/// The SLO is gone with its next slot, which closes its episodes (SPEC 5.4.6).
fn deleted(view: &SloView, id: &str, at: Timestamp) -> Decision {
    let Some(held) = view.slo.as_ref().filter(|h| !h.body.deleted) else {
        return no("no-such-slo", 404, "not_found", &format!("there is no SLO `{id}`"));
    };
    let stored = StoredSlo { deleted: true, ..held.body.clone() };
    let root = view.root.as_ref().map_or_else(|| Root::of(id), |h| h.body.clone());
    let from = view.root.as_ref().map_or(at, |h| h.body.pace.resumes(at));
    let due = view.root.as_ref().and_then(|h| h.due).unwrap_or_else(|| GRID.after(from));
    Decision::because("slo-deleted")
        .write(save(root.document(Some(due)), view.root.as_ref()))
        .write(save(stored.document(), Some(held)))
        .answer(200, &json!({"sloId": id, "lastSlot": due}))
}

fn no(reason: &'static str, status: u16, kind: &str, detail: &str) -> Decision {
    Decision::because(reason).answer(status, &json!({"errorKind": kind, "detail": detail}))
}
