//! One run: begins what is due, gives out turns, moves the clock, and lets invocations die.
//!
//! The easily broken rule: where retries come at once (`Shared::at_once`), an instant is over only when nothing is left
//! that could still be done in it, timers before arrivals; that is what makes two runs comparable (A24, A70).

mod aeons;
mod arrivals;
mod deliver;
mod rest;

use crate::{
    broker::Lock,
    faults::{Fault, subject},
    journal::Oracle,
    oracles::differential::Outcome,
    plan::{Cast, Offer, Plan},
    ports::Documents,
    rng::Rng,
    shared::Shared,
    turns::TaskId,
    world::{Done, Invocation, Posted, World},
};
use futures::FutureExt;
use opsloop_kernel::{Envelope, TenantId, Timestamp, Worker, document::What, ports::Within};
use opsloop_observability::quality_score::QualityScoreWorker;
use opsloop_shell::{bind::WHAT_OUTBOX, catalogue::OUTBOX_SWEEP};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// More turns than any run needs: beyond them it goes round in circles.
const TURNS_MAX: u64 = 400_000;
const IN_FLIGHT_MAX: usize = 24;
const LOCK_MS: i64 = 300_000;
/// Tries at one instant to do what is due, where retries come at once.
const ROUNDS_MAX: u32 = 60;
/// Reads what others have come to by then, and waits for no mark of theirs.
const READER: &str = QualityScoreWorker::SPEC.name;
const SWEEP_EVERY_MS: i64 = 30_000;

/// An oracle said no, or the run did not come to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    pub oracle: String,
    pub what: String,
    pub turn: u64,
}

/// What is a run's own, beside its plan.
pub struct Course<'c> {
    /// Arrivals by their index, where not all come.
    pub inputs: Option<&'c BTreeSet<usize>>,
    /// By which turns and messages are chosen.
    pub order: Rng,
    /// Faults are over from here on.
    pub heal_at: Timestamp,
}

/// A timer function of the catalogue.
struct TimerFunction {
    function: &'static str,
    what: What,
    cadence_ms: i64,
    offset_ms: i64,
    next: Timestamp,
}

#[derive(Clone, Debug)]
enum Doing {
    Message { function: String, lock: Lock },
    Tick,
    Sweep,
    Replay,
    Post(usize),
}

struct Task {
    victim: u64,
    name: String,
    doing: Doing,
    invocation: Invocation,
}

pub struct Driver<'r> {
    pub world: Arc<World>,
    shared: Arc<Shared>,
    documents: Arc<dyn Documents>,
    cast: &'r Cast,
    plan: Arc<Plan>,
    order: Rng,
    oracles: Vec<Box<dyn Oracle>>,
    functions: Vec<String>,
    timers: Vec<TimerFunction>,
    tasks: BTreeMap<TaskId, Task>,
    last_task: TaskId,
    turn: u64,
    /// Arrivals by instant, those that are sent again, and ticks that are late.
    arrivals: Vec<(Timestamp, usize)>,
    late: Vec<(Timestamp, usize, Timestamp)>,
    accepted: Vec<bool>,
    /// Posted while the receiver took the present for the future: it may have refused a part (SPEC 5.2.2), and knows
    /// the batch when it comes again.
    doubted: BTreeSet<usize>,
    /// Tenants with a batch that came after its window was to be closed.
    late_batches: BTreeSet<TenantId>,
    poisoned: BTreeSet<i64>,
    weighed: BTreeSet<i64>,
    heal_at: Timestamp,
    healed: bool,
    /// When the operator replays what died, after the healing.
    replay_at: Option<Timestamp>,
    /// How far the clock of the handlers was ahead at most.
    ahead_ms: i64,
    commits: usize,
    owed: Vec<Envelope>,
    broken: Option<(&'static str, String)>,
}

impl<'r> Driver<'r> {
    pub fn new(
        world: Arc<World>,
        documents: Arc<dyn Documents>,
        cast: &'r Cast,
        plan: Arc<Plan>,
        oracles: Vec<Box<dyn Oracle>>,
        course: Course<'_>,
    ) -> Self {
        let Course { inputs, order, heal_at } = course;
        let shared = world.shared.clone();
        let timers = rest::timers(&world, cast.start);
        let functions = deliver::listeners(&world);
        let mut arrivals: Vec<_> = plan.arrivals.iter().enumerate().map(|(n, a)| (a.at, n)).collect();
        arrivals.retain(|(_, n)| inputs.is_none_or(|kept| kept.contains(n)));
        arrivals.sort();
        let accepted = vec![false; plan.arrivals.len()];
        Self {
            world,
            shared,
            documents,
            cast,
            plan,
            order,
            oracles,
            functions,
            timers,
            tasks: BTreeMap::new(),
            last_task: 0,
            turn: 0,
            arrivals,
            late: vec![],
            accepted,
            doubted: BTreeSet::new(),
            late_batches: BTreeSet::new(),
            poisoned: BTreeSet::new(),
            weighed: BTreeSet::new(),
            heal_at,
            healed: false,
            replay_at: None,
            ahead_ms: 0,
            commits: 0,
            owed: vec![],
            broken: None,
        }
    }

    pub fn turns(&self) -> u64 {
        self.turn
    }

    /// From the first arrival to rest.
    pub fn run(&mut self) -> Result<Outcome, Violation> {
        loop {
            let now = self.now();
            if !self.healed && now >= self.heal_at {
                self.heal();
            }
            self.replay_once_more(now);
            if self.shared.at_once {
                self.instant(now)?
            } else {
                self.begin_and_work(now)?
            }
            let next = self.next(now).filter(|next| *next <= self.rest());
            let Some(next) = next else { break };
            self.between_instants();
            self.shared.time.advance_to(next);
        }
        self.shared.time.advance_to(self.rest());
        let outcome = self.at_rest()?;
        self.aeons().map(|()| outcome)
    }

    fn now(&self) -> Timestamp {
        self.shared.time.now()
    }

    /// Everything that can be done at this instant: timers until nothing more comes of them, then the arrivals.
    fn instant(&mut self, now: Timestamp) -> Result<(), Violation> {
        let due: Vec<usize> = (0..self.timers.len()).filter(|n| self.timers[*n].next <= now).collect();
        for n in &due {
            self.timers[*n].next = self.after(*n, now);
        }
        self.work()?;
        let (readers, others): (Vec<_>, Vec<_>) = due.into_iter().partition(|n| self.timers[*n].function == READER);
        self.until_nothing_comes(&others, now)?;
        self.until_nothing_comes(&readers, now)?;
        while let Some((_, n)) = self.take_arrival(now) {
            self.post(n);
            if matches!(self.plan.arrivals[n].offer, Offer::Command { .. }) {
                self.work()?;
                self.settle_debts(now)?;
            }
        }
        self.work()?;
        self.settle_debts(now)
    }

    fn until_nothing_comes(&mut self, timers: &[usize], now: Timestamp) -> Result<(), Violation> {
        for _ in 0..ROUNDS_MAX {
            let before = (self.commits, self.shared.chance.fired().len());
            for n in timers {
                self.start_timer(*n, now);
            }
            self.work()?;
            self.settle_debts(now)?;
            if (self.commits, self.shared.chance.fired().len()) == before {
                break;
            }
        }
        Ok(())
    }

    /// What a hint left is published before the next instant.
    fn settle_debts(&mut self, now: Timestamp) -> Result<(), Violation> {
        for _ in 0..ROUNDS_MAX {
            let ahead = now.plus_millis(SWEEP_EVERY_MS + 1_000);
            if !self.is_due(&Cow::Borrowed(WHAT_OUTBOX), ahead) {
                return Ok(());
            }
            let sweep = self.world.sweep(ahead);
            self.spawn(subject(["sweep"]), "sweep".into(), Doing::Sweep, sweep);
            self.work()?;
        }
        Ok(())
    }

    fn begin_and_work(&mut self, now: Timestamp) -> Result<(), Violation> {
        for n in 0..self.timers.len() {
            if self.timers[n].next <= now {
                let due = self.timers[n].next;
                self.timers[n].next = self.after(n, now);
                self.begin_timer(n, due);
            }
        }
        let (begins, waits) = std::mem::take(&mut self.late).into_iter().partition(|(at, ..)| *at <= now);
        self.late = waits;
        let begins: Vec<(Timestamp, usize, Timestamp)> = begins;
        for (_, n, due) in begins {
            self.start_timer(n, due);
        }
        while let Some((_, n)) = self.take_arrival(now) {
            self.post(n);
        }
        self.work()
    }

    /// A timer fires: on time, late, twice, or not at all.
    fn begin_timer(&mut self, n: usize, due: Timestamp) {
        let about = subject([self.timers[n].function, &due.millis().to_string()]);
        self.shared.chance.run(about);
        let chance = &self.shared.chance;
        if chance.hits(Fault::MissedTick, about) {
            self.shared.say(|| format!("{} does not fire", self.timers[n].function));
        } else if let Some(drawn) = chance.draw(Fault::LateTick, about) {
            self.late.push((due.plus_millis((drawn % 50_000) as i64), n, due));
        } else {
            self.start_timer(n, due);
        }
    }

    /// A tick that would find nothing is left out: it changes nothing.
    fn start_timer(&mut self, n: usize, due: Timestamp) {
        let (function, what) = (self.timers[n].function, self.timers[n].what.clone());
        if !self.is_due(&what, due.plus_millis(1)) {
            return;
        }
        let about = subject([function, &due.millis().to_string()]);
        self.shared.chance.run(about);
        let times = if self.shared.chance.hits(Fault::DoubleTick, about) { 2 } else { 1 };
        for _ in 0..times {
            let (doing, invocation) = match function {
                OUTBOX_SWEEP => (Doing::Sweep, self.world.sweep(due)),
                _ => (Doing::Tick, self.world.tick(function, due)),
            };
            self.spawn(about, format!("{function} {due}"), doing, invocation);
        }
    }

    fn is_due(&self, what: &What, at: Timestamp) -> bool {
        let asked = self.documents.due(what, at, Within::All, None, 1).now_or_never();
        !matches!(asked, Some(Ok(list)) if list.found.is_empty())
    }

    fn spawn(&mut self, victim: u64, name: String, doing: Doing, invocation: Invocation) {
        self.last_task += 1;
        let id = self.last_task;
        self.shared.say(|| format!("#{id} begins: {name}"));
        self.tasks.insert(id, Task { victim, name, doing, invocation });
        // Its first turn is asked for at once; nothing of it has happened before that.
        self.poll(id);
    }

    /// Gives out turns and messages until nothing is left at this instant.
    fn work(&mut self) -> Result<(), Violation> {
        while self.step() {
            self.watch()?;
            if self.turn > TURNS_MAX {
                return Err(self.violation("quiescence", format!("{TURNS_MAX} turns, and no rest")));
            }
        }
        self.watch()
    }

    fn step(&mut self) -> bool {
        let now = self.now();
        let turns = self.shared.turns.ready(now);
        let messages = if self.tasks.len() < IN_FLIGHT_MAX { self.ready_messages(now) } else { vec![] };
        let all = turns + messages.len();
        if all == 0 {
            let until = if self.shared.at_once { Timestamp::MAX } else { now };
            let Some((task, _)) = self.shared.turns.wake(until) else { return false };
            self.turn += 1;
            self.poll(task);
            return true;
        }
        let any = self.order.hit(self.shared.chance.rates().of(Fault::Reorder));
        let chosen = if any { self.order.below(all as u64) as usize } else { 0 };
        self.shared.chance.count(Fault::Reorder, u64::from(chosen > 0));
        self.turn += 1;
        self.shared.journal.set_turn(self.turn);
        if chosen < turns {
            self.give_turn(now, chosen);
        } else if let Some(ready) = messages.into_iter().nth(chosen - turns) {
            self.deliver(&ready, now);
        }
        true
    }

    fn give_turn(&mut self, now: Timestamp, nth: usize) {
        let Some(id) = self.shared.turns.grant(now, nth) else { return };
        let Some(victim) = self.tasks.get(&id).map(|t| t.victim) else { return };
        self.shared.chance.run(victim);
        if self.shared.chance.hits(Fault::ProcessDies, victim) {
            self.shared.say(|| "the process dies".into());
            for id in self.tasks.keys().copied().collect::<Vec<_>>() {
                self.die(id);
            }
            if let Err(fault) = self.documents.reopen() {
                self.broken = Some(("durability", format!("the store does not open again: {fault:?}")));
            }
        } else if self.shared.chance.hits(Fault::Crash, victim) {
            self.die(id);
        } else {
            self.poll(id);
        }
    }

    fn poll(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        self.shared.turns.run(id);
        self.shared.chance.run(task.victim);
        let polled = task.invocation.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(done) = polled
            && let Some(task) = self.tasks.remove(&id)
        {
            self.shared.say(|| format!("#{id} ends: {} {done:?}", task.name));
            self.finish(task.victim, &task.doing, done);
        }
    }

    /// The invocation is gone; the host or the sender notices.
    fn die(&mut self, id: TaskId) {
        let Some(task) = self.tasks.remove(&id) else { return };
        self.shared.say(|| format!("#{id} dies: {}", task.name));
        let now = self.now();
        match task.doing {
            Doing::Message { lock, .. } => {
                self.shared.broker().abandon(lock, now);
            }
            Doing::Post(n) => self.send_again(n),
            Doing::Tick | Doing::Sweep | Doing::Replay => {}
        }
    }

    fn finish(&mut self, victim: u64, doing: &Doing, done: Done) {
        let now = self.now();
        match (doing, done) {
            (Doing::Message { lock, function }, Done::Message(status)) => {
                let lost = self.shared.chance.hits(Fault::LostAck, victim);
                self.shared.say(|| format!("  {function} {status}{}", if lost { ", and nobody hears it" } else { "" }));
                let mut broker = self.shared.broker();
                if status == 200 && !lost {
                    broker.complete(*lock, now)
                } else {
                    broker.abandon(*lock, now)
                };
            }
            (Doing::Post(n), Done::Post(Posted::Accepted)) => self.taken(*n),
            (Doing::Post(n), Done::Post(Posted::NotYet)) => self.send_again(*n),
            (Doing::Post(n), Done::Post(Posted::Refused(why))) => self.refused(*n, why),
            _ => {}
        }
    }
}
