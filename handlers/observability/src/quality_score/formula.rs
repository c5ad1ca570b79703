//! Formula 1 (SPEC 5.8.3): what the items, incidents and budgets of a window make of a project. Pure arithmetic; the
//! sums are taken in one order, so that the same inputs give the same bytes (I3).

use crate::events::{FeedbackCategory, FeedbackItem, Severity};
use opsloop_kernel::{Mutant, Timestamp, mutant, window::DAY_MS};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub const FORMULA_VERSION: u32 = 1;
/// An item loses half its weight in this time.
const HALF_LIFE_DAYS: f64 = 7.0;
/// Older items, exactly, are ignored.
pub const LOOKBACK: Duration = Duration::from_secs(30 * 24 * 3600);
/// A penalty of this much leaves 1/e of a score.
const SCALE: f64 = 20.0;
/// Praise counts half.
const PRAISE: f64 = 0.5;
const BUDGET_SHARE: f64 = 0.4;
/// How many inputs make the confidence 1 − 1/e.
const CONFIDENCE_SCALE: f64 = 10.0;
/// The worst ones are kept: the event has to fit its envelope (SPEC 4.1).
pub const ARTIFACTS_MAX: usize = 500;

/// They sum to 1 (I4).
pub const WEIGHTS: [(FeedbackCategory, f64); 5] = [
    (FeedbackCategory::Reliability, 0.30),
    (FeedbackCategory::Correctness, 0.25),
    (FeedbackCategory::Performance, 0.20),
    (FeedbackCategory::Maintainability, 0.15),
    (FeedbackCategory::Cost, 0.10),
];

/// What the formula needs of a feedback item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    pub id: String,
    pub category: FeedbackCategory,
    pub severity: Severity,
    pub sentiment: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub artifact_id: Option<String>,
    /// That of the attribution.
    pub confidence: f64,
    pub created_at: Timestamp,
    #[serde(default)]
    pub withdrawn: bool,
}

impl Item {
    pub fn of(item: &FeedbackItem) -> Self {
        Self {
            id: item.feedback_item_id.clone(),
            category: item.category,
            severity: item.severity,
            sentiment: item.sentiment.score,
            artifact_id: item.artifact_id.clone(),
            confidence: item.attribution.confidence,
            created_at: item.created_at,
            withdrawn: item.withdrawn.is_some(),
        }
    }
    /// Not withdrawn, not after the window, not more than 30 days before its end.
    fn counts_at(&self, end: Timestamp) -> bool {
        let is_out = self.withdrawn && !mutant::is(Mutant::WithdrawnItemCounts);
        !is_out && self.created_at <= end && end.minus(LOOKBACK) <= self.created_at
    }
    fn weight_at(&self, end: Timestamp) -> f64 {
        let age_days = end.millis_since(self.created_at).div_euclid(DAY_MS);
        importance(self.severity) * self.sentiment.abs() * (-(age_days as f64) / HALF_LIFE_DAYS).exp2()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    pub items: Vec<Item>,
    /// The severities of the incidents that are not resolved.
    pub incidents: Vec<Severity>,
    /// The budget that each SLO has left.
    pub budgets: Vec<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InputCounts {
    pub feedback: u64,
    pub open_incidents: u64,
    pub slos: u64,
}
impl InputCounts {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dimension {
    pub score: f64,
    pub weight: f64,
    /// On how many inputs it rests.
    pub evidence: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactScore {
    pub artifact_id: String,
    pub score: f64,
    pub evidence: u64,
    /// Against the window before, where that has the artifact.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delta: Option<f64>,
}

/// What the formula says of a window; every number is rounded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scored {
    pub overall: f64,
    pub dimensions: BTreeMap<FeedbackCategory, Dimension>,
    pub artifact_scores: Vec<ArtifactScore>,
    pub confidence: f64,
    pub inputs: InputCounts,
}

/// The score of a project at the end of a window.
pub fn score(inputs: &Inputs, end: Timestamp) -> Scored {
    let mut items: Vec<&Item> = inputs.items.iter().filter(|i| i.counts_at(end)).collect();
    items.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    let used = InputCounts {
        feedback: items.len() as u64,
        open_incidents: inputs.incidents.len() as u64,
        slos: inputs.budgets.len() as u64,
    };
    let exact = scores_of(&items, end, |_| 1.0, &inputs.incidents, &inputs.budgets);
    Scored {
        overall: round2(weighted(&exact)),
        dimensions: dimensions_of(&exact, &items, &used),
        artifact_scores: artifacts_of(&items, end),
        confidence: round2(1.0 - (-((used.feedback + used.slos) as f64) / CONFIDENCE_SCALE).exp()),
        inputs: used,
    }
}

/// Results have two decimals, ties to even.
pub fn round2(x: f64) -> f64 {
    (x * 100.0).round_ties_even() / 100.0
}

/// S of SPEC 5.8.3.
fn importance(severity: Severity) -> f64 {
    match severity {
        Severity::Critical => 10.0,
        Severity::High => 5.0,
        Severity::Warning => 2.0,
        Severity::Info => 1.0,
    }
}

/// The unrounded score of each category, in the order of `WEIGHTS`.
fn scores_of(
    items: &[&Item],
    end: Timestamp,
    trust: impl Fn(&Item) -> f64,
    incidents: &[Severity],
    budgets: &[f64],
) -> [f64; 5] {
    WEIGHTS.map(|(category, _)| {
        let mut blame = 0.0;
        let mut praise = 0.0;
        for item in items.iter().filter(|i| i.category == category) {
            let weight = item.weight_at(end) * trust(item);
            if item.sentiment < 0.0 {
                blame += weight;
            } else {
                praise += weight;
            }
        }
        let mut penalty = (blame - PRAISE * praise).max(0.0);
        if category != FeedbackCategory::Reliability {
            return after_penalty(penalty);
        }
        penalty += incidents.iter().map(|s| importance(*s)).sum::<f64>();
        with_budgets(after_penalty(penalty), budgets)
    })
}

fn after_penalty(penalty: f64) -> f64 {
    100.0 * (-penalty / SCALE).exp()
}

/// Reliability where there are SLOs: also what they have left of their budgets.
fn with_budgets(score: f64, budgets: &[f64]) -> f64 {
    if budgets.is_empty() {
        return score;
    }
    let mean = budgets.iter().map(|b| b.clamp(0.0, 1.0)).sum::<f64>() / budgets.len() as f64;
    (1.0 - BUDGET_SHARE) * score + BUDGET_SHARE * 100.0 * mean
}

fn weighted(scores: &[f64; 5]) -> f64 {
    WEIGHTS.iter().zip(scores).map(|((_, weight), score)| weight * score).sum::<f64>().clamp(0.0, 100.0)
}

fn dimensions_of(exact: &[f64; 5], items: &[&Item], used: &InputCounts) -> BTreeMap<FeedbackCategory, Dimension> {
    let mut dimensions = BTreeMap::new();
    for ((category, weight), score) in WEIGHTS.iter().zip(exact) {
        let mut evidence = items.iter().filter(|i| i.category == *category).count() as u64;
        if *category == FeedbackCategory::Reliability {
            evidence += used.open_incidents + used.slos;
        }
        dimensions.insert(*category, Dimension { score: round2(*score), weight: *weight, evidence });
    }
    dimensions
}

/// The same over the items of one artifact, each as far as its attribution is sure; no incident, no SLO. By artifact
/// id; beyond the limit the worst remain.
fn artifacts_of(items: &[&Item], end: Timestamp) -> Vec<ArtifactScore> {
    let names: BTreeSet<&str> = items.iter().filter_map(|i| i.artifact_id.as_deref()).collect();
    let mut scores: Vec<ArtifactScore> = vec![];
    for name in names {
        let own: Vec<&Item> = items.iter().copied().filter(|i| i.artifact_id.as_deref() == Some(name)).collect();
        let exact = scores_of(&own, end, |i| i.confidence, &[], &[]);
        scores.push(ArtifactScore {
            artifact_id: name.to_owned(),
            score: round2(weighted(&exact)),
            evidence: own.len() as u64,
            delta: None,
        });
    }
    if scores.len() > ARTIFACTS_MAX {
        scores.sort_by(|a, b| a.score.total_cmp(&b.score).then_with(|| a.artifact_id.cmp(&b.artifact_id)));
        scores.truncate(ARTIFACTS_MAX);
        scores.sort_by(|a, b| a.artifact_id.cmp(&b.artifact_id));
    }
    scores
}

#[cfg(test)]
#[path = "formula_tests.rs"]
mod tests;
