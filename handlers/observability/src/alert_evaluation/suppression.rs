//! Silences and inhibition (SPEC 5.3.4(6)): state still advances, events carry the mark.

use super::{instance::Instance, rule::AlertRule};
use crate::{
    events::SuppressedBy,
    metric_aggregation::{
        Matcher,
        selector::{Test, compile_matchers},
    },
    series::{Grid, condition::check_matchers},
};
use opsloop_kernel::{LabelSet, Refusal, Timestamp, ident::is_user_id};
use serde::{Deserialize, Serialize};

const EQUAL_LABELS_MAX: usize = 20;
const TEXT_BYTES_MAX: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Silence {
    /// Empty in a command: derived from it.
    #[serde(default)]
    pub id: String,
    pub matchers: Vec<Matcher>,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    #[serde(default)]
    pub author: String,
    #[serde(default)]
    pub comment: String,
}

impl Silence {
    pub fn check(&self) -> Result<(), String> {
        if !is_user_id(&self.id) {
            return Err("`id` is no id".into());
        }
        if self.matchers.is_empty() || self.starts_at >= self.ends_at {
            return Err("a silence has matchers and ends after it starts".into());
        }
        if self.author.len() + self.comment.len() > TEXT_BYTES_MAX {
            return Err(format!("author and comment are beyond {TEXT_BYTES_MAX} bytes"));
        }
        check_matchers(&self.matchers)
    }
    pub fn is_active_at(&self, at: Timestamp) -> bool {
        self.starts_at <= at && at < self.ends_at
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InhibitRule {
    #[serde(default)]
    pub id: String,
    pub source_matchers: Vec<Matcher>,
    pub target_matchers: Vec<Matcher>,
    #[serde(default)]
    pub equal: Vec<String>,
}

impl InhibitRule {
    pub fn check(&self) -> Result<(), String> {
        if !is_user_id(&self.id) {
            return Err("`id` is no id".into());
        }
        if self.source_matchers.is_empty() || self.target_matchers.is_empty() || self.equal.len() > EQUAL_LABELS_MAX {
            return Err(format!("matchers on both sides, and at most {EQUAL_LABELS_MAX} labels in `equal`"));
        }
        check_matchers(&self.source_matchers)?;
        check_matchers(&self.target_matchers)
    }
}

/// An inhibition rule with the instances that count as its sources in one slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inhibitor {
    pub rule: InhibitRule,
    pub sources: Vec<Source>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    pub rule_id: String,
    pub fingerprint: String,
    pub labels: LabelSet,
}

/// What matchers see: labels of rule and instance, and `ruleId`, `severity`, `alertname`.
pub fn visible(rule: &AlertRule, labels: &LabelSet) -> LabelSet {
    let mut all = rule.labelled(labels);
    let severity = serde_json::to_value(rule.severity).ok().and_then(|v| v.as_str().map(str::to_owned));
    all.0.insert("ruleId".into(), rule.rule_id.clone());
    all.0.insert("severity".into(), severity.unwrap_or_default());
    all.0.insert("alertname".into(), rule.name.clone());
    all
}

/// The sources of an inhibition rule at the slot `at` of a target: raised at their newest slot before it.
pub fn sources<'a>(
    inhibit: &InhibitRule,
    all: impl Iterator<Item = (&'a AlertRule, &'a Instance)>,
    at: Timestamp,
) -> Result<Vec<Source>, Refusal> {
    let tests = compile_matchers(&inhibit.source_matchers)?;
    let mut out = vec![];
    for (rule, instance) in all {
        let slot = Grid::of(&rule.rule_id, rule.cadence_ms, rule.spread).before(at);
        let labels = visible(rule, &instance.labels);
        if instance.was_raised_at(slot) && holds(&tests, &labels) {
            out.push(Source { rule_id: rule.rule_id.clone(), fingerprint: instance.fingerprint.clone(), labels });
        }
    }
    Ok(out)
}

fn holds(tests: &[Test], labels: &LabelSet) -> bool {
    tests.iter().all(|t| t.holds(labels))
}

/// All that may suppress in one slot, ready to be asked.
pub struct Suppression {
    silences: Vec<(String, Vec<Test>)>,
    inhibitors: Vec<(Inhibitor, Vec<Test>)>,
}

impl Suppression {
    pub fn at(silences: &[Silence], inhibitors: &[Inhibitor], at: Timestamp) -> Result<Self, Refusal> {
        let mut out = Self { silences: vec![], inhibitors: vec![] };
        for s in silences.iter().filter(|s| s.is_active_at(at)) {
            out.silences.push((s.id.clone(), compile_matchers(&s.matchers)?));
        }
        for i in inhibitors.iter().filter(|i| !i.sources.is_empty()) {
            out.inhibitors.push((i.clone(), compile_matchers(&i.rule.target_matchers)?));
        }
        Ok(out)
    }

    /// The first silence by id, otherwise the first inhibition by id. Nothing inhibits itself.
    pub fn of(&self, rule: &AlertRule, instance: &Instance) -> Option<SuppressedBy> {
        if self.silences.is_empty() && self.inhibitors.is_empty() {
            return None;
        }
        let labels = visible(rule, &instance.labels);
        let silence = self.silences.iter().filter(|s| holds(&s.1, &labels)).map(|s| &s.0).min();
        if let Some(id) = silence {
            return Some(SuppressedBy { kind: "silence".into(), id: id.clone() });
        }
        let inhibits = |i: &Inhibitor| {
            i.sources.iter().any(|s| {
                let itself = s.rule_id == rule.rule_id && s.fingerprint == instance.fingerprint;
                !itself && i.rule.equal.iter().all(|l| s.labels.get(l) == labels.get(l))
            })
        };
        let inhibitor = self.inhibitors.iter().filter(|(i, tests)| holds(tests, &labels) && inhibits(i));
        let id = inhibitor.map(|(i, _)| &i.rule.id).min()?;
        Some(SuppressedBy { kind: "inhibition".into(), id: id.clone() })
    }
}
