//! One slot of one SLO (SPEC 5.4.1, 5.4.4, 5.4.6): whether it is evaluated now, and what follows.

use super::{
    burn::{self, Active, Breach, Budget, Burn, Change},
    cells::{Cells, Frame, Hours, Sum},
    documents::{ActiveRule, BurnRates, Root, SloStatus, StoredSlo, hours_document},
    facts::{Facts, OfPeriod},
    slo::{Period, SloDefinition},
};
use crate::{
    events::{ClearReason, Severity},
    series::{Grid, Held, Reach, Reading, Selected, Waits, held::save, slots, source::Buckets},
};
use opsloop_kernel::{
    Decision, Fact, Freshness, Note, TenantId, Timestamp, Write,
    signal::{RULE_ERRORS, SLOTS_SKIPPED, STALE_RESULTS, TICK_SKIPPED},
    window::{MINUTE_MS, stale_after},
};
use serde::{Deserialize, Serialize};

/// The slot is the minute.
pub const GRID: Grid = Grid { cadence_ms: MINUTE_MS, offset_ms: 0 };

/// All that the decision about a slot may look at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SlotView {
    pub root: Option<Held<Root>>,
    pub slo: Option<Held<StoredSlo>>,
    pub hours: Option<Held<Hours>>,
    pub buckets: Buckets,
    /// Small windows and hours, each in the order of `Sli::reads`; empty where the slot is not evaluated.
    pub small: Vec<Selected>,
    pub large: Vec<Selected>,
}

/// What is to be done with a slot, before any point is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    NotDue,
    /// The SLO is disabled or deleted: this is its last slot.
    Closes,
    /// It is another SLO now, or rules of it are gone: their episodes end, then the same slot is evaluated.
    Changed,
    /// Too old to be evaluated.
    Skips(Timestamp),
    Waits(Waits),
    Reads(Reading, Option<Waits>),
}

impl SlotView {
    /// What waits for no window (SPEC 3.11) comes first.
    pub fn stage(&self, at: Timestamp, tick: Timestamp) -> Stage {
        let (Some(root), Some(stored)) = (&self.root, &self.slo) else { return Stage::NotDue };
        if root.due != Some(at) {
            return Stage::NotDue;
        }
        if !stored.body.is_live() {
            return Stage::Closes;
        }
        if root.body.is_restarted(&stored.body.slo) || root.body.gone(&stored.body.slo).next().is_some() {
            return Stage::Changed;
        }
        if let Some(to) = slots::skipped_to(at, tick, &GRID) {
            return Stage::Skips(to);
        }
        match slots::reach(at, tick, &self.buckets.watermarks, stale_after(MINUTE_MS), root.body.pace.waits) {
            Reach::Waits(waits) => Stage::Waits(waits),
            Reach::Reads(reading, waits) => Stage::Reads(reading, waits),
        }
    }

    pub fn kept_hours(&self) -> Hours {
        self.hours.as_ref().map(|h| h.body.clone()).unwrap_or_default()
    }
}

impl Root {
    fn is_restarted(&self, slo: &SloDefinition) -> bool {
        self.definition_hash.as_ref().is_some_and(|h| *h != slo.definition_hash())
    }
    /// Active rules that the SLO does not have any more.
    fn gone<'a>(&'a self, slo: &'a SloDefinition) -> impl Iterator<Item = &'a Active> {
        let rules = slo.factored(MINUTE_MS);
        self.active.iter().filter(move |a| !rules.iter().any(|f| f.rule.name == a.name))
    }
}

/// Decides the slot `at`, found by the tick `tick`.
pub fn decide(tenant: &TenantId, view: &SlotView, at: Timestamp, tick: Timestamp) -> Decision {
    let (Some(root), Some(stored)) = (&view.root, &view.slo) else { return Decision::because("no-such-slo") };
    let case = Case { tenant, view, root, stored, at };
    match view.stage(at, tick) {
        Stage::NotDue => Decision::because("not-due").note(Note::count(&TICK_SKIPPED, 1)),
        Stage::Closes => case.closes(),
        Stage::Changed => case.changed(),
        Stage::Skips(to) => case.skips(to),
        Stage::Waits(waits) => case.waits(waits),
        Stage::Reads(reading, waits) => case.evaluated(&reading, waits),
    }
}

struct Case<'a> {
    tenant: &'a TenantId,
    view: &'a SlotView,
    root: &'a Held<Root>,
    stored: &'a Held<StoredSlo>,
    at: Timestamp,
}

/// What the windows of one slot come to.
struct Evaluation {
    frame: Frame,
    cells: Cells,
    burns: Vec<Burn>,
    period: Sum,
    remaining: f64,
    freshness: Freshness,
}

impl Case<'_> {
    fn slo(&self) -> &SloDefinition {
        &self.stored.body.slo
    }

    fn save(&self, root: &Root, due: Option<Timestamp>) -> Write {
        Write::Save(root.document(due), Some(self.root.etag.clone()))
    }

    fn facts(&self, freshness: Option<Freshness>, remaining: f64) -> Facts<'_> {
        Facts { tenant: self.tenant, slo: self.slo(), slot: self.at, freshness, remaining }
    }

    /// Clears for these rules, as far as they were announced, and for the budget if it is named.
    fn ended<'a>(&self, active: impl Iterator<Item = &'a Active>, exhausted: Option<Timestamp>) -> Vec<Fact> {
        let facts = self.facts(None, self.root.body.remaining);
        let reason = ClearReason::DefinitionChanged;
        let announced = active.filter(|a| a.announced);
        let mut out: Vec<Fact> = announced.map(|a| facts.recovered(Some(&a.name), a.since, reason)).collect();
        out.extend(exhausted.map(|since| facts.recovered(None, since, reason)));
        out
    }

    fn closes(&self) -> Decision {
        let mut decision = Decision::because("slo-disabled");
        decision.facts = self.ended(self.root.body.active.iter(), self.root.body.exhausted_since);
        let root = Root { pace: slots::Pace::ended(self.at), ..Root::of(&self.slo().slo_id) };
        decision.writes.extend(self.hours_dropped());
        if !self.stored.body.deleted {
            return decision.write(self.save(&root, None));
        }
        let root = root.document(None).expires(self.at.plus_millis(slots::ENDED_KEPT_MS));
        let slo = self.stored.body.document().id;
        decision
            .write(Write::Save(root, Some(self.root.etag.clone())))
            .write(Write::Delete(slo, self.stored.etag.clone()))
    }

    fn hours_dropped(&self) -> Option<Write> {
        let held = self.view.hours.as_ref()?;
        Some(Write::Delete(hours_document(&self.slo().slo_id, &held.body).id, held.etag.clone()))
    }

    fn changed(&self) -> Decision {
        let (before, hash) = (&self.root.body, self.slo().definition_hash());
        if before.is_restarted(self.slo()) {
            let mut decision = Decision::because("definition-changed");
            decision.facts = self.ended(before.active.iter(), before.exhausted_since);
            decision.writes.extend(self.hours_dropped());
            let pace = slots::Pace { first_slot: None, ..before.pace.clone() };
            let root = Root {
                pace,
                definition_hash: Some(hash),
                breaches: before.breaches.clone(),
                ..Root::of(&self.slo().slo_id)
            };
            return decision.write(self.save(&root, Some(self.at)));
        }
        let mut decision = Decision::because("rules-changed");
        decision.facts = self.ended(before.gone(self.slo()), None);
        let gone: Vec<&Active> = before.gone(self.slo()).collect();
        let active = before.active.iter().filter(|a| !gone.contains(a)).cloned().collect();
        decision.write(self.save(&Root { active, ..before.clone() }, Some(self.at)))
    }

    /// Slots were left out: what has not been met for a while is waited for anew.
    fn skips(&self, to: Timestamp) -> Decision {
        let mut root = self.root.body.clone();
        root.active.iter_mut().for_each(|a| a.not_met_since = None);
        let left_out = to.millis_since(self.at) / MINUTE_MS;
        Decision::because("slots-left-out")
            .write(self.save(&root, Some(to)))
            .note(Note::count(&SLOTS_SKIPPED, left_out.unsigned_abs()))
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

    fn passed(&self, reason: &'static str, mut root: Root, waits: Option<Waits>) -> Decision {
        root.pace.pass(self.at, waits);
        root.definition_hash = Some(self.slo().definition_hash());
        Decision::because(reason).write(self.save(&root, Some(GRID.after(self.at))))
    }

    fn evaluated(&self, reading: &Reading, waits: Option<Waits>) -> Decision {
        if self.view.small.iter().chain(&self.view.large).any(|s| s.error.is_some()) {
            let decision = self.passed("rule-error", self.root.body.clone(), waits);
            return decision.note(Note::count(&RULE_ERRORS, 1).label("reason", "selector"));
        }
        let e = self.evaluation(reading);
        let fresh = !e.freshness.stale;
        let (active, changes) = burn::step(&e.burns, self.root.body.active.clone(), self.at, fresh);
        let first_evaluated_at = self.root.body.first_evaluated_at.unwrap_or(self.at);
        let mut root = Root {
            active,
            first_evaluated_at: Some(first_evaluated_at),
            remaining: e.remaining,
            last_fresh_at: if fresh { Some(self.at) } else { self.root.body.last_fresh_at },
            ..self.root.body.clone()
        };
        let mut facts = self.burn_facts(&e, &changes, &mut root);
        facts.extend(self.budget_fact(&e, &mut root, first_evaluated_at, fresh));
        let status = self.status(&e, &root, first_evaluated_at);
        let settled = e.cells.settled(self.slo(), &e.frame, &self.view.kept_hours());
        let reason = if facts.is_empty() { "evaluated" } else { "announced" };
        let mut decision = self.passed(reason, root, waits).write(Write::Save(status.document(), None));
        let hours = settled.map(|h| save(hours_document(&self.slo().slo_id, &h), self.view.hours.as_ref()));
        decision.writes.extend(hours);
        decision.facts = facts;
        if fresh { decision } else { decision.note(Note::count(&STALE_RESULTS, 1)) }
    }

    fn evaluation(&self, reading: &Reading) -> Evaluation {
        let slo = self.slo();
        let frame = Frame::of(slo, reading);
        let cells = Cells::of(slo, &frame, &self.view.small, &self.view.large, &self.view.kept_hours());
        let over = |ms: i64| cells.over(&frame, frame.end.plus_millis(-ms));
        let rules = slo.factored(frame.period_ms).into_iter();
        let burns = rules.map(|f| Burn::of(slo, f.clone(), over(f.rule.long_ms), over(f.rule.short_ms))).collect();
        let period = cells.over(&frame, frame.period_from);
        let first_slot = self.root.body.pace.first_slot.unwrap_or(self.at);
        let as_of = cells.as_of().unwrap_or(first_slot.min(self.at));
        let freshness = Freshness::at(self.at, as_of, stale_after(MINUTE_MS), reading.lagging);
        let remaining = burn::remaining(slo.objective, &period);
        Evaluation { frame, cells, burns, period, remaining, freshness }
    }

    fn burn_facts(&self, e: &Evaluation, changes: &[Change], root: &mut Root) -> Vec<Fact> {
        let facts = self.facts(Some(e.freshness.clone()), e.remaining);
        let period = OfPeriod { sum: e.period, ms: e.frame.period_ms };
        let mut out = vec![];
        for change in changes {
            match change {
                Change::Recovered { rule, since } => {
                    out.push(facts.recovered(Some(rule), *since, ClearReason::ConditionCleared));
                }
                Change::Breached { rule, since } => {
                    let Some(burn) = e.burns.iter().find(|b| b.rule.rule.name == *rule) else { continue };
                    out.push(facts.burning(burn, *since, period));
                    out.extend(self.review(&facts, burn, *since, root));
                }
            }
        }
        out
    }

    /// The third severe breach within a week asks for a review (SPEC 5.4.4(7)).
    fn review(&self, facts: &Facts<'_>, burn: &Burn, since: Timestamp, root: &mut Root) -> Option<Fact> {
        if burn.rule.rule.severity < Severity::High {
            return None;
        }
        let episode = format!("{}:{}:{}", self.slo().slo_id, burn.rule.rule.name, since.millis());
        let limit = self.slo().repeated_breach;
        let asks = burn::repeated(&mut root.breaches, Breach { at: self.at, episode }, limit);
        if asks { facts.review(&root.breaches, limit.count) } else { None }
    }

    fn budget_fact(&self, e: &Evaluation, root: &mut Root, first: Timestamp, fresh: bool) -> Option<Fact> {
        let begun = match self.slo().period {
            Period::Rolling { .. } => first,
            Period::CalendarMonth => e.frame.period_from,
        };
        let over = self.at.millis_since(begun) >= e.frame.period_ms / 10;
        let may_exhaust = over && e.period.total >= self.slo().min_events;
        let facts = self.facts(Some(e.freshness.clone()), e.remaining);
        match burn::budget(e.remaining, root.exhausted_since.is_some(), may_exhaust, fresh) {
            Budget::AsItWas => None,
            Budget::Exhausted => {
                root.exhausted_since = Some(self.at);
                Some(facts.exhausted(self.at, OfPeriod { sum: e.period, ms: e.frame.period_ms }))
            }
            Budget::Rearmed => {
                let since = root.exhausted_since.take()?;
                Some(facts.recovered(None, since, ClearReason::ConditionCleared))
            }
        }
    }

    fn status(&self, e: &Evaluation, root: &Root, first_evaluated_at: Timestamp) -> SloStatus {
        let rates = |b: &Burn| (b.rule.rule.name.clone(), BurnRates { long: b.burn_long, short: b.burn_short });
        let (omitted, judged): (Vec<&Burn>, Vec<&Burn>) = e.burns.iter().partition(|b| b.rule.omitted);
        SloStatus {
            slo_id: self.slo().slo_id.clone(),
            as_of: e.freshness.as_of,
            minute: self.at,
            good_events: e.period.total - e.period.bad,
            total_events: e.period.total,
            sli_value: e.period.error_rate().map(|rate| 1.0 - rate),
            budget_total: (1.0 - self.slo().objective) * e.period.total,
            budget_consumed: e.period.bad,
            budget_remaining: e.remaining,
            burn_rates: judged.iter().map(|b| rates(b)).collect(),
            active_rules: root.active.iter().map(ActiveRule::of).collect(),
            omitted_rules: omitted.iter().map(|b| b.rule.rule.name.clone()).collect(),
            exhausted: root.exhausted_since.is_some(),
            insufficient_data: judged.iter().any(|b| b.insufficient),
            first_evaluated_at,
            freshness: e.freshness.clone(),
            last_fresh_at: root.last_fresh_at,
            revision: 0,
        }
    }
}
