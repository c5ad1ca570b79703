//! One label set of a rule: pending, firing, recovering, inactive (SPEC 5.3.4(3), (4), (7)).
//!
//! The rule easily broken: missing or stale data never resolves (SPEC 3.11). What was not seen leaves an instance as it
//! is; the one exception is a rule with `noDataPolicy: ok`.

use super::rule::{AlertRule, NoDataPolicy};
use crate::{
    events::{ClearReason, SuppressedBy},
    series::{Op, Reading, Verdict},
};
use opsloop_kernel::{Freshness, LabelSet, Mutant, Timestamp, ids::digest, mutant, window::stale_after};
use serde::{Deserialize, Serialize};

/// A resolved instance is shown for this long.
pub const RESOLVED_KEPT_MS: i64 = 15 * 60_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Inactive,
    Pending,
    Firing,
    Recovering,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    pub fingerprint: String,
    /// Those of the selector, without those of the rule.
    pub labels: LabelSet,
    pub state: State,
    pub active_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fired_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keep_firing_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolved_at: Option<Timestamp>,
    pub value: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operator: Option<Op>,
    /// The slot of the last trigger or repeat.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub announced_at: Option<Timestamp>,
    pub freshness: Freshness,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suppressed_by: Option<SuppressedBy>,
    /// Raised because the rule has no data at all; `forMs` does not apply to it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub no_data: bool,
    /// Nothing was heard of it: a pending one that is heard of again starts anew.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub unheard: bool,
    /// The episode before this one, as (fired, resolved): inhibition may still ask about its slots.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub earlier: Option<(Timestamp, Timestamp)>,
}

impl Instance {
    pub fn episode_id(&self) -> String {
        self.active_at.millis().to_string()
    }
    pub fn is_raised(&self) -> bool {
        matches!(self.state, State::Firing | State::Recovering)
    }
    /// Whether it was firing or recovering after its slot at `slot` (SPEC 5.3.4(6)).
    pub fn was_raised_at(&self, slot: Timestamp) -> bool {
        let current = self.fired_at.is_some_and(|f| f <= slot && self.resolved_at.is_none_or(|r| r > slot));
        current || self.earlier.is_some_and(|(fired, resolved)| fired <= slot && resolved > slot)
    }
}

/// First 16 hex digits of SHA-256 of the rule and the labels that are the instance's own.
pub fn fingerprint(rule_id: &str, labels: &LabelSet) -> String {
    digest([rule_id, &labels.canonical()]).chars().take(16).collect()
}

/// What a step announces. The instance is as it was at that point.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Triggered { repeat: bool },
    Resolved { episode: Episode, reason: ClearReason },
}

/// What a clear says of the episode that ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    pub active_at: Timestamp,
    pub fired_at: Timestamp,
    pub value: f64,
}
impl Episode {
    pub fn of(instance: &Instance) -> Self {
        let active_at = instance.active_at;
        Self { active_at, fired_at: instance.fired_at.unwrap_or(active_at), value: instance.value }
    }
}

/// What an instance's slot is judged by.
#[derive(Clone, Copy)]
pub struct Slot<'a> {
    pub at: Timestamp,
    pub rule: &'a AlertRule,
    pub reading: &'a Reading,
}

/// What the windows say of a label set in this slot.
#[derive(Clone, Copy, PartialEq)]
enum Says {
    True,
    False,
    /// False, but on input too old to let anything recover.
    StaleFalse,
    /// Nothing new for so long that nothing follows from it.
    Nothing,
    /// The same, and `noDataPolicy: ok` lets silence resolve.
    Silent,
}

impl Slot<'_> {
    fn stale_after_ms(&self) -> i64 {
        self.rule.condition.stale_after_ms()
    }

    pub fn freshness(&self, as_of: Timestamp) -> Freshness {
        Freshness::at(self.at, as_of, stale_after(self.rule.condition.window_ms()), self.reading.lagging)
    }

    fn says(&self, verdict: Option<&Verdict>) -> Says {
        let limit = self.rule.no_data_ms();
        // Silence is known only as far as the windows are (A21); not yet computed is not "no data".
        let silent = verdict.is_none_or(|v| self.reading.known_until.millis_since(v.evidence) >= limit);
        let unheard = verdict.is_none_or(|v| self.at.millis_since(v.evidence) >= limit);
        match verdict {
            _ if silent && self.rule.no_data_policy == NoDataPolicy::Ok => Says::Silent,
            Some(v) if !unheard && v.truth => Says::True,
            Some(v) if !unheard && self.is_fresh(v) => Says::False,
            Some(_) if !unheard => Says::StaleFalse,
            _ => Says::Nothing,
        }
    }

    fn is_fresh(&self, v: &Verdict) -> bool {
        let heard = self.at.millis_since(v.evidence) <= self.stale_after_ms();
        (heard && !self.reading.lagging) || mutant::is(Mutant::RecoveryOnStaleData)
    }
}

/// One slot of one label set: what becomes of its instance, and what is announced, in this order.
pub fn step(
    had: Option<Instance>,
    labels: &LabelSet,
    verdict: Option<&Verdict>,
    slot: &Slot<'_>,
) -> (Option<Instance>, Vec<Change>) {
    let says = slot.says(verdict);
    let Some(had) = had else { return begun(None, labels, verdict, says, slot) };
    if had.state == State::Inactive {
        let over = had.resolved_at.is_none_or(|r| slot.at.millis_since(r) >= RESOLVED_KEPT_MS);
        if says == Says::True {
            return begun(Some(had), labels, verdict, says, slot);
        }
        return ((!over).then_some(had), vec![]);
    }
    let (mut instance, mut changes) = lengthened(had, slot);
    if let Some(v) = verdict {
        instance.value = v.value;
        instance.threshold = v.threshold;
        instance.operator = v.op;
    }
    instance.freshness = slot.freshness(verdict.map_or(instance.freshness.as_of, |v| v.as_of));
    let instance = match instance.state {
        State::Pending => pending(instance, says, slot, &mut changes),
        State::Firing => Some(firing(instance, says, slot, &mut changes)),
        State::Recovering => Some(recovering(instance, says, slot, &mut changes)),
        State::Inactive => Some(instance),
    };
    (instance, changes)
}

/// A label set that turns true.
fn begun(
    had: Option<Instance>,
    labels: &LabelSet,
    verdict: Option<&Verdict>,
    says: Says,
    slot: &Slot<'_>,
) -> (Option<Instance>, Vec<Change>) {
    let (Some(v), Says::True) = (verdict, says) else { return (None, vec![]) };
    let earlier = had.and_then(|h| h.fired_at.zip(h.resolved_at));
    let instance = Instance {
        fingerprint: fingerprint(&slot.rule.rule_id, labels),
        labels: labels.clone(),
        state: State::Pending,
        active_at: slot.at,
        fired_at: None,
        keep_firing_since: None,
        resolved_at: None,
        value: v.value,
        threshold: v.threshold,
        operator: v.op,
        announced_at: None,
        freshness: slot.freshness(v.as_of),
        suppressed_by: None,
        no_data: false,
        unheard: false,
        earlier,
    };
    let mut changes = vec![];
    (pending(instance, says, slot, &mut changes), changes)
}

/// A firing instance whose rule now wants more time than it had is pending again, as a new episode.
fn lengthened(mut instance: Instance, slot: &Slot<'_>) -> (Instance, Vec<Change>) {
    let waited = slot.at.millis_since(instance.active_at);
    if instance.state != State::Firing || instance.no_data || slot.rule.for_ms <= waited {
        return (instance, vec![]);
    }
    let resolved = Change::Resolved { episode: Episode::of(&instance), reason: ClearReason::RuleChanged };
    instance.earlier = instance.fired_at.map(|fired| (fired, slot.at));
    instance.state = State::Pending;
    instance.active_at = slot.at;
    instance.fired_at = None;
    instance.announced_at = None;
    (instance, vec![resolved])
}

fn pending(mut instance: Instance, says: Says, slot: &Slot<'_>, changes: &mut Vec<Change>) -> Option<Instance> {
    match says {
        Says::False | Says::StaleFalse | Says::Silent => return None,
        Says::Nothing => {
            instance.unheard = true;
            return Some(instance);
        }
        Says::True => {}
    }
    if instance.unheard {
        instance.active_at = slot.at;
        instance.unheard = false;
    }
    if slot.at.millis_since(instance.active_at) >= slot.rule.for_ms {
        fire(&mut instance, slot.at, changes);
    }
    Some(instance)
}

fn fire(instance: &mut Instance, at: Timestamp, changes: &mut Vec<Change>) {
    instance.state = State::Firing;
    instance.fired_at = Some(at);
    instance.announced_at = Some(at);
    changes.push(Change::Triggered { repeat: false });
}

fn firing(mut instance: Instance, says: Says, slot: &Slot<'_>, changes: &mut Vec<Change>) -> Instance {
    match says {
        Says::Silent => resolve(&mut instance, slot.at, ClearReason::NoDataOk, changes),
        Says::False => {
            instance.keep_firing_since = Some(slot.at);
            instance.state = State::Recovering;
            settle(&mut instance, slot, changes);
        }
        Says::True | Says::StaleFalse | Says::Nothing => repeat(&mut instance, slot, changes),
    }
    instance
}

fn recovering(mut instance: Instance, says: Says, slot: &Slot<'_>, changes: &mut Vec<Change>) -> Instance {
    match says {
        Says::Silent => resolve(&mut instance, slot.at, ClearReason::NoDataOk, changes),
        Says::False => settle(&mut instance, slot, changes),
        Says::True => {
            instance.state = State::Firing;
            instance.keep_firing_since = None;
            repeat(&mut instance, slot, changes);
        }
        Says::StaleFalse | Says::Nothing => {}
    }
    instance
}

/// Recovered once `keepFiringMs` is over.
fn settle(instance: &mut Instance, slot: &Slot<'_>, changes: &mut Vec<Change>) {
    let since = instance.keep_firing_since.unwrap_or(slot.at);
    if slot.at.millis_since(since) >= slot.rule.keep_firing_ms {
        resolve(instance, slot.at, ClearReason::ConditionCleared, changes);
    }
}

fn resolve(instance: &mut Instance, at: Timestamp, reason: ClearReason, changes: &mut Vec<Change>) {
    changes.push(Change::Resolved { episode: Episode::of(instance), reason });
    instance.state = State::Inactive;
    instance.resolved_at = Some(at);
}

fn repeat(instance: &mut Instance, slot: &Slot<'_>, changes: &mut Vec<Change>) {
    let last = instance.announced_at.unwrap_or(instance.active_at);
    if slot.at.millis_since(last) >= slot.rule.repeat_interval_ms {
        instance.announced_at = Some(slot.at);
        changes.push(Change::Triggered { repeat: true });
    }
}

/// The one instance of a rule without any data (`noDataPolicy: alert`): its verdict is made here, for no label set has
/// one, and neither `forMs` nor the policy applies to it.
pub fn no_data_step(had: Option<Instance>, newest: Timestamp, slot: &Slot<'_>) -> (Option<Instance>, Vec<Change>) {
    let raised_here = had.as_ref().is_some_and(Instance::is_raised);
    let wanted = slot.rule.no_data_policy == NoDataPolicy::Alert;
    if had.is_none() && !wanted {
        return (None, vec![]);
    }
    if raised_here && !wanted {
        return had.map_or((None, vec![]), |i| closed(i, slot.at, ClearReason::RuleChanged));
    }
    let silent = slot.reading.known_until.millis_since(newest) >= slot.rule.no_data_ms();
    let truth = silent && wanted;
    let evidence = if truth { slot.at } else { newest };
    let verdict = Verdict { truth, value: 0.0, threshold: None, op: None, as_of: newest, evidence };
    let at_once = AlertRule { for_ms: 0, no_data_policy: NoDataPolicy::Keep, ..slot.rule.clone() };
    let labels: LabelSet = [("reason", "no_data")].into_iter().collect();
    let (instance, changes) = step(had, &labels, Some(&verdict), &Slot { rule: &at_once, ..*slot });
    (instance.map(|i| Instance { no_data: true, ..i }), changes)
}

/// Ends an instance because its rule did: a clear for what was announced, nothing is kept.
pub fn closed(instance: Instance, at: Timestamp, reason: ClearReason) -> (Option<Instance>, Vec<Change>) {
    let mut changes = vec![];
    let mut instance = instance;
    if instance.is_raised() {
        resolve(&mut instance, at, reason, &mut changes);
    }
    (None, changes)
}
