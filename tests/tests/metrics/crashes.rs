//! Killed anywhere: MAW-11, MAW-15.

use super::{
    bed::{BUCKETS, Bed, MINUTE},
    otlp::*,
};
use opsloop_kernel::ids::bucket;
use std::collections::BTreeSet;

const REQUESTS: &str = "http.server.requests";

/// Arrivals of three minutes, with a correction: several windows and parents are closed at one tick.
async fn arrived(many: usize) -> Bed {
    let mut bed = Bed::new();
    bed.lawful = many < 10;
    // All of one bucket.
    let all = (0..).map(|n| format!("{REQUESTS}.{n}"));
    let names: Vec<String> = all.filter(|name| bucket(name, BUCKETS) == 3).take(many).collect();
    let metrics = |start: &str, time: &str, value: f64| -> Vec<_> {
        names.iter().map(|name| counter(name, vec![number(start, time, value)])).collect()
    };
    if many > 10 {
        // Two windows in one five minutes: enough where every unit is several batches.
        bed.send("10:02:01", metrics("09:58:00", "10:01:00", 10.0)).await;
        bed.send("10:02:02", metrics("09:58:00", "10:02:00", 20.0)).await;
        return bed;
    }
    bed.send("10:00:01", metrics("09:58:00", "10:00:00", 10.0)).await;
    bed.send("10:04:01", metrics("09:58:00", "10:04:00", 50.0)).await;
    bed.tick("10:04:30").await;
    bed.send("10:05:01", metrics("09:58:00", "10:05:00", 60.0)).await;
    bed.send("10:05:02", metrics("09:58:00", "10:02:00", 30.0)).await;
    bed
}

async fn after(mut bed: Bed, killed_after: Option<usize>) -> (Bed, usize) {
    bed.commits = 0;
    if let Some(lives) = killed_after {
        bed.lives = Some(lives);
        let _ = bed.try_tick("10:06:30").await;
        bed.lives = None;
    }
    bed.tick("10:06:30").await;
    let commits = bed.commits;
    (bed, commits)
}

async fn equals_an_uninterrupted_run(many: usize) {
    let (calm, commits) = after(arrived(many).await, None).await;
    assert!(calm.events.len() >= 3 * many);
    let ids = |bed: &Bed| bed.events.keys().cloned().collect::<BTreeSet<_>>();
    for lives in 0..commits {
        let (killed, _) = after(arrived(many).await, Some(lives)).await;
        assert_eq!(killed.documents(), calm.documents(), "killed after {lives} of {commits} commits");
        assert_eq!(ids(&killed), ids(&calm), "killed after {lives} of {commits} commits");
        assert_eq!(killed.owed.len(), calm.owed.len(), "killed after {lives}: an event was owed twice");
    }
}

#[tokio::test]
async fn maw_11_killed_between_any_two_units_of_a_tick() {
    equals_an_uninterrupted_run(3).await;
}

#[tokio::test]
async fn maw_11_a64_killed_between_the_batches_of_a_unit() {
    // More documents than one batch holds.
    equals_an_uninterrupted_run(110).await;
}

#[tokio::test]
async fn maw_15_a64_a_window_of_4_mb_is_written_ahead_and_announced_once() {
    const SERIES: usize = 3_200;
    let metrics = || {
        let bounds: Vec<f64> = (1..=60).map(|n| f64::from(n) * 0.125).collect();
        let point = |n: usize| {
            let counts: Vec<u64> = (0..=60).map(|b| 1_000 + (n * 7 + b * 13) as u64 % 900).collect();
            let mut p = buckets("10:00:00", "10:01:00", &bounds, &counts, 17.5);
            p.attributes = vec![attribute("factory.module.id", &format!("mod-{n:05}"))];
            p
        };
        vec![histogram("latency", DELTA, (0..SERIES).map(point).collect())]
    };
    let mut bed = Bed::new();
    bed.lawful = false;
    bed.send("10:01:01", metrics()).await;
    let points = |bed: &Bed| {
        let documents = bed.documents();
        let of =
            |(id, d): (&(String, String), &serde_json::Value)| id.1.starts_with("points|").then(|| d.to_string().len());
        documents.iter().filter_map(of).collect::<Vec<_>>()
    };
    let is_marked = |bed: &Bed| bed.documents().keys().any(|(_, id)| id.starts_with("dirty|60000|"));
    bed.lives = Some(2);
    assert!(bed.try_tick("10:01:30").await.is_err(), "two batches are not enough");
    assert!(!points(&bed).is_empty(), "something was written ahead");
    assert!(bed.owed.is_empty() && is_marked(&bed), "nothing is announced, and the mark stands");
    bed.lives = None;
    bed.tick("10:01:30").await;
    let sizes = points(&bed);
    assert!(sizes.iter().sum::<usize>() > 4_000_000 && sizes.iter().all(|s| *s < 300_000));
    assert!(!is_marked(&bed));
    let events = bed.events_of("latency", MINUTE, "10:00");
    assert_eq!((bed.owed.len(), events.len(), events[0].revision), (1, 1, 1));
    let keys: BTreeSet<_> = events[0].payload.groups.iter().map(|g| g.group_key.clone()).collect();
    assert_eq!((events[0].payload.groups.len(), keys.len()), (SERIES, SERIES));
    assert!(events[0].payload.groups.iter().all(|g| g.revision == 1));
    assert_eq!(bed.groups("latency", MINUTE, "10:00").await.len(), SERIES);
}
