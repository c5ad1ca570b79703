//! What is known of one secret, and when it is asked for again. No I/O: a function of answers and instants.

use super::{Secret, SecretError};
use crate::rest::Failure;
use opsloop_kernel::Timestamp;
use std::time::Duration;

/// A value is served for so long without asking.
const LIFETIME: Duration = Duration::from_secs(300);
/// While the vault cannot be asked, an older value is better than none; the credential behind it may have been replaced.
const STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// After a refresh, a refusal, or a fault with a value at hand.
const PAUSE: Duration = Duration::from_secs(30);
/// After a fault without a value: those who waited for the same answer share it, the next one asks.
const PAUSE_WITHOUT_VALUE: Duration = Duration::from_secs(1);

enum Known {
    /// The fault is of an attempt since.
    Value {
        secret: Secret,
        at: Timestamp,
        fault: Option<SecretError>,
    },
    Nothing(SecretError),
}

pub(crate) struct Held {
    known: Known,
    asked_at: Timestamp,
    /// Not asked before.
    next: Timestamp,
}

impl Held {
    /// What is known after this answer, and what was known before it.
    pub(crate) fn learned(answer: Result<Secret, SecretError>, before: Option<Self>, now: Timestamp) -> Self {
        let known = match (answer, before.map(|held| held.known)) {
            (Ok(secret), _) => Known::Value { secret, at: now, fault: None },
            (Err(error), Some(Known::Value { secret, at, .. })) if error.fault().is_some() && now < at + STALE_MAX => {
                Known::Value { secret, at, fault: Some(error) }
            }
            (Err(error), _) => Known::Nothing(error),
        };
        let next = now + pause_after(&known);
        Self { known, asked_at: now, next }
    }

    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        now >= self.next
    }

    pub(crate) fn may_be_refreshed(&self, now: Timestamp) -> bool {
        now >= self.asked_at + PAUSE
    }

    pub(crate) fn answer(&self, now: Timestamp) -> Result<Secret, SecretError> {
        match &self.known {
            Known::Value { at, fault: Some(fault), .. } if now >= *at + STALE_MAX => Err(fault.clone()),
            Known::Value { secret, .. } => Ok(secret.clone()),
            Known::Nothing(error) => Err(error.clone()),
        }
    }

    /// The fault behind a value that is served all the same.
    pub(crate) fn stale_for(&self) -> Option<&SecretError> {
        match &self.known {
            Known::Value { fault, .. } => fault.as_ref(),
            Known::Nothing(_) => None,
        }
    }
}

fn pause_after(known: &Known) -> Duration {
    let (fault, pause) = match known {
        Known::Value { fault: None, .. } => return LIFETIME,
        Known::Value { fault: Some(fault), .. } => (fault, PAUSE),
        Known::Nothing(error) if error.fault().is_some() => (error, PAUSE_WITHOUT_VALUE),
        Known::Nothing(_) => return PAUSE,
    };
    match fault {
        SecretError::Unavailable { failure: Failure::Throttled(asked), .. } => pause.max(*asked),
        _ => pause,
    }
}
