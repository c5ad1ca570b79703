//! The OTLP/HTTP receiver (SPEC 5.1.1): answers only after the batch is durable in queue or object store (A14).
//!
//! The body is read to its bounded end before any early answer, or the client behind the host's proxy sees 500 after
//! two seconds in place of 401, 413, 429 or 503 (P10).

use crate::{Shell, access::Caller, delivery::queue_of, spans};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use opsloop_kernel::{
    Destination, Fault, Message, Note, Outcome, Refusal, TelemetrySignal, TenantId, Timestamp,
    envelope::PayloadRef,
    json::sha256_hex,
    message::{MESSAGE_BYTES_MAX, property},
    signal,
};
use std::{
    collections::BTreeMap,
    io::Read,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Decompressed (SPEC 5.1.1).
pub const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Batches that may wait in a telemetry queue before senders are told to wait (SPEC 5.1.7).
const BACKLOG_HIGH: u64 = 10_000;
const BACKLOG_CACHED_MS: i64 = 10_000;
const RETRY_AFTER_S: u64 = 5;
/// Properties and framing of a message beside its body.
const MESSAGE_OVERHEAD: usize = 8 * 1024;
/// What a part of a batch may have, so that it travels in one message.
pub const PART_BYTES_MAX: usize = MESSAGE_BYTES_MAX - MESSAGE_OVERHEAD;
const CLAIM_LIFE: Duration = Duration::from_secs(35 * 24 * 3600);
const NAME: &str = "OtlpReceiver";

/// The form of a request, and so of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Protobuf,
    Json,
}
impl Form {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// What the family's codec made of a request: what is kept, in parts that fit a message, zstd-compressed.
pub struct Taken {
    pub batch_id: String,
    pub parts: Vec<Bytes>,
    pub items: u64,
    pub rejected: u64,
    pub message: String,
    pub tenant_violations: u64,
}

/// What it is decoded with: the channel says whose it is.
pub struct Raw<'a> {
    pub signal: TelemetrySignal,
    pub form: Form,
    pub body: &'a [u8],
    pub tenant: &'a TenantId,
    pub received_at: Timestamp,
}

/// OTLP itself, which the shell does not know.
pub trait Codec: Send + Sync {
    fn take(&self, raw: &Raw<'_>) -> Result<Taken, Refusal>;
    fn success(&self, signal: TelemetrySignal, form: Form, rejected: u64, message: &str) -> Vec<u8>;
    /// The body of an error: a google.rpc.Status that fits the HTTP status.
    fn failure(&self, form: Form, http_status: u16, message: &str) -> Vec<u8>;
}

/// An answer of the receiver.
#[derive(Debug, PartialEq)]
pub struct Reply {
    pub status: StatusCode,
    pub form: Form,
    pub body: Vec<u8>,
    pub retry_after_s: Option<u64>,
}

pub struct Receiver {
    pub codec: Arc<dyn Codec>,
    backlog: Mutex<BTreeMap<&'static str, (Timestamp, u64)>>,
}

/// An early end: status, what to tell the sender, and when to come again.
struct Refused(StatusCode, String, Option<u64>);

impl Receiver {
    pub fn new(codec: Arc<dyn Codec>) -> Self {
        Self { codec, backlog: Mutex::default() }
    }

    /// `body` is whole: the router has drained it. `None`: it was larger than the drain's limit.
    pub async fn receive(
        &self,
        shell: &Shell,
        signal: TelemetrySignal,
        headers: &HeaderMap,
        caller: Result<Caller, opsloop_kernel::http::Problem>,
        body: Option<Bytes>,
    ) -> Reply {
        let form = form_of(headers);
        let taken = self.try_receive(shell, signal, headers, form, caller, body).await;
        let form = form.unwrap_or(Form::Json);
        match taken {
            Ok(taken) => Reply {
                status: StatusCode::OK,
                form,
                body: self.codec.success(signal, form, taken.rejected, &taken.message),
                retry_after_s: None,
            },
            Err(Refused(status, why, retry_after_s)) => {
                let body = self.codec.failure(form, status.as_u16(), &why);
                Reply { status, form, body, retry_after_s }
            }
        }
    }

    async fn try_receive(
        &self,
        shell: &Shell,
        signal: TelemetrySignal,
        headers: &HeaderMap,
        form: Option<Form>,
        caller: Result<Caller, opsloop_kernel::http::Problem>,
        body: Option<Bytes>,
    ) -> Result<Taken, Refused> {
        let caller = caller.map_err(|p| Refused(status(p.status), p.detail, None))?;
        let form = form.ok_or_else(|| {
            let why = "the content type is neither application/x-protobuf nor application/json";
            Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, why.into(), None)
        })?;
        let body = inflate(headers, body.ok_or_else(too_large)?)?;
        self.check_backlog(shell, queue_of(signal)).await?;
        let received_at = shell.ports.clock.now().floor_millis();
        let raw = Raw { signal, form, body: &body, tenant: &caller.tenant, received_at };
        let taken = self.codec.take(&raw).map_err(refused)?;
        count(shell, signal, &caller.tenant, &taken);
        publish(shell, signal, &caller, received_at, &taken).await.map_err(|fault| {
            let why = format!("the batch could not be made durable ({}); send it again", fault.kind());
            Refused(StatusCode::SERVICE_UNAVAILABLE, why, Some(RETRY_AFTER_S))
        })?;
        Ok(taken)
    }

    /// 503 above the watermark (A32); asked at most every 10 s. A broker that cannot say is found out by the publish.
    async fn check_backlog(&self, shell: &Shell, queue: &'static str) -> Result<(), Refused> {
        let now = shell.ports.clock.now();
        let cached = self.backlog.lock().ok().and_then(|b| b.get(queue).copied());
        let waiting = match cached {
            Some((at, waiting)) if now.millis_since(at) < BACKLOG_CACHED_MS => waiting,
            _ => {
                let waiting = shell.ports.backlog.waiting(queue).await.unwrap_or(0);
                if let Ok(mut backlog) = self.backlog.lock() {
                    backlog.insert(queue, (now, waiting));
                }
                let note =
                    Note { signal: &signal::BACKLOG, labels: vec![("queue", queue.into())], value: waiting as f64 };
                shell.ports.recorder.record(NAME, &note);
                waiting
            }
        };
        if waiting <= BACKLOG_HIGH {
            return Ok(());
        }
        let why = format!("{waiting} batches wait to be worked off; send it again later");
        Err(Refused(StatusCode::SERVICE_UNAVAILABLE, why, Some(RETRY_AFTER_S)))
    }
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn too_large() -> Refused {
    let why = format!("the request is beyond {REQUEST_BYTES_MAX} bytes, decompressed; send smaller batches");
    Refused(StatusCode::PAYLOAD_TOO_LARGE, why, None)
}

fn refused(refusal: Refusal) -> Refused {
    match refusal {
        Refusal::TooLarge { .. } => too_large(),
        other => Refused(StatusCode::BAD_REQUEST, other.to_string(), None),
    }
}

fn form_of(headers: &HeaderMap) -> Option<Form> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    match text.split(';').next()?.trim().to_ascii_lowercase().as_str() {
        "application/x-protobuf" | "application/protobuf" => Some(Form::Protobuf),
        "application/json" => Some(Form::Json),
        _ => None,
    }
}

/// Undoes the content encoding within the limit: a bomb ends as soon as it is beyond it.
fn inflate(headers: &HeaderMap, body: Bytes) -> Result<Bytes, Refused> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|v| v.to_str().unwrap_or("?").trim().to_ascii_lowercase());
    let out = match encoding.as_deref() {
        None | Some("" | "identity") => body,
        Some("gzip") => {
            let mut out = Vec::new();
            let limit = REQUEST_BYTES_MAX as u64 + 1;
            flate2::read::MultiGzDecoder::new(&body[..])
                .take(limit)
                .read_to_end(&mut out)
                .map_err(|e| Refused(StatusCode::BAD_REQUEST, format!("the body is not gzip: {e}"), None))?;
            out.into()
        }
        Some(other) => {
            let why = format!("the content encoding `{other}` is not known; use gzip or none");
            return Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, why, None));
        }
    };
    if out.len() > REQUEST_BYTES_MAX { Err(too_large()) } else { Ok(out) }
}

fn count(shell: &Shell, of: TelemetrySignal, tenant: &TenantId, taken: &Taken) {
    let note = |outcome: &str, n: u64| {
        let note = Note::count(&signal::OTLP_ITEMS, n).label("signal", of.name()).label("outcome", outcome);
        shell.ports.recorder.record(NAME, &note);
    };
    note("accepted", taken.items);
    if taken.rejected > 0 {
        note("rejected", taken.rejected);
    }
    if taken.tenant_violations > 0 {
        let violations = Note::count(&signal::TENANT_VIOLATIONS, taken.tenant_violations);
        shell.ports.recorder.record(NAME, &violations);
        // Who was named stands in the telemetry: many, and nobody's that is known here.
        let (count, target) = (taken.tenant_violations, "another tenant, named by telemetry");
        tracing::warn!(worker = NAME, tenant_id = %tenant, target, count, "{}", signal::VIOLATION.name);
    }
}

/// All parts in one publish; what does not fit a message is stored first. The message id is the content's: a client's
/// retry is one batch.
async fn publish(
    shell: &Shell,
    signal: TelemetrySignal,
    caller: &Caller,
    received_at: Timestamp,
    taken: &Taken,
) -> Result<(), Fault> {
    let mut messages = Vec::with_capacity(taken.parts.len());
    for (n, part) in taken.parts.iter().enumerate() {
        let mut properties = BTreeMap::from([
            (property::KIND.to_owned(), "TelemetryBatch".to_owned()),
            (property::TENANT.to_owned(), caller.tenant.to_string()),
            (property::RECEIVED_AT.to_owned(), received_at.to_string()),
            (property::CONTENT_TYPE.to_owned(), Form::Protobuf.content_type().to_owned()),
            (property::ENCODING.to_owned(), "zstd".to_owned()),
            (property::BATCH_ID.to_owned(), taken.batch_id.clone()),
            (property::PART.to_owned(), n.to_string()),
        ]);
        if let Some(traceparent) = spans::current() {
            properties.insert(property::TRACEPARENT.to_owned(), traceparent);
        }
        if let Some(project) = &caller.project {
            properties.insert(property::PROJECT.to_owned(), project.clone());
        }
        let body = if part.len() > PART_BYTES_MAX {
            properties.insert(property::PAYLOAD_REF.to_owned(), claim(shell, part, received_at).await?);
            Bytes::new()
        } else {
            part.clone()
        };
        messages.push(Message {
            id: format!("{}|{n}", taken.batch_id),
            to: Destination::Queue(queue_of(signal).into()),
            properties,
            content_type: "application/octet-stream".into(),
            body,
            not_before: None,
        });
    }
    if messages.is_empty() {
        return Ok(());
    }
    let outcomes = shell.ports.publisher.publish(&messages).await?;
    match outcomes.iter().all(|o| *o == Outcome::Accepted) {
        true => Ok(()),
        false => Err(Fault::Unavailable { dependency: Fault::BROKER }),
    }
}

async fn claim(shell: &Shell, part: &Bytes, received_at: Timestamp) -> Result<String, Fault> {
    let sha256 = sha256_hex(part);
    let uri = shell.ports.blobs.put(&format!("batch/{sha256}"), part.clone(), received_at + CLAIM_LIFE).await?;
    let reference = PayloadRef { uri, sha256, bytes: part.len() as u64 };
    serde_json::to_string(&reference).map_err(|_| Fault::Unavailable { dependency: Fault::BLOBS })
}
