//! Moves what is owed to the broker: at once by the hint that a commit gives, otherwise by the sweep (DESIGN 5, A63).
//!
//! The outbox holds exactly what is owed. A document goes once its messages are accepted, by the etag under which it
//! was read: a slow relay never deletes what a newer commit owes (A51).

use crate::{
    Ports,
    bind::{self, Bound, Owed, OwedMessage, WHAT_OUTBOX, WHAT_STUCK},
};
use futures::{StreamExt, future, stream};
use opsloop_kernel::{
    Commit, Committed, Document, ETag, Fault, Found, Message, Mutant, Note, Outcome, Stream, TenantId, Timestamp,
    Write, ids, mutant, ports::Within, signal,
};
use std::borrow::Cow;

/// A hint does not hold an invocation longer than this.
const HINT_MS: u64 = 500;
/// A sweep goes on from answer to answer for this long at most.
const SWEEP_MS: i64 = 60_000;
const SWEEP_PAGE: usize = 200;
const AT_ONCE: usize = 8;
const NAME: &str = "OutboxSweep";

/// Publishes what this commit owes, for at most 500 ms; what is left is the sweep's.
pub async fn hint(bound: &Bound, etags: &[ETag], tenant: &TenantId, stream: &Stream, ports: &Ports) {
    if bound.owed.is_empty() {
        return;
    }
    let first = etags.len().saturating_sub(bound.owed.len());
    let work = async {
        for ((document, owed), etag) in bound.owed.iter().zip(&etags[first..]) {
            if let Err(fault) = pay(tenant, stream, document, owed, etag, ports).await {
                tracing::debug!(fault = fault.kind(), "the hint left its messages to the sweep");
                return;
            }
        }
    };
    let (work, limit) = (std::pin::pin!(work), ports.clock.sleep(HINT_MS));
    future::select(work, limit).await;
}

/// Publishes one outbox document and deletes it. What the broker refuses for good becomes stuck alone (A16).
async fn pay(
    tenant: &TenantId,
    stream: &Stream,
    document: &Document,
    owed: &Owed,
    etag: &ETag,
    ports: &Ports,
) -> Result<(), Fault> {
    let messages: Vec<Message> = owed.messages.iter().map(OwedMessage::message).collect();
    if mutant::is(Mutant::RelayDeletesBeforePublish) {
        ports.store.paid(tenant, stream, &document.id, etag).await?;
    }
    let outcomes = ports.publisher.publish(&messages).await?;
    let rejected: Vec<&OwedMessage> = owed
        .messages
        .iter()
        .zip(&outcomes)
        .filter_map(|(m, o)| matches!(o, Outcome::Rejected { .. }).then_some(m))
        .collect();
    let waited = ports.clock.now().millis_since(owed.committed_at) as f64 / 1000.0;
    ports.recorder.record(NAME, &Note { signal: &signal::OUTBOX_PUBLISH, labels: vec![], value: waited.max(0.0) });
    if rejected.is_empty() {
        return ports.store.paid(tenant, stream, &document.id, etag).await;
    }
    set_aside(tenant, stream, document, owed, etag, &rejected, ports).await
}

/// Each refused message gets a document of its own, due for nobody but the operator; the rest is paid.
async fn set_aside(
    tenant: &TenantId,
    stream: &Stream,
    document: &Document,
    owed: &Owed,
    etag: &ETag,
    rejected: &[&OwedMessage],
    ports: &Ports,
) -> Result<(), Fault> {
    let mut writes = vec![Write::Delete(document.id.clone(), etag.clone())];
    for message in rejected {
        let (mut stuck, _) = bind::owed_document(owed.committed_at, vec![(*message).clone()]);
        stuck.id = format!("stuck|{}", ids::digest([&message.id])).into();
        stuck.kind = Cow::Borrowed("stuck");
        writes.push(Write::Put(stuck.due(WHAT_STUCK, owed.committed_at)));
        tracing::error!(message_id = %message.id, tenant_id = %tenant, "the broker refused a message for good");
    }
    ports.recorder.record(NAME, &Note::count(&signal::STUCK, rejected.len() as u64));
    let commit = Commit { tenant: tenant.clone(), stream: stream.clone(), marker: None, writes };
    match ports.store.commit(&commit).await? {
        Committed::Applied(_) | Committed::Duplicate => Ok(()),
        Committed::Raced => Err(Fault::Raced),
        Committed::Refused(why) => {
            // A defect: what was owed fitted a document, and so does its part. It stays owed.
            tracing::error!(%why, tenant_id = %tenant, "what is stuck cannot be stored");
            Err(Fault::Unavailable { dependency: Fault::STORE })
        }
    }
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub paid: usize,
    pub left: usize,
}

/// Publishes every outbox document that is due, from answer to answer, for at most 60 s.
pub async fn sweep(due: Timestamp, ports: &Ports) -> Result<Swept, Fault> {
    let began = ports.clock.now();
    let mut swept = Swept::default();
    let mut after: Option<(TenantId, Stream)> = None;
    let what = Cow::Borrowed(WHAT_OUTBOX);
    loop {
        let from = after.as_ref().map(|(t, s)| (t, s));
        let answer = ports.directory.due(&what, due, Within::All, from, SWEEP_PAGE).await?;
        let oldest = answer.found.iter().map(|f| f.at).min();
        if let Some(at) = oldest {
            let age = due.millis_since(at) as f64 / 1000.0;
            ports.recorder.record(NAME, &Note { signal: &signal::OUTBOX_OWED, labels: vec![], value: age });
        }
        after = answer.found.last().map(|f| (f.tenant.clone(), f.stream.clone()));
        let done: Vec<bool> =
            stream::iter(answer.found).map(|f| sweep_one(f, ports)).buffer_unordered(AT_ONCE).collect().await;
        swept.paid += done.iter().filter(|d| **d).count();
        swept.left += done.iter().filter(|d| !**d).count();
        if !answer.more || ports.clock.now().millis_since(began) >= SWEEP_MS {
            return Ok(swept);
        }
    }
}

async fn sweep_one(found: Found, ports: &Ports) -> bool {
    let paid = async {
        let Some(stored) = ports.store.get(&found.tenant, &found.stream, &found.id).await? else { return Ok(()) };
        let Ok(owed) = stored.read::<Owed>() else { return Err(Fault::Raced) };
        pay(&found.tenant, &found.stream, &stored.document, &owed, &stored.etag, ports).await
    };
    match paid.await {
        Ok(()) => true,
        Err(fault) => {
            tracing::warn!(fault = fault.kind(), id = %found.id, "an outbox document is still owed");
            false
        }
    }
}
