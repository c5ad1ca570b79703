//! What watches a run, how it is healed, and its end.

use super::{Doing, Driver, TimerFunction, Violation};
use crate::{
    faults::{Fault, subject},
    journal::End,
    oracles::{
        differential::{self, Outcome},
        starved::{self, nothing_starves},
    },
    world::World,
};
use opsloop_kernel::{Source, TenantId, Timestamp, message::DeadLetter};
use opsloop_shell::{bind::WHAT_OUTBOX, catalogue::OUTBOX_SWEEP};
use std::{borrow::Cow, collections::BTreeMap, collections::BTreeSet};

/// From ten minutes behind to ten ahead.
const CLOCK_STEP_MS: u64 = 1_200_000;
/// Longer than what was begun before the healing takes to fail.
const LAST_DEATHS_MS: i64 = 60_000;
const DEAD_MAX: usize = 10_000;

impl Driver<'_> {
    pub(super) fn violation(&self, oracle: &str, what: impl Into<String>) -> Violation {
        Violation { oracle: oracle.to_owned(), what: what.into(), turn: self.turn }
    }

    /// Shows the oracles what has become true.
    pub(super) fn watch(&mut self) -> Result<(), Violation> {
        if let Some((oracle, what)) = self.broken.take() {
            return Err(self.violation(oracle, what));
        }
        let (applied, published) = self.shared.journal.news();
        if applied.is_empty() && published.is_empty() {
            return Ok(());
        }
        self.commits += applied.len();
        let turn = self.turn;
        for oracle in &mut self.oracles {
            let name = oracle.name();
            let verdicts = applied.iter().map(|a| (a.turn, oracle.applied(a))).collect::<Vec<_>>();
            let told = published.iter().map(|m| (turn, oracle.published(m))).collect::<Vec<_>>();
            for (turn, verdict) in verdicts.into_iter().chain(told) {
                verdict.map_err(|what| Violation { oracle: name.to_owned(), what, turn })?;
            }
        }
        self.late_batches.extend(applied.iter().filter(|a| differential::is_late(a)).map(|a| a.tenant.clone()));
        self.owed.extend(applied.into_iter().flat_map(|a| a.owed));
        Ok(())
    }

    /// Faults are over: what died is replayed by an operator, what is owed is paid, and nothing new goes wrong.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        let chance = &self.shared.chance;
        if chance.rates().must_not_starve()
            && let Ok(documents) = self.documents.dump()
            && let Err(what) = nothing_starves(&documents, self.now(), |t, s| chance.is_stuck(t, s))
        {
            self.broken = Some((starved::NAME, what));
        }
        self.shared.say(|| "healed".into());
        self.shared.chance.heal();
        self.shared.time.put_handlers_off(0);
        self.shared.turns.hasten(self.now());
        self.replay(false);
        self.replay_at = Some(self.now().plus_millis(LAST_DEATHS_MS));
    }

    /// An invocation that began before the healing may still fail for the last time: the operator looks once more.
    pub(super) fn replay_once_more(&mut self, now: Timestamp) {
        if self.replay_at.take_if(|at| *at <= now).is_some() {
            self.replay(false);
        }
    }

    fn replay(&mut self, all: bool) {
        let tenants: Vec<_> = self.cast.tenants.iter().cloned().chain([TenantId::platform()]).collect();
        for tenant in tenants {
            let invocation = self.world.replay(tenant.clone(), all);
            self.spawn(subject(["replay"]), format!("replay of {tenant}"), Doing::Replay, invocation);
        }
    }

    /// The clock of the handlers may step; the operator may replay in the middle.
    pub(super) fn between_instants(&mut self) {
        if self.healed {
            return;
        }
        self.shared.chance.run(0);
        if let Some(drawn) = self.shared.chance.draw(Fault::ClockStep, 1) {
            let off = (drawn % CLOCK_STEP_MS) as i64 - (CLOCK_STEP_MS / 2) as i64;
            self.shared.say(|| format!("the clock of the handlers is off by {off} ms"));
            self.shared.time.put_handlers_off(off);
            self.ahead_ms = self.ahead_ms.max(off);
        }
        if self.shared.chance.hits(Fault::Replay, 2) {
            self.replay(true);
        }
    }

    /// The end of the run. What a clock that was ahead has dated is due so much later.
    pub(super) fn rest(&self) -> Timestamp {
        self.heal_at.plus_millis(self.cast.rest.millis_since(self.cast.end) + self.ahead_ms)
    }

    /// The next instant at which anything can happen.
    pub(super) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let timers = self.timers.iter().map(|t| t.next);
        let arrivals = self.arrivals.first().map(|a| a.0);
        let late = self.late.iter().map(|l| l.0);
        let waking = self.shared.broker().next_wake().filter(|at| *at > now);
        let heal = (!self.healed).then_some(self.heal_at);
        timers
            .chain(arrivals)
            .chain(late)
            .chain(waking)
            .chain(self.shared.turns.next(now))
            .chain(heal)
            .chain(self.replay_at)
            .min()
    }

    pub(super) fn after(&self, n: usize, now: Timestamp) -> Timestamp {
        let timer = &self.timers[n];
        now.floor_to(timer.cadence_ms, timer.offset_ms).plus_millis(timer.cadence_ms)
    }

    pub(super) fn at_rest(&mut self) -> Result<Outcome, Violation> {
        self.work()?;
        if let Some(task) = self.tasks.values().next() {
            return Err(self.violation("quiescence", format!("{} never ended", task.name)));
        }
        let unsent: Vec<_> = self.arrivals.iter().map(|a| a.1).collect();
        if !unsent.is_empty() {
            return Err(self.violation("quiescence", format!("arrivals {unsent:?} were never accepted")));
        }
        let documents = self.documents.dump().map_err(|f| self.violation("quiescence", format!("{f:?}")))?;
        let (dead, scheduled) = (self.dead(), self.shared.broker().scheduled());
        let (published, recorded) = (self.shared.journal.all_published(), self.shared.journal.sums());
        let end = End {
            cast: self.cast,
            plan: &self.plan,
            documents: &documents,
            published: &published,
            dead: &dead,
            scheduled: &scheduled,
            accepted: &self.accepted,
            recorded: &recorded,
        };
        let turn = self.turn;
        for oracle in &mut self.oracles {
            let name = oracle.name();
            oracle.at_rest(&end).map_err(|what| Violation { oracle: name.to_owned(), what, turn })?;
        }
        let outcome = Outcome::of(&end, std::mem::take(&mut self.owed));
        Ok(outcome.with_late(std::mem::take(&mut self.late_batches)))
    }

    fn dead(&self) -> BTreeMap<String, Vec<DeadLetter>> {
        let now = self.now();
        let mut broker = self.shared.broker();
        let handlers: BTreeSet<String> = broker.entities().iter().map(|e| e.name.clone()).collect();
        handlers.into_iter().map(|h| (h.clone(), broker.dead(&h, -1, DEAD_MAX, now))).collect()
    }
}

pub(super) fn timers(world: &World, start: Timestamp) -> Vec<TimerFunction> {
    let own = (OUTBOX_SWEEP, Cow::Borrowed(WHAT_OUTBOX), super::SWEEP_EVERY_MS, 0);
    let of_workers = world.shell.catalogue.triggers().filter_map(|(spec, trigger)| match trigger.source {
        Source::Timer { cadence_s, offset_s, .. } => {
            Some((trigger.function, Cow::Borrowed(spec.name), i64::from(cadence_s) * 1000, i64::from(offset_s) * 1000))
        }
        _ => None,
    });
    let all = [own].into_iter().chain(of_workers);
    all.map(|(function, what, cadence_ms, offset_ms)| TimerFunction {
        function,
        what,
        cadence_ms,
        offset_ms,
        next: start.floor_to(cadence_ms, offset_ms).plus_millis(cadence_ms),
    })
    .collect()
}
