//! A batch becomes, for each of its traces, the chunks that are to be stored; a due head becomes its two units.

use super::{
    chunk::{Loose, Packer, chunk_id},
    head,
    marks::Marks,
    span::{by_key, origin_hash, stored},
    stored::Origin,
};
use crate::otlp::{
    Accepted, ContentType, Dimensions, Names, Request, decode, normalise,
    proto::{
        collector::trace::v1::ExportTraceServiceRequest, common::v1::InstrumentationScope, resource::v1::Resource,
    },
    validate,
};
use opsloop_kernel::{DueUnits, Incoming, Refusal, TelemetryBatch, TelemetrySignal, TenantId, Timestamp, TraceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Chunks of one commit: with the head beside them they fit a batch (A64).
const CHUNKS_PER_UNIT: usize = 3;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    Arrived(Arrived),
    Due { tenant: TenantId, trace: TraceId, at: Timestamp },
}

/// What one batch has, by trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrived {
    pub tenant: TenantId,
    pub received_at: Timestamp,
    pub traces: Vec<TraceArrival>,
}

/// One unit's share: a trace, and chunks that go in one commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceArrival {
    pub trace: TraceId,
    pub part: u32,
    pub chunks: Vec<ChunkDraft>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkDraft {
    pub id: String,
    pub data: String,
    pub marks: Marks,
}

pub fn accept(incoming: &Incoming) -> Result<Option<Input>, Refusal> {
    match incoming {
        Incoming::Batch(batch) if batch.signal == TelemetrySignal::Traces => arrived(batch).map(Some),
        Incoming::Due(due) => due_trace(due),
        Incoming::Batch(_) | Incoming::Event(_) => Ok(None),
    }
}

fn due_trace(due: &DueUnits) -> Result<Option<Input>, Refusal> {
    let Some(found) = due.found.iter().find(|f| f.id.0 == head::ID) else { return Ok(None) };
    let name = due.stream.name.strip_prefix("trace/").unwrap_or_default();
    let trace = TraceId::parse(name).map_err(Refusal::payload)?;
    Ok(Some(Input::Due { tenant: due.tenant.clone(), trace, at: found.at }))
}

/// Decodes, validates again (who posts to the queue need not be our receiver) and groups.
fn arrived(batch: &TelemetryBatch) -> Result<Input, Refusal> {
    let request = decode(TelemetrySignal::Traces, ContentType::Protobuf, &batch.body)?;
    let Accepted { request, .. } = validate(request, &batch.tenant, batch.received_at);
    let Request::Traces(request) = request else { return Err(Refusal::payload("not a request of spans")) };
    let mut packer = Packer::new()?;
    let by_trace = group(request, batch.project.as_deref(), &mut packer);
    let mut traces = vec![];
    for (trace, spans) in by_trace {
        let packed = packer.pack(spans)?;
        let mut chunks: Vec<ChunkDraft> = vec![];
        for (n, p) in packed.into_iter().enumerate() {
            chunks.push(ChunkDraft { id: chunk_id(&batch.id(), n), data: p.data, marks: p.marks });
        }
        for (part, chunks) in (0..).zip(chunks.chunks(CHUNKS_PER_UNIT)) {
            traces.push(TraceArrival { trace: trace.clone(), part, chunks: chunks.to_vec() });
        }
    }
    Ok(Input::Arrived(Arrived { tenant: batch.tenant.clone(), received_at: batch.received_at, traces }))
}

fn group(
    request: ExportTraceServiceRequest,
    project: Option<&str>,
    packer: &mut Packer,
) -> BTreeMap<TraceId, Vec<Loose>> {
    let mut by_trace: BTreeMap<Vec<u8>, Vec<Loose>> = BTreeMap::new();
    for rs in request.resource_spans {
        let mut resource = rs.resource.unwrap_or_default();
        normalise::resource(&mut resource);
        let names = Names::of(&resource.attributes);
        let shared = Shared::new(Dimensions::of(&Names::default(), &names, project), packer);
        for ss in rs.scope_spans {
            let origin = origin_of(&resource, ss.scope.unwrap_or_default());
            let hash = origin_hash(&origin);
            packer.origins.push(origin);
            let origin = packer.origins.len() - 1;
            for span in ss.spans {
                let trace = span.trace_id.clone();
                let (dimensions, index) = shared.of(&span.attributes, &names, project, packer);
                let loose = Loose { span: stored(span, &dimensions, &hash), origin, dimensions: index };
                by_trace.entry(trace).or_default().push(loose);
            }
        }
    }
    by_trace.into_iter().filter_map(|(id, spans)| Some((TraceId::of_bytes(&id)?, spans))).collect()
}

fn origin_of(resource: &Resource, mut scope: InstrumentationScope) -> Origin {
    normalise::scope(&mut scope);
    by_key(&mut scope.attributes);
    let mut attributes = resource.attributes.clone();
    by_key(&mut attributes);
    Origin { resource: attributes, scope_name: scope.name, scope_version: scope.version, scope: scope.attributes }
}

/// The dimensions of a resource, which most of its spans have as they are.
struct Shared {
    dimensions: Dimensions,
    index: usize,
}

impl Shared {
    fn new(dimensions: Dimensions, packer: &mut Packer) -> Self {
        packer.dimensions.push(dimensions.clone().into());
        Self { dimensions, index: packer.dimensions.len() - 1 }
    }
    fn of<'a>(
        &'a self,
        attributes: &[crate::otlp::proto::common::v1::KeyValue],
        resource: &Names<'_>,
        project: Option<&str>,
        packer: &mut Packer,
    ) -> (std::borrow::Cow<'a, Dimensions>, usize) {
        let own = Names::of(attributes);
        if own.is_empty() {
            return (std::borrow::Cow::Borrowed(&self.dimensions), self.index);
        }
        let dimensions = Dimensions::of(&own, resource, project);
        packer.dimensions.push(dimensions.clone().into());
        (std::borrow::Cow::Owned(dimensions), packer.dimensions.len() - 1)
    }
}
