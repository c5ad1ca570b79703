//! The item and the documents around it: the stream `feedback/<projectId>`, without a project `feedback/-` (SPEC
//! 5.7.2, 5.7.5). An item's id begins with its instant, so that quality reads thirty days as one range (A48); that
//! there is one per (source, sourceId) its root sees to.

use super::attribution::Attributed;
use crate::events::{FeedbackCategory, FeedbackItem, FeedbackSource, Ref, Sentiment, Severity, kind};
use opsloop_kernel::{
    About, Bears, Container, DocId, Document, ETag, Fact, Stored, Stream, TenantId, Timestamp, TraceId,
    ids::{KeyParts, derived_id, key, padded, percent},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

pub const EVIDENCE_MAX: usize = 20;
const TITLE_CHARS_MAX: usize = 200;
const SUMMARY_CHARS_MAX: usize = 4_000;

/// Where the items of a project lie.
pub fn stream(project: Option<&str>) -> Stream {
    Stream::new(Container::State, format!("feedback/{}", project.map_or_else(|| "-".to_owned(), percent)))
}

/// Ids of the documents; user text is percent-encoded (A51).
pub mod doc {
    use super::{DocId, FeedbackSource, Timestamp, name, padded, percent};

    pub const ITEMS: &str = "item|";

    pub fn item(created_at: Timestamp, feedback_item_id: &str) -> DocId {
        DocId(format!("{}{feedback_item_id}", items_from(created_at)))
    }
    /// Before all items of that instant and later.
    pub fn items_from(created_at: Timestamp) -> String {
        format!("{ITEMS}{}|", padded(created_at))
    }
    /// The root: of an incident, an anomaly, a command; of a signal that of its day.
    pub fn root(source: FeedbackSource, source_id: &str) -> DocId {
        DocId(format!("source|{}|{}", name(source), percent(source_id)))
    }
}

pub fn name(source: FeedbackSource) -> &'static str {
    match source {
        FeedbackSource::Incident => "incident",
        FeedbackSource::RuntimeSignal => "runtime_signal",
        FeedbackSource::CostAnomaly => "cost_anomaly",
        FeedbackSource::Human => "human",
        FeedbackSource::Agent => "agent",
    }
}

/// A document as it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held<T> {
    pub body: T,
    pub etag: ETag,
    /// Its wish to be looked at, when it was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub due: Option<Timestamp>,
}
impl<T: DeserializeOwned> Held<T> {
    pub fn of(stored: &Stored) -> Result<Self, opsloop_kernel::Refusal> {
        let due = stored.document.due.as_ref().map(|d| d.at);
        Ok(Self { body: stored.read()?, etag: stored.etag.clone(), due })
    }
}

/// The root of an incident, an anomaly or a command: that its item exists, and what the anomaly said last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Root {
    pub item: DocId,
    pub revision: u32,
}

/// What an item says before it is known who caused it.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub source: FeedbackSource,
    pub source_id: String,
    pub project_id: Option<String>,
    pub module_id: Option<String>,
    pub trace_id: TraceId,
    pub category: FeedbackCategory,
    pub severity: Severity,
    pub sentiment: Sentiment,
    pub title: String,
    pub summary: String,
    pub evidence: Vec<Ref>,
    /// Agent and skill where the winning artifact's record does not name them (SPEC 5.7.3(4)).
    pub dimensions: BTreeMap<String, String>,
}

impl Draft {
    pub fn item(self, tenant: &TenantId, attributed: Attributed, created_at: Timestamp) -> FeedbackItem {
        let dimension = |name: &str| self.dimensions.get(name).cloned();
        let artifact = attributed.artifact.as_ref();
        FeedbackItem {
            feedback_item_id: feedback_item_id(tenant, self.source, &self.source_id),
            artifact_id: artifact.map(|a| a.artifact_id.clone()),
            agent_id: artifact.and_then(|a| a.agent_id.clone()).or_else(|| dimension("agentId")),
            skill_id: artifact.and_then(|a| a.skill_id.clone()).or_else(|| dimension("skillId")),
            project_id: self.project_id,
            module_id: self.module_id,
            trace_id: self.trace_id,
            source: self.source,
            source_id: self.source_id,
            category: self.category,
            sentiment: self.sentiment,
            severity: self.severity,
            title: cut(&self.title, TITLE_CHARS_MAX),
            summary: cut(&self.summary, SUMMARY_CHARS_MAX),
            evidence: self.evidence.into_iter().take(EVIDENCE_MAX).collect(),
            attribution: attributed.attribution,
            created_at: created_at.floor_millis(),
            withdrawn: None,
        }
    }
}

/// Derived from (source, sourceId), so that a replay makes the same item.
pub fn feedback_item_id(tenant: &TenantId, source: FeedbackSource, source_id: &str) -> String {
    derived_id("fb", "fb", tenant, [key("feedback", tenant, [name(source), source_id])])
}

pub fn document(item: &FeedbackItem) -> Document {
    Document::new(doc::item(item.created_at, &item.feedback_item_id), "feedback-item", item)
}

/// `FeedbackItemCreated`: when the item is made, and again when `withdrawn` changes.
pub fn created(tenant: &TenantId, item: &FeedbackItem, revision: u32, at: Timestamp, context: Bears) -> Fact {
    let dimensions = [("artifactId", &item.artifact_id), ("agentId", &item.agent_id), ("skillId", &item.skill_id)]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
    let partition = item.artifact_id.as_ref().or(item.project_id.as_ref());
    Fact {
        kind: kind::FEEDBACK_ITEM_CREATED,
        key: KeyParts::new("feedback", tenant, [name(item.source), &item.source_id]),
        revision,
        occurred_at: at,
        context,
        about: About {
            subject: format!("FeedbackItem/{}", item.feedback_item_id),
            partition_key: partition.map_or_else(|| "-".to_owned(), Clone::clone),
            project: item.project_id.clone(),
            module: item.module_id.clone(),
            dimensions: dimensions.collect(),
            ..About::default()
        },
        payload: opsloop_kernel::Body::of(item),
    }
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}
