//! Why there is no secret. No variant holds one.

use crate::rest::Failure;
use opsloop_kernel::Fault;

/// The dependency that a fault names.
pub const VAULT: &str = "vault";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("this is no reference to a secret: {0}")]
    NotAReference(String),
    #[error("the secret `{name}` is not in the vault {vault}: create it there, or correct the reference")]
    Missing { name: String, vault: String },
    #[error("the vault {vault} does not give the secret `{name}` ({code}): {}", advice(code))]
    Forbidden { name: String, vault: String, code: String },
    #[error("the vault {vault}: {failure}; {}", remedy(failure))]
    Unavailable { vault: String, failure: Failure },
}

impl SecretError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAReference(_) => "secret_reference",
            Self::Missing { .. } => "secret_missing",
            Self::Forbidden { .. } => "secret_forbidden",
            Self::Unavailable { .. } => "vault_unavailable",
        }
    }

    /// What a later try may make good; the others need a human.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Unavailable { failure, .. } => Some(failure.fault(VAULT)),
            _ => None,
        }
    }

    pub(crate) fn of(failure: Failure, name: &str, vault: String) -> Self {
        let name = name.to_owned();
        match failure {
            Failure::Answered { status: 404, .. } => Self::Missing { name, vault },
            Failure::Answered { status: 403, code } => Self::Forbidden { name, vault, code },
            failure => Self::Unavailable { vault, failure },
        }
    }
}

fn advice(code: &str) -> &'static str {
    match code {
        "SecretDisabled" => "it is disabled",
        "ForbiddenByFirewall" | "ForbiddenByConnection" => "the vault's network rules do not let this app in",
        _ => "give this app's identity the role “Key Vault Secrets User” on the vault",
    }
}

fn remedy(failure: &Failure) -> &'static str {
    match failure {
        Failure::Unreachable(_) => "check KEY_VAULT_URI, and whether the network lets this app out to it",
        Failure::TimedOut(_) | Failure::Throttled(_) => "it is tried again later",
        Failure::NoToken(_) => "check that the identity is assigned to this app, and AZURE_CLIENT_ID",
        Failure::Answered { status: 401, .. } => "check that identity and vault are of one directory (tenant)",
        Failure::Answered { .. } | Failure::NotUnderstood(_) => "if it stays, look into the vault's logs",
    }
}
