//! `retry` of function.json: attempts of one invocation, in process, and the `RetryContext` they are shown.
//!
//! All attempts share one InvocationId. From the second on `Exception` is a whole serialised .NET exception of some KB, of the
//! last failure only; after an unreadable answer it contains that answer: handlers must parse it leniently and never log it.

use std::time::Duration;

use super::answer::{Failure, FailureKind};
use super::function::{Delay, RetryPolicy};
use super::ids::Ids;
use super::value::{Value, put};

/// A captured exception after an answer that was not 2xx; the texts are replaced.
const STATUS: &str = include_str!("exception_status.json");
/// The same after an answer that could not be read.
const UNREADABLE: &str = include_str!("exception_unreadable.json");

impl RetryPolicy {
    /// How long to wait before attempt `retry` (1 is the first retry); `None`: enough.
    pub fn wait(&self, retry: u32, ids: &Ids) -> Option<Duration> {
        if self.max.is_some_and(|max| retry > max) {
            return None;
        }
        Some(match self.delay {
            Delay::Fixed(delay) => delay,
            Delay::Exponential { min, max } => {
                let doubled = min.saturating_mul(2_u32.saturating_pow(retry - 1)).min(max);
                // The host spreads the delay by a fifth, but stays within the limits.
                doubled.mul_f64(0.8 + 0.4 * ids.fraction()).clamp(min, max.max(min))
            }
        })
    }

    pub fn context(&self, retry: u32, function: &str, last: Option<&Failure>, ids: &Ids) -> Value {
        Value::object([
            ("RetryCount", Value::Int(retry.into())),
            ("MaxRetryCount", Value::Int(self.max.map_or(-1, i128::from))),
            ("Exception", last.map_or(Value::Null, |failure| exception(function, failure, ids))),
            ("Instance", Value::Null),
            ("State", Value::object([])),
        ])
    }
}

fn exception(function: &str, failure: &Failure, ids: &Ids) -> Value {
    let unreadable = failure.kind == FailureKind::Unreadable;
    let Some(Value::Object(mut members)) = Value::parse(if unreadable { UNREADABLE } else { STATUS }) else {
        return Value::Null;
    };
    put(&mut members, "InstanceId", Value::String(ids.guid()));
    put(&mut members, "MethodName", Value::String(format!("Host.Functions.{function}")));
    put(&mut members, "Message", Value::String(format!("Exception while executing function: Functions.{function}")));
    if let Some((_, Value::Object(inner))) = members.iter_mut().find(|(name, _)| name == "InnerException") {
        put(inner, "Message", Value::text(&failure.message));
        match &failure.kind {
            FailureKind::Status(code) => put(inner, "StatusCode", Value::Int((*code).into())),
            FailureKind::Unreadable => set_cause(inner, failure),
            FailureKind::Broken | FailureKind::Timeout | FailureKind::NoHandler => {
                put(inner, "StatusCode", Value::Null);
            }
        }
    }
    Value::Object(members)
}

fn set_cause(inner: &mut super::value::Members, failure: &Failure) {
    if let Some((_, Value::Object(cause))) = inner.iter_mut().find(|(name, _)| name == "InnerException") {
        put(cause, "Message", Value::text(failure.cause.as_deref().unwrap_or_default()));
    }
}
