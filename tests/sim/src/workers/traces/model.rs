//! What the commits have put under each trace.

use crate::{
    journal::{Applied, Change, Verdict},
    workers::shared::Model,
};
use opsloop_kernel::{Container, TenantId, Timestamp};
use opsloop_observability::trace_ingestion::{
    Head,
    chunk::{ChunkDoc, PREFIX},
    head,
    outline::Outlines,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Traces {
    pub all: BTreeMap<(TenantId, String), Trace>,
}

#[derive(Default)]
pub struct Trace {
    pub chunks: BTreeMap<String, ChunkDoc>,
    pub head: Option<Head>,
    pub expires: Option<Timestamp>,
    /// Revisions announced so far, in commit order.
    pub announced: Vec<u32>,
}

impl Traces {
    pub fn of<'a>(&'a self, commit: &'a Applied) -> Option<(&'a str, &'a Trace)> {
        let trace = trace_of(commit)?;
        self.all.get(&(commit.tenant.clone(), trace.to_owned())).map(|t| (trace, t))
    }
}

impl Trace {
    /// What a revision due at `at` covers (A62).
    pub fn before(&self, at: Timestamp) -> Result<Outlines, String> {
        let mut outlines = Outlines::default();
        for chunk in self.chunks.values().filter(|c| c.received_at < at) {
            outlines.add(chunk).map_err(|e| e.to_string())?;
        }
        Ok(outlines)
    }
}

/// The trace whose stream was committed to.
pub fn trace_of(commit: &Applied) -> Option<&str> {
    let telemetry = commit.stream.container == Container::Telemetry;
    commit.stream.name.strip_prefix("trace/").filter(|_| telemetry)
}

pub fn head_change(commit: &Applied) -> Option<&Change> {
    commit.changes.iter().find(|c| c.id.0 == head::ID)
}

impl Model for Traces {
    fn follow(&mut self, commit: &Applied) -> Verdict {
        let Some(trace) = trace_of(commit) else { return Ok(()) };
        let held = self.all.entry((commit.tenant.clone(), trace.to_owned())).or_default();
        for change in &commit.changes {
            if let Some(id) = change.id.0.strip_prefix(PREFIX) {
                match &change.after {
                    Some(document) => {
                        held.chunks.insert(id.to_owned(), document.body.read().map_err(|e| e.to_string())?)
                    }
                    None => held.chunks.remove(id),
                };
            } else if change.id.0 == head::ID {
                held.head = change.after.as_ref().map(|d| d.body.read()).transpose().map_err(|e| e.to_string())?;
                held.expires = change.after.as_ref().and_then(|d| d.expires);
            }
        }
        held.announced.extend(commit.owed.iter().filter(|e| e.event_type == "TraceRecorded").map(|e| e.revision));
        Ok(())
    }
}
