//! The worker itself: which input makes which units, and who observes and decides them.

use super::{
    NAME,
    accept::{self, Input, TraceArrival},
    arrival::{self, ArrivalView},
    due::{self, DueView},
    index,
    signals::Thresholds,
    stream_of,
    unit::Key,
};
use crate::events::kind;
use opsloop_kernel::{
    Chain, Decision, Dedup, Halt, Incoming, Moment, Refusal, Scope, Source, Spec, Stop, Timestamp, TraceId, Trigger,
    Unit, Worker, message::QUEUE_TRACES, worker::Platform,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default)]
pub struct TraceIngestionWorker {
    pub settings: TraceSettings,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TraceSettings {
    /// The fraction of traces without errors that is kept; `None`: all (SPEC 5.1.4(8)).
    pub sampling: Option<f64>,
    pub thresholds: Thresholds,
}

impl TraceSettings {
    /// Every trace with an error span; of the others those whose low 56 bits are at least `(1 − p)·2^56`.
    pub fn keeps(&self, trace: &TraceId, error_spans: u32) -> bool {
        const LOW_BITS: f64 = (1u64 << 56) as f64;
        let Some(p) = self.sampling else { return true };
        let low = u64::from_str_radix(&trace.as_str()[18..], 16).unwrap_or(u64::MAX);
        // As integers: a double would round 56 bits.
        error_spans > 0 || low >= ((1.0 - p) * LOW_BITS) as u64
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum View {
    Arrival(ArrivalView),
    Due(Box<DueView>),
}

impl Worker for TraceIngestionWorker {
    const SPEC: Spec = Spec {
        name: NAME,
        platform: Platform::Observability,
        component: "trace-ingestion",
        purpose: "Turns OTLP spans into one correlated record per trace, and announces it.",
        triggers: &[
            Trigger { function: NAME, source: Source::Queue { name: QUEUE_TRACES }, dedup: Dedup::Natural },
            Trigger {
                function: "TraceIngestionWorkerTick",
                source: Source::Timer { schedule: "*/10 * * * * *", cadence_s: 10, offset_s: 0 },
                dedup: Dedup::Natural,
            },
        ],
        emits: &[kind::TRACE_RECORDED],
        performs: &[],
        key: "a trace: its share of a batch, its index entries, its head",
    };
    type Input = Input;
    type Key = Key;
    type View = View;

    fn accept(&self, incoming: &Incoming) -> Result<Option<Input>, Refusal> {
        accept::accept(incoming)
    }

    fn plan(input: &Input) -> Vec<Chain<Key>> {
        match input {
            Input::Arrived(arrived) => {
                let mut chains: Vec<Chain<Key>> = vec![];
                for t in &arrived.traces {
                    let key = Key::Arrival { trace: t.trace.clone(), part: t.part };
                    let unit = Unit { tenant: arrived.tenant.clone(), stream: stream_of(&t.trace), key, due: None };
                    match chains.last_mut() {
                        Some(chain) if t.part > 0 => chain.push(unit),
                        _ => chains.push(vec![unit]),
                    }
                }
                chains
            }
            Input::Due { tenant, trace, at } => {
                let unit = |stream, key| Unit { tenant: tenant.clone(), stream, key, due: Some(*at) };
                let (for_index, for_head) = (Key::Index { trace: trace.clone() }, Key::Head { trace: trace.clone() });
                vec![vec![unit(index::stream_of(trace, *at), for_index), unit(stream_of(trace), for_head)]]
            }
        }
    }

    async fn observe(&self, unit: &Unit<Key>, input: &Input, scope: &Scope<'_>) -> Result<View, Stop> {
        let view = match (&unit.key, input) {
            (Key::Arrival { .. }, _) => {
                return Ok(View::Arrival(arrival::observe(share(unit, input)?.0, scope).await?));
            }
            (Key::Index { trace }, Input::Due { at, .. }) => {
                due::observe_index(&unit.tenant, trace, *at, &self.settings, scope).await?
            }
            (Key::Head { trace }, Input::Due { at, .. }) => due::observe(trace, *at, &self.settings, scope).await?,
            _ => return Err(mismatch().into()),
        };
        Ok(View::Due(Box::new(view)))
    }

    fn decide(unit: &Unit<Key>, input: &Input, view: &View, at: Moment) -> Result<Decision, Halt> {
        Ok(match (&unit.key, view) {
            (Key::Arrival { .. }, View::Arrival(v)) => {
                let (share, received_at) = share(unit, input)?;
                arrival::decide(share, received_at, v)?
            }
            (Key::Index { trace }, View::Due(v)) => due::decide_index(&unit.tenant, trace, at.0, v)?,
            (Key::Head { trace }, View::Due(v)) => due::decide_head(&unit.tenant, trace, at.0, v)?,
            _ => return Err(mismatch().into()),
        })
    }
}

/// A unit's share of the batch, and when that was received.
fn share<'a>(unit: &Unit<Key>, input: &'a Input) -> Result<(&'a TraceArrival, Timestamp), Refusal> {
    let (Key::Arrival { trace, part }, Input::Arrived(arrived)) = (&unit.key, input) else { return Err(mismatch()) };
    let at = arrived.traces.binary_search_by(|t| (&t.trace, t.part).cmp(&(trace, *part)));
    let found = at.ok().and_then(|n| arrived.traces.get(n)).ok_or_else(mismatch)?;
    Ok((found, arrived.received_at))
}

fn mismatch() -> Refusal {
    Refusal::payload("the unit is not one of its input")
}
