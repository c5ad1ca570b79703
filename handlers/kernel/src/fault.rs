//! Two of the three kinds of no (DESIGN 5): the world failed (`Fault`, tried again), or the message is wrong
//! (`Refusal`, kept for a human). The third, the domain's, is a `Decision` with a reason.

use crate::{ident::TenantId, time::Timestamp};
use serde::Serialize;
use std::time::Duration;

/// The world failed: try again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Fault {
    Throttled {
        retry_after: Duration,
    },
    /// Another commit moved what this one had read.
    Raced,
    Unavailable {
        dependency: &'static str,
    },
    TimedOut {
        dependency: &'static str,
    },
}

impl Fault {
    pub const STORE: &'static str = "store";
    pub const BROKER: &'static str = "broker";
    pub const BLOBS: &'static str = "blobs";

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Raced => "raced",
            Self::Unavailable { .. } => "unavailable",
            Self::TimedOut { .. } => "timed_out",
        }
    }
    /// Outages of the store are waited out with longer steps (A13).
    pub fn is_store_outage(&self) -> bool {
        matches!(self, Self::Unavailable { dependency } | Self::TimedOut { dependency } if *dependency == Self::STORE)
    }
}

/// The message can never succeed. The code is the dead letter's reason (SPEC 3.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Refusal {
    InvalidEnvelope { why: String },
    InvalidPayload { why: String },
    UnsupportedVersion { kind: String, version: u16 },
    TenantViolation { envelope: TenantId, target: TenantId },
    CausationLoop { depth: u8 },
    PayloadMissing { uri: String },
    TooLarge { what: &'static str, size: usize, limit: usize },
    Expired { received_at: Timestamp },
}

impl Refusal {
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidEnvelope { .. } => "invalid_envelope",
            Self::InvalidPayload { .. } => "invalid_payload",
            Self::UnsupportedVersion { .. } => "unsupported_version",
            Self::TenantViolation { .. } => "tenant_violation",
            Self::CausationLoop { .. } => "causation_loop",
            Self::PayloadMissing { .. } => "payload_missing",
            Self::TooLarge { .. } => "too_large",
            Self::Expired { .. } => "expired",
        }
    }
    pub fn payload(why: impl std::fmt::Display) -> Self {
        Self::InvalidPayload { why: why.to_string() }
    }
    pub fn envelope(why: impl std::fmt::Display) -> Self {
        Self::InvalidEnvelope { why: why.to_string() }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InvalidEnvelope { why } | Self::InvalidPayload { why } => f.write_str(why),
            Self::UnsupportedVersion { kind, version } => write!(f, "{kind} version {version} is too old to be read"),
            Self::TenantViolation { envelope, target } => {
                write!(f, "a message of tenant {envelope} reached for tenant {target}")
            }
            Self::CausationLoop { depth } => write!(f, "causation depth {depth} is beyond 16"),
            Self::PayloadMissing { uri } => write!(f, "the payload {uri} is gone"),
            Self::TooLarge { what, size, limit } => write!(f, "{what} is {size}, at most {limit}"),
            Self::Expired { received_at } => write!(f, "received at {received_at}: what it belongs to may be gone"),
        }
    }
}

/// Why an observation or a performance stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Stop {
    Fault(Fault),
    Refusal(Refusal),
}
impl From<Fault> for Stop {
    fn from(f: Fault) -> Self {
        Self::Fault(f)
    }
}
impl From<Refusal> for Stop {
    fn from(r: Refusal) -> Self {
        Self::Refusal(r)
    }
}

/// What `decide` may say besides a decision. `Again` is not ready yet: no writes, no marker, a scheduled copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Halt {
    Refused(Refusal),
    Again { at: Timestamp, reason: &'static str },
}
impl From<Refusal> for Halt {
    fn from(r: Refusal) -> Self {
        Self::Refused(r)
    }
}
