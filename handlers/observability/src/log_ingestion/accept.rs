//! A batch of logs becomes chunks, by stream.

use super::{
    chunk::{ChunkDraft, pack},
    module_stream,
    record::{StoredLog, instant_of, level_number, level_of},
    stream_of,
};
use crate::otlp::{
    Accepted, ContentType, Dimensions, Names, Request, decode, normalise,
    proto::{collector::logs::v1::ExportLogsServiceRequest, logs::v1::LogRecord, resource::v1::Resource},
    validate,
};
use opsloop_kernel::{Incoming, Refusal, TelemetryBatch, TelemetrySignal, TenantId, Timestamp, TraceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Chunks of one commit: they fit a batch (A64).
const CHUNKS_PER_UNIT: usize = 6;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    pub tenant: TenantId,
    pub received_at: Timestamp,
    pub arrivals: Vec<LogArrival>,
}

/// What goes into one stream in one commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogArrival {
    pub stream: String,
    pub part: u32,
    pub chunks: Vec<ChunkDraft>,
}

pub fn accept(incoming: &Incoming) -> Result<Option<Input>, Refusal> {
    match incoming {
        Incoming::Batch(batch) if batch.signal == TelemetrySignal::Logs => arrived(batch).map(Some),
        _ => Ok(None),
    }
}

fn arrived(batch: &TelemetryBatch) -> Result<Input, Refusal> {
    let request = decode(TelemetrySignal::Logs, ContentType::Protobuf, &batch.body)?;
    let Accepted { request, .. } = validate(request, &batch.tenant, batch.received_at);
    let Request::Logs(request) = request else { return Err(Refusal::payload("not a request of log records")) };
    let mut resources = vec![];
    let by_stream = group(request, batch, &mut resources);
    let mut arrivals = vec![];
    for (stream, logs) in by_stream {
        let drafts = pack(&batch.id(), logs, &resources)?;
        for (part, chunks) in (0..).zip(drafts.chunks(CHUNKS_PER_UNIT)) {
            arrivals.push(LogArrival { stream: stream.clone(), part, chunks: chunks.to_vec() });
        }
    }
    Ok(Input { tenant: batch.tenant.clone(), received_at: batch.received_at, arrivals })
}

fn group(
    request: ExportLogsServiceRequest,
    batch: &TelemetryBatch,
    resources: &mut Vec<Resource>,
) -> BTreeMap<String, Vec<StoredLog>> {
    let mut by_stream: BTreeMap<String, Vec<StoredLog>> = BTreeMap::new();
    for rl in request.resource_logs {
        let mut resource = rl.resource.unwrap_or_default();
        normalise::resource(&mut resource);
        let names = Names::of(&resource.attributes);
        let at = u32::try_from(resources.len()).unwrap_or(u32::MAX);
        for record in rl.scope_logs.into_iter().flat_map(|sl| sl.log_records) {
            let (stream, log) = log_of(record, at, &names, batch);
            by_stream.entry(stream).or_default().push(log);
        }
        resources.push(resource);
    }
    by_stream
}

fn log_of(mut record: LogRecord, resource: u32, names: &Names<'_>, batch: &TelemetryBatch) -> (String, StoredLog) {
    normalise::log_record(&mut record);
    let dimensions = Dimensions::of(&Names::of(&record.attributes), names, batch.project.as_deref());
    let at = instant_of(&record, batch.received_at);
    let stream = match TraceId::of_bytes(&record.trace_id) {
        Some(trace) => stream_of(&trace),
        None => module_stream(dimensions.module.as_deref(), at),
    };
    let level = level_number(level_of(&record));
    let dimensions = Some(dimensions.into());
    (stream.name, StoredLog { level, at: at.nanos(), resource, dimensions, record: Some(record) })
}
