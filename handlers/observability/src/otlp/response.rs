//! Answers of OTLP over HTTP, in the encoding of the request: success, partial success, and `google.rpc.Status`.

use super::ContentType;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse},
    metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse},
    trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse},
};
use opsloop_kernel::{Refusal, TelemetrySignal as Signal};
use prost::Message;
use serde_json::json;

/// How long a sender waits when the backlog is above its watermark (SPEC 5.1.7).
pub const RETRY_AFTER_SECONDS: u32 = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Bytes,
}

/// The `Status` of google.rpc; details are never sent.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
}

pub fn success(signal: Signal, content_type: ContentType, rejected: u64, message: &str) -> Response {
    let body = match content_type {
        ContentType::Protobuf => success_protobuf(signal, rejected, message),
        ContentType::Json => success_json(signal, rejected, message),
    };
    Response { status: 200, content_type: content_type.name(), body: body.into() }
}

/// 400, 401, 413, 415, 429, 503 and what else a request may come to, with a text for the person behind the sender.
pub fn error(content_type: ContentType, http_status: u16, message: &str) -> Response {
    let status = Status { code: grpc_code(http_status), message: message.to_owned() };
    let body = match content_type {
        ContentType::Protobuf => status.encode_to_vec(),
        ContentType::Json => json!({"code": status.code, "message": status.message}).to_string().into_bytes(),
    };
    Response { status: http_status, content_type: content_type.name(), body: body.into() }
}

/// What a refusal of `receive` is answered with: neither is to be tried again.
pub fn refused(content_type: ContentType, refusal: &Refusal) -> Response {
    let status = if matches!(refusal, Refusal::TooLarge { .. }) { 413 } else { 400 };
    error(content_type, status, &refusal.to_string())
}

fn grpc_code(http_status: u16) -> i32 {
    match http_status {
        400 | 413 | 415 => 3,
        401 => 16,
        403 => 7,
        404 => 12,
        429 => 8,
        503 => 14,
        _ => 2,
    }
}

fn success_protobuf(signal: Signal, rejected: u64, message: &str) -> Vec<u8> {
    let n = i64::try_from(rejected).unwrap_or(i64::MAX);
    let text = message.to_owned();
    let partial = rejected > 0 || !message.is_empty();
    match signal {
        Signal::Traces => {
            let some = ExportTracePartialSuccess { rejected_spans: n, error_message: text };
            ExportTraceServiceResponse { partial_success: partial.then_some(some) }.encode_to_vec()
        }
        Signal::Metrics => {
            let some = ExportMetricsPartialSuccess { rejected_data_points: n, error_message: text };
            ExportMetricsServiceResponse { partial_success: partial.then_some(some) }.encode_to_vec()
        }
        Signal::Logs => {
            let some = ExportLogsPartialSuccess { rejected_log_records: n, error_message: text };
            ExportLogsServiceResponse { partial_success: partial.then_some(some) }.encode_to_vec()
        }
    }
}

fn success_json(signal: Signal, rejected: u64, message: &str) -> Vec<u8> {
    if rejected == 0 && message.is_empty() {
        return b"{}".to_vec();
    }
    let field = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    };
    // 64-bit integers are strings in the JSON mapping.
    json!({"partialSuccess": {field: rejected.to_string(), "errorMessage": message}}).to_string().into_bytes()
}
