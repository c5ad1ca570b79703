//! The worker: what triggers it, its units, and which decision belongs to which.

use super::{
    Bucket, Watermarks, arrive,
    bucket::{self, DUE},
    close::{self, Closing},
    decode::{self, Arrived, ArrivedUnit},
    names, observe,
};
use crate::events::kind::METRIC_AGGREGATED;
use opsloop_kernel::{
    Chain, Decision, Dedup, DueUnits, Halt, Incoming, Moment, Mutant, Platform, Refusal, Scope, Source, Spec, Stop,
    Stored, TelemetrySignal, Timestamp, Trigger, Unit, Window, Worker, Write, message::QUEUE_METRICS, mutant,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Raw points to series of 1m, 5m and 1h windows (SPEC 5.2).
pub struct MetricAggregationWorker {
    /// Into how many streams metrics are spread; fixed for a deployment.
    pub metric_buckets: u16,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    Arrived(Arrived),
    Due(DueUnits),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// What a batch part brings in one UTC half hour.
    Arrival(Timestamp),
    /// Chains go by (size, start) …
    Close(Window),
    /// … and end with the watermarks.
    Root,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrival(half_hour) => write!(f, "arrival|{}", half_hour.millis()),
            Self::Close(window) => f.write_str(&names::dirty_id(*window)),
            Self::Root => f.write_str(names::BUCKET),
        }
    }
}
impl FromStr for Key {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == names::BUCKET {
            return Ok(Self::Root);
        }
        let half_hour = text.strip_prefix("arrival|").and_then(|ms| ms.parse().ok());
        let arrival = half_hour.map(|ms| Self::Arrival(Timestamp::from_millis(ms)));
        arrival
            .or_else(|| names::window_of_mark(text).map(Self::Close))
            .ok_or_else(|| format!("`{text}` is no unit of metric aggregation"))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum View {
    /// Whether the bucket exists.
    Arrival {
        root: bool,
    },
    Close(Box<Closing>),
    Root {
        root: Option<Stored>,
        oldest_marks: Vec<Window>,
    },
}

impl Worker for MetricAggregationWorker {
    const SPEC: Spec = Spec {
        name: DUE,
        platform: Platform::Observability,
        component: "metric-aggregation",
        purpose: "Combines raw counters, gauges and histograms into series per 1m, 5m and 1h window, deterministically.",
        triggers: &[
            Trigger {
                function: "MetricAggregationWorker",
                source: Source::Timer { schedule: "30 * * * * *", cadence_s: 60, offset_s: 30 },
                dedup: Dedup::Natural,
            },
            Trigger {
                function: "MetricAggregationWorkerEvents",
                source: Source::Queue { name: QUEUE_METRICS },
                dedup: Dedup::Natural,
            },
        ],
        emits: &[METRIC_AGGREGATED],
        performs: &[],
        key: "of a batch part: bucket and half hour; of a tick: window, then bucket",
    };
    type Input = Input;
    type Key = Key;
    type View = View;

    fn accept(&self, incoming: &Incoming) -> Result<Option<Input>, Refusal> {
        match incoming {
            Incoming::Batch(batch) if batch.signal == TelemetrySignal::Metrics => {
                decode::arrived(batch, self.metric_buckets).map(|a| Some(Input::Arrived(a)))
            }
            Incoming::Due(due) => Ok(Some(Input::Due(due.clone()))),
            _ => Ok(None),
        }
    }

    fn plan(input: &Input) -> Vec<Chain<Key>> {
        match input {
            Input::Arrived(arrived) => arrived.units.iter().map(|unit| vec![arrival(arrived, unit)]).collect(),
            Input::Due(due) => vec![due_chain(due)],
        }
    }

    async fn observe(&self, unit: &Unit<Key>, _: &Input, scope: &Scope<'_>) -> Result<View, Stop> {
        match unit.key {
            Key::Arrival(_) => observe::arrival(scope, &unit.stream).await,
            Key::Close(window) => observe::closing(scope, &unit.stream, window).await,
            Key::Root => observe::root(scope, &unit.stream).await,
        }
    }

    fn decide(unit: &Unit<Key>, input: &Input, view: &View, at: Moment) -> Result<Decision, Halt> {
        match (unit.key, input, view) {
            (Key::Arrival(_), Input::Arrived(arrived), View::Arrival { root }) => {
                let of_unit = |u: &&ArrivedUnit| arrival(arrived, u) == *unit;
                let Some(brought) = arrived.units.iter().find(of_unit) else { return Ok(nothing()) };
                arrive::decide(arrived, brought, *root)
            }
            (Key::Close(window), Input::Due(due), View::Close(view)) => {
                close::decide(&unit.tenant, window, due.tick, view, at)
            }
            (Key::Root, Input::Due(_), View::Root { root, oldest_marks }) => move_watermarks(root, oldest_marks, at),
            _ => Ok(nothing()),
        }
    }
}

fn nothing() -> Decision {
    Decision::because("not-of-this-input")
}

fn arrival(arrived: &Arrived, unit: &ArrivedUnit) -> Unit<Key> {
    Unit {
        tenant: arrived.tenant.clone(),
        stream: names::stream_of_bucket(unit.bucket),
        key: Key::Arrival(unit.half_hour),
        due: None,
    }
}

/// The due windows of a bucket by (size, start), then its root.
fn due_chain(due: &DueUnits) -> Chain<Key> {
    let unit =
        |key: Key, at: Timestamp| Unit { tenant: due.tenant.clone(), stream: due.stream.clone(), key, due: Some(at) };
    let keyed = due.found.iter().filter_map(|f| Some(unit(f.id.0.parse().ok()?, f.at)));
    let mut chain: Chain<Key> = keyed.collect();
    chain.sort_by_key(|u| (mutant::is(Mutant::WatermarkBeforeItsWindows) && u.key != Key::Root, u.key));
    chain
}

/// The watermarks become the ends of the newest windows closed by the moment; while a mark due by then is left they
/// stay where they are, and the root stays due (A21).
fn move_watermarks(root: &Option<Stored>, oldest_marks: &[Window], at: Moment) -> Result<Decision, Halt> {
    let Some(stored) = root.as_ref().filter(|r| bucket::due_of(r) == Some(at.0)) else {
        return Ok(Decision::because("not-due-any-more"));
    };
    let is_open = |w: &Window| w.closes_at() <= at.0;
    if oldest_marks.iter().any(is_open) && !mutant::is(Mutant::WatermarkBeforeItsWindows) {
        return Ok(Decision::because("a-window-is-open"));
    }
    let mut bucket: Bucket = stored.read()?;
    bucket.watermarks = Watermarks::closed_by(at.0);
    let document = bucket.document(bucket::next_due(at.0));
    Ok(Decision::because("watermarks-moved").write(Write::Save(document, Some(stored.etag.clone()))))
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
