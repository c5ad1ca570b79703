//! `kill -9` of `local`, and of its `serve` child alone, at random points while telemetry flows: nothing accepted is
//! lost, nothing is counted twice (A19). `serve` never outlives its parent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use opsloop_embedded::{clock::VirtualClock, store::SqliteStore};
use opsloop_kernel::{Timestamp, ids};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};
use support::{Local, at, otlp};

const START: &str = "2026-11-21T10:00:00Z";
const KILLS: usize = 20;
const MINUTES: u64 = 24;

/// What is under way when the kill comes.
#[derive(Clone, Copy)]
enum During {
    /// Work: due documents and deliveries.
    Advance,
    /// Nothing: what was accepted is not yet worked off.
    Rest,
}

/// When the kill comes, what is under way, and whether the child alone is killed.
#[derive(Clone, Copy)]
struct Kill {
    after: Duration,
    during: During,
    child_alone: bool,
}

/// Where in the load the kills fall.
fn kills() -> BTreeMap<u64, Kill> {
    let draw =
        |n: usize, what: &str| u64::from_str_radix(&ids::digest(["kill", what, &n.to_string()])[..8], 16).unwrap();
    let mut out = BTreeMap::new();
    let mut n = 0;
    while out.len() < KILLS {
        let step = draw(n, "step") % (MINUTES * 6);
        let during = if draw(n, "during") % 2 == 0 { During::Advance } else { During::Rest };
        let after = Duration::from_micros(draw(n, "after") % 30_000);
        out.insert(step, Kill { after, during, child_alone: draw(n, "who") % 3 == 0 });
        n += 1;
    }
    out
}

/// Ten seconds of load per step: traces and, once a minute, counters. What is not answered is sent again.
async fn run(data: &Path, kills: &BTreeMap<u64, Kill>) -> usize {
    let mut local = Local::start(data, at(START), &[]);
    let (mut now, mut happened, mut orphans) = (at(START), 0, BTreeSet::new());
    for step in 0..MINUTES * 6 {
        let until = now.plus_millis(10_000);
        if let Some(kill) = kills.get(&step) {
            happened += 1;
            orphans.extend(strike(&mut local, data, until, kill).await);
        }
        now = settle(&mut local, data, until).await;
        for n in 0..3 {
            send(&mut local, data, now, "traces", otlp::trace(step * 3 + n, now, 3, n == 0)).await;
        }
        if step % 6 == 5 {
            let body = otlp::requests(now, &[("200", 90.0), ("500", step as f64)]);
            send(&mut local, data, now, "metrics", body).await;
        }
    }
    settle(&mut local, data, now.plus_millis(10 * 60_000)).await;
    let ours = local.children();
    for pid in orphans.into_iter().filter(|pid| !ours.contains(pid)) {
        let runs = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        assert_ne!(runs, Path::new(env!("CARGO_BIN_EXE_opsloop")), "serve {pid} outlived its parent");
    }
    happened
}

/// Kills, and starts a new process where `local` itself was the victim; what must not outlive it.
async fn strike(local: &mut Local, data: &Path, until: Timestamp, kill: &Kill) -> Vec<i32> {
    let victims = local.children();
    let hit = async {
        match kill.child_alone {
            true => victims.iter().for_each(|pid| kill_9(*pid)),
            false => kill_9(local.process.id().try_into().unwrap()),
        }
    };
    match kill.during {
        During::Rest => hit.await,
        During::Advance => {
            let late = async {
                tokio::time::sleep(kill.after).await;
                hit.await;
            };
            let _ = tokio::join!(local.try_advance(10), late);
        }
    }
    if kill.child_alone {
        return vec![];
    }
    local.process.wait().unwrap();
    *local = Local::start(data, until, &[]);
    victims
}

fn kill_9(pid: i32) {
    let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
}

/// Moves the clock to `until`, in a new process where the host has given up.
async fn settle(local: &mut Local, data: &Path, until: Timestamp) -> Timestamp {
    for _ in 0..20 {
        let now = match local.try_advance(0).await {
            Ok(now) => now,
            Err(_) => {
                *local = Local::start(data, until, &[]);
                continue;
            }
        };
        let left = until.millis_since(now) / 1000;
        if left <= 0 {
            return now;
        }
        let _ = local.try_advance(left.unsigned_abs()).await;
    }
    panic!("the clock could not be moved to {until}");
}

async fn send(local: &mut Local, data: &Path, now: Timestamp, signal: &str, body: bytes::Bytes) {
    for _ in 0..20 {
        if local.send("acme", signal, body.clone()).await.is_ok() {
            return;
        }
        if local.process.try_wait().unwrap().is_some() || local.try_advance(0).await.is_err() {
            *local = Local::start(data, now, &[]);
        }
    }
    panic!("a batch could not be sent");
}

/// Trace records and points, without what a run may differ in.
fn results(data: &Path) -> BTreeMap<String, Value> {
    let store = SqliteStore::open(data, Arc::new(VirtualClock::at(at(START)))).unwrap();
    let mut out = BTreeMap::new();
    for d in store.dump().unwrap() {
        let id = d.document.id.to_string();
        let body = d.document.body.0;
        match d.document.kind.as_ref() {
            "head" => out.insert(format!("{}|{id}", d.stream.name), body["record"]["contentHash"].clone()),
            "points" => out.insert(format!("{}|{id}", d.stream.name), body),
            _ => None,
        };
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_twenty_random_points_loses_nothing_and_doubles_nothing_a19() {
    let (calm, disturbed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(calm.path(), &BTreeMap::new()).await;
    assert_eq!(run(disturbed.path(), &kills()).await, KILLS);
    let (calm, disturbed) = (results(calm.path()), results(disturbed.path()));
    assert!(calm.len() > 400, "there is something to compare: {}", calm.len());
    let differing: Vec<_> = calm.iter().filter(|(k, v)| disturbed.get(*k) != Some(*v)).take(5).collect();
    assert!(
        differing.is_empty(),
        "{differing:#?}\nin the disturbed run: {:#?}",
        differing.iter().map(|(k, _)| disturbed.get(*k)).collect::<Vec<_>>()
    );
    assert_eq!(calm.len(), disturbed.len());
}
