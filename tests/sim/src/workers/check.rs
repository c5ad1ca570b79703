//! An invariant as a name, what it remembers, and a function: most are no more. Bodies are read as they are stored,
//! field by field, for an invariant looks at a handful of them at every commit.

use crate::journal::{Applied, Change, End, Oracle, Verdict};
use opsloop_kernel::{Document, Envelope, Timestamp};
use serde_json::Value;

/// What a commit is held to, and what it leaves for the next.
type AtCommit<S> = fn(&mut S, &Applied) -> Verdict;
type AtRest<S> = fn(&S, &End<'_>) -> Verdict;

pub struct Check<S> {
    name: &'static str,
    known: S,
    applied: AtCommit<S>,
    at_rest: AtRest<S>,
}

impl<S: Default + 'static> Check<S> {
    /// Of the commits alone.
    pub fn of_commits(name: &'static str, applied: AtCommit<S>) -> Box<dyn Oracle> {
        Self::of_both(name, applied, |_, _| Ok(()))
    }
    /// Of the commits, and of what they come to.
    pub fn of_both(name: &'static str, applied: AtCommit<S>, at_rest: AtRest<S>) -> Box<dyn Oracle> {
        Box::new(Self { name, known: S::default(), applied, at_rest })
    }
}

impl<S> Oracle for Check<S> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn applied(&mut self, commit: &Applied) -> Verdict {
        (self.applied)(&mut self.known, commit)
    }
    fn at_rest(&mut self, end: &End<'_>) -> Verdict {
        (self.at_rest)(&self.known, end)
    }
}

/// Of the end alone.
pub fn of_the_end(name: &'static str, at_rest: AtRest<()>) -> Box<dyn Oracle> {
    Check::of_both(name, |_, _| Ok(()), at_rest)
}

/// The changes of one kind of document, where the commit is of that stream.
pub fn changes<'a>(commit: &'a Applied, stream: &str, kind: &'a str) -> impl Iterator<Item = &'a Change> {
    let here = commit.stream.name == stream;
    commit.changes.iter().filter(move |c| here && c.kind() == kind)
}

pub fn body(document: Option<&Document>) -> &Value {
    document.map_or(&Value::Null, |d| &d.body.0)
}

/// The facts of one kind that the commit newly owes; a claim check says nothing that could be checked.
pub fn facts<'a>(commit: &'a Applied, kind: &'a str) -> impl Iterator<Item = &'a Envelope> {
    commit.owed.iter().filter(move |e| e.event_type == kind && e.payload_ref.is_none())
}

pub fn text<'a>(body: &'a Value, field: &str) -> &'a str {
    body[field].as_str().unwrap_or_default()
}

pub fn list<'a>(body: &'a Value, field: &str) -> &'a [Value] {
    body[field].as_array().map_or(&[], Vec::as_slice)
}

pub fn instant(body: &Value, field: &str) -> Option<Timestamp> {
    body[field].as_str()?.parse().ok()
}

pub fn is_true(body: &Value, field: &str) -> bool {
    body[field].as_bool() == Some(true)
}
