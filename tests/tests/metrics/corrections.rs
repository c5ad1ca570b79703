//! Late points, corrections that walk, and watermarks: MAW-09, MAW-12 to MAW-14.

use super::{
    bed::{Bed, FIVE, HOUR, MINUTE, sums},
    otlp::*,
};
use opsloop_kernel::freshness::StaleReason;
use opsloop_observability::metric_aggregation::freshness;

const REQUESTS: &str = "http.server.requests";

#[tokio::test]
async fn maw_09_a1_a_late_point_makes_revision_two_of_its_window_and_of_its_parents() {
    let mut bed = Bed::new();
    bed.send("10:01:01", vec![deltas(REQUESTS, vec![number("10:00:00", "10:01:00", 12.0)])]).await;
    bed.ticks("10:01:30", "11:02:30").await;
    let announced = |bed: &Bed| [MINUTE, FIVE, HOUR].map(|size| bed.events_of(REQUESTS, size, "10:00").len());
    assert_eq!(announced(&bed), [1, 1, 1]);
    // Of another writer, so that it is a point of its own.
    let late = with(number("10:00:00", "10:01:00", 5.0), &[("pod", "b")]);
    bed.send("11:11:00", vec![deltas(REQUESTS, vec![late])]).await;
    bed.tick("11:11:30").await;
    assert_eq!(announced(&bed), [2, 2, 2]);
    for size in [MINUTE, FIVE, HOUR] {
        let point = bed.point(REQUESTS, size, "10:00").await.unwrap();
        assert_eq!((point.sum, point.revision), (17.0, 2), "{size}");
        let event = bed.events_of(REQUESTS, size, "10:00")[1];
        assert_eq!((event.revision, event.payload.groups[0].revision, event.payload.groups[0].sum), (2, 2, 17.0));
    }
    let (owed, documents) = (bed.owed.len(), bed.documents());
    bed.tick("11:11:30").await;
    assert_eq!((bed.owed.len(), bed.documents()), (owed, documents), "re-running changes nothing");
}

#[tokio::test]
async fn a_point_beyond_the_reopen_horizon_is_counted_and_dropped() {
    let mut bed = Bed::new();
    let point = || vec![deltas(REQUESTS, vec![number("10:00:00", "10:01:00", 12.0)])];
    bed.send("34:01:01", point()).await;
    assert_eq!(bed.count_of("late_dropped_total"), 1.0);
    assert_eq!(bed.documents().len(), 0, "not even a bucket");
    bed.send("34:01:00", point()).await;
    bed.tick("34:01:30").await;
    assert_eq!(bed.sums(REQUESTS, MINUTE).await, sums(&[("10:00", 12.0)]));
}

#[tokio::test]
async fn a68_what_a_window_is_made_of_outlasts_the_last_replay_and_goes_together() {
    let mut bed = Bed::new();
    bed.send("10:01:01", vec![deltas(REQUESTS, vec![number("10:00:00", "10:01:00", 12.0)])]).await;
    let expires = |bed: &Bed, prefix: &str| -> Vec<_> {
        let all = bed.documents();
        let of = all.iter().filter(|((_, id), _)| id.starts_with(prefix));
        of.map(|(_, d)| d["expires"].as_str().unwrap().to_owned()).collect()
    };
    // A point may be a day late, a batch be replayed three days after that.
    let five_days = at("130:01").to_string();
    assert_eq!(expires(&bed, "dirty|"), [five_days.as_str()]);
    bed.ticks("10:01:30", "11:02:30").await;
    for prefix in ["raw|", "carry|", "window|60000|"] {
        assert_eq!(expires(&bed, prefix), [five_days.as_str()], "{prefix}");
    }
    let points = ["60000", "300000", "3600000"].map(|size| expires(&bed, &format!("points|{REQUESTS}|{size}|")));
    assert_eq!(points, [at("202:01"), at("730:05"), at("9611:00")].map(|t| vec![t.to_string()]));
}

#[tokio::test]
async fn maw_12_a65_a_chunk_that_comes_while_its_window_is_closed_is_counted_once() {
    let first = || vec![deltas(REQUESTS, vec![number("10:00:00", "10:01:00", 12.0)])];
    let second = || vec![deltas(REQUESTS, vec![number("10:00:00", "10:00:30", 5.0)])];

    let mut between = Bed::new();
    between.send("10:01:01", first()).await;
    between.meanwhile = Some(between.batch("10:01:30", second()));
    between.tick("10:01:30").await;
    let point = between.point(REQUESTS, MINUTE, "10:00").await.unwrap();
    assert_eq!((point.sum, point.revision, between.events_of(REQUESTS, MINUTE, "10:00").len()), (17.0, 1, 1));

    let mut after = Bed::new();
    after.send("10:01:01", first()).await;
    after.tick("10:01:30").await;
    after.send("10:01:31", second()).await;
    assert_eq!(after.point(REQUESTS, MINUTE, "10:00").await.unwrap().sum, 12.0);
    after.tick("10:02:30").await;
    let point = after.point(REQUESTS, MINUTE, "10:00").await.unwrap();
    assert_eq!((point.sum, point.revision, after.events_of(REQUESTS, MINUTE, "10:00").len()), (17.0, 2, 2));
}

/// MAW-08, closed; then late values inside its gap.
async fn gap_filled_late(also: bool) -> (Bed, usize) {
    let mut bed = Bed::new();
    let counted = |time: &str, value| vec![counter(REQUESTS, vec![number("09:00:00", time, value)])];
    bed.send("10:00:01", counted("10:00:00", 1_000.0)).await;
    bed.send("10:07:01", counted("10:07:00", 1_420.0)).await;
    if also {
        // Its bucket's windows are closed every minute, and hand the counter's state on.
        for minute in 0..10 {
            let time = format!("10:{minute:02}:30");
            bed.send(&format!("10:{minute:02}:31"), vec![gauge(&same_bucket(), vec![number("-", &time, 1.0)])]).await;
        }
    }
    bed.ticks("10:07:30", "10:11:30").await;
    assert_eq!(bed.sums(REQUESTS, MINUTE).await, sums(&[("10:06", 420.0)]));
    bed.send("10:11:40", counted("10:03:00", 1_060.0)).await;
    bed.send("10:11:41", counted("10:05:00", 1_300.0)).await;
    let owed = bed.owed.len();
    bed.tick("10:12:30").await;
    (bed, owed)
}

fn same_bucket() -> String {
    use opsloop_kernel::ids::bucket;
    (0..).map(|n| format!("other.{n}")).find(|name| bucket(name, 8) == bucket(REQUESTS, 8)).unwrap()
}

#[tokio::test]
async fn maw_13_a65_a_correction_walks_forward_until_the_state_is_as_it_was() {
    for also in [false, true] {
        let (mut bed, owed) = gap_filled_late(also).await;
        let expected = [("10:02", 60.0), ("10:04", 240.0), ("10:06", 120.0)];
        assert_eq!(bed.sums(REQUESTS, MINUTE).await, sums(&expected), "{also}");
        assert_eq!(bed.sums(REQUESTS, FIVE).await, sums(&[("10:00", 300.0), ("10:05", 120.0)]), "{also}");
        // 10:02 and 10:04 are new, 10:06 and its parent revised, 10:00 is new: once each.
        let of = |size, start: &str| bed.events_of(REQUESTS, size, start).len();
        assert_eq!(
            (of(MINUTE, "10:02"), of(MINUTE, "10:06"), of(FIVE, "10:00"), of(FIVE, "10:05")),
            (1, 2, 1, 2),
            "{also}"
        );
        assert_eq!(bed.owed.len() - owed, 5, "{also}");
        assert_eq!(bed.events_of(REQUESTS, MINUTE, "10:04").len(), 1, "{also}: no sum was shown that was wrong");
        assert_eq!(bed.point(REQUESTS, MINUTE, "10:06").await.unwrap().revision, 2);
        let documents = bed.documents();
        bed.tick("10:12:30").await;
        assert_eq!(bed.documents(), documents, "{also}: nothing further is written");
    }
}

#[tokio::test]
async fn maw_14_a21_a_watermark_tells_not_yet_computed_from_no_data() {
    let silent = async |last_tick: &str, failing: bool| {
        let mut bed = Bed::new();
        bed.send("10:00:01", vec![deltas(REQUESTS, vec![number("09:59:00", "10:00:00", 12.0)])]).await;
        bed.tick("10:00:30").await;
        if failing {
            let late = with(number("09:59:00", "10:00:00", 1.0), &[("pod", "b")]);
            bed.send("10:00:40", vec![deltas(REQUESTS, vec![late])]).await;
            bed.failing.insert((MINUTE, at("09:59")));
        }
        bed.ticks("10:00:30", last_tick).await;
        let watermark = bed.root(REQUESTS).await.watermarks.minute;
        (watermark, freshness(at("10:10"), MINUTE, watermark, at("10:00")).reason)
    };
    let (no_data, lagging) = (Some(StaleReason::NoData), Some(StaleReason::Lagging));
    assert_eq!(silent("10:09:30", false).await, (Some(at("10:09")), no_data));
    assert_eq!(silent("10:00:30", false).await, (Some(at("10:00")), lagging));
    assert_eq!(silent("10:09:30", true).await, (Some(at("10:00")), lagging));
}

#[tokio::test]
async fn a_late_or_missed_tick_changes_nothing_but_the_delay() {
    let run = async |ticks: &[&str]| {
        let mut bed = Bed::new();
        for minute in 0..8 {
            let (start, time) = (format!("10:{minute:02}:00"), format!("10:{:02}:00", minute + 1));
            bed.send(&time, vec![deltas(REQUESTS, vec![number(&start, &time, f64::from(minute))])]).await;
        }
        for tick in ticks {
            bed.tick(tick).await;
        }
        (bed.documents(), bed.events.keys().cloned().collect::<Vec<_>>())
    };
    let calm = run(&["10:08:30", "10:09:30", "10:10:30", "10:11:30"]).await;
    assert_eq!(run(&["10:11:30"]).await, calm);
    assert_eq!(run(&["10:09:30", "10:09:30", "10:11:30", "10:11:30"]).await, calm);
}
