//! Who this process is to Azure: a managed identity; on a developer's machine, who is signed in with a tool of Azure.
//! There is no key anywhere. Emulators on loopback take any bearer token and get one that nobody else would take.

use azure_core::{
    credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions},
    time::{Duration, OffsetDateTime},
};
use azure_identity::{
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
};
use std::{net::IpAddr, sync::Arc};
use url::Url;

/// Whose token is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Of the function app; with a client id, the user-assigned one of that id.
    Managed { client_id: Option<String> },
    /// Who is signed in with `az` or `azd`.
    Developer,
    /// Of emulators on this machine.
    Loopback,
}

impl Identity {
    /// The SDK's credential, which caches its tokens. Nothing is asked of the network yet.
    pub fn credential(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        Ok(match self {
            Self::Managed { client_id } => {
                let user_assigned_id = client_id.clone().map(UserAssignedId::ClientId);
                let options = ManagedIdentityCredentialOptions { user_assigned_id, ..Default::default() };
                ManagedIdentityCredential::new(Some(options))?
            }
            Self::Developer => DeveloperToolsCredential::new(None)?,
            Self::Loopback => Arc::new(Anonymous),
        })
    }

    /// An emulator's endpoint gets no token of ours, whoever this process is.
    #[must_use]
    pub fn at(&self, endpoint: &Url) -> Self {
        if is_loopback(endpoint) { Self::Loopback } else { self.clone() }
    }
}

/// Whether the endpoint is on this machine.
pub fn is_loopback(endpoint: &Url) -> bool {
    let Some(host) = endpoint.host_str() else { return false };
    // Of a scheme that `url` does not know (amqp), an address is text.
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost", |ip| ip.is_loopback())
}

#[derive(Debug)]
struct Anonymous;

#[async_trait::async_trait]
impl TokenCredential for Anonymous {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new(Secret::new("loopback"), OffsetDateTime::now_utc() + Duration::hours(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_emulator_never_sees_a_token_of_ours() {
        let at = |endpoint: &str| Identity::Developer.at(&Url::parse(endpoint).unwrap());
        for here in ["http://127.0.0.1:8081/", "http://localhost:10000/a", "http://[::1]:1/", "amqp://127.0.0.1:5672"] {
            assert_eq!(at(here), Identity::Loopback, "{here}");
        }
        for away in ["https://opsloop.documents.azure.com/", "http://localhost.example.com/", "https://10.0.0.4/"] {
            assert_eq!(at(away), Identity::Developer, "{away}");
        }
        let token = Identity::Loopback.credential().unwrap().get_token(&["any"], None).await.unwrap();
        assert_eq!(token.token.secret(), "loopback");
    }
}
