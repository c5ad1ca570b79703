//! What Blob Storage and Key Vault have in common: how often a request is tried, how long it may take, and what is known
//! when it failed.
//!
//! The SDK alone would wait as long as a busy service asks for, inside the call. Here a busy service is answered with
//! `Throttled` at once, so that the message is put off instead of an invocation being held.

use azure_core::{
    error::ErrorKind,
    http::{
        ClientOptions, RawResponse, RetryOptions, StatusCode,
        headers::{HeaderName, RETRY_AFTER},
        policies::{RetryHeaders, RetryPolicy},
    },
};
use futures::future::{self, Either};
use opsloop_kernel::{Clock, Fault};
use std::{error::Error as _, pin::pin, sync::Arc, time::Duration};

/// Tries after the first: a connection that was closed while it waited in the pool, a server that is being replaced.
const RETRIES_MAX: u32 = 2;
const FIRST_PAUSE_MS: i64 = 100;
/// What a busy service waits for that does not say so itself.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);
/// No header puts a message off for longer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("x-ms-retry-after-ms");
/// Longer texts of the SDK are cut: they repeat whole answers.
const WHY_MAX: usize = 300;
/// An error body that is read for its code.
const ERROR_BODY_MAX: usize = 64 * 1024;

/// Why a service did not do what it was asked. Holds no body, no token and no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("it could not be reached: {0}")]
    Unreachable(String),
    #[error("it gave no answer within {0:?}")]
    TimedOut(Duration),
    #[error("it is busy and asks to wait for {0:?}")]
    Throttled(Duration),
    #[error("there is no token for it: {0}")]
    NoToken(String),
    /// The innermost code that the service gave, such as `ForbiddenByRbac`.
    #[error("it answered {status} {code}")]
    Answered { status: u16, code: String },
    #[error("its answer was not understood: {0}")]
    NotUnderstood(String),
}

impl Failure {
    pub(crate) fn fault(&self, dependency: &'static str) -> Fault {
        match self {
            Self::Throttled(retry_after) => Fault::Throttled { retry_after: *retry_after },
            Self::TimedOut(_) => Fault::TimedOut { dependency },
            _ => Fault::Unavailable { dependency },
        }
    }

    pub(crate) fn has(&self, asked: u16) -> bool {
        matches!(self, Self::Answered { status, .. } if *status == asked)
    }

    pub(crate) fn has_code(&self, asked: &str) -> bool {
        matches!(self, Self::Answered { code, .. } if code == asked)
    }
}

impl From<azure_core::Error> for Failure {
    fn from(error: azure_core::Error) -> Self {
        match error.kind() {
            ErrorKind::HttpResponse { status, error_code, raw_response } => {
                answered(*status, error_code.as_deref(), raw_response.as_deref())
            }
            ErrorKind::Connection | ErrorKind::Io => Self::Unreachable(causes(&error).pop().unwrap_or_default()),
            ErrorKind::Credential => Self::NoToken(cut(&causes(&error).join(": "))),
            _ => Self::NotUnderstood(cut(&causes(&error).join(": "))),
        }
    }
}

fn answered(status: StatusCode, code: Option<&str>, response: Option<&RawResponse>) -> Failure {
    if matches!(status, StatusCode::TooManyRequests | StatusCode::ServiceUnavailable) {
        return Failure::Throttled(response.map_or(RETRY_AFTER_DEFAULT, retry_after));
    }
    let inner = response.and_then(inner_code);
    let code = inner.or_else(|| code.map(cut)).unwrap_or_else(|| "without a code".to_owned());
    Failure::Answered { status: u16::from(status), code }
}

/// Seconds, or milliseconds in the header of Azure's own. A date is left out: neither service sends one.
fn retry_after(response: &RawResponse) -> Duration {
    let number =
        |name: HeaderName| response.headers().get_optional_str(&name).and_then(|text| text.trim().parse::<u64>().ok());
    let asked = number(RETRY_AFTER_MS).map(Duration::from_millis);
    let asked = asked.or_else(|| number(RETRY_AFTER).map(Duration::from_secs));
    asked.unwrap_or(RETRY_AFTER_DEFAULT).min(RETRY_AFTER_MAX)
}

/// Key Vault says `Forbidden` for a missing role, a firewall and a disabled secret; which, stands inside.
fn inner_code(response: &RawResponse) -> Option<String> {
    let body = response.body();
    if body.len() > ERROR_BODY_MAX {
        return None;
    }
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body.pointer("/error/innererror/code").and_then(|code| code.as_str()).map(cut)
}

/// From the first that says something to the bottom, such as "Connection refused". What stands above says only that the
/// SDK does not try again.
fn causes(error: &azure_core::Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cut(&cause.to_string()));
        source = cause.source();
    }
    if causes.is_empty() {
        causes.push(cut(&error.to_string()));
    }
    causes
}

fn cut(text: &str) -> String {
    text.chars().take(WHY_MAX).collect()
}

/// The work, but no longer than this by our clock.
pub(crate) async fn within<T>(
    deadline: Duration,
    clock: &dyn Clock,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let limit = clock.sleep(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX));
    match future::select(pin!(work), limit).await {
        Either::Left((done, _)) => done,
        Either::Right(_) => Err(Failure::TimedOut(deadline)),
    }
}

/// Options of an SDK client: our retries instead of its own.
pub(crate) fn client_options() -> ClientOptions {
    ClientOptions { retry: RetryOptions::custom(Arc::new(Retries)), ..ClientOptions::default() }
}

/// A few quick tries where another may help; what is left to be said is left to the caller.
#[derive(Debug)]
struct Retries;

impl RetryPolicy for Retries {
    fn is_expired(&self, _: azure_core::time::Duration, tried_again: u32) -> bool {
        tried_again >= RETRIES_MAX
    }
    fn retry_headers(&self) -> Option<&RetryHeaders> {
        None
    }
    /// Without 429 and 503: whoever is busy is not asked again at once.
    fn retry_status_codes(&self) -> &[StatusCode] {
        const AGAIN: &[StatusCode] = &[
            StatusCode::RequestTimeout,
            StatusCode::InternalServerError,
            StatusCode::BadGateway,
            StatusCode::GatewayTimeout,
        ];
        AGAIN
    }
    fn sleep_duration(&self, tried_again: u32) -> azure_core::time::Duration {
        azure_core::time::Duration::milliseconds(FIRST_PAUSE_MS << (2 * tried_again.clamp(1, RETRIES_MAX) - 2))
    }
}
