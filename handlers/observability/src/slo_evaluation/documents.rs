//! Documents of the stream `slos` (SPEC 3.13, 5.4): `slo|<id>`, `slots|<id>` (the root, due at the next slot),
//! `hours|<id>` (settled hours), `status|<id>|<minute>`.

use super::{
    burn::{Active, Breach},
    cells::Hours,
    slo::SloDefinition,
};
use crate::series::Pace;
use opsloop_kernel::{
    Container, DocId, Document, Freshness, Stream, Timestamp,
    ids::{padded, percent},
    window::DAY_MS,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The worker's name: whose due documents the roots are.
pub const WORKER: &str = "SloEvaluation";
/// A status is kept this long.
const STATUS_KEPT_MS: i64 = 8 * DAY_MS;

pub const SLOS: &str = "slo|";
pub const ROOTS: &str = "slots|";

pub fn stream() -> Stream {
    Stream::new(Container::State, "slos")
}
pub fn slo_id(id: &str) -> DocId {
    format!("{SLOS}{}", percent(id)).into()
}
pub fn root_id(id: &str) -> DocId {
    format!("{ROOTS}{}", percent(id)).into()
}
pub fn hours_id(id: &str) -> DocId {
    format!("hours|{}", percent(id)).into()
}
pub fn status_prefix(id: &str) -> String {
    format!("status|{}|", percent(id))
}
pub fn status_id(id: &str, minute: Timestamp) -> DocId {
    format!("{}{}", status_prefix(id), padded(minute)).into()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredSlo {
    #[serde(flatten)]
    pub slo: SloDefinition,
    /// Its next slot is the last one.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub deleted: bool,
}
impl StoredSlo {
    pub fn is_live(&self) -> bool {
        self.slo.enabled && !self.deleted
    }
    pub fn document(&self) -> Document {
        Document::new(slo_id(&self.slo.slo_id), "slo", self)
    }
}

/// The root of an SLO's slots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Root {
    pub slo_id: String,
    #[serde(flatten)]
    pub pace: Pace,
    /// Of objective, SLI and period that the state belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub definition_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_evaluated_at: Option<Timestamp>,
    #[serde(default)]
    pub active: Vec<Active>,
    /// Since when the budget is exhausted: its episode.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exhausted_since: Option<Timestamp>,
    #[serde(default)]
    pub breaches: Vec<Breach>,
    /// As last evaluated: what a clear that waits for no window says.
    #[serde(default = "whole")]
    pub remaining: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_fresh_at: Option<Timestamp>,
}

fn whole() -> f64 {
    1.0
}

impl Root {
    pub fn of(slo_id: &str) -> Self {
        Self {
            slo_id: slo_id.to_owned(),
            pace: Pace::default(),
            definition_hash: None,
            first_evaluated_at: None,
            active: vec![],
            exhausted_since: None,
            breaches: vec![],
            remaining: whole(),
            last_fresh_at: None,
        }
    }
    pub fn document(&self, due: Option<Timestamp>) -> Document {
        let document = Document::new(root_id(&self.slo_id), "slots", self);
        match due {
            Some(at) => document.due(WORKER, at),
            None => document,
        }
    }
}

pub fn hours_document(slo_id: &str, hours: &Hours) -> Document {
    Document::new(hours_id(slo_id), "hours", hours)
}

/// What an SLO was at one minute (SPEC 5.4.3). Budgets are events: `budgetTotal` may be bad, `budgetConsumed` are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SloStatus {
    pub slo_id: String,
    pub as_of: Timestamp,
    /// The slot.
    pub minute: Timestamp,
    pub good_events: f64,
    pub total_events: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sli_value: Option<f64>,
    pub budget_total: f64,
    pub budget_consumed: f64,
    pub budget_remaining: f64,
    pub burn_rates: BTreeMap<String, BurnRates>,
    pub active_rules: Vec<ActiveRule>,
    pub omitted_rules: Vec<String>,
    pub exhausted: bool,
    pub insufficient_data: bool,
    pub first_evaluated_at: Timestamp,
    pub freshness: Freshness,
    /// The newest minute up to this one whose status rests on fresh data.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_fresh_at: Option<Timestamp>,
    pub revision: u32,
}
impl SloStatus {
    pub fn document(&self) -> Document {
        let expires = self.minute.plus_millis(STATUS_KEPT_MS);
        Document::new(status_id(&self.slo_id, self.minute), "status", self).expires(expires)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BurnRates {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub long: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub short: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveRule {
    pub name: String,
    pub since: Timestamp,
    pub episode_id: String,
}
impl ActiveRule {
    pub fn of(active: &Active) -> Self {
        let episode_id = active.since.millis().to_string();
        Self { name: active.name.clone(), since: active.since, episode_id }
    }
}
