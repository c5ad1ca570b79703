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

    /// Nothing is slow any more: who waits for a turn may have it now. Who sleeps sleeps on.
    pub fn hasten(&self, now: Timestamp) {
        self.locked().waiting.iter_mut().filter(|w| !w.sleeps).for_each(|w| w.from = w.from.min(now));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }
    /// Polls once, as `task`.
    fn poll(turns: &Turns, task: TaskId, turn: &mut Turn<'_>) -> bool {
        turns.run(task);
        Pin::new(turn).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_turn_is_had_once_it_is_given_out() {
        let turns = Turns::default();
        let (mut a, mut b) = (turns.turn(at(0), false), turns.turn(at(0), false));
        assert_eq!(turns.ready(at(0)), 0, "nothing is asked for before the first poll");
        assert!(!poll(&turns, 1, &mut a) && !poll(&turns, 2, &mut b));
        assert_eq!((turns.ready(at(0)), turns.grant(at(0), 1)), (2, Some(2)));
        assert!(!poll(&turns, 1, &mut a) && poll(&turns, 2, &mut b));
        assert!(turns.waits(1) && !turns.waits(2));
        assert_eq!(turns.grant(at(0), 1), None);
    }

    #[test]
    fn a_turn_that_is_dropped_was_never_asked_for() {
        let turns = Turns::default();
        let (mut a, mut b) = (turns.turn(at(0), false), turns.turn(at(0), false));
        assert!(!poll(&turns, 1, &mut a) && !poll(&turns, 2, &mut b));
        drop(a);
        assert!((turns.ready(at(0)), turns.waits(1)) == (1, false));
        assert_eq!(turns.grant(at(0), 0), Some(2));
        drop(b);
        assert!(turns.locked().granted.is_empty(), "given out, and dropped before it was had");
    }

    #[test]
    fn a_late_turn_is_not_ready_before_its_time() {
        let turns = Turns::default();
        let mut late = turns.turn(at(5), false);
        assert!(!poll(&turns, 1, &mut late));
        assert_eq!((turns.ready(at(4)), turns.next(at(4)), turns.ready(at(5))), (0, Some(at(5)), 1));
        assert_eq!(turns.wake(at(9)), None, "it does not sleep");
    }

    #[test]
    fn sleepers_wake_in_their_order() {
        let turns = Turns::default();
        let mut all: Vec<_> = [30, 10, 20, 10].map(|ms| turns.turn(at(ms), true)).into_iter().collect();
        for (task, turn) in (1..).zip(&mut all) {
            assert!(!poll(&turns, task, turn));
        }
        assert_eq!(turns.ready(at(99)), 0, "who sleeps waits for the clock alone");
        assert_eq!(turns.wake(at(9)), None);
        let woken: Vec<_> = std::iter::from_fn(|| turns.wake(at(25))).collect();
        assert_eq!(woken, [(2, at(10)), (4, at(10)), (3, at(20))]);
        assert_eq!(turns.next(at(25)), Some(at(30)));
    }
}
