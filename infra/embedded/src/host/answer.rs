//! What the host makes of a handler's answer in the default mode.
//!
//! The trap this keeps open on purpose: a 2xx without a value (empty, blank, `null`, `""`) is no result at all, and the
//! invocation hangs until its time is up.

use super::value::{Members, Value};
use super::wire::{Headers, ResponseHead, header};

/// The envelope of a successful answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    pub logs: Vec<String>,
    /// `None`: absent or null, which an HTTP function answers with 204.
    pub outputs: Option<Members>,
    pub return_value: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureKind {
    Status(u16),
    /// A 2xx that is not an envelope.
    Unreadable,
    /// The connection ended or could not be made.
    Broken,
    Timeout,
    /// No handler became ready in time.
    NoHandler,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
    /// The reader's own words, for what is unreadable.
    pub cause: Option<String>,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cause: None }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Success(Outcome),
    Failure(Failure),
    Hang,
    /// Send on; without the body if `as_get`.
    Follow {
        location: String,
        as_get: bool,
    },
}

pub fn judge(method: &str, head: &ResponseHead, body: &[u8]) -> Verdict {
    if let (300..=399, Some(location)) = (head.status, header(&head.headers, "location")) {
        return follow(method, head.status, location);
    }
    if !(200..300).contains(&head.status) {
        let message = format!("Response status code does not indicate success: {} ({}).", head.status, head.reason);
        return Verdict::Failure(Failure::new(FailureKind::Status(head.status), message));
    }
    if body.is_empty() {
        return Verdict::Hang;
    }
    if let Err(kind) = is_json(&head.headers) {
        let why = format!(
            "No MediaTypeFormatter is available to read an object of type 'HttpScriptInvocationResult' from content \
             with media type '{kind}'."
        );
        return Verdict::Failure(unreadable(head, body, why));
    }
    match read(body) {
        Ok(Some(outcome)) => Verdict::Success(outcome),
        Ok(None) => Verdict::Hang,
        Err(why) => Verdict::Failure(unreadable(head, body, why)),
    }
}

fn follow(method: &str, status: u16, location: &str) -> Verdict {
    match status {
        300..=303 => Verdict::Follow { location: location.to_owned(), as_get: status == 303 || method == "POST" },
        307 | 308 => Verdict::Follow { location: location.to_owned(), as_get: false },
        _ => Verdict::Failure(Failure::new(
            FailureKind::Status(status),
            format!("Response status code does not indicate success: {status}."),
        )),
    }
}

fn is_json(headers: &Headers) -> Result<(), String> {
    let kind = header(headers, "content-type").unwrap_or("application/octet-stream");
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "application/json" || kind == "text/json" { Ok(()) } else { Err(kind) }
}

/// `None`: no value.
fn read(body: &[u8]) -> Result<Option<Outcome>, String> {
    let text =
        std::str::from_utf8(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)).map_err(|why| why.to_string())?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    match serde_json::from_str::<Value>(text).map_err(|why| why.to_string())? {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::Object(members) => outcome(members).map(Some),
        _ => Err("Cannot deserialize the current JSON value into type 'HttpScriptInvocationResult'.".to_owned()),
    }
}

/// Members in any case; unknown ones are ignored.
fn outcome(members: Members) -> Result<Outcome, String> {
    let mut outcome = Outcome::default();
    for (name, value) in members {
        match (name.to_ascii_lowercase().as_str(), value) {
            ("outputs", Value::Object(outputs)) => outcome.outputs = Some(outputs),
            ("logs", Value::Array(lines)) => {
                outcome.logs = lines.into_iter().map(log_line).collect::<Result<_, _>>()?
            }
            ("outputs" | "logs", Value::Null) => {}
            ("outputs" | "logs", _) => return Err(format!("Error converting value. Path '{name}'.")),
            ("returnvalue", value) => outcome.return_value = Some(value).filter(|value| *value != Value::Null),
            _ => {}
        }
    }
    Ok(outcome)
}

/// Newtonsoft makes text of scalars but not of objects and lists.
fn log_line(line: Value) -> Result<String, String> {
    match line {
        Value::String(text) => Ok(text),
        Value::Object(_) | Value::Array(_) => {
            Err("Unexpected character encountered while parsing value. Path 'Logs'.".to_owned())
        }
        scalar => Ok(scalar.to_json()),
    }
}

/// The message holds the whole answer, as the host's does.
fn unreadable(head: &ResponseHead, body: &[u8], why: String) -> Failure {
    let headers: String = head.headers.iter().map(|(name, value)| format!("  {name}: {value}\n")).collect();
    let message = format!(
        "Invalid HttpResponseMessage:\nStatusCode: {}, ReasonPhrase: '{}', Version: 1.1, Content: \
         System.Net.Http.HttpConnectionResponseContent, Headers:\n{{\n{headers}}}\n {}",
        head.status,
        head.reason,
        String::from_utf8_lossy(body)
    );
    Failure { kind: FailureKind::Unreadable, message, cause: Some(why) }
}
