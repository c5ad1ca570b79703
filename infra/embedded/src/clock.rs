//! The kernel's `Clock`: the machine's, and one that moves only when it is told to.

use crate::host::HostClock;
use opsloop_kernel::{BoxFuture, Clock, Timestamp};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// The clock of the machine, floored to milliseconds: what is stored and sent has no more.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
    }
    fn sleep<'a>(&'a self, for_ms: u64) -> BoxFuture<'a, ()> {
        Box::pin(tokio::time::sleep(Duration::from_millis(for_ms)))
    }
}

/// A clock that stands still until it is moved. Who sleeps on it wakes when it has come to the end of the sleep, which
/// counts from the call, not from the first poll.
#[derive(Debug)]
pub struct VirtualClock {
    now: watch::Sender<Timestamp>,
    /// How many sleep until when: `advance` must not step over them (A24).
    sleepers: Mutex<BTreeMap<Timestamp, usize>>,
}

impl VirtualClock {
    pub fn at(now: Timestamp) -> Self {
        Self { now: watch::Sender::new(now.floor_millis()), sleepers: Mutex::default() }
    }

    pub fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    /// Sets the clock, also back.
    pub fn set(&self, now: Timestamp) {
        self.now.send_replace(now.floor_millis());
    }

    /// Never goes back: an instant that has passed is ignored.
    pub fn advance_to(&self, at: Timestamp) {
        self.now.send_if_modified(|now| {
            let later = at.floor_millis() > *now;
            if later {
                *now = at.floor_millis();
            }
            later
        });
    }

    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = now.plus(by).floor_millis());
    }

    /// The earliest instant that somebody sleeps for.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.sleepers().keys().next().copied()
    }

    fn sleepers(&self) -> MutexGuard<'_, BTreeMap<Timestamp, usize>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        let mut now = self.now.subscribe();
        let sleeper = Sleeper::beside(self, at);
        Box::pin(async move {
            // The sender lives as long as `self` is borrowed, so waiting cannot fail.
            if now.wait_for(|now| *now >= at).await.is_err() {
                std::future::pending::<()>().await;
            }
            drop(sleeper);
        })
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }
    fn sleep<'a>(&'a self, for_ms: u64) -> BoxFuture<'a, ()> {
        self.until(self.now().plus(Duration::from_millis(for_ms)))
    }
}

/// The embedded host runs on the same virtual time.
impl HostClock for VirtualClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(Self::now(self).millis()).unwrap_or(jiff::Timestamp::MAX)
    }
    fn sleep_until(&self, at: jiff::Timestamp) -> crate::host::BoxFuture<'_, ()> {
        self.until(Timestamp::from_millis(at.as_millisecond()))
    }
}

/// Counts a sleep for as long as somebody waits for it: a dropped future does not hold up anybody.
struct Sleeper<'c> {
    clock: &'c VirtualClock,
    at: Timestamp,
}
impl<'c> Sleeper<'c> {
    fn beside(clock: &'c VirtualClock, at: Timestamp) -> Self {
        *clock.sleepers().entry(at).or_default() += 1;
        Self { clock, at }
    }
}
impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let mut sleepers = self.clock.sleepers();
        if let Some(count) = sleepers.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                sleepers.remove(&self.at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const START: Timestamp = Timestamp::from_millis(1_795_255_200_000);

    #[test]
    fn a_virtual_sleep_ends_when_the_clock_has_come_to_its_end() {
        let clock = VirtualClock::at(START);
        let mut sleep = clock.sleep(1_000);
        clock.advance(Duration::from_millis(999));
        assert!(sleep.as_mut().now_or_never().is_none());
        assert_eq!(clock.next_wake(), Some(START.plus_millis(1_000)));
        clock.advance(Duration::from_millis(1));
        assert!(sleep.now_or_never().is_some());
        assert_eq!(clock.next_wake(), None);
    }

    #[test]
    fn a_sleep_counts_from_the_call_and_a_dropped_one_does_not_count() {
        let clock = VirtualClock::at(START);
        let (long, short) = (clock.sleep(5_000), clock.sleep(10));
        drop(short);
        assert_eq!(clock.next_wake(), Some(START.plus_millis(5_000)));
        clock.advance(Duration::from_secs(5));
        assert!(long.now_or_never().is_some());
    }

    #[test]
    fn advancing_never_goes_back_and_setting_does() {
        let clock = VirtualClock::at(START);
        clock.advance_to(START.minus(Duration::from_secs(1)));
        assert_eq!(clock.now(), START);
        clock.set(START.minus(Duration::from_secs(1)));
        assert_eq!(clock.now(), START.plus_millis(-1_000));
    }

    #[test]
    fn both_clocks_have_milliseconds() {
        assert_eq!(WallClock.now(), WallClock.now().floor_millis());
        assert_eq!(VirtualClock::at(Timestamp::from_nanos(1_999_999)).now(), Timestamp::from_millis(1));
    }
}
