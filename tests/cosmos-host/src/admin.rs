//! What tests ask of the host itself: faults, the log, more databases, expiry.

use crate::{
    account::Account,
    expiry,
    faults::{Fault, Faults},
};
use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use bytes::Bytes;
use serde_json::Value;
use std::sync::{Mutex, PoisonError};

/// Requests kept; those before them are forgotten.
const LOGGED_MAX: usize = 50_000;

#[derive(Default)]
pub struct Admin {
    pub faults: Faults,
    log: Mutex<Vec<Value>>,
}

impl Admin {
    pub fn log(&self, entry: Value) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LOGGED_MAX {
            log.drain(..LOGGED_MAX / 2);
        }
        log.push(entry);
    }

    /// The answer, if the request is for the host and not for Cosmos DB.
    pub async fn answer(&self, account: &Account, method: &str, path: &str, body: &[u8]) -> Option<Response<Body>> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let answered = match (method, path) {
            ("POST", "/_faults") => self.add_fault(body),
            ("DELETE", "/_faults") => {
                self.faults.clear(query.strip_prefix("of=").unwrap_or_default());
                Ok(String::new())
            }
            ("GET", "/_log") => Ok(self.logged()),
            ("POST", _) => match (path.strip_prefix("/_databases/"), path.strip_prefix("/_expire/")) {
                (Some(name), _) => account.create_database(name).await.map(|()| String::new()),
                (_, Some(name)) => expire(account, name, query.strip_prefix("ahead=").unwrap_or("0")).await,
                _ => return None,
            },
            _ => return None,
        };
        let (status, text) = match answered {
            Ok(text) => (StatusCode::OK, text),
            Err(why) => (StatusCode::BAD_REQUEST, why),
        };
        let mut response = Response::new(Body::from(Bytes::from(text)));
        *response.status_mut() = status;
        Some(response)
    }

    fn add_fault(&self, body: &[u8]) -> Result<String, String> {
        let fault: Fault = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        self.faults.add(fault);
        Ok(String::new())
    }

    fn logged(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        Value::from(log.clone()).to_string()
    }
}

async fn expire(account: &Account, database: &str, seconds: &str) -> Result<String, String> {
    let ahead = seconds.parse().map_err(|e| format!("`{seconds}` is no number of seconds: {e}"))?;
    expiry::sweep(account, Some(database), ahead).await.map(|removed| removed.to_string())
}
