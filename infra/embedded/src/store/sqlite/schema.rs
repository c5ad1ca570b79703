//! The tables of `state.sqlite3`.
//!
//! Documents are rows with a rowid, found by one unique index: bodies may have a megabyte, and a table sorted by the key
//! itself would carry them in its inner pages. Instants are epoch milliseconds. The directory's two questions have an index
//! each, over due documents only: what is due by an instant, whosesoever; and what is due in this stream.

/// In `user_version`: a file of another version is refused, not guessed at.
pub(super) const VERSION: i32 = 1;

pub(super) const CREATE: &str = "
CREATE TABLE documents (
    tenant TEXT NOT NULL, container INTEGER NOT NULL, stream TEXT NOT NULL, id TEXT NOT NULL,
    etag INTEGER NOT NULL, kind TEXT NOT NULL,
    what TEXT, due_at INTEGER, shard INTEGER, expires INTEGER,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX by_key ON documents (tenant, container, stream, id);
CREATE INDEX due_by_time ON documents
    (what, due_at, tenant, container, stream, id, shard, expires) WHERE what IS NOT NULL;
CREATE INDEX due_by_stream ON documents
    (what, tenant, container, stream, due_at, id, expires) WHERE what IS NOT NULL;
CREATE INDEX by_expiry ON documents (expires) WHERE expires IS NOT NULL;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('etag', 0);
";
