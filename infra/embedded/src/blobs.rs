//! Payloads that do not fit a message (claim check, DESIGN 6), durable in `blobs.sqlite3`.
//!
//! A file of their own: they are large, short-lived and written before the commit that refers to them, so they must not
//! stand in the way of the store's writer.

use crate::sqlite::{self, Shared};
use bytes::Bytes;
use opsloop_kernel::{
    Blobs, BoxFuture, Clock, Fault, Timestamp,
    envelope::{BLOB_SCHEME, blob_uri},
};
use rusqlite::{Connection, OptionalExtension, params};
use std::{io, path::Path, sync::Arc};

const FILE: &str = "blobs.sqlite3";
const VERSION: i32 = 1;
/// Names are kept apart from their bytes: those who look for a name or an end need not step over megabytes.
const CREATE: &str = "
CREATE TABLE names (name TEXT PRIMARY KEY, expires INTEGER NOT NULL, object INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX by_end ON names (expires);
CREATE TABLE objects (n INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
";
/// Expired objects that one put removes: more than it adds.
const SWEPT_MAX: i64 = 4;

pub struct SqliteBlobs {
    files: Shared<Connection>,
    clock: Arc<dyn Clock>,
}

impl SqliteBlobs {
    /// Opens `blobs.sqlite3` in the data folder. Several processes may.
    pub fn open(folder: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let connection = sqlite::open(&folder.join(FILE), CREATE, VERSION)?;
        Ok(Self { files: Shared::in_file(connection, Fault::BLOBS), clock })
    }

    /// The same without a file, for the simulator.
    pub fn in_memory(clock: Arc<dyn Clock>) -> io::Result<Self> {
        let connection = sqlite::in_memory(CREATE, VERSION)?;
        Ok(Self { files: Shared::in_memory(connection, Fault::BLOBS), clock })
    }
}

impl Blobs for SqliteBlobs {
    /// The name says what the content is, so an object that is there is not written again; it lives as long as the
    /// longest wish.
    fn put<'a>(&'a self, name: &'a str, bytes: Bytes, expires: Timestamp) -> BoxFuture<'a, Result<String, Fault>> {
        let (owned, expires, now) = (name.to_owned(), expires.millis(), self.clock.now().millis());
        Box::pin(async move {
            self.files.run(move |connection| put(connection, &owned, &bytes, expires, now)).await?;
            Ok(blob_uri(name))
        })
    }

    fn get<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Fault>> {
        let (name, now) = (uri.strip_prefix(BLOB_SCHEME).map(str::to_owned), self.clock.now().millis());
        Box::pin(async move {
            let Some(name) = name else { return Ok(None) };
            self.files.run(move |connection| get(connection, &name, now)).await
        })
    }
}

fn put(connection: &mut Connection, name: &str, bytes: &[u8], expires: i64, now: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    sweep(&transaction, now)?;
    let prolonged = transaction
        .prepare_cached("UPDATE names SET expires = max(expires, ?1) WHERE name = ?2")?
        .execute(params![expires, name])?;
    if prolonged == 0 {
        let object = transaction.prepare_cached("INSERT INTO objects (bytes) VALUES (?1)")?.insert([bytes])?;
        transaction
            .prepare_cached("INSERT INTO names (name, expires, object) VALUES (?1, ?2, ?3)")?
            .execute(params![name, expires, object])?;
    }
    transaction.commit()
}

fn sweep(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    const OLDEST: &str = "SELECT name, object FROM names WHERE expires <= ?1 ORDER BY expires LIMIT ?2";
    let gone: Vec<(String, i64)> = connection
        .prepare_cached(OLDEST)?
        .query_map([now, SWEPT_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (name, object) in gone {
        connection.prepare_cached("DELETE FROM names WHERE name = ?1")?.execute([name])?;
        connection.prepare_cached("DELETE FROM objects WHERE n = ?1")?.execute([object])?;
    }
    Ok(())
}

fn get(connection: &Connection, name: &str, now: i64) -> rusqlite::Result<Option<Bytes>> {
    const SQL: &str = "SELECT bytes FROM names JOIN objects ON n = object WHERE name = ?1 AND expires > ?2";
    let read = |row: &rusqlite::Row<'_>| Ok(Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?));
    connection.prepare_cached(SQL)?.query_row(params![name, now], read).optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::VirtualClock;
    use std::time::Duration;

    const START: Timestamp = Timestamp::from_millis(1_795_255_200_000);

    fn end(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn an_object_is_read_by_its_uri_until_it_expires() {
        let clock = Arc::new(VirtualClock::at(START));
        let blobs = SqliteBlobs::in_memory(clock.clone()).unwrap();
        let uri = blobs.put("claims/ab", Bytes::from_static(b"x"), end(10)).await.unwrap();
        clock.advance(Duration::from_millis(9_999));
        assert_eq!(blobs.get(&uri).await.unwrap().as_deref(), Some(&b"x"[..]));
        clock.advance(Duration::from_millis(1));
        assert_eq!(blobs.get(&uri).await.unwrap(), None);
        let again = blobs.put("claims/ab", Bytes::from_static(b"x"), end(20)).await.unwrap();
        assert_eq!(again, uri);
        assert!(blobs.get(&uri).await.unwrap().is_some());
        assert_eq!(blobs.get("https://elsewhere/claims/ab").await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_longest_wish_counts_whatever_comes_first() {
        let clock = Arc::new(VirtualClock::at(START));
        let blobs = SqliteBlobs::in_memory(clock.clone()).unwrap();
        for (first, second) in [(10, 20), (20, 10)] {
            let name = format!("claims/{first}");
            blobs.put(&name, Bytes::from_static(b"x"), end(first)).await.unwrap();
            let uri = blobs.put(&name, Bytes::from_static(b"x"), end(second)).await.unwrap();
            clock.set(end(15));
            assert!(blobs.get(&uri).await.unwrap().is_some(), "{first}, then {second}");
            clock.set(START);
        }
    }

    #[tokio::test]
    async fn objects_survive_and_two_processes_share_them() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(VirtualClock::at(START)));
        let open = || SqliteBlobs::open(folder.path(), clock.clone()).unwrap();
        let (one, other) = (open(), open());
        let large = Bytes::from(vec![7; 3_000_000]);
        let uri = one.put("claims/large", large.clone(), end(10)).await.unwrap();
        assert_eq!(other.get(&uri).await.unwrap(), Some(large.clone()));
        drop((one, other));
        assert_eq!(open().get(&uri).await.unwrap(), Some(large));
    }

    #[tokio::test]
    async fn what_has_expired_makes_room_and_nothing_is_written_twice() {
        let clock = Arc::new(VirtualClock::at(START));
        let blobs = SqliteBlobs::in_memory(clock.clone()).unwrap();
        let objects =
            || sqlite::locked(blobs.files.inner()).query_row("SELECT count(*) FROM objects", [], |r| r.get(0));
        for name in ["a", "b", "c", "a", "a"] {
            blobs.put(name, Bytes::from_static(b"x"), end(10)).await.unwrap();
        }
        assert_eq!(objects(), Ok(3));
        clock.advance(Duration::from_secs(10));
        blobs.put("d", Bytes::from_static(b"x"), end(20)).await.unwrap();
        assert_eq!(objects(), Ok(1));
    }
}
