//! Documents of the stream `rules` (SPEC 3.13, 5.3.1, 5.3.5): `rule|<id>`, `slots|<id>` (the root of a rule's slots),
//! `instances|<id>|<n>`, `silence|<id>`, `inhibit|<id>`.

use super::{
    instance::Instance,
    rule::AlertRule,
    suppression::{InhibitRule, Silence},
};
use crate::series::{Held, Pace, Seen, held::save};
use opsloop_kernel::{Container, DocId, Document, Stream, Timestamp, Write, ids::percent};
use serde::{Deserialize, Serialize};

/// The worker's name: whose due documents the roots are.
pub const WORKER: &str = "AlertEvaluationWorker";
/// Instances of one document (A17).
pub const INSTANCES_PER_DOCUMENT: usize = 200;
/// Documents of one rule's instances: the resolved ones are kept beside at most 1,000 that are not.
pub const CHUNKS_MAX: usize = 20;
/// A silence is kept this long after its end: slots of the last hour may still be evaluated.
const SILENCE_KEPT_MS: i64 = 24 * 3_600_000;

pub const RULES: &str = "rule|";
pub const ROOTS: &str = "slots|";
pub const INSTANCES: &str = "instances|";
pub const SILENCES: &str = "silence|";
pub const INHIBITIONS: &str = "inhibit|";

pub fn stream() -> Stream {
    Stream::new(Container::State, "rules")
}
pub fn rule_id(id: &str) -> DocId {
    format!("{RULES}{}", percent(id)).into()
}
pub fn root_id(id: &str) -> DocId {
    format!("{ROOTS}{}", percent(id)).into()
}
pub fn silence_id(id: &str) -> DocId {
    format!("{SILENCES}{}", percent(id)).into()
}
pub fn inhibition_id(id: &str) -> DocId {
    format!("{INHIBITIONS}{}", percent(id)).into()
}
pub fn chunk_prefix(id: &str) -> String {
    format!("{INSTANCES}{}|", percent(id))
}
fn chunk_id(id: &str, n: usize) -> DocId {
    format!("{}{n:04}", chunk_prefix(id)).into()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredRule {
    #[serde(flatten)]
    pub rule: AlertRule,
    /// Its next slot is the last one.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub deleted: bool,
}
impl StoredRule {
    pub fn is_live(&self) -> bool {
        self.rule.enabled && !self.deleted
    }
    pub fn document(&self) -> Document {
        Document::new(rule_id(&self.rule.rule_id), "rule", self)
    }
}

/// The root of a rule's slots; its `due` is the next slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Root {
    pub rule_id: String,
    #[serde(flatten)]
    pub pace: Pace,
    /// Of the condition that the instances belong to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub condition_hash: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub seen: Seen,
}
impl Root {
    pub fn of(rule_id: &str) -> Self {
        Self { rule_id: rule_id.to_owned(), pace: Pace::default(), condition_hash: None, seen: vec![] }
    }
    pub fn document(&self, due: Option<Timestamp>) -> Document {
        let document = Document::new(root_id(&self.rule_id), "slots", self);
        match due {
            Some(at) => document.due(WORKER, at),
            None => document,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chunk {
    pub rule_id: String,
    pub instances: Vec<Instance>,
}

/// A document of instances as it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldChunk {
    pub id: DocId,
    #[serde(flatten)]
    pub held: Held<Chunk>,
}

/// Lays instances out in documents, by fingerprint; only those that change are written, those too many deleted.
pub fn laid_out(rule_id: &str, chunks: &[HeldChunk], mut instances: Vec<Instance>) -> Vec<Write> {
    instances.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
    let wanted = instances
        .chunks(INSTANCES_PER_DOCUMENT)
        .enumerate()
        .map(|(n, part)| (chunk_id(rule_id, n), Chunk { rule_id: rule_id.to_owned(), instances: part.to_vec() }));
    let mut writes = vec![];
    let mut kept = vec![];
    for (id, chunk) in wanted {
        let old = chunks.iter().find(|c| c.id == id);
        if old.is_none_or(|o| o.held.body != chunk) {
            writes.push(save(Document::new(id.clone(), "instances", &chunk), old.map(|o| &o.held)));
        }
        kept.push(id);
    }
    let left = chunks.iter().filter(|c| !kept.contains(&c.id));
    writes.extend(left.map(|c| Write::Delete(c.id.clone(), c.held.etag.clone())));
    writes
}

pub fn silence_document(silence: &Silence) -> Document {
    let kept = silence.ends_at.plus_millis(SILENCE_KEPT_MS);
    Document::new(silence_id(&silence.id), "silence", silence).expires(kept)
}

pub fn inhibition_document(rule: &InhibitRule) -> Document {
    Document::new(inhibition_id(&rule.id), "inhibit", rule)
}
