//! Keeps the journal while a run goes on: a mirror of the documents for what was there before, and queues from which the
//! driver feeds the oracles.

use crate::journal::{Applied, Change};
use opsloop_kernel::{
    Commit, Committed, DocId, Document, ETag, Envelope, Message, Note, Stream, TenantId, Timestamp, Write,
    ports::Recorder,
};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

#[derive(Default)]
pub struct Journal(Mutex<State>);

#[derive(Default)]
struct State {
    turn: u64,
    mirror: BTreeMap<(TenantId, Stream), BTreeMap<DocId, (Document, ETag)>>,
    applied: Vec<Applied>,
    /// Everything that the broker accepted, in order; the first `told` were fed to the oracles.
    published: Vec<Message>,
    told: usize,
    sums: Vec<(String, &'static str, f64)>,
}

impl Journal {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_turn(&self, turn: u64) {
        self.locked().turn = turn;
    }
    pub fn turn(&self) -> u64 {
        self.locked().turn
    }

    /// A commit came back as applied.
    pub fn committed(&self, commit: &Commit, committed: &Committed, now: Timestamp) {
        let Committed::Applied(etags) = committed else { return };
        let mut state = self.locked();
        let turn = state.turn;
        let documents = state.mirror.entry((commit.tenant.clone(), commit.stream.clone())).or_default();
        let mut changes = Vec::with_capacity(commit.writes.len() + 1);
        // The etag of a marker is not told, and nobody writes one by version.
        let marker = commit.marker.iter().map(|m| (Some(m), &m.id, ETag(String::new())));
        let writes = commit.writes.iter().zip(etags).map(|(w, e)| (w.document(), w.id(), e.clone()));
        for (document, id, etag) in marker.chain(writes) {
            let before = match document {
                Some(document) => documents.insert(id.clone(), (document.clone(), etag)),
                None => documents.remove(id),
            };
            let before = before.map(|(d, _)| d).filter(|d| d.expires.is_none_or(|at| at > now));
            changes.push(Change { id: id.clone(), before, after: document.cloned() });
        }
        let owed = changes.iter().filter(|c| c.before.is_none()).filter_map(|c| c.after.as_ref()).flat_map(owed_by);
        let owed = owed.collect();
        let (tenant, stream) = (commit.tenant.clone(), commit.stream.clone());
        let marker = commit.marker.as_ref().map(|m| m.id.clone());
        state.applied.push(Applied { turn, at: now, tenant, stream, marker, changes, owed });
    }

    /// An outbox document was deleted under this etag, if it was still there.
    pub fn paid(&self, tenant: &TenantId, stream: &Stream, id: &DocId, etag: &ETag, now: Timestamp) {
        let mut state = self.locked();
        let turn = state.turn;
        let Some(documents) = state.mirror.get_mut(&(tenant.clone(), stream.clone())) else { return };
        if documents.get(id).is_none_or(|(_, there)| there != etag) {
            return;
        }
        let before = documents.remove(id).map(|(d, _)| d);
        let changes = vec![Change { id: id.clone(), before, after: None }];
        let (tenant, stream) = (tenant.clone(), stream.clone());
        state.applied.push(Applied { turn, at: now, tenant, stream, marker: None, changes, owed: vec![] });
    }

    pub fn published(&self, message: &Message) {
        self.locked().published.push(message.clone());
    }

    /// What became true since the last call.
    pub fn news(&self) -> (Vec<Applied>, Vec<Message>) {
        let mut state = self.locked();
        let applied = std::mem::take(&mut state.applied);
        let messages = state.published[state.told..].to_vec();
        state.told = state.published.len();
        (applied, messages)
    }

    pub fn all_published(&self) -> Vec<Message> {
        self.locked().published.clone()
    }

    /// By `worker|signal`.
    pub fn sums(&self) -> BTreeMap<String, f64> {
        self.locked().sums.iter().map(|(worker, signal, sum)| (format!("{worker}|{signal}"), *sum)).collect()
    }
}

impl Recorder for Journal {
    fn record(&self, worker: &str, note: &Note) {
        let mut state = self.locked();
        match state.sums.iter_mut().find(|(w, s, _)| w == worker && *s == note.signal.name) {
            Some((_, _, sum)) => *sum += note.value,
            None => state.sums.push((worker.to_owned(), note.signal.name, note.value)),
        }
    }
}

fn owed_by(document: &Document) -> Vec<Envelope> {
    if document.kind != "owed" {
        return vec![];
    }
    let messages = document.body.0.get("messages").and_then(Value::as_array);
    let envelopes = messages.into_iter().flatten().filter_map(|m| m.get("envelope"));
    envelopes.filter_map(|e| Envelope::deserialize(e).ok()).collect()
}

/// What is written, for a person.
pub fn describe(commit: &Commit) -> String {
    let marker = commit.marker.iter().map(|m| format!("+{}", m.id));
    let writes = commit.writes.iter().map(|w| match w {
        Write::Save(d, None) => format!("create {}", d.id),
        Write::Save(d, Some(_)) => format!("save {}", d.id),
        Write::Put(d) => format!("put {}", d.id),
        Write::Delete(id, _) => format!("delete {id}"),
    });
    marker.chain(writes).collect::<Vec<_>>().join(", ")
}
