//! What is under way: the gauge `worker_inflight`, and the moment when the last call ends.

use opsloop_kernel::{Note, ports::Recorder, signal};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

#[derive(Default)]
pub struct InFlight {
    /// By worker, of which there are few.
    deliveries: Mutex<BTreeMap<&'static str, u32>>,
    calls: AtomicUsize,
}

impl InFlight {
    /// A delivery, until what is returned is dropped: also by a panic.
    pub fn delivery<'a>(&'a self, worker: &'static str, recorder: &'a dyn Recorder) -> Delivery<'a> {
        self.count(worker, recorder, |n| n + 1);
        Delivery { of: self, worker, recorder }
    }

    pub fn enter(&self) {
        self.calls.fetch_add(1, Ordering::AcqRel);
    }
    /// Whether this was the last call.
    pub fn leave(&self) -> bool {
        self.calls.fetch_sub(1, Ordering::AcqRel) == 1
    }

    fn count(&self, worker: &'static str, recorder: &dyn Recorder, step: impl Fn(u32) -> u32) {
        let Ok(mut deliveries) = self.deliveries.lock() else { return };
        let n = deliveries.entry(worker).or_default();
        *n = step(*n);
        // Under the lock: the gauge must end with the last word.
        recorder.record(worker, &Note { signal: &signal::INFLIGHT, labels: vec![], value: f64::from(*n) });
    }
}

pub struct Delivery<'a> {
    of: &'a InFlight,
    worker: &'static str,
    recorder: &'a dyn Recorder,
}
impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        self.of.count(self.worker, self.recorder, |n| n.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gauge's values, as they were recorded.
    #[derive(Default)]
    struct Values(Mutex<Vec<f64>>);
    impl Recorder for Values {
        fn record(&self, _: &str, note: &Note) {
            self.0.lock().unwrap().push(note.value);
        }
    }

    #[test]
    fn the_gauge_goes_up_and_comes_down() {
        let (inflight, values) = (InFlight::default(), Values::default());
        let first = inflight.delivery("W", &values);
        let second = inflight.delivery("W", &values);
        drop(first);
        drop(second);
        assert_eq!(*values.0.lock().unwrap(), [1.0, 2.0, 1.0, 0.0]);
    }

    #[test]
    fn only_the_last_call_is_the_last() {
        let inflight = InFlight::default();
        inflight.enter();
        inflight.enter();
        assert!(!inflight.leave());
        assert!(inflight.leave());
    }
}
