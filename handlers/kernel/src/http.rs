//! The operator surface a family offers (SPEC 14): queries read through a scope, commands become envelopes. Pure data
//! and functions; the shell serves them.

use crate::{
    decision::Answer,
    document::Body,
    fault::{Fault, Refusal},
    ports::{BoxFuture, Scope},
    time::Timestamp,
};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Method {
    Get,
    Post,
    Delete,
}
impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// What a request said, after routing and authentication.
#[derive(Clone, Debug)]
pub struct Request {
    /// Values of `{name}` in the template.
    pub params: BTreeMap<String, String>,
    pub query: BTreeMap<String, String>,
    pub body: Body,
    pub now: Timestamp,
    /// The project of the caller where the body names none; local mode: `local`.
    pub project: Option<String>,
    /// Of this deployment: in which stream the series of a metric lie (SPEC 5.2.4).
    pub metric_buckets: u16,
}
impl Request {
    pub fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }
}

/// An error for a person: becomes a problem document (SPEC 14.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub status: u16,
    /// `errorKind` of SPEC 3.7, in snake case.
    pub kind: &'static str,
    pub detail: String,
}
impl Problem {
    pub fn new(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into() }
    }
    pub fn not_found(what: &str, id: &str) -> Self {
        Self::new(404, "not_found", format!("there is no {what} `{id}`"))
    }
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(400, "invalid", detail)
    }
}
impl From<Fault> for Problem {
    fn from(f: Fault) -> Self {
        Self::new(503, "transient", format!("a dependency failed ({}); try again", f.kind()))
    }
}
impl From<Refusal> for Problem {
    fn from(r: Refusal) -> Self {
        Self::new(400, "invalid", r.to_string())
    }
}

pub type QueryFn = for<'a> fn(&'a Request, &'a Scope<'a>) -> BoxFuture<'a, Result<Answer, Problem>>;

#[derive(Clone, Copy)]
pub enum Does {
    /// Reads and never writes.
    Query(QueryFn),
    /// Becomes a command envelope of this kind for this worker; the function makes its payload, or says what is wrong.
    Command { worker: &'static str, kind: &'static str, payload: fn(&Request) -> Result<Body, Problem> },
}

/// One route of the surface: `/v1/incidents/{id}`.
#[derive(Clone, Copy)]
pub struct Endpoint {
    pub method: Method,
    pub path: &'static str,
    pub scope: &'static str,
    pub about: &'static str,
    pub does: Does,
}
