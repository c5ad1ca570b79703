//! The condition of a rule (SPEC 5.3.2): its shape, its defaults, what it reads, and what is refused when it is saved.

use crate::metric_aggregation::{
    Aggregation, MatchOp, Matcher, Selector,
    points::kept_ms,
    selector::{MATCHERS_MAX, compile_matchers},
    types::SIZES,
};
use opsloop_kernel::window::{DAY_MS, MINUTE_MS, stale_after};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Selectors of one condition: each is a listing per slot.
const LEAVES_MAX: usize = 16;
const DEPTH_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    Gt,
    Ge,
    Lt,
    Le,
    Eq,
    Ne,
}
impl Op {
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Gt => value > threshold,
            Self::Ge => value >= threshold,
            Self::Lt => value < threshold,
            Self::Le => value <= threshold,
            Self::Eq => value == threshold,
            Self::Ne => value != threshold,
        }
    }
    pub fn name(self) -> &'static str {
        match self {
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
            Self::Eq => "eq",
            Self::Ne => "ne",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reducer {
    #[default]
    Last,
    Avg,
    Min,
    Max,
    Sum,
    /// The sum over the seconds of the range.
    Rate,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Condition {
    Threshold(Threshold),
    Ratio(Ratio),
    Absence(Absence),
    Change(Change),
    All { conditions: Vec<Condition> },
    Any { conditions: Vec<Condition> },
}

/// How the windows of a selector become one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Look {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub aggregation: Option<Aggregation>,
    #[serde(default = "a_minute")]
    pub window_ms: i64,
    #[serde(default = "a_minute")]
    pub range_ms: i64,
    #[serde(default)]
    pub reducer: Reducer,
}
impl Look {
    /// The range, at least the newest window.
    pub fn span_ms(&self) -> i64 {
        self.range_ms.max(self.window_ms)
    }
}
impl Default for Look {
    fn default() -> Self {
        Self { aggregation: None, window_ms: a_minute(), range_ms: a_minute(), reducer: Reducer::Last }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Threshold {
    pub selector: Selector,
    #[serde(flatten)]
    pub look: Look,
    pub op: Op,
    pub threshold: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recovery_threshold: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ratio {
    pub numerator: Selector,
    pub denominator: Selector,
    #[serde(flatten)]
    pub look: Look,
    pub min_denominator: f64,
    pub op: Op,
    pub threshold: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Absence {
    pub selector: Selector,
    #[serde(flatten)]
    pub look: Look,
    pub for_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    pub selector: Selector,
    #[serde(flatten)]
    pub look: Look,
    pub offset_ms: i64,
    pub op: Op,
    pub percent: f64,
}

fn a_minute() -> i64 {
    MINUTE_MS
}

/// What a value is made of, once the groups of a window are combined.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Want {
    Of(Aggregation),
    /// Sum of counters, count of histograms, last of gauges: the default of Ratio.
    Amount,
    /// Rate of counters, count of histograms, last of gauges: the default of Absence and Change.
    Pace,
    /// Sum of counters, count of histograms: the events of an SLO.
    Events,
    /// How many values of a histogram are at or below so many milliseconds.
    AtMost {
        threshold_ms: f64,
    },
}

/// One selector of a condition with the windows it is read in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Read {
    pub selector: Selector,
    pub want: Want,
    pub size_ms: i64,
    pub span_ms: i64,
    pub offset_ms: i64,
}

impl Condition {
    /// The selectors in the order of the text; `judge` takes its values in the same order.
    pub fn reads(&self) -> Vec<Read> {
        let read = |selector: &Selector, look: &Look, default: Want, offset_ms: i64| Read {
            selector: selector.clone(),
            want: look.aggregation.map_or(default, Want::Of),
            size_ms: look.window_ms,
            span_ms: look.span_ms(),
            offset_ms,
        };
        match self {
            Self::Threshold(c) => vec![read(&c.selector, &c.look, Want::Pace, 0)],
            Self::Ratio(c) => {
                vec![read(&c.numerator, &c.look, Want::Amount, 0), read(&c.denominator, &c.look, Want::Amount, 0)]
            }
            Self::Absence(c) => vec![read(&c.selector, &c.look, Want::Pace, 0)],
            Self::Change(c) => vec![read(&c.selector, &c.look, Want::Pace, c.offset_ms)],
            Self::All { conditions } | Self::Any { conditions } => conditions.iter().flat_map(Self::reads).collect(),
        }
    }

    /// `w` of SPEC 5.3.4(4): the largest window of the condition.
    pub fn window_ms(&self) -> i64 {
        self.reads().iter().map(|r| r.size_ms).max().unwrap_or(MINUTE_MS)
    }

    pub fn stale_after_ms(&self) -> i64 {
        i64::try_from(stale_after(self.window_ms()).as_millis()).unwrap_or(i64::MAX)
    }

    pub fn has_absence(&self) -> bool {
        match self {
            Self::Absence(_) => true,
            Self::All { conditions } | Self::Any { conditions } => conditions.iter().any(Self::has_absence),
            _ => false,
        }
    }

    /// The labels that all selectors group by.
    pub fn group_by(&self) -> BTreeSet<String> {
        self.reads().into_iter().flat_map(|r| r.selector.group_by).collect()
    }

    pub fn check(&self) -> Result<(), String> {
        self.check_shape(0)?;
        let reads = self.reads();
        if reads.is_empty() || reads.len() > LEAVES_MAX {
            return Err(format!("a condition has 1 to {LEAVES_MAX} selectors"));
        }
        let group_by = self.group_by();
        for read in &reads {
            read.check()?;
            // Label sets are matched one to one, so all selectors must have the same.
            if read.selector.group_by.iter().cloned().collect::<BTreeSet<_>>() != group_by {
                return Err("all selectors of a condition group by the same labels".into());
            }
        }
        Ok(())
    }

    fn check_shape(&self, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("conditions are nested at most {DEPTH_MAX} deep"));
        }
        match self {
            Self::Threshold(c) => c.check(),
            Self::Ratio(c) if c.threshold.is_finite() && c.min_denominator >= 0.0 => Ok(()),
            Self::Ratio(_) => Err("`minDenominator` is not below 0, `threshold` is a number".into()),
            Self::Absence(c) if c.for_ms >= 0 && c.for_ms <= DAY_MS => Ok(()),
            Self::Absence(_) => Err("`forMs` of an absence is 0 to a day".into()),
            Self::Change(c) if c.offset_ms > 0 && c.percent.is_finite() => Ok(()),
            Self::Change(_) => Err("`offsetMs` is above 0, `percent` is a number".into()),
            Self::All { conditions } | Self::Any { conditions } if conditions.is_empty() => {
                Err("all and any of nothing say nothing".into())
            }
            Self::All { conditions } | Self::Any { conditions } => {
                conditions.iter().try_for_each(|p| p.check_shape(depth + 1))
            }
        }
    }
}

impl Threshold {
    fn check(&self) -> Result<(), String> {
        if self.look.aggregation.is_none() {
            return Err("`aggregation` is missing".into());
        }
        let Some(recovery) = self.recovery_threshold else { return finite(self.threshold) };
        finite(self.threshold)?;
        finite(recovery)?;
        let (t, r) = (self.threshold, recovery);
        match self.op {
            Op::Gt | Op::Ge if r <= t => Ok(()),
            Op::Lt | Op::Le if r >= t => Ok(()),
            _ => Err("`recoveryThreshold` lies on the quiet side of `threshold`, which gt, ge, lt and le have".into()),
        }
    }
}

fn finite(x: f64) -> Result<(), String> {
    if x.is_finite() { Ok(()) } else { Err("a threshold is a number".into()) }
}

impl Read {
    fn check(&self) -> Result<(), String> {
        check_selector(&self.selector)?;
        if !SIZES.contains(&self.size_ms) {
            return Err("`windowMs` is 60000, 300000 or 3600000".into());
        }
        if self.want == Want::Of(Aggregation::Histogram) {
            return Err("`histogram` is no number".into());
        }
        let kept = kept_ms(self.size_ms);
        if self.span_ms <= 0 || self.offset_ms.saturating_add(self.span_ms) > kept {
            let days = kept / DAY_MS;
            return Err(format!(
                "`{}` is read further back than its points are kept: {days} d",
                self.selector.metric_name
            ));
        }
        Ok(())
    }
}

/// Refuses matchers that can never be applied. An expression must stand alone too: `a)|(b` would slip out of the group
/// that anchors it.
pub fn check_matchers(matchers: &[Matcher]) -> Result<(), String> {
    if matchers.len() > MATCHERS_MAX || matchers.iter().any(|m| m.label.is_empty()) {
        return Err(format!("at most {MATCHERS_MAX} matchers, each with a label"));
    }
    compile_matchers(matchers).map_err(|refusal| refusal.to_string())?;
    let expressions = matchers.iter().filter(|m| matches!(m.op, MatchOp::Like | MatchOp::NotLike));
    for m in expressions {
        regex::Regex::new(&m.value).map_err(|_| format!("`{}` is not a regular expression", m.value))?;
    }
    Ok(())
}

pub fn check_selector(selector: &Selector) -> Result<(), String> {
    selector.compile().map_err(|refusal| refusal.to_string())?;
    check_matchers(&selector.matchers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: serde_json::Value) -> Condition {
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn optional_fields_have_the_defaults_of_the_table() {
        let c = parse(json!({"type": "Ratio",
            "numerator": {"metricName": "errors"}, "denominator": {"metricName": "requests"},
            "minDenominator": 10, "op": "gt", "threshold": 0.05}));
        let reads = c.reads();
        assert_eq!((reads[0].want, reads[1].size_ms, reads[1].span_ms), (Want::Amount, 60_000, 60_000));
        let c = parse(json!({"type": "Absence", "selector": {"metricName": "m"}, "forMs": 600_000}));
        assert_eq!(c.reads()[0].want, Want::Pace);
        assert!(c.check().is_ok());
    }

    #[test]
    fn what_reads_further_back_than_points_are_kept_is_refused() {
        let change = |window: i64, offset: i64| {
            parse(json!({"type": "Change", "selector": {"metricName": "m"}, "windowMs": window,
                "offsetMs": offset, "op": "gt", "percent": 50}))
        };
        assert!(change(60_000, 7 * DAY_MS).check().is_ok());
        assert!(change(60_000, 8 * DAY_MS).check().is_err());
        assert!(change(300_000, 8 * DAY_MS).check().is_ok());
        assert!(change(120_000, DAY_MS).check().is_err());
    }

    #[test]
    fn conditions_that_cannot_mean_anything_are_refused() {
        let threshold = |op: &str, recovery: f64| {
            parse(json!({"type": "Threshold", "selector": {"metricName": "m"}, "aggregation": "p99", "op": op,
                "threshold": 80, "recoveryThreshold": recovery}))
        };
        assert!(threshold("gt", 70.0).check().is_ok());
        assert!(threshold("gt", 90.0).check().is_err());
        assert!(threshold("lt", 90.0).check().is_ok());
        assert!(threshold("eq", 80.0).check().is_err());
        assert!(parse(json!({"type": "All", "conditions": []})).check().is_err());
        let by =
            |label: &str| json!({"type": "Absence", "selector": {"metricName": "m", "groupBy": [label]}, "forMs": 0});
        let any = |parts: [serde_json::Value; 2]| parse(json!({"type": "Any", "conditions": parts}));
        assert!(any([by("moduleId"), by("moduleId")]).check().is_ok());
        assert!(any([by("moduleId"), by("status")]).check().is_err());
        let matching = |value: &str| {
            let matcher = json!({"label": "status", "op": "=~", "value": value});
            parse(json!({"type": "Absence", "selector": {"metricName": "m", "matchers": [matcher]}, "forMs": 0}))
        };
        assert!(matching("5..").check().is_ok());
        assert!(matching("2)|(5").check().is_err());
    }
}
