//! What went wrong with the container, and what to do about it.

use crate::rest::Failure;
use std::fmt;
use url::Url;

/// Names the container, never a signature or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobError {
    pub container: Url,
    pub failure: Failure,
}

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the blob container {}: {}; {}", self.container, self.failure, self.advice())
    }
}

impl std::error::Error for BlobError {}

impl BlobError {
    fn advice(&self) -> &'static str {
        match &self.failure {
            Failure::Unreachable(_) => "check the endpoint, and whether the network lets this app out to it",
            Failure::TimedOut(_) | Failure::Throttled(_) => "it is tried again later",
            Failure::NoToken(_) => "check that the identity is assigned to this app, and AZURE_CLIENT_ID",
            Failure::Answered { code, .. } if code == "AuthorizationFailure" => {
                "the network rules of the storage account do not let this app in"
            }
            Failure::Answered { status: 401 | 403, .. } => {
                "give this app's identity the role “Storage Blob Data Contributor” on the storage account"
            }
            Failure::Answered { code, .. } if code == "ContainerNotFound" => {
                "deploy `bicep/`, which makes the container, or set the name of the one there is"
            }
            Failure::Answered { .. } | Failure::NotUnderstood(_) => "if it stays, look into the account's logs",
        }
    }
}
