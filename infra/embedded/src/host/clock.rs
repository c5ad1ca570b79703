//! Time as the host sees it.
//!
//! Two kinds of waiting must not be mixed up. *What time is it, and wake me then* may be virtual: timers, `UtcNow`, lock
//! renewal. *How long may a real process take* never is: a handler that needs 3 s of CPU needs them whatever the virtual
//! date, so `patience` stays real unless a test shortens it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub trait HostClock: Send + Sync {
    fn now(&self) -> Timestamp;

    /// Returns once `now()` has reached `at`.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()>;

    /// Waits for the real world (a process, a socket), whatever `now()` says.
    fn patience(&self, wait: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(wait))
    }
}

/// The clock of the machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct WallClock;

impl HostClock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // A laptop that slept makes the monotonic and the wall clock drift apart: look again at least once a minute.
            loop {
                let left = at.as_millisecond().saturating_sub(Timestamp::now().as_millisecond());
                let Ok(left) = u64::try_from(left) else { return };
                if left == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(left.min(60_000))).await;
            }
        })
    }
}

/// A clock that stands still until it is set: tests, and `local` on a virtual clock.
#[derive(Debug)]
pub struct SteppedClock {
    now: tokio::sync::watch::Sender<Timestamp>,
}

impl SteppedClock {
    pub fn at(now: Timestamp) -> Self {
        Self { now: tokio::sync::watch::Sender::new(now) }
    }

    /// Never goes back: an instant that has passed is ignored.
    pub fn advance_to(&self, at: Timestamp) {
        self.now.send_if_modified(|now| {
            let later = at > *now;
            if later {
                *now = at;
            }
            later
        });
    }
}

impl HostClock for SteppedClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        let mut seen = self.now.subscribe();
        Box::pin(async move {
            // The sender lives in `self`, so waiting cannot fail while anybody still holds the clock.
            if seen.wait_for(|now| *now >= at).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}
