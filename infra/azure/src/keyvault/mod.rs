//! Secrets by reference, from Azure Key Vault.
//!
//! Settings and documents hold references; the value is read when it is needed and held for five minutes, so that a
//! rotation is noticed without a restart. Who finds that a credential is no longer taken asks for a refresh. The SDK gets
//! its token by the vault's challenge and checks that the challenge is of the vault's own domain; a reference to any
//! other vault is refused before anything is sent.

mod error;
mod held;
mod reference;
mod secret;

pub use error::{SecretError, VAULT};
pub use secret::Secret;

use crate::rest::{self, Failure};
use azure_core::{credentials::TokenCredential, error::ErrorKind, http::ClientOptions};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions, models::SecretClientGetSecretOptions};
use held::Held;
use opsloop_kernel::Clock;
use reference::Reference;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex as Shortly, PoisonError},
    time::Duration,
};
use tokio::sync::Mutex;
use url::Url;

/// One question with all its tries and its token.
const DEADLINE: Duration = Duration::from_secs(10);
const PING_DEADLINE: Duration = Duration::from_secs(2);
/// Beyond it, those that nobody waits for are forgotten.
const HELD_MAX: usize = 1_000;
/// A name that no secret has: who may read is told 404, who may not 403.
const PING_NAME: &str = "opsloop-ping";

pub struct Options {
    /// `https://<name>.vault.azure.net/`
    pub vault: Url,
    pub credential: Arc<dyn TokenCredential>,
    pub clock: Arc<dyn Clock>,
}

pub struct Secrets {
    client: SecretClient,
    vault: Url,
    clock: Arc<dyn Clock>,
    held: Shortly<HashMap<Reference, Slot>>,
}

/// Locked while the vault is asked: whoever wants the same secret waits for the same answer.
type Slot = Arc<Mutex<Option<Held>>>;

impl Secrets {
    /// No request is sent yet. An error says that the vault's address is none, or not https.
    pub fn new(options: Options) -> azure_core::Result<Self> {
        Self::over(options, rest::client_options())
    }

    fn over(options: Options, client_options: ClientOptions) -> azure_core::Result<Self> {
        let Options { vault, credential, clock } = options;
        if vault.scheme() != "https" {
            return Err(azure_core::Error::with_message(ErrorKind::Other, format!("the vault {vault} must be https")));
        }
        let options = SecretClientOptions { client_options, ..SecretClientOptions::default() };
        let client = SecretClient::new(vault.as_str(), credential, Some(options))?;
        Ok(Self { client, vault, clock, held: Shortly::default() })
    }

    /// The value behind a reference, at most five minutes old; while the vault cannot be asked, at most a day.
    pub async fn resolve(&self, reference: &str) -> Result<Secret, SecretError> {
        self.known(reference, |held| held.is_due(self.clock.now())).await
    }

    /// The same, asked anew: for those whose credential was not taken. At most every 30 s; in between, what is known.
    pub async fn refresh(&self, reference: &str) -> Result<Secret, SecretError> {
        self.known(reference, |held| held.may_be_refreshed(self.clock.now())).await
    }

    /// Whether the vault can be reached and read; the error says what to do.
    pub async fn ping(&self) -> Result<(), SecretError> {
        let nothing = Reference { name: PING_NAME.to_owned(), version: None };
        match self.ask(&nothing, PING_DEADLINE).await {
            Ok(_) | Err(SecretError::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn known(&self, reference: &str, is_due: impl Fn(&Held) -> bool) -> Result<Secret, SecretError> {
        let reference = Reference::parse(reference, &self.vault).map_err(SecretError::NotAReference)?;
        let slot = self.slot(&reference);
        let mut slot = slot.lock().await;
        if let Some(held) = slot.as_ref().filter(|held| !is_due(held)) {
            return held.answer(self.clock.now());
        }
        let answer = self.ask(&reference, DEADLINE).await;
        // Only now is what was known taken away: a caller who gave up meanwhile has left it. And the clock has moved.
        let now = self.clock.now();
        let held = Held::learned(answer, slot.take(), now);
        if let Some(fault) = held.stale_for() {
            tracing::warn!(dependency = VAULT, secret = reference.name, error = %fault, "an older value is served");
        }
        slot.insert(held).answer(now)
    }

    fn slot(&self, reference: &Reference) -> Slot {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= HELD_MAX && !held.contains_key(reference) {
            held.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        held.entry(reference.clone()).or_default().clone()
    }

    async fn ask(&self, reference: &Reference, deadline: Duration) -> Result<Secret, SecretError> {
        let asked = async {
            let secret_version = reference.version.clone();
            let options = SecretClientGetSecretOptions { secret_version, ..SecretClientGetSecretOptions::default() };
            let answer = self.client.get_secret(&reference.name, Some(options)).await?;
            // The reader's error would repeat what it could not read.
            let value = answer.into_model().ok().and_then(|model| model.value);
            value.map(Secret::new).ok_or_else(|| Failure::NotUnderstood("it holds no value".into()))
        };
        let vault = || self.vault.host_str().unwrap_or_default().to_owned();
        let answered = rest::within(deadline, &*self.clock, asked).await;
        answered.map_err(|failure| SecretError::of(failure, &reference.name, vault()))
    }
}

#[cfg(test)]
mod tests;
