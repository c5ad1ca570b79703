//! What rules, SLOs and queries name series by (SPEC 5.3.2), and which definition they are read from.

use super::{
    bucket::{DEFAULT_GROUP_BY, sorted},
    combine,
    points::{GroupPoint, WindowPoints},
    types::{MetricPoint, SeriesKind},
};
use opsloop_kernel::{LabelSet, Refusal};
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A selector is small: these bound what one request may cost.
pub const MATCHERS_MAX: usize = 32;
pub const LABELS_MAX: usize = 32;
const EXPRESSION_BYTES_MAX: usize = 1_000;
const EXPRESSION_COMPILED_MAX: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MatchOp {
    #[serde(rename = "=")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
    #[serde(rename = "=~")]
    Like,
    #[serde(rename = "!~")]
    NotLike,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Matcher {
    pub label: String,
    pub op: MatchOp,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    pub metric_name: String,
    #[serde(default)]
    pub matchers: Vec<Matcher>,
    #[serde(default)]
    pub group_by: Vec<String>,
}

impl Selector {
    /// The groupBy of the definition that is read, in byte order: `None` is the default one, which does if it has all
    /// labels of the matchers and the groupBy.
    pub fn definition(&self) -> Option<Vec<String>> {
        let labels: Vec<String> = self.group_by.iter().chain(self.matchers.iter().map(|m| &m.label)).cloned().collect();
        let labels = sorted(&labels);
        (!labels.iter().all(|l| DEFAULT_GROUP_BY.contains(&l.as_str()))).then_some(labels)
    }

    /// Refuses what can never be read: no metric, too many parts, an expression that is none.
    pub fn compile(&self) -> Result<Compiled, Refusal> {
        if self.metric_name.is_empty() {
            return Err(Refusal::payload("a selector needs a metricName"));
        }
        if self.matchers.len() > MATCHERS_MAX || self.group_by.len() > LABELS_MAX {
            return Err(Refusal::payload(format!("at most {MATCHERS_MAX} matchers and {LABELS_MAX} labels")));
        }
        let tests = compile_matchers(&self.matchers)?;
        Ok(Compiled { definition: self.definition(), tests, group_by: sorted(&self.group_by) })
    }
}

/// Matchers on any label set, compiled once: also those of silences and inhibition rules.
pub fn compile_matchers(matchers: &[Matcher]) -> Result<Vec<Test>, Refusal> {
    matchers.iter().map(Test::of).collect()
}

/// One matcher, ready to be applied; expressions are anchored at both ends.
#[derive(Clone, Debug)]
pub struct Test {
    label: String,
    negated: bool,
    value: Value,
}
#[derive(Clone, Debug)]
enum Value {
    Text(String),
    Expression(Regex),
}

impl Test {
    fn of(matcher: &Matcher) -> Result<Self, Refusal> {
        let value = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => Value::Text(matcher.value.clone()),
            MatchOp::Like | MatchOp::NotLike => Value::Expression(expression(&matcher.value)?),
        };
        let negated = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotLike);
        Ok(Self { label: matcher.label.clone(), negated, value })
    }
    /// An absent label is the empty string.
    pub fn holds(&self, labels: &LabelSet) -> bool {
        let actual = labels.get(&self.label);
        let equal = match &self.value {
            Value::Text(text) => actual == text,
            Value::Expression(expression) => expression.is_match(actual),
        };
        equal != self.negated
    }
}

fn expression(text: &str) -> Result<Regex, Refusal> {
    if text.len() > EXPRESSION_BYTES_MAX {
        let (what, size) = ("an expression", text.len());
        return Err(Refusal::TooLarge { what, size, limit: EXPRESSION_BYTES_MAX });
    }
    // Alone first: `a)|(b` would close the anchoring group and slip out of it.
    compiled(text, text)?;
    compiled(&format!("^(?s:{text})$"), text)
}

fn compiled(expression: &str, shown: &str) -> Result<regex::Regex, Refusal> {
    let mut builder = regex::RegexBuilder::new(expression);
    builder.size_limit(EXPRESSION_COMPILED_MAX).build().map_err(|e| Refusal::payload(format!("`{shown}`: {e}")))
}

/// A selector that can be applied to points.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The groupBy of the definition that is read; `None` is the default one.
    pub definition: Option<Vec<String>>,
    tests: Vec<Test>,
    group_by: Vec<String>,
}

/// One label set of a selector with its points, in the order of their windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub labels: LabelSet,
    pub kind: SeriesKind,
    pub unit: String,
    pub points: Vec<MetricPoint>,
}

impl Compiled {
    /// Whether a stored point is one that this selector reads.
    pub fn reads(&self, group: &GroupPoint) -> bool {
        group.id.group_by == self.definition && self.tests.iter().all(|t| t.holds(&group.id.group_key))
    }

    /// The selector's series in these windows: of two kinds the first by bytes; groups that differ only in labels
    /// outside its groupBy are combined like streams, in the order of their keys (SPEC 5.3.2).
    pub fn series(&self, windows: &[WindowPoints]) -> Vec<Series> {
        let read = || windows.iter().flat_map(|w| &w.groups).filter(|g| self.reads(g));
        let Some(kind) = read().map(|g| g.id.kind).min() else { return vec![] };
        let mut found: BTreeMap<LabelSet, Series> = BTreeMap::new();
        for window in windows {
            let mut together: BTreeMap<LabelSet, Vec<&GroupPoint>> = BTreeMap::new();
            for group in window.groups.iter().filter(|g| g.id.kind == kind && self.reads(g)) {
                together.entry(self.labels(&group.id.group_key)).or_default().push(group);
            }
            for (labels, mut groups) in together {
                groups.sort_by_cached_key(|g| g.id.group_key.canonical());
                let unit = groups.iter().map(|g| g.unit.as_str()).min().unwrap_or_default().to_owned();
                let series = found.entry(labels.clone()).or_insert(Series { labels, kind, unit, points: vec![] });
                series.points.push(combine::like_streams(kind, window.window, &groups));
            }
        }
        found.into_values().collect()
    }

    fn labels(&self, group_key: &LabelSet) -> LabelSet {
        let kept = self.group_by.iter().filter_map(|l| group_key.0.get_key_value(l));
        kept.map(|(k, v)| (k.clone(), v.clone())).collect()
    }
}
