//! One slot of one rule (SPEC 5.3.1, 5.3.4): whether it is evaluated now, and what follows.

use super::{
    documents::{HeldChunk, INSTANCES_PER_DOCUMENT, Root, StoredRule, laid_out},
    facts,
    instance::{self, Change, Instance, Slot, State},
    rule::AlertRule,
    suppression::{Inhibitor, Silence, Suppression},
};
use crate::{
    events::ClearReason,
    series::{Evidence, Grid, Held, Reach, Reading, Selected, Waits, judge, slots, source::Buckets},
};
use opsloop_kernel::{
    Decision, Fact, Halt, LabelSet, Note, TenantId, Timestamp, Write,
    signal::{RULE_ERRORS, SLOTS_SKIPPED, STALE_RESULTS, TICK_SKIPPED},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Instances of a rule, the resolved ones included: they lie in the batch of the root (A64).
const INSTANCES_KEPT_MAX: usize = 2_000;
const INSTANCES_BYTES_MAX: usize = 800_000;
/// A label set that is not heard of any more is watched for its absence this long (SPEC 5.2.5).
const ABSENCE_WATCHED_MS: i64 = 24 * 3_600_000;

/// All that the decision about a slot may look at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SlotView {
    pub root: Option<Held<Root>>,
    pub rule: Option<Held<StoredRule>>,
    pub chunks: Vec<HeldChunk>,
    pub buckets: Buckets,
    /// In the order of `Condition::reads`; empty where the slot is not evaluated.
    pub data: Vec<Selected>,
    pub silences: Vec<Silence>,
    pub inhibitors: Vec<Inhibitor>,
}

/// What is to be done with a slot, before any point is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    NotDue,
    /// The rule is disabled or deleted: this is its last slot.
    Closes,
    /// Its condition is another one: the instances go, then the same slot is evaluated.
    Changed,
    /// Too old to be evaluated.
    Skips(Timestamp),
    Waits(Waits),
    Reads(Reading, Option<Waits>),
}

impl SlotView {
    /// What waits for no window (SPEC 3.11) comes first.
    pub fn stage(&self, at: Timestamp, tick: Timestamp) -> Stage {
        let (Some(root), Some(stored)) = (&self.root, &self.rule) else { return Stage::NotDue };
        if root.due != Some(at) {
            return Stage::NotDue;
        }
        if !stored.body.is_live() {
            return Stage::Closes;
        }
        let rule = &stored.body.rule;
        if root.body.condition_hash.as_ref().is_some_and(|h| *h != rule.condition_hash()) {
            return Stage::Changed;
        }
        if let Some(to) = slots::skipped_to(at, tick, &grid(rule)) {
            return Stage::Skips(to);
        }
        let patience = Duration::from_millis(rule.condition.stale_after_ms().unsigned_abs());
        match slots::reach(at, tick, &self.buckets.watermarks, patience, root.body.pace.waits) {
            Reach::Waits(waits) => Stage::Waits(waits),
            Reach::Reads(reading, waits) => Stage::Reads(reading, waits),
        }
    }

    fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.chunks.iter().flat_map(|c| &c.held.body.instances)
    }
}

pub fn grid(rule: &AlertRule) -> Grid {
    Grid::of(&rule.rule_id, rule.cadence_ms, rule.spread)
}

/// Decides the slot `at`, found by the tick `tick`.
pub fn decide(tenant: &TenantId, view: &SlotView, at: Timestamp, tick: Timestamp) -> Result<Decision, Halt> {
    let (Some(root), Some(stored)) = (&view.root, &view.rule) else {
        return Ok(Decision::because("no-such-rule"));
    };
    let case = Case { tenant, view, root, stored, at };
    match view.stage(at, tick) {
        Stage::NotDue => Ok(Decision::because("not-due").note(Note::count(&TICK_SKIPPED, 1))),
        Stage::Closes => Ok(case.closes()),
        Stage::Changed => Ok(case.changed()),
        Stage::Skips(to) => Ok(case.skips(to)),
        Stage::Waits(waits) => Ok(case.waits(waits)),
        Stage::Reads(reading, waits) => case.evaluated(&reading, waits),
    }
}

struct Case<'a> {
    tenant: &'a TenantId,
    view: &'a SlotView,
    root: &'a Held<Root>,
    stored: &'a Held<StoredRule>,
    at: Timestamp,
}

impl Case<'_> {
    fn rule(&self) -> &AlertRule {
        &self.stored.body.rule
    }

    fn save(&self, root: &Root, due: Option<Timestamp>) -> Write {
        Write::Save(root.document(due), Some(self.root.etag.clone()))
    }

    /// The last slot of a rule: clears for what was announced, then nothing is due any more.
    fn closes(&self) -> Decision {
        let decision = self.dropped("rule-disabled", ClearReason::RuleDisabled);
        let root = Root { pace: slots::Pace::ended(self.at), ..Root::of(&self.rule().rule_id) };
        if !self.stored.body.deleted {
            return decision.write(self.save(&root, None));
        }
        let root = root.document(None).expires(self.at.plus_millis(slots::ENDED_KEPT_MS));
        let rule = self.stored.body.document().id;
        decision
            .write(Write::Save(root, Some(self.root.etag.clone())))
            .write(Write::Delete(rule, self.stored.etag.clone()))
    }

    fn changed(&self) -> Decision {
        let root = Root {
            condition_hash: Some(self.rule().condition_hash()),
            pace: slots::Pace { first_slot: None, ..self.root.body.pace.clone() },
            ..Root::of(&self.rule().rule_id)
        };
        self.dropped("rule-changed", ClearReason::RuleChanged).write(self.save(&root, Some(self.at)))
    }

    fn dropped(&self, reason: &'static str, clear: ClearReason) -> Decision {
        let mut decision = Decision::because(reason);
        for i in self.view.instances() {
            let (_, changes) = instance::closed(i.clone(), self.at, clear);
            decision.facts.extend(self.facts(i, &changes));
        }
        decision.writes = laid_out(&self.rule().rule_id, &self.view.chunks, vec![]);
        decision
    }

    /// Slots were left out: pending instances start anew, firing ones go on (SPEC 5.3.4(5)).
    fn skips(&self, to: Timestamp) -> Decision {
        let instances = self.view.instances().cloned().map(|i| match i.state {
            State::Pending => Instance { active_at: to, ..i },
            _ => i,
        });
        let left_out = to.millis_since(self.at) / self.rule().cadence_ms.max(1);
        let mut decision = Decision::because("slots-left-out").write(self.save(&self.root.body, Some(to)));
        decision.writes.extend(laid_out(&self.rule().rule_id, &self.view.chunks, instances.collect()));
        decision.note(Note::count(&SLOTS_SKIPPED, left_out.unsigned_abs()))
    }

    fn waits(&self, waits: Waits) -> Decision {
        let decision = Decision::because("waits-for-windows");
        if self.root.body.pace.waits == Some(waits) {
            return decision;
        }
        let mut root = self.root.body.clone();
        root.pace.waits = Some(waits);
        decision.write(self.save(&root, Some(self.at)))
    }

    fn evaluated(&self, reading: &Reading, waits: Option<Waits>) -> Result<Decision, Halt> {
        if self.view.data.iter().any(|s| s.error.is_some()) {
            return Ok(self.rule_error("selector", waits));
        }
        let first_slot = self.root.body.pace.first_slot.unwrap_or(self.at);
        let (slot, seen) = (self.at, &self.root.body.seen);
        let evidence = Evidence { data: &self.view.data, cut: Timestamp::MAX, first_slot, slot, seen };
        let heard_since = self.at.plus_millis(1 - self.rule().no_data_ms());
        let live = evidence.label_sets(&self.rule().condition, heard_since);
        if live.len() > usize::try_from(self.rule().max_instances).unwrap_or(usize::MAX) {
            return Ok(self.rule_error("max_instances", waits));
        }
        let (instances, facts) = self.stepped(&evidence, live, reading)?;
        let writes = laid_out(&self.rule().rule_id, &self.view.chunks, instances.clone());
        if writes.iter().map(Write::size).sum::<usize>() > INSTANCES_BYTES_MAX {
            return Ok(self.rule_error("instances_too_large", waits));
        }
        let raised = |l: &LabelSet| instances.iter().any(|i| i.labels == *l && i.state != State::Inactive);
        let watched = self.at.plus_millis(-ABSENCE_WATCHED_MS);
        let mut root = self.root.body.clone();
        root.seen = judge::remembered(&self.rule().condition, &evidence, watched, raised);
        let stale = reading.lagging || instances.iter().any(|i| i.freshness.stale && i.state != State::Inactive);
        let mut decision = self.passed(if facts.is_empty() { "evaluated" } else { "announced" }, root, waits);
        decision.writes.extend(writes);
        decision.facts = facts;
        Ok(if stale { decision.note(Note::count(&STALE_RESULTS, 1)) } else { decision })
    }

    /// All states kept, nothing announced, the slot is over (SPEC 5.3.4(1)).
    fn rule_error(&self, why: &'static str, waits: Option<Waits>) -> Decision {
        let decision = self.passed("rule-error", self.root.body.clone(), waits);
        decision.note(Note::count(&RULE_ERRORS, 1).label("reason", why))
    }

    fn passed(&self, reason: &'static str, mut root: Root, waits: Option<Waits>) -> Decision {
        root.pace.pass(self.at, waits);
        root.condition_hash = Some(self.rule().condition_hash());
        Decision::because(reason).write(self.save(&root, Some(grid(self.rule()).after(self.at))))
    }

    /// Every label set that has values or an instance, then the instance of a rule without data.
    fn stepped(
        &self,
        evidence: &Evidence<'_>,
        live: BTreeSet<LabelSet>,
        reading: &Reading,
    ) -> Result<(Vec<Instance>, Vec<Fact>), Halt> {
        let suppression = Suppression::at(&self.view.silences, &self.view.inhibitors, self.at)?;
        let slot = Slot { at: self.at, rule: self.rule(), reading };
        let (no_data, own): (Vec<_>, Vec<_>) = self.view.instances().cloned().partition(|i| i.no_data);
        let mut had: BTreeMap<LabelSet, Instance> = own.into_iter().map(|i| (i.labels.clone(), i)).collect();
        let mut labels = live;
        labels.extend(had.keys().cloned());
        let (mut instances, mut facts) = (vec![], vec![]);
        let mut take = |(instance, changes): (Option<Instance>, Vec<Change>), before: Option<Instance>| {
            let marked = instance.map(|i| Instance { suppressed_by: suppression.of(self.rule(), &i), ..i });
            if let Some(i) = marked.as_ref().or(before.as_ref()) {
                facts.extend(self.facts(i, &changes));
            }
            instances.extend(marked);
        };
        for l in labels {
            let before = had.remove(&l);
            let firing = before.as_ref().is_some_and(|i| i.state == State::Firing);
            let verdict = evidence.judge(&self.rule().condition, &l, firing);
            take(instance::step(before.clone(), &l, verdict.as_ref(), &slot), before);
        }
        let newest = self.view.data.iter().filter_map(Selected::newest).max().unwrap_or(evidence.first_slot);
        let before = no_data.into_iter().next();
        take(instance::no_data_step(before.clone(), newest, &slot), before);
        Ok((bounded(instances), facts))
    }

    fn facts(&self, instance: &Instance, changes: &[Change]) -> Vec<Fact> {
        let (tenant, rule, at) = (self.tenant, self.rule(), self.at);
        let fact = |change: &Change| match change {
            Change::Triggered { repeat } => facts::triggered(tenant, rule, instance, *repeat, at),
            Change::Resolved { episode, reason } => facts::resolved(tenant, rule, instance, episode, *reason, at),
        };
        changes.iter().map(fact).collect()
    }
}

/// Of too many instances the longest resolved go first: they are only shown.
fn bounded(mut instances: Vec<Instance>) -> Vec<Instance> {
    const { assert!(INSTANCES_KEPT_MAX <= super::documents::CHUNKS_MAX * INSTANCES_PER_DOCUMENT) };
    if instances.len() > INSTANCES_KEPT_MAX {
        instances.sort_by_key(|i| (i.state == State::Inactive, std::cmp::Reverse(i.resolved_at)));
        instances.truncate(INSTANCES_KEPT_MAX);
    }
    instances
}
