//! The worker: a unit per stream and commit, which reads nothing.

use super::{
    NAME,
    accept::{self, Input, LogArrival},
};
use opsloop_kernel::{
    Chain, Container, Decision, Dedup, Halt, Incoming, Moment, Refusal, Scope, Source, Spec, Stop, Stream, Trigger,
    Unit, Worker, message::QUEUE_LOGS, worker::Platform,
};
use std::{fmt, str::FromStr};

#[derive(Clone, Copy, Debug, Default)]
pub struct LogIngestionWorker;

/// `<stream>`, or `<stream>|<n>` where a batch has more for it than one commit takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub stream: String,
    pub part: u32,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            0 => f.write_str(&self.stream),
            part => write!(f, "{}|{part}", self.stream),
        }
    }
}

impl FromStr for Key {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let (stream, part) = match s.split_once('|') {
            Some((stream, part)) => (stream, part.parse().map_err(|_| format!("`{part}` is no part"))?),
            None => (s, 0),
        };
        if !stream.starts_with("logs/") {
            return Err(format!("`{stream}` is no stream of logs"));
        }
        Ok(Self { stream: stream.to_owned(), part })
    }
}

impl Worker for LogIngestionWorker {
    const SPEC: Spec = Spec {
        name: NAME,
        platform: Platform::Observability,
        component: "log-ingestion",
        purpose: "Stores OTLP logs by trace, or by module and hour.",
        triggers: &[Trigger { function: NAME, source: Source::Queue { name: QUEUE_LOGS }, dedup: Dedup::Natural }],
        emits: &[],
        performs: &[],
        key: "a trace's logs, or a module's of an hour: its share of a batch",
    };
    type Input = Input;
    type Key = Key;
    type View = ();

    fn accept(&self, incoming: &Incoming) -> Result<Option<Input>, Refusal> {
        accept::accept(incoming)
    }

    fn plan(input: &Input) -> Vec<Chain<Key>> {
        let unit = |a: &LogArrival| Unit {
            tenant: input.tenant.clone(),
            stream: Stream::new(Container::Telemetry, a.stream.clone()),
            key: Key { stream: a.stream.clone(), part: a.part },
            due: None,
        };
        input.arrivals.iter().map(|a| vec![unit(a)]).collect()
    }

    async fn observe(&self, _: &Unit<Key>, _: &Input, _: &Scope<'_>) -> Result<(), Stop> {
        Ok(())
    }

    fn decide(unit: &Unit<Key>, input: &Input, (): &(), _: Moment) -> Result<Decision, Halt> {
        let place = (unit.key.stream.as_str(), unit.key.part);
        let found = input.arrivals.binary_search_by(|a| (a.stream.as_str(), a.part).cmp(&place));
        let Some(arrival) = found.ok().and_then(|n| input.arrivals.get(n)) else {
            return Err(Refusal::payload("the unit is not one of its input").into());
        };
        let writes = arrival.chunks.iter().flat_map(|c| c.writes(input.received_at));
        Ok(writes.fold(Decision::because("stored"), Decision::write))
    }
}
