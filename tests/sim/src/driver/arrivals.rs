//! What comes from outside: offered when it is due, and again until it is taken.

use super::{Doing, Driver};
use crate::{faults::subject, plan::Offer};
use opsloop_kernel::{TelemetrySignal, Timestamp};

/// A sender tries again after this.
const SENDER_WAITS_MS: i64 = 5_000;
/// Points and spans that are further ahead of the receiver's clock are refused (SPEC 5.1.4(2), 5.2.2).
const FUTURE_MS_MAX: i64 = 300_000;

impl Driver<'_> {
    pub(super) fn take_arrival(&mut self, now: Timestamp) -> Option<(Timestamp, usize)> {
        (self.arrivals.first()?.0 <= now).then(|| self.arrivals.remove(0))
    }

    pub(super) fn post(&mut self, n: usize) {
        let judged =
            matches!(&self.plan.arrivals[n].offer, Offer::Otlp { signal, .. } if *signal != TelemetrySignal::Logs);
        if judged && self.shared.time.handlers_off_ms() < -FUTURE_MS_MAX {
            self.doubted.insert(n);
        }
        let about = subject(["post", &n.to_string()]);
        self.spawn(about, format!("arrival {n}"), Doing::Post(n), self.world.post(n));
    }

    pub(super) fn send_again(&mut self, n: usize) {
        let wait = if self.shared.at_once { 0 } else { SENDER_WAITS_MS };
        let at = self.now().plus_millis(wait);
        let place = self.arrivals.partition_point(|(other, _)| *other <= at);
        self.arrivals.insert(place, (at, n));
    }

    pub(super) fn taken(&mut self, n: usize) {
        self.accepted[n] = !self.doubted.contains(&n);
    }

    pub(super) fn refused(&mut self, n: usize, why: String) {
        self.broken.get_or_insert(("accepted input", format!("arrival {n} was refused: {why}")));
    }
}
