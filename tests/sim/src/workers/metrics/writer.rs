//! One process that measures: its increments are the truth that the windows must add up to.

use super::generate::Course;
use crate::{
    rng::Rng,
    workers::{ERRORS, LATENCY, REQUESTS, otlp::nanos},
};
use opsloop_kernel::Timestamp;
use opsloop_observability::otlp::proto::{
    common::v1::KeyValue,
    metrics::v1::{
        Exemplar, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, exemplar, metric::Data,
        number_data_point,
    },
};
use std::collections::BTreeMap;

pub const GAUGE: &str = "process.memory.usage";
pub const BALANCE: &str = "queue.balance";
pub const DELTA: i32 = 1;
pub const CUMULATIVE: i32 = 2;
const BOUNDS: [f64; 3] = [0.1, 0.5, 1.0];

/// What the windows of a metric must come to; a histogram's is its count, `<metric>|count`.
pub type Totals = BTreeMap<String, f64>;

pub struct Writer {
    /// Tells it from its twin, where they do not share one identity.
    pub attributes: Vec<KeyValue>,
    /// Of the process, as exporters send it.
    pub start: Timestamp,
    /// The end of the last measurement.
    pub last: Timestamp,
    /// Whether what was counted before the first export counts: not where the process is older than 5 minutes.
    pub counts_first: bool,
    pub errors: f64,
    pub requests: f64,
    pub buckets: [u64; 4],
    pub sum: f64,
}

/// What happened since the last measurement.
struct Step {
    errors: f64,
    requests: f64,
    buckets: [u64; 4],
}

impl Writer {
    /// The process dies and another begins.
    pub fn restart(&mut self, start: Timestamp) {
        (self.errors, self.requests, self.buckets, self.sum) = (0.0, 0.0, [0; 4], 0.0);
        (self.start, self.counts_first) = (start, true);
    }

    /// All metrics at an instant.
    pub fn measure(&mut self, rng: &mut Rng, course: &Course, at: Timestamp, totals: &mut Totals) -> Vec<Metric> {
        let rising = at >= course.errors_from && at < course.errors_until;
        let step = Step {
            errors: if rising { rng.between(20, 60) } else { rng.between(0, 1) } as f64,
            requests: rng.between(60, 90) as f64,
            buckets: [rng.below(9), rng.below(5), rng.below(3), if rising { rng.below(9) } else { 0 }],
        };
        let mut metrics = vec![
            self.counter(REQUESTS, CUMULATIVE, at, (self.requests, step.requests), totals),
            self.counter(ERRORS, course.errors_temporality, at, (self.errors, step.errors), totals),
        ];
        if course.latency {
            metrics.push(self.latency(rng, course, at, &step, totals));
        }
        if course.others {
            metrics.push(self.gauge(rng, at));
            metrics.push(self.balance(rng, at, totals));
        }
        self.errors += step.errors;
        self.requests += step.requests;
        (self.last, self.counts_first) = (at, true);
        metrics
    }

    fn counter(
        &self,
        name: &str,
        temporality: i32,
        at: Timestamp,
        (held, step): (f64, f64),
        totals: &mut Totals,
    ) -> Metric {
        let (start, value) = match temporality {
            DELTA => (self.last, step),
            _ => (self.start, held + step),
        };
        if temporality == DELTA || self.counts_first {
            *totals.entry(name.to_owned()).or_default() += step;
        } else {
            // Seen for the first time, and long alive: what it says now is where the count begins.
            totals.entry(name.to_owned()).or_default();
        }
        let data_points = vec![self.number(start, at, value)];
        let sum = Sum { data_points, aggregation_temporality: temporality, is_monotonic: true };
        metric(name, "1", Data::Sum(sum))
    }

    fn latency(&mut self, rng: &mut Rng, course: &Course, at: Timestamp, step: &Step, totals: &mut Totals) -> Metric {
        let count: u64 = step.buckets.iter().sum();
        let sum = count as f64 * 0.25;
        for (held, more) in self.buckets.iter_mut().zip(step.buckets) {
            *held += more;
        }
        self.sum += sum;
        let delta = course.latency_temporality == DELTA;
        let (start, buckets, sum) =
            if delta { (self.last, step.buckets, sum) } else { (self.start, self.buckets, self.sum) };
        if delta || self.counts_first {
            *totals.entry(format!("{LATENCY}|count")).or_default() += count as f64;
        }
        let point = HistogramDataPoint {
            attributes: self.attributes.clone(),
            start_time_unix_nano: nanos(start),
            time_unix_nano: nanos(at),
            count: buckets.iter().sum(),
            sum: Some(sum),
            bucket_counts: buckets.to_vec(),
            explicit_bounds: BOUNDS.to_vec(),
            exemplars: exemplar(rng, at),
            ..HistogramDataPoint::default()
        };
        let histogram = Histogram { data_points: vec![point], aggregation_temporality: course.latency_temporality };
        metric(LATENCY, "s", Data::Histogram(histogram))
    }

    fn gauge(&self, rng: &mut Rng, at: Timestamp) -> Metric {
        let value = rng.between(100, 900) as f64;
        let point = NumberDataPoint { start_time_unix_nano: 0, ..self.number(at, at, value) };
        metric(GAUGE, "By", Data::Gauge(Gauge { data_points: vec![point] }))
    }

    /// A sum that may fall: what came in less what went out.
    fn balance(&self, rng: &mut Rng, at: Timestamp, totals: &mut Totals) -> Metric {
        let step = rng.between(-9, 9) as f64;
        *totals.entry(BALANCE.to_owned()).or_default() += step;
        let data_points = vec![self.number(self.last, at, step)];
        metric(BALANCE, "1", Data::Sum(Sum { data_points, aggregation_temporality: DELTA, is_monotonic: false }))
    }

    fn number(&self, start: Timestamp, at: Timestamp, value: f64) -> NumberDataPoint {
        NumberDataPoint {
            attributes: self.attributes.clone(),
            start_time_unix_nano: nanos(start),
            time_unix_nano: nanos(at),
            value: Some(number_data_point::Value::AsDouble(value)),
            ..NumberDataPoint::default()
        }
    }
}

fn exemplar(rng: &mut Rng, at: Timestamp) -> Vec<Exemplar> {
    if !rng.hit(0.2) {
        return vec![];
    }
    let id = |rng: &mut Rng, len: usize| (0..len).map(|_| rng.between(1, 255) as u8).collect();
    vec![Exemplar {
        time_unix_nano: nanos(at.plus_millis(-1_000)),
        value: Some(exemplar::Value::AsDouble(0.75)),
        trace_id: id(rng, 16),
        span_id: id(rng, 8),
        ..Exemplar::default()
    }]
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}
