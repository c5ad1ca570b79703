//! SLO definitions (SPEC 5.4.2): their form, their burn rules, and what is refused when one is saved.

use crate::{
    events::Severity,
    metric_aggregation::{Aggregation, Selector, types::SIZES},
    series::{Condition, Read, Want, condition::check_selector, number::rounded, source::ungrouped},
};
use opsloop_kernel::{
    ident::{is_slug, is_user_id},
    json::content_hash,
    window::{DAY_MS, HOUR_MS, MINUTE_MS},
};
use serde::{Deserialize, Serialize};

/// The name that the budget has in keys; no rule may have it.
pub const BUDGET: &str = "budget";
const RULES_MAX: usize = 10;
const NAME_CHARS_MAX: usize = 200;
const BREACHES_MAX: u32 = 20;
/// The longest month: an explicit rule must be one that can be met in it.
const MONTH_DAYS_MAX: i64 = 31;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SloDefinition {
    /// Empty in a command: derived from it.
    #[serde(default)]
    pub slo_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    pub name: String,
    pub objective: f64,
    pub period: Period,
    pub sli: Sli,
    /// None: those of the table.
    #[serde(default)]
    pub rules: Vec<BurnRule>,
    #[serde(default = "min_events")]
    pub min_events: f64,
    #[serde(default = "min_bad_events")]
    pub min_bad_events: f64,
    #[serde(default)]
    pub repeated_breach: RepeatedBreach,
    /// Counted by the platform; what a command says is ignored.
    #[serde(default)]
    pub version: u32,
    #[serde(default = "yes")]
    pub enabled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Period {
    Rolling { days: u32 },
    CalendarMonth,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Sli {
    RequestRatio {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        good: Option<Selector>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        bad: Option<Selector>,
        total: Selector,
    },
    LatencyRatio {
        histogram: Selector,
        threshold_ms: f64,
    },
    /// The share of windows in which the condition holds: it describes a good one.
    WindowRatio {
        condition: Condition,
        #[serde(default = "a_minute")]
        window_ms: i64,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BurnRule {
    pub name: String,
    pub long_ms: i64,
    pub short_ms: i64,
    /// Without it the factor follows from the share of the budget and the period.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub factor: Option<f64>,
    pub severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub budget_fraction: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepeatedBreach {
    pub count: u32,
    pub within_days: u32,
}
impl Default for RepeatedBreach {
    fn default() -> Self {
        Self { count: 3, within_days: 7 }
    }
}

/// A burn rule with its factor for a period. One that can never be met is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Factored {
    pub rule: BurnRule,
    pub factor: f64,
    pub omitted: bool,
}

fn yes() -> bool {
    true
}
fn min_events() -> f64 {
    100.0
}
fn min_bad_events() -> f64 {
    3.0
}
fn a_minute() -> i64 {
    MINUTE_MS
}

/// The rules of the table (SPEC 5.4.2).
fn default_rules() -> Vec<BurnRule> {
    let rule = |name: &str, long_ms, short_ms, severity, fraction| BurnRule {
        name: name.to_owned(),
        long_ms,
        short_ms,
        factor: None,
        severity,
        budget_fraction: Some(fraction),
    };
    vec![
        rule("fast", HOUR_MS, 5 * MINUTE_MS, Severity::Critical, 0.02),
        rule("slow", 6 * HOUR_MS, 30 * MINUTE_MS, Severity::High, 0.05),
        rule("ticket", 3 * DAY_MS, 6 * HOUR_MS, Severity::Warning, 0.10),
    ]
}

impl BurnRule {
    fn factor_over(&self, period_ms: i64) -> f64 {
        let share = self.budget_fraction.unwrap_or(0.0);
        rounded(self.factor.unwrap_or(share * period_ms as f64 / self.long_ms.max(1) as f64))
    }
}

impl SloDefinition {
    /// The most severe first (SPEC 5.4.4(5)); those of the table where the SLO names none.
    pub fn factored(&self, period_ms: i64) -> Vec<Factored> {
        let mut rules = if self.rules.is_empty() { default_rules() } else { self.rules.clone() };
        rules.sort_by_key(|r| std::cmp::Reverse(r.severity));
        let most = rounded(1.0 / (1.0 - self.objective));
        let factored = |rule: BurnRule| {
            let factor = rule.factor_over(period_ms);
            Factored { omitted: factor >= most, factor, rule }
        };
        rules.into_iter().map(factored).collect()
    }

    /// What restarts the SLO when it changes (SPEC 5.4.6).
    pub fn definition_hash(&self) -> String {
        content_hash(&serde_json::json!({"objective": self.objective, "period": self.period, "sli": self.sli}))
    }

    pub fn check(&self) -> Result<(), String> {
        self.check_names()?;
        if !(self.objective > 0.0 && self.objective < 1.0) {
            return Err("`objective` lies between 0 and 1".into());
        }
        if let Period::Rolling { days } = self.period
            && !matches!(days, 7 | 28 | 30 | 90)
        {
            return Err("`days` is 7, 28, 30 or 90".into());
        }
        let repeated = self.repeated_breach;
        if repeated.count == 0 || repeated.count > BREACHES_MAX || !(1..=90).contains(&repeated.within_days) {
            return Err(format!("`repeatedBreach` is 1 to {BREACHES_MAX} within 1 to 90 days"));
        }
        if !(self.min_events >= 0.0 && self.min_bad_events >= 0.0) {
            return Err("`minEvents` and `minBadEvents` are not below 0".into());
        }
        self.sli.check()?;
        self.check_rules()
    }

    fn check_names(&self) -> Result<(), String> {
        if !is_user_id(&self.slo_id) {
            return Err("`sloId` is no id".into());
        }
        if self.name.is_empty() || self.name.chars().count() > NAME_CHARS_MAX {
            return Err(format!("`name` has 1 to {NAME_CHARS_MAX} characters"));
        }
        let slugs = [("projectId", &self.project_id), ("moduleId", &self.module_id)];
        if let Some((name, _)) = slugs.iter().find(|(_, v)| v.as_ref().is_some_and(|v| !is_slug(v))) {
            return Err(format!("`{name}` is no id"));
        }
        if self.project_id.is_none() {
            return Err("`projectId` is missing".into());
        }
        match self.environment.as_deref() {
            None | Some("dev" | "test" | "staging" | "prod") => Ok(()),
            Some(_) => Err("`environment` is dev, test, staging or prod".into()),
        }
    }

    fn check_rules(&self) -> Result<(), String> {
        let period_ms = self.period.longest_ms();
        if self.rules.len() > RULES_MAX {
            return Err(format!("an SLO has at most {RULES_MAX} rules"));
        }
        for (n, rule) in self.rules.iter().enumerate() {
            rule.check(period_ms)?;
            if self.rules.iter().take(n).any(|r| r.name == rule.name) {
                return Err(format!("two rules are called `{}`", rule.name));
            }
        }
        let explicit = if self.rules.is_empty() { vec![] } else { self.factored(period_ms) };
        match explicit.iter().find(|f| f.omitted) {
            Some(f) => Err(format!("the rule `{}` can never be met: its factor is {}", f.rule.name, f.factor)),
            None => Ok(()),
        }
    }
}

impl BurnRule {
    fn check(&self, period_ms: i64) -> Result<(), String> {
        if !is_user_id(&self.name) || self.name == BUDGET {
            return Err(format!("`{}` is no name of a rule", self.name));
        }
        let minutes = self.long_ms % MINUTE_MS == 0 && self.short_ms % MINUTE_MS == 0;
        if !minutes || self.short_ms < MINUTE_MS || self.long_ms < self.short_ms || self.long_ms > period_ms {
            return Err(format!(
                "`{}`: whole minutes, the short window in the long one, that in the period",
                self.name
            ));
        }
        let share = self.budget_fraction.filter(|f| *f > 0.0 && *f <= 1.0);
        let factor = self.factor.filter(|f| f.is_finite() && *f > 0.0);
        if factor.is_none() && (share.is_none() || self.factor.is_some()) {
            return Err(format!("`{}` has a factor above 0, or a budgetFraction up to 1", self.name));
        }
        Ok(())
    }
}

impl Period {
    fn longest_ms(self) -> i64 {
        match self {
            Self::Rolling { days } => i64::from(days) * DAY_MS,
            Self::CalendarMonth => MONTH_DAYS_MAX * DAY_MS,
        }
    }
}

impl Sli {
    /// What is read per window: of the ratios bad (or good) and total, of a condition its selectors.
    pub fn reads(&self) -> Vec<Read> {
        let read = |s: &Selector, want| Read {
            selector: ungrouped(s),
            want,
            size_ms: MINUTE_MS,
            span_ms: MINUTE_MS,
            offset_ms: 0,
        };
        match self {
            Self::RequestRatio { good, bad, total } => {
                let part = good.iter().chain(bad).map(|s| read(s, Want::Events));
                part.chain([read(total, Want::Events)]).collect()
            }
            Self::LatencyRatio { histogram, threshold_ms } => vec![
                read(histogram, Want::AtMost { threshold_ms: *threshold_ms }),
                read(histogram, Want::Of(Aggregation::Count)),
            ],
            Self::WindowRatio { condition, .. } => condition.reads(),
        }
    }

    /// The size of the windows that are counted.
    pub fn step_ms(&self) -> i64 {
        match self {
            Self::WindowRatio { window_ms, .. } => *window_ms,
            _ => MINUTE_MS,
        }
    }

    pub fn selectors(&self) -> Vec<Selector> {
        match self {
            Self::RequestRatio { good, bad, total } => good.iter().chain(bad).chain([total]).cloned().collect(),
            Self::LatencyRatio { histogram, .. } => vec![histogram.clone()],
            Self::WindowRatio { condition, .. } => condition.reads().into_iter().map(|r| r.selector).collect(),
        }
    }

    fn check(&self) -> Result<(), String> {
        self.selectors().iter().try_for_each(check_selector)?;
        match self {
            Self::RequestRatio { good, bad, .. } if good.is_some() == bad.is_some() => {
                Err("a RequestRatio has `good` or `bad`, and `total`".into())
            }
            Self::LatencyRatio { threshold_ms, .. } if !(*threshold_ms > 0.0 && threshold_ms.is_finite()) => {
                Err("`thresholdMs` is above 0".into())
            }
            Self::WindowRatio { condition, window_ms } => {
                condition.check()?;
                if condition.has_absence() {
                    return Err("a window without data is neither good nor bad: no Absence here".into());
                }
                if !SIZES.contains(window_ms) || condition.window_ms() > *window_ms {
                    return Err("`windowMs` is 60000, 300000 or 3600000, not below those of the condition".into());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "slo_tests.rs"]
pub(crate) mod tests;
