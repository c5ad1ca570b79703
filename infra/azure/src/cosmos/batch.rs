//! A commit as one transactional batch, and what its answer means (P15, P16, A59, A64).

use super::{
    connection::{Connection, Meter, Metered, partition},
    document::{Kept, check_stream},
    reads,
    trouble::Trouble,
};
use azure_core::http::Etag;
use azure_data_cosmos::{
    TransactionalBatch,
    clients::ContainerClient,
    models::TransactionalBatchResponse,
    options::{BatchDeleteOptions, BatchReplaceOptions, ItemWriteOptions, Precondition},
};
use opsloop_kernel::{
    Commit, Committed, DocId, Document, ETag, Refusal, Stream, TenantId, Timestamp, Write,
    document::{BATCH_OPERATIONS_MAX, DOCUMENT_BYTES_MAX, STORED_BATCH_BYTES_MAX, within},
};

const CONFLICT: u16 = 409;
/// Of the operations that are not to blame.
const FAILED_DEPENDENCY: u16 = 424;

/// What the service says of a batch.
enum Answer {
    Applied(Vec<ETag>),
    /// Nothing is applied: the first operation that is to blame, and its status.
    Blamed {
        operation: usize,
        status: u16,
    },
    TooLarge,
    Malformed(String),
}

pub(super) async fn commit(connection: &Connection, commit: &Commit, now: Timestamp) -> Metered<Committed> {
    let mut meter = Meter::default();
    let outcome = committed(connection, commit, now, &mut meter).await;
    meter.done(outcome)
}

async fn committed(
    connection: &Connection,
    commit: &Commit,
    now: Timestamp,
    meter: &mut Meter,
) -> Result<Committed, Trouble> {
    let count = match check(commit) {
        Ok(0) => return Ok(Committed::Applied(Vec::new())),
        Ok(count) => count,
        Err(refusal) => return Ok(Committed::Refused(refusal)),
    };
    let container = connection.container(commit.stream.container).await?;
    // Each round but the last finds out of the way what was in the way of a create: it had expired.
    for _ in 0..=count {
        let (operation, status) = match execute(&container, commit, now, meter).await? {
            Answer::Applied(etags) => return Ok(Committed::Applied(etags)),
            Answer::Blamed { operation, status } => (operation, status),
            Answer::TooLarge => return Ok(Committed::Refused(too_large(commit))),
            Answer::Malformed(why) => return Ok(Committed::Refused(Refusal::payload(why))),
        };
        if status == CONFLICT && cleared(&container, commit, operation, now, meter).await? {
            continue;
        }
        let is_marker = operation == 0 && commit.marker.is_some() && status == CONFLICT;
        return Ok(if is_marker { Committed::Duplicate } else { Committed::Raced });
    }
    Ok(Committed::Raced)
}

/// The number of operations, or why no store takes them.
fn check(commit: &Commit) -> Result<usize, Refusal> {
    let count = commit.writes.len() + usize::from(commit.marker.is_some());
    within("operations of a batch", count, BATCH_OPERATIONS_MAX)?;
    check_stream(&commit.stream)?;
    let mut bytes = 0;
    for document in commit.marker.iter().chain(commit.writes.iter().filter_map(Write::document)) {
        let size = document.size();
        within("a document", size, DOCUMENT_BYTES_MAX)?;
        bytes += size;
    }
    within("the bytes of a batch", bytes, STORED_BATCH_BYTES_MAX)?;
    commit.marker.iter().map(|m| &m.id).chain(commit.writes.iter().map(Write::id)).try_for_each(DocId::check)?;
    Ok(count)
}

/// The service counts what it is sent, with what the adapter adds to each document.
fn too_large(commit: &Commit) -> Refusal {
    let size = commit.marker.as_ref().map_or(0, Document::size) + commit.writes.iter().map(Write::size).sum::<usize>();
    Refusal::TooLarge { what: "the request of a batch", size, limit: STORED_BATCH_BYTES_MAX }
}

async fn execute(
    container: &ContainerClient,
    commit: &Commit,
    now: Timestamp,
    meter: &mut Meter,
) -> Result<Answer, Trouble> {
    let batch = laid_out(commit, now).map_err(|e| Trouble::of(&e))?;
    let response = match container.execute_transactional_batch(batch, None).await {
        Ok(response) => response,
        Err(error) => {
            return match Trouble::of(&error) {
                Trouble::TooLarge => Ok(Answer::TooLarge),
                Trouble::Malformed { why } => Ok(Answer::Malformed(why)),
                trouble => Err(trouble),
            };
        }
    };
    meter.read(response.headers());
    let results = response.into_model().map_err(|e| Trouble::of(&e))?;
    judged(&results, commit)
}

/// Marker first, so that its conflict is told from every other.
fn laid_out(commit: &Commit, now: Timestamp) -> azure_data_cosmos::Result<TransactionalBatch> {
    let kept = |document: &Document| Kept::of(&commit.tenant, &commit.stream, document, now);
    let mut batch = TransactionalBatch::new(partition(&commit.tenant, &commit.stream));
    if let Some(marker) = &commit.marker {
        batch = batch.create_item(kept(marker))?;
    }
    for write in &commit.writes {
        batch = match write {
            Write::Save(document, None) => batch.create_item(kept(document))?,
            Write::Save(document, Some(etag)) => {
                let at = BatchReplaceOptions::default().with_precondition(at(etag));
                batch.replace_item(document.id.0.clone(), kept(document), Some(at))?
            }
            Write::Put(document) => batch.upsert_item(kept(document), None)?,
            Write::Delete(id, etag) => {
                batch.delete_item(id.0.clone(), Some(BatchDeleteOptions::default().with_precondition(at(etag))))
            }
        };
    }
    Ok(batch)
}

fn judged(response: &TransactionalBatchResponse, commit: &Commit) -> Result<Answer, Trouble> {
    let results = response.results();
    let blamed = results.iter().enumerate().find(|(_, r)| !r.is_success() && r.status_code() != FAILED_DEPENDENCY);
    let Some((operation, result)) = blamed else {
        let etags = results.iter().map(|r| ETag(r.etag().unwrap_or_default().to_owned()));
        let etags: Vec<ETag> = etags.skip(usize::from(commit.marker.is_some())).collect();
        let deleted = |write: &Write| matches!(write, Write::Delete(..));
        if etags.len() != commit.writes.len() {
            return Err(Trouble::Failed { why: "a batch was answered for another number of operations".into() });
        }
        let etags = commit.writes.iter().zip(etags).map(|(w, e)| if deleted(w) { ETag(String::new()) } else { e });
        return Ok(Answer::Applied(etags.collect()));
    };
    match result.status_code() {
        404 | CONFLICT | 412 => Ok(Answer::Blamed { operation, status: result.status_code() }),
        413 => Ok(Answer::TooLarge),
        429 => Err(Trouble::Throttled { retry_after: result.retry_after().unwrap_or_default() }),
        status => Err(Trouble::Failed { why: format!("operation {operation} of a batch was answered {status}") }),
    }
}

/// Whether what was in the way of a create is gone: it had expired, by our clock or by the service's.
async fn cleared(
    container: &ContainerClient,
    commit: &Commit,
    operation: usize,
    now: Timestamp,
    meter: &mut Meter,
) -> Result<bool, Trouble> {
    let marker = commit.marker.as_ref().map(|m| &m.id);
    let Some(id) = marker.into_iter().chain(commit.writes.iter().map(Write::id)).nth(operation) else {
        return Ok(false);
    };
    let Some(kept) = reads::kept(container, &commit.tenant, &commit.stream, id, meter).await? else {
        return Ok(true);
    };
    if kept.is_there(now) {
        return Ok(false);
    }
    delete(container, &commit.tenant, &commit.stream, id, &ETag(kept.etag), meter).await?;
    Ok(true)
}

pub(super) async fn paid(
    connection: &Connection,
    tenant: &TenantId,
    stream: &Stream,
    id: &DocId,
    etag: &ETag,
) -> Metered<()> {
    let mut meter = Meter::default();
    let outcome = match connection.container(stream.container).await {
        Ok(container) => delete(&container, tenant, stream, id, etag, &mut meter).await,
        Err(trouble) => Err(trouble),
    };
    meter.done(outcome)
}

/// One that is gone, also by our own first try, and one that has moved need no deleting.
async fn delete(
    container: &ContainerClient,
    tenant: &TenantId,
    stream: &Stream,
    id: &DocId,
    etag: &ETag,
    meter: &mut Meter,
) -> Result<(), Trouble> {
    let options = ItemWriteOptions::default().with_precondition(at(etag));
    match container.delete_item(partition(tenant, stream), &id.0, Some(options)).await {
        Ok(response) => {
            meter.read(response.headers());
            Ok(())
        }
        Err(e) if e.status().is_not_found() || e.status().is_precondition_failed() => Ok(()),
        Err(e) => Err(Trouble::of(&e)),
    }
}

fn at(etag: &ETag) -> Precondition {
    Precondition::if_match(Etag::from(etag.0.clone()))
}
