//! The clocks of a run: the true time, which only the driver moves, and that of the handlers, which may be wrong.

use crate::turns::Turns;
use opsloop_kernel::{BoxFuture, Clock, Timestamp};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

pub struct Time {
    now_ms: AtomicI64,
    /// How far the clock of the handlers is off.
    off_ms: AtomicI64,
}

impl Time {
    pub fn at(now: Timestamp) -> Self {
        Self { now_ms: AtomicI64::new(now.millis()), off_ms: AtomicI64::new(0) }
    }
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.load(Relaxed))
    }
    /// Never goes back.
    pub fn advance_to(&self, at: Timestamp) {
        self.now_ms.fetch_max(at.millis(), Relaxed);
    }
    pub fn put_handlers_off(&self, by_ms: i64) {
        self.off_ms.store(by_ms, Relaxed);
    }
    pub fn handlers_off_ms(&self) -> i64 {
        self.off_ms.load(Relaxed)
    }
    fn of_handlers(&self) -> Timestamp {
        self.now().plus_millis(self.handlers_off_ms())
    }
}

/// The store's clock, by which documents expire.
pub struct TrueClock(pub Arc<Time>);
impl Clock for TrueClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    fn sleep<'a>(&'a self, _: u64) -> BoxFuture<'a, ()> {
        Box::pin(std::future::pending())
    }
}

/// The shell's clock.
pub struct HandlersClock {
    pub time: Arc<Time>,
    pub turns: Arc<Turns>,
}
impl Clock for HandlersClock {
    fn now(&self) -> Timestamp {
        self.time.of_handlers()
    }
    fn sleep<'a>(&'a self, for_ms: u64) -> BoxFuture<'a, ()> {
        let until = self.time.now().plus_millis(i64::try_from(for_ms).unwrap_or(i64::MAX));
        Box::pin(self.turns.turn(until, true))
    }
}
