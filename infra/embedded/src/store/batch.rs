//! What becomes of a batch: the rules that both stores judge by (P15, P16, A59, A64).

use opsloop_kernel::{
    Commit, Committed, DocId, Document, ETag, Mutant, Refusal, Write,
    document::{BATCH_OPERATIONS_MAX, DOCUMENT_BYTES_MAX, STORED_BATCH_BYTES_MAX, within},
    mutant,
};
use std::{collections::BTreeMap, io};

/// What must be true of a document for an operation on it to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Absent,
    At(i64),
    Any,
}

/// One operation; without a document it deletes. `D` is a document in the form in which the store keeps it.
#[derive(Debug)]
pub(super) struct Operation<D> {
    pub id: DocId,
    pub condition: Condition,
    pub document: Option<D>,
}

#[derive(Debug)]
pub(super) struct Batch<D> {
    pub begins_with_marker: bool,
    pub operations: Vec<Operation<D>>,
}

/// What stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    Duplicate,
    Raced,
}
impl From<Conflict> for Committed {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Duplicate => Self::Duplicate,
            Conflict::Raced => Self::Raced,
        }
    }
}

/// The operations of a commit, marker first, or why no store takes them. `keep` gives the stored form and its bytes.
pub(super) fn lay_out<D>(commit: &Commit, keep: impl Fn(&Document) -> (D, usize)) -> Result<Batch<D>, Refusal> {
    let count = commit.writes.len() + usize::from(commit.marker.is_some());
    within("operations of a batch", count, BATCH_OPERATIONS_MAX)?;
    let mut operations = Vec::with_capacity(count);
    let mut bytes = 0;
    let mut take = |id: &DocId, condition, document: Option<&Document>| {
        id.check()?;
        let document = match document {
            Some(document) => {
                let (kept, size) = keep(document);
                within("a document", size, DOCUMENT_BYTES_MAX)?;
                bytes += size;
                Some(kept)
            }
            None => None,
        };
        operations.push(Operation { id: id.clone(), condition, document });
        Ok(())
    };
    if let Some(marker) = &commit.marker {
        let fresh = if mutant::is(Mutant::MarkerNotJudged) { Condition::Any } else { Condition::Absent };
        take(&marker.id, fresh, Some(marker))?;
    }
    for write in &commit.writes {
        take(write.id(), condition_of(write), write.document())?;
    }
    within("the bytes of a batch", bytes, STORED_BATCH_BYTES_MAX)?;
    Ok(Batch { begins_with_marker: commit.marker.is_some(), operations })
}

fn condition_of(write: &Write) -> Condition {
    match write {
        Write::Save(_, None) => Condition::Absent,
        Write::Delete(..) if mutant::is(Mutant::MarkDeletedWithoutItsEtag) => Condition::Any,
        Write::Save(_, Some(etag)) | Write::Delete(_, etag) => Condition::At(number_of(etag)),
        Write::Put(_) => Condition::Any,
    }
}

/// Tells whether every operation applies, each on what those before it leave. `current` is the etag of the document that
/// is stored now; the n-th operation will give its document the etag `next + n`.
pub(super) fn judge<D, E>(
    batch: &Batch<D>,
    next: i64,
    mut current: impl FnMut(&DocId) -> Result<Option<i64>, E>,
) -> Result<Result<(), Conflict>, E> {
    let mut within: BTreeMap<&DocId, Option<i64>> = BTreeMap::new();
    for (operation, etag) in batch.operations.iter().zip(next..) {
        let found = match within.get(&operation.id) {
            Some(found) => *found,
            None => current(&operation.id)?,
        };
        let applies = match operation.condition {
            Condition::Absent => found.is_none(),
            Condition::At(expected) => found == Some(expected) || mutant::is(Mutant::EtagsIgnored),
            Condition::Any => true,
        };
        if !applies {
            let is_marker = batch.begins_with_marker && etag == next;
            return Ok(Err(if is_marker { Conflict::Duplicate } else { Conflict::Raced }));
        }
        within.insert(&operation.id, operation.document.is_some().then_some(etag));
    }
    Ok(Ok(()))
}

/// The etags of the writes of a batch that was applied, whose first operation got `next`. The marker's is nobody's.
pub(super) fn applied<D>(batch: &Batch<D>, next: i64) -> Committed {
    let etags = batch.operations.iter().zip(next..).map(|(operation, etag)| match operation.document {
        Some(_) => etag_of(etag),
        None => ETag(String::new()),
    });
    Committed::Applied(etags.skip(usize::from(batch.begins_with_marker)).collect())
}

pub(super) fn etag_of(number: i64) -> ETag {
    ETag(number.to_string())
}

/// No document has a negative etag: one that is not ours matches nothing.
pub(super) fn number_of(etag: &ETag) -> i64 {
    etag.0.parse().unwrap_or(-1)
}

/// The bytes of a document without writing it anywhere.
pub(super) fn size_of(document: &Document) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, &document.body) {
        Ok(()) => counter.0 + overhead(document),
        Err(_) => usize::MAX,
    }
}

/// Bytes beside the body, near enough for a limit and never more than `Document::size` counts.
pub(super) fn overhead(document: &Document) -> usize {
    document.id.0.len() + document.kind.len()
}
