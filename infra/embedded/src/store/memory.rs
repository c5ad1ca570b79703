//! Documents in memory: for the simulator, for tests, and as the plainest statement of what a store is.

use super::{
    Dumped, assert_pair,
    batch::{self, Batch},
};
use opsloop_kernel::{
    BoxFuture, Clock, Commit, Committed, Directory, DocId, Document, ETag, Fault, Found, Listing, Order, Page, Store,
    Stored, Stream, TenantId, Timestamp, What,
    due_list::Cut,
    ids,
    ports::{DueList, Within},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Commits between two sweeps of what has expired: absent at once, it is removed some time.
const COMMITS_PER_SWEEP: i64 = 4_096;

/// Every call is done when it returns: its futures never wait, on any executor.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    streams: BTreeMap<TenantId, BTreeMap<Stream, Partition>>,
    /// What is due, by wish and stream: the directory's order.
    due: BTreeMap<What, BTreeMap<(TenantId, Stream), Queue>>,
    last_etag: i64,
    commits: i64,
}

type Partition = BTreeMap<DocId, Entry>;

struct Entry {
    tenant: TenantId,
    document: Document,
    etag: i64,
}

struct Queue {
    shard: u8,
    documents: BTreeSet<(Timestamp, DocId)>,
}

impl MemoryStore {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// Every document there is, by (tenant, stream, id).
    pub fn dump(&self) -> Result<Vec<Dumped>, Fault> {
        let now = self.clock.now();
        let state = self.locked();
        let mut all = Vec::new();
        for (tenant, streams) in &state.streams {
            for (stream, partition) in streams {
                for entry in partition.values().filter(|e| e.is_there(now)) {
                    assert_pair(tenant.as_str(), entry.tenant.as_str())?;
                    let (document, etag) = (entry.document.clone(), batch::etag_of(entry.etag));
                    all.push(Dumped { tenant: tenant.clone(), stream: stream.clone(), document, etag });
                }
            }
        }
        Ok(all)
    }

    /// A panic while the lock was held cannot have left a batch half applied: what may fail is judged before.
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
    ) -> BoxFuture<'a, Result<Option<Stored>, Fault>> {
        let now = self.clock.now();
        let found = self.locked().live(tenant, stream, id, now).map(|e| e.read_by(tenant)).transpose();
        Box::pin(ready(found))
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
        let now = self.clock.now();
        let state = self.locked();
        let listing = match state.partition(tenant, stream) {
            Some(partition) => listed(partition, tenant, now, (from, until), &page, order),
            None => Ok(Listing::default()),
        };
        Box::pin(ready(listing))
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Committed, Fault>> {
        let now = self.clock.now();
        let committed = match batch::lay_out(commit, |d| (as_kept(d), batch::size_of(d))) {
            Ok(batch) => self.locked().commit(commit, batch, now),
            Err(refusal) => Committed::Refused(refusal),
        };
        Box::pin(ready(Ok(committed)))
    }

    fn paid<'a>(
        &'a self,
        tenant: &'a TenantId,
        stream: &'a Stream,
        id: &'a DocId,
        etag: &'a ETag,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        let mut state = self.locked();
        let is_it = |e: &Entry| e.etag == batch::number_of(etag);
        if state.partition(tenant, stream).and_then(|p| p.get(id)).is_some_and(is_it) {
            state.remove(tenant, stream, id);
        }
        Box::pin(ready(Ok(())))
    }
}

impl Directory for MemoryStore {
    fn due<'a>(
        &'a self,
        what: &'a What,
        at: Timestamp,
        within: Within<'a>,
        after: Option<(&'a TenantId, &'a Stream)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueList, Fault>> {
        let now = self.clock.now();
        let list = self.locked().due(what, (at, now), within, after, limit);
        Box::pin(ready(Ok(list)))
    }
}

impl State {
    fn partition(&self, tenant: &TenantId, stream: &Stream) -> Option<&Partition> {
        self.streams.get(tenant)?.get(stream)
    }

    fn live(&self, tenant: &TenantId, stream: &Stream, id: &DocId, now: Timestamp) -> Option<&Entry> {
        self.partition(tenant, stream)?.get(id).filter(|e| e.is_there(now))
    }

    fn commit(&mut self, commit: &Commit, batch: Batch<Document>, now: Timestamp) -> Committed {
        let (tenant, stream) = (&commit.tenant, &commit.stream);
        let next = self.last_etag + 1;
        let current =
            |id: &DocId| Ok::<_, std::convert::Infallible>(self.live(tenant, stream, id, now).map(|e| e.etag));
        match batch::judge(&batch, next, current) {
            Ok(Ok(())) => {}
            Ok(Err(conflict)) => return conflict.into(),
            Err(never) => match never {},
        }
        let committed = batch::applied(&batch, next);
        for operation in batch.operations {
            self.remove(tenant, stream, &operation.id);
            self.last_etag += 1;
            if let Some(document) = operation.document {
                self.insert(tenant, stream, document);
            }
        }
        self.commits += 1;
        if self.commits % COMMITS_PER_SWEEP == 0 {
            self.sweep(now);
        }
        committed
    }

    fn insert(&mut self, tenant: &TenantId, stream: &Stream, document: Document) {
        if let Some(due) = &document.due {
            let queues = self.due.entry(due.what.clone()).or_default();
            let queue = queues
                .entry((tenant.clone(), stream.clone()))
                .or_insert_with(|| Queue { shard: ids::shard(tenant, stream), documents: BTreeSet::new() });
            queue.documents.insert((due.at, document.id.clone()));
        }
        let id = document.id.clone();
        let entry = Entry { tenant: tenant.clone(), document, etag: self.last_etag };
        let streams = self.streams.entry(tenant.clone()).or_default();
        match streams.get_mut(stream) {
            Some(partition) => partition.insert(id, entry),
            None => streams.entry(stream.clone()).or_default().insert(id, entry),
        };
    }

    fn remove(&mut self, tenant: &TenantId, stream: &Stream, id: &DocId) {
        let Some(partition) = self.streams.get_mut(tenant).and_then(|s| s.get_mut(stream)) else { return };
        let Some(entry) = partition.remove(id) else { return };
        let Some(due) = entry.document.due else { return };
        let Some(queues) = self.due.get_mut(&due.what) else { return };
        let key = (tenant.clone(), stream.clone());
        if let Some(queue) = queues.get_mut(&key) {
            queue.documents.remove(&(due.at, id.clone()));
            if queue.documents.is_empty() {
                queues.remove(&key);
            }
        }
    }

    fn due(
        &self,
        what: &What,
        (at, now): (Timestamp, Timestamp),
        within: Within<'_>,
        after: Option<(&TenantId, &Stream)>,
        limit: usize,
    ) -> DueList {
        let Some(queues) = self.due.get(what) else { return DueList::default() };
        let after = after.map(|(t, s)| (t.clone(), s.clone()));
        let (low, high) = match within {
            Within::Stream(t, s) => {
                let only = (t.clone(), s.clone());
                if after.is_some_and(|after| after >= only) {
                    return DueList::default();
                }
                (Bound::Included(only.clone()), Bound::Included(only))
            }
            Within::All | Within::Shard(_) => (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded),
        };
        let mut cut = Cut::at(limit);
        for ((tenant, stream), queue) in queues.range((low, high)) {
            if matches!(within, Within::Shard(shard) if shard != queue.shard) {
                continue;
            }
            for (due, id) in queue.documents.iter().take_while(|(due, _)| *due <= at) {
                if self.live(tenant, stream, id, now).is_none() {
                    continue;
                }
                let found = Found { tenant: tenant.clone(), stream: stream.clone(), at: *due, id: id.clone() };
                if cut.push(found).is_break() {
                    return cut.finish();
                }
            }
        }
        cut.finish()
    }

    fn sweep(&mut self, now: Timestamp) {
        let mut gone = Vec::new();
        for (tenant, streams) in &self.streams {
            for (stream, partition) in streams {
                let expired = partition.values().filter(|e| !e.is_there(now));
                gone.extend(expired.map(|e| (tenant.clone(), stream.clone(), e.document.id.clone())));
            }
        }
        for (tenant, stream, id) in gone {
            self.remove(&tenant, &stream, &id);
        }
        for streams in self.streams.values_mut() {
            streams.retain(|_, partition| !partition.is_empty());
        }
    }
}

impl Entry {
    fn is_there(&self, now: Timestamp) -> bool {
        self.document.expires.is_none_or(|at| at > now)
    }

    fn read_by(&self, asked: &TenantId) -> Result<Stored, Fault> {
        assert_pair(asked.as_str(), self.tenant.as_str())?;
        Ok(Stored { document: self.document.clone(), etag: batch::etag_of(self.etag) })
    }
}

/// Instants are kept in milliseconds, as on every wire (SPEC 3.1).
fn as_kept(document: &Document) -> Document {
    let mut kept = document.clone();
    kept.expires = kept.expires.map(Timestamp::floor_millis);
    if let Some(due) = &mut kept.due {
        due.at = due.at.floor_millis();
    }
    kept
}

fn listed(
    partition: &Partition,
    tenant: &TenantId,
    now: Timestamp,
    (from, until): (&str, &str),
    page: &Page,
    order: Order,
) -> Result<Listing, Fault> {
    let mut low = Bound::Included(DocId::from(from));
    let mut high = Bound::Excluded(DocId::from(until));
    match (&page.after, order) {
        (Some(after), Order::Ascending) if after.0.as_str() >= from => low = Bound::Excluded(after.clone()),
        (Some(after), Order::Descending) if after.0.as_str() < until => high = Bound::Excluded(after.clone()),
        _ => {}
    }
    if is_empty(&low, &high) {
        return Ok(Listing::default());
    }
    let range = partition.range((low, high)).map(|(_, entry)| entry).filter(|e| e.is_there(now));
    match order {
        Order::Ascending => take(range, tenant, page.limit),
        Order::Descending => take(range.rev(), tenant, page.limit),
    }
}

/// `BTreeMap::range` panics on a range whose ends are crossed.
fn is_empty(low: &Bound<DocId>, high: &Bound<DocId>) -> bool {
    match (low, high) {
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high)) => low >= high,
        _ => false,
    }
}

fn take<'e>(mut entries: impl Iterator<Item = &'e Entry>, tenant: &TenantId, limit: usize) -> Result<Listing, Fault> {
    let items = entries.by_ref().take(limit).map(|e| e.read_by(tenant)).collect::<Result<_, _>>()?;
    Ok(Listing { items, more: entries.next().is_some() })
}
