//! What happened, in the order in which it became true: the oracles read nothing else.

use opsloop_embedded::store::Dumped;
use opsloop_kernel::{DocId, Document, Envelope, Message, Stream, TenantId, Timestamp, message::DeadLetter};
use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Cast, Plan};

/// A commit that the store applied, of whichever adapter call it came from (`commit` or `paid`).
#[derive(Clone, Debug)]
pub struct Applied {
    pub turn: u64,
    pub at: Timestamp,
    pub tenant: TenantId,
    pub stream: Stream,
    /// The marker's id, where the batch began with one.
    pub marker: Option<DocId>,
    pub changes: Vec<Change>,
    /// The envelopes that this commit newly owes, from its outbox documents; copies of a claim check without payload.
    pub owed: Vec<Envelope>,
}

/// One document before and after. Markers and outbox documents are changes too (kinds `seen`, `owed`, `stuck`).
#[derive(Clone, Debug)]
pub struct Change {
    pub id: DocId,
    pub before: Option<Document>,
    pub after: Option<Document>,
}
impl Change {
    /// The kind of the document, whichever side there is.
    pub fn kind(&self) -> &str {
        self.after.as_ref().or(self.before.as_ref()).map_or("", |d| d.kind.as_ref())
    }
}

/// Everything as it stands when nothing is left to do.
pub struct End<'a> {
    pub cast: &'a Cast,
    pub plan: &'a Plan,
    /// By (tenant, stream, id).
    pub documents: &'a [Dumped],
    /// What the broker accepted, in order: events, copies, batches, pages.
    pub published: &'a [Message],
    /// By handler (worker name).
    pub dead: &'a BTreeMap<String, Vec<DeadLetter>>,
    /// Ids of the messages that the broker gives out later: a worker put them off.
    pub scheduled: &'a BTreeSet<String>,
    /// Arrivals that were accepted, by their index in the plan.
    pub accepted: &'a [bool],
    /// Sums of recorded signals, by `worker|signal|labels`.
    pub recorded: &'a BTreeMap<String, f64>,
}

pub type Verdict = Result<(), String>;

/// A check that can be broken. What it says on failure is read by a person: name the unit, the values and the rule.
pub trait Oracle {
    /// Short and stable: `outbox empty`, `AEW I1`. The mutants' table names it.
    fn name(&self) -> &'static str;
    /// At every commit.
    fn applied(&mut self, _commit: &Applied) -> Verdict {
        Ok(())
    }
    /// Whenever the broker accepts a message.
    fn published(&mut self, _message: &Message) -> Verdict {
        Ok(())
    }
    /// When nothing is left to do.
    fn at_rest(&mut self, _end: &End<'_>) -> Verdict {
        Ok(())
    }
}
