//! The declared signals as a registry, and their text exposition.

use crate::meters::Meters;
use opsloop_kernel::{
    Note,
    ports::Recorder,
    signal::{Kind, SIGNALS, Signal},
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{collections::BTreeMap, sync::atomic::AtomicU64};

type Labels = Vec<(String, String)>;
type FloatCounter = Counter<f64, AtomicU64>;
type FloatGauge = Gauge<f64, AtomicU64>;

enum Metric {
    Counter(Family<Labels, FloatCounter>),
    Gauge(Family<Labels, FloatGauge>),
    Histogram(Family<Labels, Histogram, Box<Make>>),
}

/// How a histogram with a signal's buckets is made.
#[derive(Clone)]
pub struct Make(&'static [f64]);
impl prometheus_client::metrics::family::MetricConstructor<Histogram> for Box<Make> {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// Every declared signal; what is not declared cannot be recorded.
pub struct Signals {
    registry: Registry,
    metrics: BTreeMap<&'static str, Metric>,
    /// Where they go besides the exposition.
    meters: Option<Meters>,
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signals({} declared)", self.metrics.len())
    }
}

impl Default for Signals {
    fn default() -> Self {
        let mut registry = Registry::default();
        let metrics = SIGNALS.iter().map(|s| (s.name, register(&mut registry, s))).collect();
        Self { registry, metrics, meters: None }
    }
}

/// The exposition adds `_total` to counters by itself.
fn register(registry: &mut Registry, signal: &'static Signal) -> Metric {
    let name = signal.name.strip_suffix("_total").unwrap_or(signal.name);
    match signal.kind {
        Kind::Counter => {
            let family = Family::default();
            registry.register(name, signal.help, family.clone());
            Metric::Counter(family)
        }
        Kind::Gauge => {
            let family = Family::default();
            registry.register(name, signal.help, family.clone());
            Metric::Gauge(family)
        }
        Kind::Histogram => {
            let family = Family::new_with_constructor(Box::new(Make(signal.buckets)));
            registry.register(name, signal.help, family.clone());
            Metric::Histogram(family)
        }
    }
}

impl Signals {
    /// Recorded to instruments as well.
    pub(crate) fn also(meters: Meters) -> Self {
        Self { meters: Some(meters), ..Self::default() }
    }

    /// OpenMetrics text, which Prometheus reads.
    pub fn exposition(&self) -> String {
        let mut out = String::new();
        if encode(&mut out, &self.registry).is_err() {
            tracing::error!("the signals could not be written as text");
        }
        out
    }
}

impl Recorder for Signals {
    fn record(&self, worker: &str, note: &Note) {
        if let Some(meters) = &self.meters {
            meters.record(worker, note);
        }
        let own = std::iter::once(("worker".to_owned(), worker.to_owned()));
        let labels: Labels = own.chain(note.labels.iter().map(|(k, v)| ((*k).to_owned(), v.clone()))).collect();
        match self.metrics.get(note.signal.name) {
            Some(Metric::Counter(family)) => {
                family.get_or_create(&labels).inc_by(note.value.max(0.0));
            }
            Some(Metric::Gauge(family)) => {
                family.get_or_create(&labels).set(note.value);
            }
            Some(Metric::Histogram(family)) => family.get_or_create(&labels).observe(note.value),
            None => tracing::error!(signal = note.signal.name, "a signal that nobody declared"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opsloop_kernel::signal;

    #[test]
    fn what_is_recorded_is_exposed_under_its_declared_name() {
        let signals = Signals::default();
        let note = Note::count(&signal::MESSAGES, 3).label("event_type", "X").label("outcome", "processed");
        signals.record("W", &note);
        signals.record("W", &Note { signal: &signal::HANDLER_SECONDS, labels: vec![], value: 0.02 });
        let text = signals.exposition();
        let line = r#"worker_messages_total{worker="W",event_type="X",outcome="processed"} 3"#;
        assert!(text.contains(line), "{text}");
        assert!(text.contains(r#"worker_handler_duration_seconds_bucket{le="0.05",worker="W"} 1"#), "{text}");
    }
}
