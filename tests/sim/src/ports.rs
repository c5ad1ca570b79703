//! The ports of a run: each call is a turn, and may fail in the ways that its real adapter does.

use crate::{
    faults::{Fault as Harm, subject},
    record::describe,
    shared::{Dependency, Shared},
};
use bytes::Bytes;
use opsloop_embedded::store::{Dumped, MemoryStore};
use opsloop_kernel::{
    Blobs, BoxFuture, Commit, Committed, Destination, Directory, DocId, ETag, Fault, Listing, Message, Order, Outcome,
    Page, Publisher, Store, Stored, Stream, TenantId, Timestamp,
    document::What,
    message::{DeadLetter, property},
    ports::{Backlog, DeadLetters, DueList, Within},
};
use std::{sync::Arc, time::Duration};

/// What a store of the simulation must be.
pub trait Documents: Store + Directory {
    /// Every document there is.
    fn dump(&self) -> Result<Vec<Dumped>, Fault>;
    /// The process died; the next one opens what it left.
    fn reopen(&self) -> Result<(), Fault>;
}
impl Documents for MemoryStore {
    fn dump(&self) -> Result<Vec<Dumped>, Fault> {
        MemoryStore::dump(self)
    }
    /// Stands for a database elsewhere, which does not die with a process.
    fn reopen(&self) -> Result<(), Fault> {
        Ok(())
    }
}

pub struct SimStore {
    pub inner: Arc<dyn Documents>,
    pub shared: Arc<Shared>,
}

impl SimStore {
    /// The turn of a call, and what may keep it from arriving.
    async fn call(&self, about: u64) -> Result<(), Fault> {
        self.shared.turn(about).await;
        if self.shared.away(Dependency::Store).is_some() {
            return Err(Fault::Unavailable { dependency: Fault::STORE });
        }
        let chance = &self.shared.chance;
        if let Some(drawn) = chance.draw(Harm::StoreFails, about) {
            self.shared.say(|| "  the store does not answer".into());
            let dependency = Fault::STORE;
            return Err(if drawn % 2 == 0 {
                Fault::Unavailable { dependency }
            } else {
                Fault::TimedOut { dependency }
            });
        }
        if let Some(drawn) = chance.draw(Harm::Throttled, about) {
            let retry_after = Duration::from_millis(drawn % 30_000);
            self.shared.say(|| format!("  throttled for {retry_after:?}"));
            return Err(Fault::Throttled { retry_after });
        }
        Ok(())
    }

    /// The same of a call for a stream.
    async fn call_for(&self, about: u64, tenant: &TenantId, stream: &Stream) -> Result<(), Fault> {
        self.call(about).await?;
        if self.shared.chance.is_stuck(tenant, stream) {
            self.shared.say(|| format!("  {} of {tenant} cannot be reached", stream.name));
            return Err(Fault::Unavailable { dependency: Fault::STORE });
        }
        Ok(())
    }

    async fn apply(&self, commit: &Commit) -> Result<Committed, Fault> {
        let committed = self.inner.commit(commit).await?;
        self.shared.journal.committed(commit, &committed, self.shared.time.now());
        self.shared.say(|| {
            let outcome = match &committed {
                Committed::Applied(_) => "applied",
                Committed::Duplicate => "duplicate",
                Committed::Raced => "raced",
                Committed::Refused(_) => "refused",
            };
            format!("  commit {} {}: {} -> {outcome}", commit.tenant, commit.stream.name, describe(commit))
        });
        Ok(committed)
    }
}

impl Store for SimStore {
    fn get<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
    ) -> BoxFuture<'a, Result<Option<Stored>, Fault>> {
        Box::pin(async move {
            self.call_for(subject(["get", tenant.as_str(), &stream.name, &id.0]), tenant, stream).await?;
            self.shared.say(|| format!("  get {tenant} {} {id}", stream.name));
            self.inner.get(tenant, stream, id).await
        })
    }

    fn list<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        from: &'a str,
        until: &'a str,
        page: Page,
        order: Order,
    ) -> BoxFuture<'a, Result<Listing, Fault>> {
        Box::pin(async move {
            self.call_for(subject(["list", tenant.as_str(), &stream.name, from]), tenant, stream).await?;
            self.shared.say(|| format!("  list {tenant} {} from {from}", stream.name));
            self.inner.list(tenant, stream, from, until, page, order).await
        })
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Committed, Fault>> {
        Box::pin(async move {
            let first = commit.marker.as_ref().map(|m| &m.id).or(commit.writes.first().map(|w| w.id()));
            let id = first.map_or("", |id| id.0.as_str());
            let about = subject(["commit", commit.tenant.as_str(), &commit.stream.name, id]);
            self.call_for(about, &commit.tenant, &commit.stream).await?;
            let chance = &self.shared.chance;
            if chance.hits(Harm::Raced, about) {
                self.shared.say(|| "  another replica was faster".into());
                return Ok(Committed::Raced);
            }
            let committed = self.apply(commit).await?;
            if chance.hits(Harm::Resent, about) {
                self.shared.say(|| "  the reply is lost; the SDK sends the batch again".into());
                return self.apply(commit).await;
            }
            if chance.hits(Harm::LostReply, about) {
                self.shared.say(|| "  the reply is lost".into());
                return Err(Fault::TimedOut { dependency: Fault::STORE });
            }
            Ok(committed)
        })
    }

    fn paid<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
        etag: &'a ETag,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let about = subject(["paid", tenant.as_str(), &stream.name, &id.0]);
            self.call_for(about, tenant, stream).await?;
            if self.shared.chance.hits(Harm::RelayDies, about) {
                self.shared.say(|| format!("  {id} is published and not deleted"));
                return Err(Fault::Unavailable { dependency: Fault::STORE });
            }
            self.inner.paid(tenant, stream, id, etag).await?;
            self.shared.journal.paid(tenant, stream, id, etag, self.shared.time.now());
            self.shared.say(|| format!("  paid {} {}", stream.name, id));
            Ok(())
        })
    }
}

impl Directory for SimStore {
    fn due<'a>(
        &'a self,
        what: &'a What,
        at: Timestamp,
        within: Within<'a>,
        after: Option<(&'a TenantId, &'a Stream)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueList, Fault>> {
        Box::pin(async move {
            self.call(subject(["due", what])).await?;
            self.shared.say(|| format!("  due {what}"));
            self.inner.due(what, at, within, after, limit).await
        })
    }
}

pub struct Bus(pub Arc<Shared>);

impl Bus {
    /// `ours`: by a relay or a handler, so that the broker may take one of them never.
    pub fn send<'a>(&'a self, messages: &'a [Message], ours: bool) -> BoxFuture<'a, Result<Vec<Outcome>, Fault>> {
        Box::pin(async move {
            let shared = &self.0;
            let about = subject(["publish", messages.first().map_or("", |m| m.id.as_str())]);
            shared.turn(about).await;
            let (away, refused) = (shared.away(Dependency::Broker).is_some(), Harm::PublishRefused);
            if away || shared.chance.hits(refused, about) {
                shared.say(|| "  the broker does not answer".into());
                return Err(Fault::Unavailable { dependency: Fault::BROKER });
            }
            let now = shared.time.now();
            let brought_forward: Vec<Message>;
            let sent = match shared.at_once {
                true => {
                    brought_forward = messages.iter().map(without_backoff).collect();
                    &brought_forward
                }
                false => messages,
            };
            let outcomes = sent.iter().map(|one| match ours && is_rejected(shared, one) {
                true => Outcome::Rejected { why: "the broker takes it never".into() },
                false => shared.broker().publish(std::slice::from_ref(one), now).remove(0),
            });
            let outcomes: Vec<Outcome> = outcomes.collect();
            for (message, outcome) in messages.iter().zip(&outcomes) {
                shared.say(|| format!("  publish {} {:?}", name(message), outcome));
                if *outcome == Outcome::Accepted {
                    shared.journal.published(message);
                }
            }
            if shared.chance.hits(Harm::LostPublishReply, about) {
                shared.say(|| "  the broker's reply is lost".into());
                return Err(Fault::TimedOut { dependency: Fault::BROKER });
            }
            Ok(outcomes)
        })
    }
}

impl Publisher for Bus {
    fn publish<'a>(&'a self, messages: &'a [Message]) -> BoxFuture<'a, Result<Vec<Outcome>, Fault>> {
        self.send(messages, true)
    }
}

/// An event whatever happens; a copy now. Telemetry and pages have other ways.
fn is_rejected(shared: &Shared, message: &Message) -> bool {
    let about = subject(["rejected", &message.id]);
    match message.properties.contains_key(property::HOP) {
        true => shared.chance.hits(Harm::Rejected, about),
        false => message.to == Destination::Topic && shared.chance.dooms(Harm::Rejected, about),
    }
}

fn name(message: &Message) -> String {
    let kind = message.properties.get(property::KIND).map_or("", String::as_str);
    format!("{kind} {}", message.id)
}

/// A copy after a fault or a race comes at once; one that waits for its moment waits.
fn without_backoff(message: &Message) -> Message {
    let p = &message.properties;
    let moment: Option<Timestamp> = p.get(property::MOMENT).and_then(|text| text.parse().ok());
    let retried = p.contains_key(property::HOP) && message.not_before != moment;
    Message { not_before: message.not_before.filter(|_| !retried), ..message.clone() }
}

impl Backlog for Bus {
    fn waiting<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<u64, Fault>> {
        Box::pin(async move { Ok(self.0.broker().waiting(queue, self.0.time.now())) })
    }
}

impl DeadLetters for Bus {
    fn peek<'a>(&'a self, handler: &'a str, after: i64, limit: usize) -> BoxFuture<'a, Result<Vec<DeadLetter>, Fault>> {
        Box::pin(async move {
            self.0.turn(subject(["peek", handler])).await;
            Ok(self.0.broker().dead(handler, after, limit, self.0.time.now()))
        })
    }
    fn complete<'a>(&'a self, handler: &'a str, sequence: i64) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            self.0.turn(subject(["complete", handler])).await;
            self.0.broker().remove_dead(handler, sequence);
            Ok(())
        })
    }
}

pub struct Objects(pub Arc<Shared>);

impl Objects {
    async fn call(&self, name: &str) -> Result<(), Fault> {
        let about = subject(["blob", name]);
        self.0.turn(about).await;
        if self.0.away(Dependency::Blobs).is_some() || self.0.chance.hits(Harm::BlobsFail, about) {
            return Err(Fault::Unavailable { dependency: Fault::BLOBS });
        }
        Ok(())
    }
}

impl Blobs for Objects {
    fn put<'a>(&'a self, name: &'a str, bytes: Bytes, expires: Timestamp) -> BoxFuture<'a, Result<String, Fault>> {
        Box::pin(async move {
            self.call(name).await?;
            Ok(self.0.blobs().put(name, bytes, expires))
        })
    }
    fn get<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Fault>> {
        Box::pin(async move {
            self.call(uri).await?;
            let now = self.0.time.now();
            Ok(self.0.blobs().get(uri, now))
        })
    }
}
