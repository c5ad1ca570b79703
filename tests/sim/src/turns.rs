//! Turns: every call of a port waits for one, and the scheduler gives them out one at a time. Between two turns another
//! invocation may run, the clock may move, or the process may die.

use opsloop_kernel::Timestamp;
use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// One invocation in flight.
pub type TaskId = u64;

#[derive(Default)]
pub struct Turns(Mutex<State>);

#[derive(Default)]
struct State {
    last: u64,
    running: TaskId,
    waiting: Vec<Waiting>,
    granted: Vec<u64>,
}

struct Waiting {
    id: u64,
    task: TaskId,
    from: Timestamp,
    sleeps: bool,
    waker: Waker,
}

impl Turns {
    /// A turn, not before `from`. One that `sleeps` waits for the clock and for nothing else.
    pub fn turn(&self, from: Timestamp, sleeps: bool) -> Turn<'_> {
        Turn { turns: self, id: 0, from, sleeps }
    }

    /// Whose turns are registered from now on.
    pub fn run(&self, task: TaskId) {
        self.locked().running = task;
    }

    /// How many could be given out now.
    pub fn ready(&self, now: Timestamp) -> usize {
        self.locked().waiting.iter().filter(|w| !w.sleeps && w.from <= now).count()
    }

    /// Gives out the `nth` of those that are ready; whose it was.
    pub fn grant(&self, now: Timestamp, nth: usize) -> Option<TaskId> {
        let mut state = self.locked();
        let at = state.waiting.iter().enumerate().filter(|(_, w)| !w.sleeps && w.from <= now).nth(nth)?.0;
        Some(state.grant(at))
    }

    /// Wakes the sleeper that is first to wake by `until`; whose it was, and when it wanted to.
    pub fn wake(&self, until: Timestamp) -> Option<(TaskId, Timestamp)> {
        let mut state = self.locked();
        let (at, from) = state
            .waiting
            .iter()
            .enumerate()
            .filter(|(_, w)| w.sleeps && w.from <= until)
            .map(|(n, w)| (n, w.from))
            .min_by_key(|(n, from)| (*from, *n))?;
        Some((state.grant(at), from))
    }

    /// The next instant at which a turn that waits for the clock can be given out.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.locked().waiting.iter().map(|w| w.from).filter(|from| *from > now).min()
    }

    /// Whether the task waits for a turn: one that does not and is not done waits for ever.
    pub fn waits(&self, task: TaskId) -> bool {
        self.locked().waiting.iter().any(|w| w.task == task)
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn grant(&mut self, at: usize) -> TaskId {
        let waiting = self.waiting.remove(at);
        self.granted.push(waiting.id);
        waiting.waker.wake();
        waiting.task
    }
}

/// Registered at its first poll. Dropped, it is as if it had never been asked for: so dies an invocation.
#[must_use]
pub struct Turn<'t> {
    turns: &'t Turns,
    id: u64,
    from: Timestamp,
    sleeps: bool,
}

impl Future for Turn<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let turns = self.turns;
        let mut state = turns.locked();
        if self.id == 0 {
            state.last += 1;
            self.id = state.last;
            let (id, task) = (state.last, state.running);
            let waker = context.waker().clone();
            state.waiting.push(Waiting { id, task, from: self.from, sleeps: self.sleeps, waker });
            return Poll::Pending;
        }
        if let Some(at) = state.granted.iter().position(|id| *id == self.id) {
            state.granted.swap_remove(at);
            return Poll::Ready(());
        }
        if let Some(waiting) = state.waiting.iter_mut().find(|w| w.id == self.id) {
            waiting.waker.clone_from(context.waker());
        }
        Poll::Pending
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.id != 0 {
            let mut state = self.turns.locked();
            let id = self.id;
            state.waiting.retain(|w| w.id != id);
            state.granted.retain(|granted| *granted != id);
        }
    }
}
