//! A score as it is stored and announced (SPEC 5.8.2, 9.1). Its document is the ledger of its window too.

use super::{
    formula::{ArtifactScore, Dimension, FORMULA_VERSION, InputCounts, Scored, round2},
    windows::Window,
};
use crate::events::{FeedbackCategory, kind};
use opsloop_kernel::{
    About, Bears, Body, DocId, Document, Fact, Freshness, TenantId, Timestamp,
    ids::{KeyParts, derived_id, padded},
    json::content_hash,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// As long as the hourly points of metrics.
const KEPT: Duration = Duration::from_secs(400 * 24 * 3600);

/// Payload of `QualityScoreComputed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announced {
    pub quality_score_id: String,
    pub window_start: Timestamp,
    pub window_size_ms: i64,
    pub overall: f64,
    pub dimensions: BTreeMap<FeedbackCategory, Dimension>,
    pub artifact_scores: Vec<ArtifactScore>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous_overall: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delta: Option<f64>,
    pub confidence: f64,
    pub inputs: InputCounts,
    pub formula_version: u32,
    pub revision: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QualityScore {
    pub tenant_id: TenantId,
    pub project_id: String,
    #[serde(flatten)]
    pub announced: Announced,
    pub freshness: Freshness,
    pub content_hash: String,
    pub computed_at: Timestamp,
}

/// The ledger of a window (SPEC 3.8).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub score: Option<QualityScore>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Done,
    /// Beyond the catch-up of 24 h.
    Skipped,
}
impl Ledger {
    pub fn document(&self, window: &Window) -> Document {
        Document::new(id(window), "quality-score", self).expires(window.end.plus(KEPT))
    }
}

pub fn id(window: &Window) -> DocId {
    DocId(format!("{}{}", prefix(window.size_ms), padded(window.start)))
}
pub fn prefix(size_ms: i64) -> String {
    format!("score|{size_ms}|")
}

/// Whose score, of which window.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    pub tenant: &'a TenantId,
    pub project: &'a str,
    pub window: &'a Window,
}

impl Of<'_> {
    fn key_parts(&self) -> KeyParts {
        let (size, start) = (self.window.size_ms.to_string(), self.window.start.millis().to_string());
        KeyParts::new("quality", self.tenant, [self.project, &size, &start])
    }

    /// What the formula said, beside the window before; without a revision yet.
    pub fn score(
        &self,
        scored: Scored,
        before: Option<&QualityScore>,
        freshness: Freshness,
        at: Timestamp,
    ) -> QualityScore {
        let previous = before.map(|b| b.announced.overall);
        let announced = Announced {
            quality_score_id: derived_id("qs", "qs", self.tenant, [self.key_parts().key()]),
            window_start: self.window.start,
            window_size_ms: self.window.size_ms,
            overall: scored.overall,
            dimensions: scored.dimensions,
            artifact_scores: with_deltas(scored.artifact_scores, before),
            previous_overall: previous,
            delta: previous.map(|p| round2(scored.overall - p)),
            confidence: scored.confidence,
            inputs: scored.inputs,
            formula_version: FORMULA_VERSION,
            revision: 0,
        };
        let mut score = QualityScore {
            tenant_id: self.tenant.clone(),
            project_id: self.project.to_owned(),
            announced,
            freshness,
            content_hash: String::new(),
            computed_at: at,
        };
        score.content_hash = content_hash(&score);
        score
    }

    pub fn computed(&self, score: &QualityScore, at: Timestamp) -> Fact {
        let scope = format!("{}|{}", self.project, self.window.size_ms);
        Fact {
            kind: kind::QUALITY_SCORE_COMPUTED,
            key: self.key_parts(),
            revision: score.announced.revision,
            occurred_at: at,
            context: Bears::Slot { scope, slot: self.window.start },
            about: About {
                subject: format!("QualityScore/{}", score.announced.quality_score_id),
                partition_key: self.project.to_owned(),
                project: Some(self.project.to_owned()),
                freshness: Some(score.freshness.clone()),
                ..About::default()
            },
            payload: Body::of(&score.announced),
        }
    }
}

/// Of the rounded values, where the window before has the artifact.
fn with_deltas(scores: Vec<ArtifactScore>, before: Option<&QualityScore>) -> Vec<ArtifactScore> {
    let known = before.map_or(&[][..], |b| &b.announced.artifact_scores);
    let was: BTreeMap<&str, f64> = known.iter().map(|a| (a.artifact_id.as_str(), a.score)).collect();
    let delta = |a: &ArtifactScore| was.get(a.artifact_id.as_str()).map(|p| round2(a.score - p));
    scores.into_iter().map(|a| ArtifactScore { delta: delta(&a), ..a }).collect()
}
