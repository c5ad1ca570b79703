//! What is true of a store in a file only: it survives, and two processes may have it open.

use super::bed::*;
use opsloop_embedded::{clock::VirtualClock, store::SqliteStore};
use opsloop_kernel::{Commit, Committed, DocId, Store, Write, ports::Within};
use serde_json::json;
use std::{sync::Arc, time::Duration};

fn open(folder: &tempfile::TempDir, clock: &Arc<VirtualClock>) -> SqliteStore {
    SqliteStore::open(folder.path(), clock.clone()).unwrap()
}
fn one(writes: Vec<Write>) -> Commit {
    Commit { tenant: acme(), stream: stream(), marker: None, writes }
}

#[tokio::test]
async fn fnd_02_a_what_was_applied_is_there_after_the_file_is_opened_again() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(VirtualClock::at(START)));
    let marked = Commit {
        marker: Some(document("seen|w|evt-1|k", json!({}))),
        ..one(vec![Write::Put(document("a", json!(1)).due("Alerts", START))])
    };
    let first = open(&folder, &clock);
    let etag = etags(first.commit(&marked).await.unwrap()).remove(0);
    let before = first.dump().unwrap();
    drop(first);

    let again = open(&folder, &clock);
    assert_eq!(again.dump().unwrap(), before);
    assert_eq!(again.commit(&marked).await.unwrap(), Committed::Duplicate);
    let due = opsloop_kernel::Directory::due(&again, &"Alerts".into(), START, Within::All, None, 9).await.unwrap();
    assert_eq!(due.found.len(), 1);
    let next = etags(again.commit(&one(vec![save("a", json!(2), &etag)])).await.unwrap()).remove(0);
    assert!(before.iter().all(|d| d.etag != next), "an etag came back after a restart");
}

#[tokio::test]
async fn p12_a_process_that_is_killed_leaves_whole_commits_only() {
    // The file as a kill leaves it: what the process had written, with nothing closed or checkpointed.
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(VirtualClock::at(START)));
    let running = open(&folder, &clock);
    for n in 0..50 {
        let writes = vec![put("root", json!(n)), create(&format!("log|{n}"), json!({}))];
        etags(running.commit(&one(writes)).await.unwrap());
    }
    let copy = tempfile::tempdir().unwrap();
    for file in ["state.sqlite3", "state.sqlite3-wal"] {
        std::fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
    }
    assert_eq!(open(&copy, &clock).dump().unwrap(), running.dump().unwrap());

    // Killed in the middle of a write: the last commit is torn, so it is as if it had not been.
    let wal = copy.path().join("state.sqlite3-wal");
    for file in ["state.sqlite3", "state.sqlite3-wal"] {
        std::fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
    }
    let file = std::fs::OpenOptions::new().write(true).open(&wal).unwrap();
    file.set_len(file.metadata().unwrap().len() - 100).unwrap();
    let _ = std::fs::remove_file(copy.path().join("state.sqlite3-shm"));
    let torn = open(&copy, &clock);
    assert_eq!(torn.dump().unwrap().len(), 50, "root and 49 of 50 log documents");
    let root = torn.get(&acme(), &stream(), &DocId::from("root")).await.unwrap().unwrap();
    assert_eq!(root.document.body.0, json!(48));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fnd_08_c_two_processes_that_count_in_one_document_lose_nothing() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(VirtualClock::at(START)));
    etags(open(&folder, &clock).commit(&one(vec![create("n", json!(0))])).await.unwrap());
    let counting = (0..4).map(|_| {
        let store = open(&folder, &clock);
        tokio::spawn(async move {
            let mut raced = 0;
            for _ in 0..50 {
                loop {
                    let read = store.get(&acme(), &stream(), &"n".into()).await.unwrap().unwrap();
                    let n: i64 = read.read().unwrap();
                    match store.commit(&one(vec![save("n", json!(n + 1), &read.etag)])).await.unwrap() {
                        Committed::Applied(_) => break,
                        Committed::Raced => raced += 1,
                        other => panic!("{other:?}"),
                    }
                }
            }
            raced
        })
    });
    for task in counting.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let n = open(&folder, &clock).get(&acme(), &stream(), &"n".into()).await.unwrap().unwrap();
    assert_eq!(n.document.body.0, json!(200));
}

#[tokio::test]
async fn what_has_expired_leaves_the_file_in_small_steps() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(VirtualClock::at(START)));
    let store = open(&folder, &clock);
    let rows = || {
        let file = rusqlite::Connection::open(folder.path().join("state.sqlite3")).unwrap();
        file.query_row("SELECT count(*) FROM documents", [], |r| r.get::<_, i64>(0)).unwrap()
    };
    for batch in 0..4 {
        let dying = |n| Write::Put(document(&format!("d|{batch}|{n}"), json!({})).expires(START.plus_millis(1)));
        etags(store.commit(&one((0..50).map(dying).collect())).await.unwrap());
    }
    clock.advance(Duration::from_secs(1));
    assert_eq!(rows(), 200, "expired is absent, not removed");
    for n in 0..128 {
        etags(store.commit(&one(vec![put("n", json!(n))])).await.unwrap());
    }
    assert_eq!(rows(), 1);
}

#[test]
fn a_file_of_another_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(VirtualClock::at(START));
    drop(open(&folder, &clock));
    let file = rusqlite::Connection::open(folder.path().join("state.sqlite3")).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    assert!(SqliteStore::open(folder.path(), clock).is_err());
}
