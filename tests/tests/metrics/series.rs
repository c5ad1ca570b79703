//! What windows hold: MAW-01 to MAW-08, MAW-16 to MAW-19.

use super::{
    bed::{BUCKETS, Bed, FIVE, HOUR, MINUTE, sums},
    otlp::*,
};
use opsloop_kernel::{Moment, Store, Write};
use opsloop_observability::metric_aggregation::{
    Aggregation, HistogramValue, SeriesKind, exponential::Buckets, names, with_definitions,
};

const REQUESTS: &str = "http.server.requests";

fn close(actual: f64, expected: f64) {
    assert!((actual - expected).abs() <= 1e-8 * expected.abs().max(1.0), "{actual} is not {expected}");
}

fn three(start: &str) -> Vec<opsloop_observability::otlp::proto::metrics::v1::NumberDataPoint> {
    [("10:00:00", 100.0), ("10:01:00", 160.0), ("10:02:00", 220.0)].map(|(t, v)| number(start, t, v)).to_vec()
}

#[tokio::test]
async fn maw_01_no_window_contains_what_a_counter_had_before_it_was_seen() {
    let mut bed = Bed::new();
    bed.send("10:02:01", vec![counter(REQUESTS, three("09:00:00"))]).await;
    bed.ticks("10:02:30", "10:03:30").await;
    assert_eq!(bed.sums(REQUESTS, MINUTE).await, sums(&[("10:00", 60.0), ("10:01", 60.0)]));
    let point = bed.point(REQUESTS, MINUTE, "10:00").await.unwrap();
    assert_eq!((point.rate, point.count, point.quality.streams), (Some(1.0), 1.0, 1));
    let group = &bed.groups(REQUESTS, MINUTE, "10:00").await[0];
    assert_eq!(group.id.group_key.canonical(), "moduleId=api,projectId=booking");
    assert_eq!((group.id.kind, group.unit.as_str()), (SeriesKind::Counter, "1"));
}

#[tokio::test]
async fn maw_02_a_restart_counts_fully_and_a_clock_that_was_set_back_counts_nothing() {
    for (old, new, expected, dropped) in [
        ("09:00:00", "10:02:20", Some((30.0, 1)), 0.0),
        ("-", "-", Some((30.0, 1)), 0.0),
        ("09:00:00", "09:00:00", None, 1.0),
    ] {
        let mut bed = Bed::new();
        bed.send("10:02:01", vec![counter(REQUESTS, three(old))]).await;
        bed.send("10:03:01", vec![counter(REQUESTS, vec![number(new, "10:03:00", 30.0)])]).await;
        bed.ticks("10:02:30", "10:04:30").await;
        let point = bed.point(REQUESTS, MINUTE, "10:02").await;
        assert_eq!(point.map(|p| (p.sum, p.quality.resets)), expected, "{new}");
        assert_eq!(bed.count_of("out_of_order_total"), dropped, "{new}");
    }
}

#[tokio::test]
async fn maw_03_a_delta_delivered_four_times_counts_once() {
    let mut bed = Bed::new();
    let twelve = || deltas(REQUESTS, vec![number("10:00:00", "10:01:00", 12.0)]);
    let batch = bed.batch("10:01:01", vec![twelve()]);
    bed.deliver(batch.clone()).await;
    bed.deliver(batch).await;
    // In another batch, and twice in it.
    bed.send("10:01:02", vec![twelve(), gauge("other", vec![number("-", "10:01:00", 1.0)]), twelve()]).await;
    bed.tick("10:01:30").await;
    assert_eq!(bed.sums(REQUESTS, MINUTE).await, sums(&[("10:00", 12.0)]));
    assert_eq!(bed.point(REQUESTS, MINUTE, "10:00").await.unwrap().count, 1.0);
    assert_eq!(bed.count_of("telemetry_duplicates_total"), 2.0);
}

#[tokio::test]
async fn maw_04_five_minutes_are_the_combination_of_their_minutes() {
    let mut bed = Bed::new();
    for (n, sum) in [10.0, 20.0, 30.0, 40.0, 50.0].into_iter().enumerate() {
        let (start, time) = (format!("10:0{n}:00"), format!("10:0{}:00", n + 1));
        bed.send(&format!("10:0{}:01", n + 1), vec![deltas(REQUESTS, vec![number(&start, &time, sum)])]).await;
    }
    bed.ticks("10:01:30", "10:06:30").await;
    let five = bed.point(REQUESTS, FIVE, "10:00").await.unwrap();
    assert_eq!((five.sum, five.rate, five.count), (150.0, Some(0.5), 5.0));
    assert_eq!(bed.root(REQUESTS).await.watermarks.five_minutes, Some(at("10:05")));
    assert_eq!(bed.events_of(REQUESTS, FIVE, "10:00").len(), 1);
}

#[tokio::test]
async fn maw_05_a_histogram_has_its_quantiles() {
    let mut bed = Bed::new();
    let point = buckets("10:00:00", "10:01:00", &[0.1, 0.5, 1.0], &[50, 40, 8, 2], 30.0);
    bed.send("10:01:01", vec![histogram("latency", DELTA, vec![point])]).await;
    bed.tick("10:01:30").await;
    let point = bed.point("latency", MINUTE, "10:00").await.unwrap();
    let q = point.quantiles.unwrap();
    for (actual, expected) in [(q.p50, 0.1), (q.p90, 0.5), (q.p95, 0.8125), (q.p99, 1.0)] {
        close(actual, expected);
    }
    assert_eq!(
        (point.count, point.sum, point.avg, point.min, point.max),
        (100.0, 30.0, Some(0.3), Some(0.01), Some(3.0))
    );
    close(point.rate.unwrap(), 100.0 / 60.0);
}

#[tokio::test]
async fn maw_07_exponential_histograms_of_two_scales_meet() {
    let mut bed = Bed::new();
    bed.send("10:01:01", vec![exponential("latency", "10:01:00", 3, 0, &[1; 8])]).await;
    bed.send("10:01:02", vec![exponential("latency", "10:00:50", 2, 0, &[1; 4])]).await;
    bed.tick("10:01:30").await;
    let point = bed.point("latency", MINUTE, "10:00").await.unwrap();
    let Some(HistogramValue::Exponential(merged)) = point.histogram else { panic!("no exponential histogram") };
    assert_eq!((merged.scale, merged.positive), (2, Buckets { offset: 0, counts: vec![3; 4] }));
    assert_eq!(point.count, 12.0);
}

#[tokio::test]
async fn maw_08_a66_a_gap_makes_no_spike() {
    let mut bed = Bed::new();
    bed.send("10:00:01", vec![counter(REQUESTS, vec![number("09:00:00", "10:00:00", 1_000.0)])]).await;
    bed.send("10:07:01", vec![counter(REQUESTS, vec![number("09:00:00", "10:07:00", 1_420.0)])]).await;
    bed.ticks("10:00:30", "11:02:30").await;
    assert_eq!(bed.sums(REQUESTS, MINUTE).await, sums(&[("10:06", 420.0)]));
    let minute = bed.point(REQUESTS, MINUTE, "10:06").await.unwrap();
    assert_eq!((minute.rate, minute.quality.gap_ms), (Some(1.0), 420_000));
    let five = bed.point(REQUESTS, FIVE, "10:05").await.unwrap();
    assert_eq!((five.sum, five.rate, five.quality.gap_ms), (420.0, Some(1.0), 0));
    close(bed.point(REQUESTS, HOUR, "10:00").await.unwrap().rate.unwrap(), 0.116_666_67);
    assert_eq!(bed.sums(REQUESTS, HOUR).await, sums(&[("10:00", 420.0)]));
}

/// The two replicas of MAW-16.
async fn replicas(bed: &mut Bed) {
    for n in 1..=5 {
        for (start, second) in [("10:00:00", "00"), ("10:00:20", "20")] {
            let time = format!("10:0{n}:{second}");
            let points = vec![number(start, &time, f64::from(n) * 10.0)];
            bed.send(&format!("10:0{n}:{}", if second == "00" { "05" } else { "25" }), vec![counter(REQUESTS, points)])
                .await;
        }
    }
}

#[tokio::test]
async fn maw_16_a61_two_replicas_of_one_identity_are_both_counted() {
    let mut bed = Bed::new();
    replicas(&mut bed).await;
    bed.ticks("10:05:30", "10:06:30").await;
    let expected =
        [("10:00", 10.0), ("10:01", 20.0), ("10:02", 20.0), ("10:03", 20.0), ("10:04", 20.0), ("10:05", 10.0)];
    assert_eq!(bed.sums(REQUESTS, MINUTE).await, sums(&expected));
    assert_eq!(bed.point(REQUESTS, MINUTE, "10:01").await.unwrap().quality.resets, 1);
    assert_eq!(bed.point(REQUESTS, MINUTE, "10:02").await.unwrap().quality.resets, 0);
    assert_eq!(bed.count_of("out_of_order_total"), 0.0);
}

#[tokio::test]
async fn maw_17_a61_a_restart_of_one_and_a_third_of_long_ago() {
    let mut bed = Bed::new();
    replicas(&mut bed).await;
    for (start, time, value) in [
        ("10:05:40", "10:06:00", 7.0),
        ("10:00:20", "10:06:20", 60.0),
        ("07:00:00", "10:06:30", 9_000.0),
        ("07:00:00", "10:07:30", 9_004.0),
    ] {
        bed.send(time, vec![counter(REQUESTS, vec![number(start, time, value)])]).await;
    }
    bed.ticks("10:07:30", "10:08:30").await;
    let of = async |start: &str| {
        let point = bed.point(REQUESTS, MINUTE, start).await.unwrap();
        (point.sum, point.quality.resets)
    };
    assert_eq!((of("10:05").await, of("10:06").await, of("10:07").await), ((17.0, 1), (10.0, 1), (4.0, 0)));
}

#[tokio::test]
async fn maw_18_a61_a_late_short_delta_adds() {
    let mut bed = Bed::new();
    let twelve = deltas(REQUESTS, vec![number("10:00:00", "10:01:00", 12.0)]);
    let five = deltas(REQUESTS, vec![number("10:00:00", "10:00:30", 5.0)]);
    bed.send("10:01:01", vec![twelve.clone()]).await;
    bed.tick("10:01:30").await;
    bed.send("10:02:01", vec![five.clone()]).await;
    bed.tick("10:02:30").await;
    let point = bed.point(REQUESTS, MINUTE, "10:00").await.unwrap();
    assert_eq!((point.sum, point.revision), (17.0, 2));
    let owed = bed.owed.len();
    bed.send("10:03:01", vec![five]).await;
    bed.send("10:03:02", vec![twelve]).await;
    bed.tick("10:03:30").await;
    assert_eq!(bed.point(REQUESTS, MINUTE, "10:00").await.unwrap(), point);
    assert_eq!(bed.owed.len(), owed, "either again changes nothing");
}

#[tokio::test]
async fn maw_19_an_exemplar_that_comes_again_is_one() {
    let mut bed = Bed::new();
    let point = |time: &str, value| {
        let mut p = number("09:00:00", time, value);
        p.exemplars = vec![exemplar("10:00:05", 1.98)];
        p
    };
    let points = vec![point("10:00:20", 1.0), point("10:00:40", 2.0), point("10:01:20", 3.0)];
    bed.send("10:01:21", vec![counter(REQUESTS, points)]).await;
    bed.ticks("10:01:30", "10:06:30").await;
    for (size, start) in [(MINUTE, "10:00"), (MINUTE, "10:01"), (FIVE, "10:00")] {
        let point = bed.point(REQUESTS, size, start).await.unwrap();
        assert_eq!(point.exemplars.len(), 1, "{size} {start}");
        assert_eq!((point.exemplars[0].value, point.exemplars[0].at), (1.98, at("10:00:05")));
        assert_eq!(bed.events_of(REQUESTS, size, start)[0].properties["exemplars"], "true");
    }
}

#[tokio::test]
async fn gauges_are_combined_by_their_lasts() {
    let mut bed = Bed::new();
    let of = |pod: &str, time: &str, value| with(number("-", time, value), &[("pod", pod)]);
    let points = vec![of("a", "10:00:10", 4.0), of("a", "10:00:50", 8.0), of("b", "10:00:40", 6.0)];
    bed.send("10:01:01", vec![gauge("queue", points)]).await;
    bed.send("10:02:01", vec![gauge("queue", vec![of("a", "10:01:10", 2.0)])]).await;
    bed.ticks("10:01:30", "10:06:30").await;
    let p = bed.point("queue", MINUTE, "10:00").await.unwrap();
    assert_eq!((p.sum, p.count, p.avg, p.min, p.max), (14.0, 3.0, Some(6.0), Some(4.0), Some(8.0)));
    assert_eq!((p.last, p.last_at, p.rate, p.quality.streams), (Some(8.0), Some(at("10:00:50")), None, 2));
    let five = bed.point("queue", FIVE, "10:00").await.unwrap();
    assert_eq!((five.sum, five.count, five.avg, five.last), (2.0, 4.0, Some(5.0), Some(2.0)));
    assert_eq!((five.min, five.max, five.quality.streams), (Some(2.0), Some(8.0), 2));
}

#[tokio::test]
async fn cumulative_histograms_count_what_was_added() {
    let mut bed = Bed::new();
    let bounds = [0.1, 0.5];
    let points = vec![
        buckets("09:00:00", "10:00:00", &bounds, &[10, 10, 10], 9.0),
        buckets("09:00:00", "10:01:00", &bounds, &[15, 12, 10], 11.0),
        buckets("09:00:00", "10:02:00", &bounds, &[14, 20, 10], 12.0),
    ];
    bed.send("10:02:01", vec![histogram("latency", CUMULATIVE, points)]).await;
    bed.ticks("10:02:30", "10:03:30").await;
    let p = bed.point("latency", MINUTE, "10:00").await.unwrap();
    assert_eq!((p.count, p.sum, p.min, p.max), (7.0, 2.0, None, None));
    let Some(HistogramValue::Explicit(h)) = p.histogram else { panic!("no explicit histogram") };
    assert_eq!(h.counts, [5, 2, 0]);
    // A bucket fell under a known start: the whole histogram says nothing.
    assert_eq!(bed.point("latency", MINUTE, "10:01").await, None);
    assert_eq!(bed.count_of("out_of_order_total"), 1.0);
}

#[tokio::test]
async fn two_units_are_combined_as_they_are_and_marked() {
    let mut bed = Bed::new();
    let mut seconds = deltas(REQUESTS, vec![number("10:00:00", "10:01:00", 2.0)]);
    seconds.unit = "s".into();
    bed.send("10:01:01", vec![seconds, deltas(REQUESTS, vec![number("10:00:00", "10:01:00", 3.0)])]).await;
    bed.tick("10:01:30").await;
    let group = &bed.groups(REQUESTS, MINUTE, "10:00").await[0];
    assert_eq!((group.unit.as_str(), group.point.sum, group.point.quality.mixed_units), ("1", 5.0, true));
    assert_eq!(bed.count_of("unit_conflict_total"), 1.0);
}

#[tokio::test]
async fn a28_a_definition_has_points_from_its_first_window_on() {
    let mut bed = Bed::new();
    let send = async |bed: &mut Bed, minute: u32| {
        let (start, time) = (format!("10:0{minute}:00"), format!("10:0{}:00", minute + 1));
        let of = |status: &str, n| with(number(&start, &time, n), &[("status", status)]);
        let batch = vec![deltas(REQUESTS, vec![of("200", 50.0), of("500", 10.0)])];
        bed.send(&format!("10:0{}:01", minute + 1), batch).await;
    };
    send(&mut bed, 0).await;
    bed.tick("10:01:30").await;
    let stream = names::stream_of(REQUESTS, BUCKETS);
    let stored = bed.store.get(&bed.tenant, &stream, &names::BUCKET.into()).await.unwrap();
    let labels: Vec<String> = ["status", "moduleId"].map(String::from).to_vec();
    let write = with_definitions(stored.as_ref(), &[(REQUESTS.into(), labels)], Moment(at("10:02:10"))).unwrap();
    let Some(Write::Save(document, etag)) = write else { panic!("no definition was added") };
    let commit = opsloop_kernel::Commit {
        tenant: bed.tenant.clone(),
        stream,
        marker: None,
        writes: vec![Write::Save(document, etag)],
    };
    bed.store.commit(&commit).await.unwrap();
    send(&mut bed, 2).await;
    send(&mut bed, 3).await;
    bed.ticks("10:02:30", "10:06:30").await;
    assert_eq!(bed.groups(REQUESTS, MINUTE, "10:02").await.len(), 1, "from the next window on");
    let groups = bed.groups(REQUESTS, MINUTE, "10:03").await;
    let shown: Vec<_> = groups.iter().map(|g| (g.id.group_key.canonical(), g.point.sum)).collect();
    let expected = [
        ("moduleId=api,projectId=booking", 60.0),
        ("moduleId=api,status=200", 50.0),
        ("moduleId=api,status=500", 10.0),
    ];
    assert_eq!(shown, expected.map(|(k, v)| (k.to_owned(), v)));
    assert_eq!(bed.groups(REQUESTS, FIVE, "10:00").await.len(), 1, "it began inside these five minutes");
    let event = &bed.events_of(REQUESTS, MINUTE, "10:03")[0].payload;
    assert_eq!(event.groups[1].group_by, Some(vec!["moduleId".into(), "status".into()]));
}

#[tokio::test]
async fn a17_one_envelope_for_a_metric_and_a_window_lists_what_is_new() {
    let mut bed = Bed::new();
    let of = |module: &str, n| with(number("10:00:00", "10:01:00", n), &[("factory.module.id", module)]);
    let both = buckets("10:00:00", "10:01:00", &[1.0], &[2, 1], 3.0);
    let metrics = vec![
        deltas(REQUESTS, vec![of("a", 1.0), of("b", 2.0)]),
        histogram(REQUESTS, DELTA, vec![both]),
        gauge("queue", vec![number("-", "10:00:30", 5.0)]),
    ];
    bed.send("10:01:01", metrics).await;
    bed.tick("10:01:30").await;
    assert_eq!(bed.owed.len(), 2, "two metrics");
    let event = bed.events_of(REQUESTS, MINUTE, "10:00")[0];
    let payload = &event.payload;
    assert_eq!((payload.kind.as_str(), payload.unit.as_str(), payload.window_end), ("sum", "1", at("10:01")));
    let listed: Vec<_> = payload
        .groups
        .iter()
        .map(|g| (g.group_key.get("moduleId"), g.sum, g.kind.as_deref(), g.unit.as_deref()))
        .collect();
    assert_eq!(listed, [("a", 1.0, None, None), ("b", 2.0, None, None), ("api", 3.0, Some("histogram"), Some("s"))]);
    assert_eq!(payload.groups[2].series_ids.len(), 11);
    assert_eq!(event.partition_key, payload.groups[0].series_ids[&Aggregation::Sum]);
    bed.send(
        "10:02:01",
        vec![deltas(REQUESTS, vec![with(number("10:00:00", "10:00:50", 4.0), &[("factory.module.id", "b")])])],
    )
    .await;
    bed.tick("10:02:30").await;
    let second = &bed.events_of(REQUESTS, MINUTE, "10:00")[1].payload;
    assert_eq!(second.groups.iter().map(|g| (g.group_key.get("moduleId"), g.sum)).collect::<Vec<_>>(), [("b", 6.0)]);
}

#[tokio::test]
async fn a46_the_names_of_unmodified_sdks_become_labels() {
    let mut bed = Bed::new();
    let point = with(number("10:00:00", "10:01:00", 1.0), &[("deployment.environment", "production")]);
    let batch = bed.batch("10:01:01", vec![]);
    let body = encoded(request("Booking App", vec![deltas(REQUESTS, vec![point])]));
    bed.deliver(opsloop_kernel::TelemetryBatch { body, ..batch }).await;
    bed.tick("10:01:30").await;
    let group = &bed.groups(REQUESTS, MINUTE, "10:00").await[0];
    assert_eq!(group.id.group_key.canonical(), "environment=prod,moduleId=booking-app,projectId=booking");
}
