//! Timers: when each is due, and what its call says about it.
//!
//! The next occurrence is computed from the *real start* of the run before: a run that overran its slot is followed at once by
//! one that shows the slot it missed, and everything missed while the host was down is made good by a single call.

use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::Timestamp;

use super::envelope::{Input, ShownStatus, timer};
use super::function::{Function, TimerTrigger, Trigger};
use super::status::{TimerStatus, TimerStore};

/// A call that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub function: String,
    pub why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Scheduled,
    /// Missed while the host was down.
    PastDue,
    /// `runOnStartup`: the call shows the coming occurrence.
    Startup,
    Admin,
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    last: Option<Timestamp>,
    next: Option<Timestamp>,
    is_monitored: bool,
}

/// All timers of the host.
#[derive(Debug)]
pub struct Timers {
    triggers: BTreeMap<String, TimerTrigger>,
    plans: Mutex<BTreeMap<String, Plan>>,
    store: TimerStore,
}

impl Timers {
    /// Also says what is to be run at once, because it was missed or wants to run on startup.
    pub fn start(functions: &[Function], store: TimerStore, now: Timestamp) -> (Self, Vec<Due>) {
        let mut triggers = BTreeMap::new();
        let mut plans = BTreeMap::new();
        let mut due = Vec::new();
        for function in functions {
            let Trigger::Timer(trigger) = &function.trigger else { continue };
            let (plan, why) = plan(&function.name, trigger, &store, now);
            due.extend(why.map(|why| Due { function: function.name.clone(), why }));
            plans.insert(function.name.clone(), plan);
            triggers.insert(function.name.clone(), trigger.clone());
        }
        (Self { triggers, plans: Mutex::new(plans), store }, due)
    }

    fn plans(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Plan>> {
        self.plans.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.triggers.keys().map(String::as_str)
    }

    pub fn next_of(&self, function: &str) -> Option<Timestamp> {
        self.plans().get(function).and_then(|plan| plan.next)
    }

    /// The first instant at which any timer is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.plans().values().filter_map(|plan| plan.next).min()
    }

    pub fn due_at(&self, at: Timestamp) -> Vec<Due> {
        let due = |plan: &Plan| plan.next.is_some_and(|next| next <= at);
        let plans = self.plans();
        let names = plans.iter().filter(|(_, plan)| due(plan)).map(|(name, _)| name.clone());
        names.map(|function| Due { function, why: Why::Scheduled }).collect()
    }

    /// What the call shows.
    pub fn input(&self, due: &Due) -> Input {
        let plan = self.plans().get(&due.function).copied();
        let shown = plan.filter(|plan| plan.is_monitored).and_then(|plan| {
            let stored = self.store.get(&due.function);
            Some(match (due.why, stored) {
                // The admin API reads what is stored, which names the instant of the first start.
                (Why::Admin, Some(stored)) => {
                    ShownStatus { last: stored.last, next: stored.next, last_updated: Some(stored.last_updated) }
                }
                _ => ShownStatus { last: plan.last, next: plan.next?, last_updated: plan.last },
            })
        });
        timer(shown, due.why == Why::PastDue)
    }

    /// Notes the real start of a run, once it is over, whatever came of it. Calls of the admin API leave no trace.
    pub fn ran(&self, due: &Due, started: Timestamp) {
        if due.why == Why::Admin {
            return;
        }
        let next = self.triggers.get(&due.function).and_then(|trigger| trigger.schedule.next_after(started));
        let mut plans = self.plans();
        let Some(plan) = plans.get_mut(&due.function) else { return };
        plan.last = Some(started);
        plan.next = next;
        if let (true, Some(next)) = (plan.is_monitored, next) {
            self.store.set(&due.function, TimerStatus { last: Some(started), next, last_updated: started });
        }
    }
}

fn plan(function: &str, trigger: &TimerTrigger, store: &TimerStore, now: Timestamp) -> (Plan, Option<Why>) {
    let coming = trigger.schedule.next_after(now);
    let is_monitored = trigger.use_monitor && trigger.schedule.is_monitorable(now);
    let startup = trigger.run_on_startup.then_some(Why::Startup);
    if !is_monitored {
        return (Plan { last: None, next: coming, is_monitored }, startup);
    }
    let stored = store.get(function).filter(|stored| {
        // A schedule that was changed starts anew.
        trigger.schedule.next_after(stored.last.unwrap_or(stored.last_updated)) == Some(stored.next)
    });
    if let Some(stored) = stored {
        if stored.next < now {
            return (Plan { last: stored.last, next: Some(stored.next), is_monitored }, Some(Why::PastDue));
        }
        return (Plan { last: stored.last, next: coming, is_monitored }, startup);
    }
    if let Some(next) = coming {
        store.set(function, TimerStatus { last: None, next, last_updated: now });
    }
    (Plan { last: None, next: coming, is_monitored }, startup)
}
