//! What stands between this process and its store: for people in words that say what to do, for the shell as a fault.

use azure_data_cosmos::{CosmosError, models::ResponseHeaders};
use opsloop_kernel::Fault;
use std::time::Duration;
use thiserror::Error;

/// Where the service does not say how long to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// An error of the SDK is shown as far as this.
const WHY_MAX: usize = 300;

#[derive(Clone, Debug, PartialEq, Error)]
pub enum Trouble {
    #[error(
        "Cosmos DB at {at} cannot be reached ({why}): compare the endpoint with the account's, and look at its firewall and DNS"
    )]
    Unreachable { at: String, why: String },
    #[error("Cosmos DB got no token ({why}): give this process a managed identity, or sign in with `az login`")]
    NoToken { why: String },
    #[error("Cosmos DB does not know this identity ({why}): the account must belong to the identity's directory")]
    Unauthorized { why: String },
    #[error(
        "Cosmos DB forbids this identity to use the data ({why}): assign it the role \"Cosmos DB Built-in Data Contributor\" on the account (bicep/modules/state.bicep), or let its network through the firewall"
    )]
    Forbidden { why: String },
    #[error(
        "there is no container `{container}` in a database `{database}` of this account: deploy bicep/ (modules/state.bicep), or name the database that has it"
    )]
    Missing { database: String, container: &'static str },
    #[error("Cosmos DB throttles: more request units are asked than it has, again in {retry_after:?}")]
    Throttled { retry_after: Duration },
    #[error("Cosmos DB did not answer in time")]
    TimedOut,
    #[error("Cosmos DB refused the request as too large")]
    TooLarge,
    #[error("Cosmos DB refused the request ({why}): a defect of the adapter")]
    Malformed { why: String },
    #[error("a document of the store cannot be read ({why}): it is not as this adapter writes them")]
    Unreadable { why: String },
    #[error("Cosmos DB failed ({why})")]
    Failed { why: String },
}

impl Trouble {
    /// Of an error that is no answer to what was asked (404 of an item, 409, 412 are answers).
    pub fn of(error: &CosmosError) -> Self {
        let status = error.status();
        let why = why(error);
        match u16::from(status.status_code()) {
            401 if !error.is_from_wire() => Self::NoToken { why },
            401 => Self::Unauthorized { why },
            403 => Self::Forbidden { why },
            408 => Self::TimedOut,
            413 => Self::TooLarge,
            429 => Self::Throttled { retry_after: retry_after(error) },
            400 if error.is_from_wire() => Self::Malformed { why },
            _ => Self::Failed { why },
        }
    }

    /// While connecting, what did not come from the service is a matter of the way there.
    pub fn at(self, endpoint: &str) -> Self {
        match self {
            Self::Failed { why } => Self::Unreachable { at: endpoint.to_owned(), why },
            Self::TimedOut => Self::Unreachable { at: endpoint.to_owned(), why: "no answer in time".into() },
            other => other,
        }
    }

    pub fn fault(self) -> Fault {
        match self {
            Self::Throttled { retry_after } => Fault::Throttled { retry_after },
            Self::TimedOut => Fault::TimedOut { dependency: Fault::STORE },
            _ => Fault::Unavailable { dependency: Fault::STORE },
        }
    }
}

/// Status and message on one line. Neither has a token: the SDK keeps headers of requests out of its errors.
fn why(error: &CosmosError) -> String {
    error.to_string().chars().take(WHY_MAX).collect()
}

fn retry_after(error: &CosmosError) -> Duration {
    let headers = error.response().map(|r| ResponseHeaders::from(r.headers().clone()));
    headers.and_then(|h| h.retry_after()).unwrap_or(RETRY_AFTER)
}
