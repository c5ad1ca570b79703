//! One incident in one commit: the document before and after, and the entries of its log that came with it.

use super::super::check::{body, changes, text};
use crate::journal::Applied;
use serde_json::Value;

pub const STREAM: &str = "incidents";

pub struct Step<'a> {
    pub id: &'a str,
    /// `null` where it opens.
    pub before: &'a Value,
    pub after: &'a Value,
    /// By `seq`.
    pub entries: Vec<&'a Value>,
}

impl Step<'_> {
    pub fn opens(&self) -> bool {
        self.before.is_null()
    }
    pub fn was(&self) -> &str {
        text(self.before, "status")
    }
    pub fn is(&self) -> &str {
        text(self.after, "status")
    }
    pub fn transitions(&self) -> impl Iterator<Item = (&str, &str)> {
        let moved = self.entries.iter().filter(|e| text(e, "kind") == "transition");
        moved.map(|e| (text(e, "from"), text(e, "to")))
    }
}

/// The incidents that a commit writes. One that leaves after 400 days is beyond every run.
pub fn steps(commit: &Applied) -> Result<Vec<Step<'_>>, String> {
    let mut out = vec![];
    for change in changes(commit, STREAM, "incident") {
        let (before, after) = (body(change.before.as_ref()), body(change.after.as_ref()));
        if after.is_null() {
            return Err(format!("{} is deleted", change.id));
        }
        let id = text(after, "incidentId");
        let prefix = format!("log|{id}|");
        let logs = changes(commit, STREAM, "log").filter(|c| c.id.0.starts_with(&prefix));
        let mut entries: Vec<&Value> = logs.map(|c| body(c.after.as_ref())).collect();
        entries.sort_by_key(|e| e["seq"].as_u64());
        out.push(Step { id, before, after, entries });
    }
    Ok(out)
}
