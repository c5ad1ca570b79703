//! The declared signals as OpenTelemetry instruments: the same names, kinds, units, labels and buckets as in the text
//! exposition.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter},
};
use opsloop_kernel::{
    Note,
    signal::{Kind, SIGNALS, Signal},
};
use std::collections::BTreeMap;

enum Instrument {
    Counter(Counter<f64>),
    Gauge(Gauge<f64>),
    Histogram(Histogram<f64>),
}

/// Every declared signal.
pub struct Meters(BTreeMap<&'static str, Instrument>);

impl Meters {
    pub fn new(meter: &Meter) -> Self {
        Self(SIGNALS.iter().map(|signal| (signal.name, instrument(meter, signal))).collect())
    }

    pub fn record(&self, worker: &str, note: &Note) {
        let own = KeyValue::new("worker", worker.to_owned());
        let labels = note.labels.iter().map(|(name, value)| KeyValue::new(*name, value.clone()));
        let labels: Vec<KeyValue> = std::iter::once(own).chain(labels).collect();
        match self.0.get(note.signal.name) {
            Some(Instrument::Counter(counter)) => counter.add(note.value.max(0.0), &labels),
            Some(Instrument::Gauge(gauge)) => gauge.record(note.value, &labels),
            Some(Instrument::Histogram(histogram)) => histogram.record(note.value, &labels),
            // The registry beside this one says so.
            None => {}
        }
    }
}

fn instrument(meter: &Meter, signal: &'static Signal) -> Instrument {
    let (name, unit, help) = (signal.name, signal.unit, signal.help);
    match signal.kind {
        Kind::Counter => Instrument::Counter(meter.f64_counter(name).with_unit(unit).with_description(help).build()),
        Kind::Gauge => Instrument::Gauge(meter.f64_gauge(name).with_unit(unit).with_description(help).build()),
        Kind::Histogram => {
            let histogram = meter.f64_histogram(name).with_unit(unit).with_description(help);
            Instrument::Histogram(histogram.with_boundaries(signal.buckets.to_vec()).build())
        }
    }
}
