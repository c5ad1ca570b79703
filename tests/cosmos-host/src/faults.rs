//! What goes wrong on demand, and for which requests.

use crate::account::Headers;
use serde::Deserialize;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// `POST /_faults`: the first fault that matches a request is taken.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// What is answered; 0 breaks the connection in the middle of the answer.
    pub status: u16,
    pub sub_status: Option<u16>,
    pub retry_after_ms: Option<u64>,
    /// How many requests it is for; 0: until `DELETE /_faults`, or `DELETE /_faults?of=<a part of pathContains>`.
    #[serde(default)]
    pub count: u32,
    /// Requests that match are let through, before the first that is not.
    #[serde(default)]
    pub skip: u32,
    method: Option<String>,
    path_contains: Option<String>,
    /// Only where a request header has this value.
    header: Option<(String, String)>,
    /// The write is applied, then its reply is lost.
    #[serde(default)]
    pub after_commit: bool,
    #[serde(default)]
    pub delay_ms: u64,
}

impl Fault {
    fn is_for(&self, method: &str, path: &str, headers: &Headers) -> bool {
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        self.method.as_deref().is_none_or(|m| same(m, method))
            && self.path_contains.as_deref().is_none_or(|part| path.contains(part))
            && self
                .header
                .as_ref()
                .is_none_or(|(name, value)| headers.iter().any(|(n, v)| same(n, name) && same(v, value)))
    }
}

#[derive(Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub fn add(&self, fault: Fault) {
        self.locked().push(fault);
    }
    /// Those whose path names `part`; an empty one is in every path.
    pub fn clear(&self, part: &str) {
        self.locked().retain(|f| !f.path_contains.as_deref().unwrap_or_default().contains(part));
    }
    /// The fault of this request, counted.
    pub fn take(&self, method: &str, path: &str, headers: &Headers) -> Option<Fault> {
        let mut faults = self.locked();
        let at = faults.iter().position(|f| f.is_for(method, path, headers))?;
        if faults[at].skip > 0 {
            faults[at].skip -= 1;
            return None;
        }
        let fault = faults[at].clone();
        match fault.count {
            0 => {}
            1 => drop(faults.remove(at)),
            _ => faults[at].count -= 1,
        }
        Some(fault)
    }
    fn locked(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
