//! OTLP as it comes (SPEC 5.1.1, 5.1.2): decoding, validation, normalisation and the dimensions, shared by the receiver
//! and the three telemetry workers. Everything here is a function of its arguments.
//!
//! The one rule easily broken: nothing is lost silently. What cannot be read fails the request, what must not be kept
//! is rejected alone and counted. Profiles are left out on purpose.

pub mod attributes;
pub mod dimensions;
mod json;
mod json_messages;
mod json_metrics;
mod json_scalars;
pub mod normalise;
pub mod parts;
pub mod receive;
pub mod response;
pub mod validate;

#[cfg(test)]
mod tests;

pub use attributes::{json_map, json_value, label_text, normalise_attributes};
pub use dimensions::{Dimensions, Names};
pub use opentelemetry_proto::tonic as proto;
pub use parts::{Part, parts, unzstd};
pub use receive::{Received, receive};
pub use validate::{Accepted, validate};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use opsloop_kernel::{Refusal, TelemetrySignal as Signal};
use prost::Message;

/// The two encodings of OTLP over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    Json,
    Protobuf,
}

impl ContentType {
    pub const PROTOBUF: &str = "application/x-protobuf";
    pub const JSON: &str = "application/json";

    /// From the header, whose parameters (`; charset=utf-8`) and case say nothing here.
    pub fn parse(header: &str) -> Option<Self> {
        match header.split(';').next()?.trim().to_ascii_lowercase().as_str() {
            Self::PROTOBUF => Some(Self::Protobuf),
            Self::JSON => Some(Self::Json),
            _ => None,
        }
    }
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => Self::JSON,
            Self::Protobuf => Self::PROTOBUF,
        }
    }
}

/// An export request of one of the three signals.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
}

impl Request {
    pub fn signal(&self) -> Signal {
        match self {
            Self::Traces(_) => Signal::Traces,
            Self::Metrics(_) => Signal::Metrics,
            Self::Logs(_) => Signal::Logs,
        }
    }
    /// Protobuf, as it goes through the queue.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Traces(r) => r.encode_to_vec(),
            Self::Metrics(r) => r.encode_to_vec(),
            Self::Logs(r) => r.encode_to_vec(),
        }
    }
}

/// Reads a request. Depth is bounded by both decoders (128 levels of JSON, 100 of protobuf); size by the caller.
pub fn decode(signal: Signal, content_type: ContentType, bytes: &[u8]) -> Result<Request, Refusal> {
    match content_type {
        ContentType::Protobuf => decode_protobuf(signal, bytes),
        ContentType::Json => json::decode(signal, bytes),
    }
}

fn decode_protobuf(signal: Signal, bytes: &[u8]) -> Result<Request, Refusal> {
    let wrong = |e: prost::DecodeError| Refusal::payload(format!("not an OTLP {} request: {e}", signal.name()));
    Ok(match signal {
        Signal::Traces => Request::Traces(ExportTraceServiceRequest::decode(bytes).map_err(wrong)?),
        Signal::Metrics => Request::Metrics(ExportMetricsServiceRequest::decode(bytes).map_err(wrong)?),
        Signal::Logs => Request::Logs(ExportLogsServiceRequest::decode(bytes).map_err(wrong)?),
    })
}
