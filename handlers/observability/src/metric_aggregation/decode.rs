//! An OTLP metric batch as chunks of raw points, by bucket, half hour and window (SPEC 5.2.2, 5.2.4).

use super::{
    identity::{Identity, canonical_list, text_labels},
    names,
    point::{self, Typed},
    raw::{Chunk, RawPoint, RawStream, Resource, StreamKind},
};
use crate::otlp::{
    self, ContentType, Dimensions, Names, Request, normalise,
    proto::{
        common::v1::KeyValue,
        metrics::v1::{Metric, ResourceMetrics, ScopeMetrics},
    },
};
use opsloop_kernel::{
    Mutant, Refusal, TelemetryBatch, TelemetrySignal, TenantId, Timestamp, ids, mutant,
    window::{MINUTE_MS, REOPEN_HORIZON},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Windows that one unit may touch: a chunk and a mark each fit one batch.
pub const HALF_HOUR_MS: i64 = 30 * MINUTE_MS;
/// A metric's name is part of document ids, which end at 1,023 bytes; percent-encoding makes three bytes of one.
pub const METRIC_NAME_BYTES_MAX: usize = 255;

/// What a batch part brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrived {
    pub tenant: TenantId,
    pub batch_id: String,
    pub part: u32,
    pub received_at: Timestamp,
    pub units: Vec<ArrivedUnit>,
}

/// What it brings to one bucket in one UTC half hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArrivedUnit {
    pub bucket: u16,
    pub half_hour: Timestamp,
    /// Points beyond the reopen horizon, by `receivedAt` (SPEC 3.4).
    pub late_dropped: u64,
    pub windows: Vec<ArrivedWindow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArrivedWindow {
    pub start: Timestamp,
    pub chunk: Chunk,
}

/// The unit keys of a batch are a function of its bytes and properties alone (A6).
pub fn arrived(batch: &TelemetryBatch, buckets: u16) -> Result<Arrived, Refusal> {
    let request = otlp::decode(TelemetrySignal::Metrics, ContentType::Protobuf, &batch.body)?;
    // The receiver has done so; a batch may also come straight from the queue.
    let accepted = otlp::validate(request, &batch.tenant, batch.received_at);
    let mut sorter = Sorter { batch, buckets, resources: 0, units: BTreeMap::new() };
    if let Request::Metrics(request) = accepted.request {
        request.resource_metrics.into_iter().for_each(|r| sorter.resource(r));
    }
    Ok(Arrived {
        tenant: batch.tenant.clone(),
        batch_id: batch.batch_id.clone(),
        part: batch.part,
        received_at: batch.received_at,
        units: sorter.units(),
    })
}

/// Where points go while a batch is read.
struct Sorter<'a> {
    batch: &'a TelemetryBatch,
    buckets: u16,
    /// Resources read so far.
    resources: usize,
    units: BTreeMap<(u16, Timestamp), Sorted>,
}
#[derive(Default)]
struct Sorted {
    late_dropped: u64,
    windows: BTreeMap<Timestamp, Builder>,
}
/// A chunk while it is filled: resources and streams each once.
#[derive(Default)]
struct Builder {
    resources: Vec<(usize, Resource)>,
    streams: BTreeMap<Vec<u8>, RawStream>,
}

/// What all streams of a resource have in common.
struct OfResource<'a> {
    number: usize,
    names: Names<'a>,
    labels: Resource,
    canonical: String,
}
/// What all streams of a metric have in common.
struct OfMetric<'a> {
    name: &'a str,
    unit: &'a str,
    /// The canonical list of the scope's and the metric's parts of the identity.
    canonical: String,
    kind: StreamKind,
}

impl Sorter<'_> {
    fn resource(&mut self, mut resource: ResourceMetrics) {
        let mut attributes = resource.resource.take().unwrap_or_default();
        normalise::resource(&mut attributes);
        let json = otlp::json_map(&attributes.attributes);
        let of = OfResource {
            number: self.resources,
            names: Names::of(&attributes.attributes),
            labels: Resource { labels: text_labels(&json) },
            canonical: canonical_list([json.into()]),
        };
        self.resources += 1;
        resource.scope_metrics.into_iter().for_each(|s| self.scope(&of, s));
    }

    fn scope(&mut self, resource: &OfResource<'_>, scope: ScopeMetrics) {
        let (name, version) = scope.scope.map(|s| (s.name, s.version)).unwrap_or_default();
        for metric in scope.metrics {
            self.metric(resource, [&name, &version], metric);
        }
    }

    fn metric(&mut self, resource: &OfResource<'_>, scope: [&str; 2], metric: Metric) {
        let Metric { mut name, mut unit, data, .. } = metric;
        name.truncate(name.floor_char_boundary(METRIC_NAME_BYTES_MAX));
        otlp::attributes::cut(&mut unit);
        let Some(Typed { kind, otlp, temporality, monotonic, points }) = data.and_then(point::typed) else { return };
        let canonical = canonical_list([
            scope[0].into(),
            scope[1].into(),
            name.as_str().into(),
            unit.as_str().into(),
            otlp.into(),
            temporality.into(),
            monotonic.into(),
        ]);
        let of = OfMetric { name: &name, unit: &unit, canonical, kind };
        for (attributes, point) in points {
            self.point(resource, &of, attributes, point);
        }
    }

    fn point(&mut self, resource: &OfResource<'_>, of: &OfMetric<'_>, mut attributes: Vec<KeyValue>, point: RawPoint) {
        let by_clock = mutant::is(Mutant::WindowFromTheWallClock);
        let window = of.kind.window(if by_clock { self.batch.received_at.nanos() } else { point.time_ns });
        let unit = (ids::bucket(of.name, self.buckets), window.start.floor_to(HALF_HOUR_MS, 0));
        let sorted = self.units.entry(unit).or_default();
        if window.end().plus(REOPEN_HORIZON) < self.batch.received_at {
            sorted.late_dropped += 1;
            return;
        }
        otlp::normalise_attributes(&mut attributes);
        let json = otlp::json_map(&attributes);
        let dimensions = Dimensions::of(&Names::of(&attributes), &resource.names, self.batch.project.as_deref());
        let attributes = text_labels(&json);
        let identity = Identity {
            tenant: self.batch.tenant.as_str(),
            project: dimensions.project.as_deref(),
            resource: &resource.canonical,
            metric: &of.canonical,
            attributes: json.into(),
        };
        let builder = sorted.windows.entry(window.start).or_default();
        let number = builder.resource(resource);
        let id = identity.stream_id();
        let stream = builder.streams.entry(id).or_insert_with_key(|id| RawStream {
            id: id.clone(),
            metric: of.name.to_owned(),
            unit: of.unit.to_owned(),
            kind: of.kind.into(),
            dimensions: super::identity::labels_of(dimensions),
            attributes,
            resource: number,
            points: vec![],
        });
        stream.points.push(point);
    }

    fn units(self) -> Vec<ArrivedUnit> {
        let windows = |sorted: BTreeMap<Timestamp, Builder>| {
            sorted.into_iter().map(|(start, b)| ArrivedWindow { start, chunk: b.chunk() }).collect()
        };
        let unit = |((bucket, half_hour), Sorted { late_dropped, windows: sorted })| ArrivedUnit {
            bucket,
            half_hour,
            late_dropped,
            windows: windows(sorted),
        };
        self.units.into_iter().map(unit).collect()
    }
}

impl Builder {
    /// The number of a resource in this chunk. The streams of one come together: it is the last, if it is there.
    fn resource(&mut self, of: &OfResource<'_>) -> u32 {
        if self.resources.last().is_none_or(|(number, _)| *number != of.number) {
            self.resources.push((of.number, of.labels.clone()));
        }
        (self.resources.len() - 1) as u32
    }
    fn chunk(self) -> Chunk {
        let resources = self.resources.into_iter().map(|(_, r)| r).collect();
        Chunk { resources, streams: self.streams.into_values().collect() }
    }
}

/// The name of the chunk's document.
pub fn chunk_id(arrived: &Arrived, window: Timestamp) -> String {
    names::raw_id(window, &arrived.batch_id, arrived.part)
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
