//! What can go wrong between this process and the namespace, in words for an operator, and what it means for the caller.
//!
//! The rule easily broken: only what no later try can make acceptable is a refusal of the message. Everything else is the
//! world's fault, and the message stays owed.

use fe2o3_amqp::{
    connection::OpenError,
    link::{ErrorRecovery, ReceiverAttachError, SendError, SenderAttachError},
    session::BeginError,
    types::definitions,
};
use fe2o3_amqp_management::error::{AttachError, Error as ManagementError};
use opsloop_kernel::Fault;
use serde_amqp::Value;
use std::time::Duration;

/// What Microsoft asks of a client whose namespace is busy.
const BUSY_PAUSE: Duration = Duration::from_secs(10);

/// Why the namespace could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    #[error(
        "the namespace {namespace} cannot be reached: {why}; check its name, and that this machine may connect to it"
    )]
    Unreachable { namespace: String, why: String },
    #[error(
        "no TLS connection to {namespace}: {why}; check the name, and that the certificate's authority is trusted here \
         (on Linux SSL_CERT_FILE names the trusted ones)"
    )]
    Tls { namespace: String, why: String },
    #[error("no token for Service Bus: {why}; check the identity of this app, or sign in with `az login`")]
    Credential { why: String },
    #[error(
        "this identity may not use {entity}: {why}; give it the role Azure Service Bus Data Sender \
         (for dead letters also Azure Service Bus Data Receiver)"
    )]
    Unauthorized { entity: String, why: String },
    #[error("there is no {entity} in the namespace: {why}; deploy it, or correct its name")]
    NoSuchEntity { entity: String, why: String },
    #[error("the namespace refused with {condition}: {why}")]
    Refused { condition: String, why: String },
    #[error("the {broken:?} broke: {why}; it is made again")]
    Broken { broken: Scope, why: String },
    #[error("no answer to `{what}` within its deadline; it is tried again")]
    TimedOut { what: &'static str, broken: Scope },
}

/// How much is to be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Link,
    Connection,
}

/// What to do about an error while sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No later try makes the message acceptable.
    Never,
    /// A later try may; after a short pause of ours.
    Soon,
    /// A later try may, but not a quick one.
    Later,
}

/// Conditions that blame the message or where it goes, not the moment.
const NEVER: &[&str] = &[
    "amqp:link:message-size-exceeded",
    "amqp:decode-error",
    "amqp:invalid-field",
    "com.microsoft:argument-error",
    "com.microsoft:argument-out-of-range",
];
const BUSY: &[&str] = &["com.microsoft:server-busy", "amqp:resource-limit-exceeded", "com.microsoft:quota-exceeded"];

impl BusError {
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::NoSuchEntity { .. } => Verdict::Never,
            Self::Refused { condition, .. } if NEVER.contains(&condition.as_str()) => Verdict::Never,
            Self::Refused { condition, .. } if BUSY.contains(&condition.as_str()) => Verdict::Later,
            Self::Credential { .. } | Self::Unauthorized { .. } | Self::Tls { .. } => Verdict::Later,
            // A lost answer is asked for again; who cannot be reached in all that time is not reached the next moment.
            Self::TimedOut { broken: Scope::Connection, .. } => Verdict::Later,
            _ => Verdict::Soon,
        }
    }

    /// What is to be made again before the next try.
    pub(super) fn broken(&self) -> Option<Scope> {
        match self {
            // Nobody knows what still comes where an answer is owed.
            Self::Broken { broken, .. } | Self::TimedOut { broken, .. } => Some(*broken),
            _ => None,
        }
    }

    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::TimedOut { .. } => Fault::TimedOut { dependency: Fault::BROKER },
            Self::Refused { condition, .. } if BUSY.contains(&condition.as_str()) => {
                Fault::Throttled { retry_after: BUSY_PAUSE }
            }
            _ => Fault::Unavailable { dependency: Fault::BROKER },
        }
    }

    /// What the peer said of an entity.
    pub(super) fn told(entity: &str, error: &definitions::Error) -> Self {
        let (condition, why) = (condition(&error.condition), error.description.clone().unwrap_or_default());
        let entity = entity.to_owned();
        match condition.as_str() {
            "amqp:not-found" => Self::NoSuchEntity { entity, why },
            "amqp:unauthorized-access" => Self::Unauthorized { entity, why },
            _ => Self::Refused { condition, why },
        }
    }

    /// A status of `$cbs` or `$management`.
    pub(super) fn of_management(entity: &str, error: ManagementError) -> Self {
        match error {
            ManagementError::Status(status) => {
                let why = status.description.clone().unwrap_or_default();
                let entity = entity.to_owned();
                match status.code.0.get() {
                    401 | 403 => Self::Unauthorized { entity, why },
                    404 | 410 => Self::NoSuchEntity { entity, why },
                    code => Self::Refused { condition: format!("status {code}"), why },
                }
            }
            ManagementError::Send(error) => Self::of_send(&error),
            other => Self::connection(other),
        }
    }

    /// A link that ended says nothing about one message: it fails whatever was in flight on it, and only one may have been
    /// the cause. What is wrong with the entity is said again, for certain, when the link is attached anew.
    pub(super) fn of_send(error: &SendError) -> Self {
        if let SendError::MessageSizeExceeded(size) = error {
            return Self::Refused { condition: "amqp:link:message-size-exceeded".to_owned(), why: size.to_string() };
        }
        let broken = match error.recovery() {
            ErrorRecovery::UseLink | ErrorRecovery::ReattachLink | ErrorRecovery::NewLink => Scope::Link,
            _ => Scope::Connection,
        };
        Self::Broken { broken, why: error.to_string() }
    }

    pub(super) fn of_sender(entity: &str, error: SenderAttachError) -> Self {
        match error {
            SenderAttachError::RemoteClosedWithError(error) => Self::told(entity, &error),
            other => Self::connection(other),
        }
    }

    pub(super) fn of_receiver(entity: &str, error: ReceiverAttachError) -> Self {
        match error {
            ReceiverAttachError::RemoteClosedWithError(error) => Self::told(entity, &error),
            other => Self::connection(other),
        }
    }

    pub(super) fn of_attach(entity: &str, error: AttachError) -> Self {
        match error {
            AttachError::Sender(error) => Self::of_sender(entity, error),
            AttachError::Receiver(error) => Self::of_receiver(entity, error),
        }
    }

    pub(super) fn of_open(namespace: &str, error: OpenError) -> Self {
        Self::Unreachable { namespace: namespace.to_owned(), why: error.to_string() }
    }

    pub(super) fn of_begin(error: BeginError) -> Self {
        Self::connection(error)
    }

    /// What leaves the connection in a state that nobody can vouch for.
    pub(super) fn connection(why: impl std::fmt::Display) -> Self {
        Self::Broken { broken: Scope::Connection, why: why.to_string() }
    }
}

/// The symbol on the wire.
fn condition(condition: &definitions::ErrorCondition) -> String {
    match serde_amqp::to_value(condition) {
        Ok(Value::Symbol(symbol)) => symbol.0,
        _ => format!("{condition:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(condition: &str) -> BusError {
        let error = definitions::Error::new(
            definitions::ErrorCondition::Custom(serde_amqp::primitives::Symbol::from(condition)),
            Some("because".to_owned()),
            None,
        );
        BusError::told("events", &error)
    }

    #[test]
    fn only_what_no_try_can_change_refuses_the_message() {
        for never in ["amqp:not-found", "amqp:link:message-size-exceeded", "com.microsoft:argument-error"] {
            assert_eq!(refused(never).verdict(), Verdict::Never, "{never}");
        }
        for soon in ["com.microsoft:timeout", "amqp:internal-error", "com.microsoft:operation-cancelled"] {
            assert_eq!(refused(soon).verdict(), Verdict::Soon, "{soon}");
            assert_eq!(refused(soon).fault(), Fault::Unavailable { dependency: Fault::BROKER });
        }
        for busy in ["com.microsoft:server-busy", "amqp:resource-limit-exceeded"] {
            assert_eq!(refused(busy).verdict(), Verdict::Later, "{busy}");
            assert_eq!(refused(busy).fault(), Fault::Throttled { retry_after: BUSY_PAUSE });
        }
    }

    #[test]
    fn a_missing_role_is_named() {
        let text = refused("amqp:unauthorized-access").to_string();
        assert!(text.contains("Azure Service Bus Data Sender") && text.contains("events"), "{text}");
    }
}
