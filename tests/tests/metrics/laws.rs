//! Promises on generated points: I1 to I5 of SPEC 5.2.9, and that no order of arrival shows (A4).

use super::{
    bed::{Bed, FIVE, MINUTE},
    otlp::*,
};
use opsloop_observability::metric_aggregation::{
    HistogramValue, MetricPoint,
    explicit::Explicit,
    exponential::{Buckets, Exponential},
    quantile,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const REQUESTS: &str = "http.server.requests";

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A point of one of three writers, within eight minutes.
#[derive(Clone, Debug)]
struct Any {
    writer: u8,
    kind: u8,
    start_s: i64,
    time_s: i64,
    value: u32,
}
fn any_point() -> impl Strategy<Value = Any> {
    let fields = (0..3_u8, 0..4_u8, prop::sample::select(vec![-1, 0, 20, 90, 200, 330]), 1..480_i64, 0..200_u32);
    fields.prop_map(|(writer, kind, start_s, time_s, value)| Any { writer, kind, start_s, time_s, value })
}
fn metric_of(any: &Any) -> opsloop_observability::otlp::proto::metrics::v1::Metric {
    let text = |s: i64| format!("10:{}:{}", s / 60, s % 60);
    let start = if any.start_s < 0 { "-".to_owned() } else { text(any.start_s) };
    let point = number(&start, &text(any.time_s), f64::from(any.value));
    let point = vec![with(point, &[("pod", &any.writer.to_string())])];
    match any.kind {
        0 => counter(REQUESTS, point),
        1 => deltas(REQUESTS, point),
        2 => gauge("queue", point),
        _ => {
            let counts = [u64::from(any.value), u64::from(any.value) * 2, 1];
            let time = text(any.time_s);
            histogram("latency", CUMULATIVE, vec![buckets(&start, &time, &[0.1, 1.0], &counts, f64::from(any.value))])
        }
    }
}

/// Content without the revision under which it was announced.
async fn points(bed: &Bed) -> BTreeMap<String, MetricPoint> {
    let mut all = BTreeMap::new();
    for metric in [REQUESTS, "queue", "latency"] {
        for size in [MINUTE, FIVE] {
            for window in bed.windows(metric, size).await {
                for group in window.groups {
                    let key = format!("{metric} {size} {} {:?}", window.window.start, group.id);
                    all.insert(key, MetricPoint { revision: 0, ..group.point });
                }
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a4_no_order_of_arrival_shows(
        given in prop::collection::vec((any_point(), any::<u32>()), 1..25),
        ticks in prop::collection::vec(any::<bool>(), 25),
    ) {
        run(async {
            let mut calm = Bed::new();
            let all = given.iter().map(|(p, _)| metric_of(p)).collect();
            calm.send("10:08:01", all).await;
            calm.ticks("10:08:30", "10:12:30").await;

            // One batch each, in another order, some twice, with ticks between them.
            let mut disturbed = Bed::new();
            let mut order = given.clone();
            order.sort_by_key(|(_, by)| *by);
            for (n, (point, by)) in order.iter().enumerate() {
                let batch = disturbed.batch("10:08:01", vec![metric_of(point)]);
                disturbed.deliver(batch.clone()).await;
                if ticks[n] {
                    disturbed.tick(if by % 2 == 0 { "10:08:30" } else { "10:12:30" }).await;
                }
                if by % 3 == 0 {
                    disturbed.deliver(batch).await;
                }
            }
            disturbed.ticks("10:08:30", "10:12:30").await;
            prop_assert_eq!(points(&disturbed).await, points(&calm).await);
            Ok(())
        })?;
    }

    #[test]
    fn i1_i2_nothing_is_negative_and_five_minutes_are_their_minutes(
        given in prop::collection::vec(any_point(), 1..40),
    ) {
        run(async {
            let mut bed = Bed::new();
            bed.send("10:08:01", given.iter().map(metric_of).collect()).await;
            bed.ticks("10:08:30", "10:12:30").await;
            for metric in [REQUESTS, "latency"] {
                let minutes = bed.windows(metric, MINUTE).await;
                for parent in bed.windows(metric, FIVE).await {
                    let inside = minutes.iter().filter(|w| w.window.parent(FIVE) == parent.window);
                    let children: Vec<_> = inside.map(|w| &w.groups[0].point).collect();
                    prop_assert!(children.iter().all(|p| p.sum >= 0.0 && p.count >= 0.0));
                    let total: f64 = children.iter().map(|p| p.sum).sum();
                    let point = &parent.groups[0].point;
                    prop_assert!((point.sum - total).abs() <= 1e-9 * total.abs().max(1.0));
                    prop_assert_eq!(point.count, children.iter().map(|p| p.count).sum::<f64>());
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn i4_the_total_of_a_start_is_its_last_value_less_its_first(
        steps in prop::collection::vec((1..90_i64, 0..50_u32), 2..40),
        cut in 0..40_usize,
    ) {
        run(async {
            let (mut second, mut value) = (0, 1_000.0);
            let mut points = Vec::new();
            for (wait, grown) in &steps {
                second += wait;
                value += f64::from(*grown);
                points.push(number("09:00:00", &format!("10:{}:{}", second / 60, second % 60), value));
            }
            // Two batches, the later points first; one of them arrives after the windows were closed.
            let rest = points.split_off(cut.min(points.len()));
            let mut bed = Bed::new();
            bed.send("11:00:00", vec![counter(REQUESTS, rest)]).await;
            bed.tick("11:00:30").await;
            bed.send("11:01:00", vec![counter(REQUESTS, points)]).await;
            bed.tick("11:01:30").await;
            let total: f64 = bed.sums(REQUESTS, MINUTE).await.iter().map(|(_, sum)| sum).sum();
            let grown: u32 = steps[1..].iter().map(|(_, g)| g).sum();
            prop_assert_eq!(total, f64::from(grown));
            Ok(())
        })?;
    }

    #[test]
    fn i5_quantiles_are_monotone_and_inside_the_populated_buckets(
        mut bounds in prop::collection::vec(-100.0..100.0_f64, 1..12),
        counts in prop::collection::vec(0..50_u64, 13),
        scale in -4..8_i32,
        offset in -20..20_i32,
        zero in 0..20_u64,
    ) {
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let explicit = Explicit::new(bounds.clone(), counts[..=bounds.len()].to_vec(), 0);
        let values: Vec<_> = (0..=20).filter_map(|n| quantile::of_explicit(&explicit, f64::from(n) / 20.0)).collect();
        prop_assert_eq!(values.is_empty(), explicit.total() == 0);
        prop_assert!(values.windows(2).all(|w| w[0] <= w[1] + 1e-9));
        let least = bounds[0].min(0.0);
        prop_assert!(values.iter().all(|v| *v >= least - 1e-9 && *v <= bounds[bounds.len() - 1] + 1e-9));

        let (negative, positive) = (Buckets::new(offset, counts[..6].to_vec()), Buckets::new(offset, counts[6..].to_vec()));
        let h = Exponential::new(scale, 0.0, zero, positive, negative);
        let value = HistogramValue::Exponential(h.clone());
        let values: Vec<_> = (0..=20).filter_map(|n| value.quantile(f64::from(n) / 20.0)).collect();
        prop_assert!(values.windows(2).all(|w| w[0] <= w[1] * (1.0 - 1e-12 * w[1].signum()) + 1e-12));
        let end = |b: &Buckets| b.populated().last().map_or(0.0, |(i, _)| f64::exp2(f64::from(i + 1) * f64::exp2(-f64::from(scale))));
        prop_assert!(values.iter().all(|v| *v <= end(&h.positive) * (1.0 + 1e-9) && -*v <= end(&h.negative) * (1.0 + 1e-9)));
    }

    #[test]
    fn merging_histograms_loses_no_measurement_and_has_no_order(
        a in (-4..8_i32, -300..300_i32, prop::collection::vec(0..9_u64, 0..200), 0..5_u64, prop::sample::select(vec![0.0, 0.01, 1.0])),
        b in (-4..8_i32, -300..300_i32, prop::collection::vec(0..9_u64, 0..200), 0..5_u64, prop::sample::select(vec![0.0, 0.01, 1.0])),
    ) {
        let of = |(scale, offset, counts, zero, threshold): (i32, i32, Vec<u64>, u64, f64)| {
            Exponential::new(scale, threshold, zero, Buckets::new(offset, counts), Buckets::default())
        };
        let (a, b) = (of(a), of(b));
        let merged = a.merged(&b);
        prop_assert_eq!(merged.total(), a.total() + b.total());
        prop_assert_eq!(&merged, &b.merged(&a));
        prop_assert!(merged.positive.counts.len() <= 160);
        prop_assert_eq!(merged.since(&b).map(|d| d.total()), Some(a.total()));
    }
}
