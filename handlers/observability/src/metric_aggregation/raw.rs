//! Raw points as they are stored: chunks by window, and the states that windows hand on. Binary inside, for there are
//! thousands in a message and every window is read again when a late one comes.

use super::types::{HistogramValue, SeriesKind};
use opsloop_kernel::{Timestamp, Window, window::MINUTE_MS};
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, collections::BTreeMap};

/// What a stream's points mean, from kind, temporality and monotonicity (SPEC 5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum StreamKind {
    /// Gauges, and non-monotonic cumulative sums.
    Samples = 0,
    MonotonicDelta = 1,
    /// May be negative.
    NonMonotonicDelta = 2,
    MonotonicCumulative = 3,
    HistogramDelta = 4,
    HistogramCumulative = 5,
    ExponentialDelta = 6,
    ExponentialCumulative = 7,
}

impl StreamKind {
    pub fn series(self) -> SeriesKind {
        match self {
            Self::Samples => SeriesKind::Gauge,
            Self::MonotonicDelta | Self::NonMonotonicDelta | Self::MonotonicCumulative => SeriesKind::Counter,
            Self::HistogramDelta | Self::HistogramCumulative => SeriesKind::Histogram,
            Self::ExponentialDelta | Self::ExponentialCumulative => SeriesKind::ExponentialHistogram,
        }
    }
    pub fn is_cumulative(self) -> bool {
        matches!(self, Self::MonotonicCumulative | Self::HistogramCumulative | Self::ExponentialCumulative)
    }
    /// The window of a point at `time_ns`: samples are instants, everything else intervals, whole in the window of
    /// their end (A66).
    pub fn window(self, time_ns: i64) -> Window {
        let time = Timestamp::from_nanos(time_ns);
        if self == Self::Samples { Window::containing(time, MINUTE_MS) } else { Window::ending(time, MINUTE_MS) }
    }
}

/// The points of a batch part in one 1m window, all metrics of the bucket.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
pub struct Chunk {
    #[prost(message, repeated, tag = "1")]
    pub resources: Vec<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub streams: Vec<RawStream>,
}

/// Attributes that many streams share, as the text of labels.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
pub struct Resource {
    #[prost(btree_map = "string, string", tag = "1")]
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawStream {
    /// SHA-256 of the identity (SPEC 5.2.2).
    #[prost(bytes = "vec", tag = "1")]
    #[serde(with = "hex_text")]
    pub id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub metric: String,
    #[prost(string, tag = "3")]
    pub unit: String,
    #[prost(enumeration = "StreamKind", tag = "4")]
    pub kind: i32,
    /// Labels of SPEC 5.1.2, in the form of ids.
    #[prost(btree_map = "string, string", tag = "5")]
    pub dimensions: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "6")]
    pub attributes: BTreeMap<String, String>,
    /// Which of the chunk's resources.
    #[prost(uint32, tag = "7")]
    pub resource: u32,
    #[prost(message, repeated, tag = "8")]
    pub points: Vec<RawPoint>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawPoint {
    /// 0 where it is unknown: it was 0, or after the point's time.
    #[prost(sfixed64, tag = "1")]
    pub start_ns: i64,
    #[prost(sfixed64, tag = "2")]
    pub time_ns: i64,
    /// Of a sum or gauge.
    #[prost(double, tag = "3")]
    pub value: f64,
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub distribution: Option<Distribution>,
    #[prost(message, repeated, tag = "5")]
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub exemplars: Vec<RawExemplar>,
}

/// What a histogram's point says.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
pub struct Distribution {
    #[prost(uint64, tag = "1")]
    pub count: u64,
    #[prost(double, optional, tag = "2")]
    pub sum: Option<f64>,
    #[prost(double, optional, tag = "3")]
    pub min: Option<f64>,
    #[prost(double, optional, tag = "4")]
    pub max: Option<f64>,
    #[prost(oneof = "HistogramValue", tags = "5, 6")]
    pub buckets: Option<HistogramValue>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawExemplar {
    #[prost(bytes = "vec", tag = "1")]
    #[serde(with = "hex_text")]
    pub trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    #[serde(with = "hex_text")]
    pub span_id: Vec<u8>,
    #[prost(double, tag = "3")]
    pub value: f64,
    #[prost(sfixed64, tag = "4")]
    pub at_ns: i64,
}

/// The states after a 1m window, by stream id.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
pub struct Carry {
    #[prost(message, repeated, tag = "1")]
    pub streams: Vec<StreamState>,
}

/// Where a cumulative identity stands (SPEC 5.2.4). Writers may share an identity, so each start is followed by
/// itself (A61).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamState {
    #[prost(bytes = "vec", tag = "1")]
    #[serde(with = "hex_text")]
    pub id: Vec<u8>,
    #[prost(sfixed64, tag = "2")]
    pub first_seen_ns: i64,
    /// The largest start that left: it or an older one, seen again, only seeds.
    #[prost(sfixed64, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub left_ns: Option<i64>,
    /// The last point of each start, by start.
    #[prost(message, repeated, tag = "4")]
    pub starts: Vec<RawPoint>,
}

impl RawPoint {
    /// By (time, start, value or buckets), so that no order of arrival shows.
    pub fn order(&self, other: &Self) -> Ordering {
        let times = (self.time_ns, self.start_ns).cmp(&(other.time_ns, other.start_ns));
        times.then_with(|| self.value.total_cmp(&other.value)).then_with(|| {
            let distributions =
                [&self.distribution, &other.distribution].map(|d| d.as_ref().map(Distribution::sortable));
            let [mine, theirs] = distributions;
            mine.partial_cmp(&theirs).unwrap_or(Ordering::Equal)
        })
    }
    /// One measurement that came twice: equal in value or buckets.
    pub fn same_value(&self, other: &Self) -> bool {
        let buckets = |p: &Self| p.distribution.as_ref().map(|d| (d.count, d.buckets.clone()));
        self.value == other.value && buckets(self) == buckets(other)
    }
    /// `None`: the start is unknown.
    pub fn interval_ns(&self) -> Option<i64> {
        (self.start_ns > 0).then(|| self.time_ns.saturating_sub(self.start_ns))
    }
    /// What a state keeps of it.
    pub fn kept(&self) -> Self {
        Self { exemplars: vec![], ..self.clone() }
    }
}

impl Distribution {
    /// Anything total will do, as long as it tells different points apart.
    fn sortable(&self) -> (u64, Vec<u8>) {
        (self.count, prost::Message::encode_to_vec(self))
    }

    /// What was added since `earlier`, without min and max, which no difference has; `None` where it fell.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let buckets = match (&self.buckets, &earlier.buckets) {
            (Some(now), Some(then)) => Some(now.since(then)?),
            (now, _) => now.clone(),
        };
        Some(Self {
            count: self.count.checked_sub(earlier.count)?,
            sum: self.sum.zip(earlier.sum).map(|(now, then)| now - then),
            min: None,
            max: None,
            buckets,
        })
    }
}

/// The labels of one stream, looked up where SPEC 5.2.2 says.
pub struct Labels<'a> {
    pub stream: &'a RawStream,
    pub resource: Option<&'a Resource>,
}
/// Labels that telemetry brings to the form of ids; no attribute of the same name stands in for them.
pub const DIMENSIONS: [&str; 9] = [
    "projectId",
    "moduleId",
    "environment",
    "executionId",
    "agentId",
    "skillId",
    "artifactId",
    "workflowId",
    "version",
];
impl Labels<'_> {
    /// `None`: absent, or empty.
    pub fn get(&self, label: &str) -> Option<&str> {
        if DIMENSIONS.contains(&label) {
            return self.stream.dimensions.get(label).map(String::as_str);
        }
        let of_resource = || self.resource.and_then(|r| r.labels.get(label));
        self.stream.attributes.get(label).or_else(of_resource).map(String::as_str)
    }
}

/// Bytes as hex in the text form of golden cases.
mod hex_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(bytes))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(d)?).map_err(D::Error::custom)
    }
}
