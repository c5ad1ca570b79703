//! What is read, and what a point gives.

use super::*;
use crate::metric_aggregation::{HistogramValue, combine::empty, explicit::Explicit};
use opsloop_kernel::Window;
use serde_json::{Value, json};

fn t(minute: i64) -> Timestamp {
    Timestamp::from_millis(1_795_255_200_000 + minute * 60_000)
}
fn selector(text: Value) -> Selector {
    serde_json::from_value(text).unwrap()
}

#[test]
fn ranges_that_touch_are_read_once_and_none_before_reading_begins() {
    let range = |from: i64, until: i64| Range { from: t(from), until: t(until) };
    let ranges = vec![range(10, 20), range(0, 5), range(5, 7), range(12, 15), range(30, 40)];
    assert_eq!(joined(ranges.clone(), t(-9)), [range(0, 7), range(10, 20), range(30, 40)]);
    assert_eq!(joined(ranges, t(11)), [range(11, 20), range(30, 40)]);
    assert!(joined(vec![range(0, 5)], t(5)).is_empty());
}

#[test]
fn aew_16_definitions_are_wanted_where_the_default_one_does_not_do_a28() {
    let plain = selector(json!({"metricName": "m", "groupBy": ["moduleId"]}));
    let status = json!([{"label": "status", "op": "=~", "value": ".+"}]);
    let other = selector(json!({"metricName": "m", "groupBy": ["moduleId"], "matchers": status}));
    let bucket = ids::bucket("m", 8);
    let labels = vec!["moduleId".to_owned(), "status".to_owned()];
    assert_eq!(definitions(std::slice::from_ref(&plain), 8), [(bucket, vec![])].into());
    assert_eq!(
        definitions(&[plain, other.clone(), other.clone()], 8),
        [(bucket, vec![("m".to_owned(), labels.clone())])].into()
    );
    // Without groups it is still the same definition.
    assert_eq!((ungrouped(&other).definition(), ungrouped(&other).group_by.len()), (Some(labels), 0));
    assert!(ungrouped(&other).compile().is_ok());
}

#[test]
fn defaults_follow_the_kind_of_the_series() {
    let window = Window { size_ms: 60_000, start: t(0) };
    let point = MetricPoint { sum: 60.0, count: 12.0, rate: Some(1.0), last: Some(7.0), ..empty(window) };
    let of = |want, kind| value_of(want, kind, "1", &point);
    let kinds = [SeriesKind::Counter, SeriesKind::Histogram, SeriesKind::Gauge];
    assert_eq!(kinds.map(|k| of(Want::Amount, k)), [Ok(Some(60.0)), Ok(Some(12.0)), Ok(Some(7.0))]);
    assert_eq!(kinds.map(|k| of(Want::Pace, k)), [Ok(Some(1.0)), Ok(Some(12.0)), Ok(Some(7.0))]);
    assert_eq!(kinds.map(|k| of(Want::Events, k).ok()), [Some(Some(60.0)), Some(Some(12.0)), None]);
}

#[test]
fn slo_08_and_slo_13_a_threshold_is_read_in_the_unit_of_the_metric() {
    let window = Window { size_ms: 60_000, start: t(0) };
    let of = |bounds: &[f64], counts: &[u64], unit: &str, threshold_ms: f64| {
        let explicit = Explicit::new(bounds.to_vec(), counts.to_vec(), counts.iter().sum());
        let point = MetricPoint { histogram: Some(HistogramValue::Explicit(explicit)), ..empty(window) };
        value_of(Want::AtMost { threshold_ms }, SeriesKind::Histogram, unit, &point)
    };
    assert_eq!(of(&[100.0, 250.0, 500.0], &[800, 100, 80, 20], "ms", 300.0), Ok(Some(916.0)));
    let seconds = |unit: &str, ms: f64| of(&[0.5, 1.0, 2.5], &[45, 8, 5, 2], unit, ms);
    assert_eq!(seconds("s", 1_000.0), Ok(Some(53.0)));
    // All that overflows is bad.
    assert_eq!(seconds("s", 1e9), Ok(Some(58.0)));
    assert!(seconds("By", 1_000.0).is_err());
    assert_eq!(of(&[5e5, 1e6], &[45, 8, 2], "us", 1_000.0), Ok(Some(53.0)));
    assert_eq!(of(&[5e8, 1e9], &[45, 8, 2], "ns", 1_000.0), Ok(Some(53.0)));
}
