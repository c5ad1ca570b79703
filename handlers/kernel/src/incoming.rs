//! What a trigger brings, and the units it is planned into (DESIGN 4).

use crate::{document::DocId, envelope::Envelope, ident::TenantId, time::Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Where a stream lives, by life time and load (DESIGN 6). A stream lives in one container (A1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    State,
    Telemetry,
    Metrics,
}
impl Container {
    pub const ALL: [Self; 3] = [Self::State, Self::Telemetry, Self::Metrics];
    pub fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Telemetry => "telemetry",
            Self::Metrics => "metrics",
        }
    }
}

/// A partition: everything one commit may touch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stream {
    pub container: Container,
    pub name: String,
}
impl Stream {
    pub fn new(container: Container, name: impl Into<String>) -> Self {
        Self { container, name: name.into() }
    }
}

/// An enum of a worker that prints and parses itself; its text is part of marker and effect ids.
pub trait UnitKey: Clone + Eq + fmt::Debug + fmt::Display + FromStr<Err: fmt::Display> + Send + Sync + 'static {}
impl<K: Clone + Eq + fmt::Debug + fmt::Display + FromStr<Err: fmt::Display> + Send + Sync + 'static> UnitKey for K {}

/// The smallest thing decided and committed at once. `due` is its moment where a due document made it, and no part
/// of its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit<K> {
    pub tenant: TenantId,
    pub stream: Stream,
    pub key: K,
    pub due: Option<Timestamp>,
}

/// Units that go in order; a failure ends its own chain only.
pub type Chain<K> = Vec<Unit<K>>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Incoming {
    Event(Box<Envelope>),
    Batch(TelemetryBatch),
    Due(DueUnits),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
}
impl Signal {
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];
    pub fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

/// OTLP bytes with the authoritative properties that the receiver set (SPEC 4.3, A42). The body is decompressed OTLP
/// protobuf: the shell undoes the encoding before `accept`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TelemetryBatch {
    pub signal: Signal,
    pub tenant: TenantId,
    pub project: Option<String>,
    pub received_at: Timestamp,
    pub batch_id: String,
    pub part: u32,
    #[serde(with = "crate::message::hex_bytes")]
    pub body: Bytes,
}
impl TelemetryBatch {
    /// The broker message id of the original, and the name of what it stores: `batchId|part`.
    pub fn id(&self) -> String {
        format!("{}|{}", self.batch_id, self.part)
    }
}

/// All due documents of one stream, found by a tick or a page (A62). `tick` is the tick's own instant, for the few
/// decisions of which lateness itself is the subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueUnits {
    pub tick: Timestamp,
    pub tenant: TenantId,
    pub stream: Stream,
    pub found: Vec<FoundDue>,
}
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundDue {
    pub id: DocId,
    pub at: Timestamp,
}

/// One answer of the directory: where a due document is, without its body.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Found {
    pub tenant: TenantId,
    pub stream: Stream,
    pub at: Timestamp,
    pub id: DocId,
}
