//! Which windows a slot sums up (SPEC 5.4.4(1)).

use super::{super::slo::tests::slo, *};
use crate::series::SetValues;
use opsloop_kernel::{
    LabelSet,
    window::{MINUTE_MS, REOPEN_HORIZON as HORIZON},
};
use serde_json::json;

fn t(text: &str) -> Timestamp {
    format!("2026-11-{text}Z").parse().unwrap()
}
fn reading(minute: &str, hour: &str) -> Reading {
    let up_to = [(MINUTE_MS, t(minute)), (HOUR_MS, t(hour))].into();
    Reading { up_to, lagging: false, known_until: t(minute) }
}
fn selected(size_ms: i64, values: &[(Timestamp, f64)]) -> Selected {
    let sets = vec![SetValues { labels: LabelSet::default(), values: values.to_vec() }];
    Selected { size_ms, up_to: Timestamp::MAX, sets, error: None }
}
/// A value in each window of a size that ends in `(from, until]`.
fn every(size_ms: i64, from: Timestamp, until: Timestamp, value: f64) -> Vec<(Timestamp, f64)> {
    let count = until.millis_since(from) / size_ms;
    (1..=count).map(|n| (from.plus_millis(n * size_ms), value)).collect()
}

#[test]
fn long_windows_are_hours_with_a_first_part_hour_and_an_open_tail() {
    let slo = slo(json!({}));
    let (end, hour_end) = (t("21T10:04:00"), t("21T10:00:00"));
    let frame = Frame::of(&slo, &reading("21T10:04:00", "21T10:00:00"));
    let minutes = every(MINUTE_MS, t("13T10:00:00"), end, 1.0);
    let hours = every(HOUR_MS, t("01T00:00:00"), hour_end, 60.0);
    let (small, large) = (selected(MINUTE_MS, &minutes), selected(HOUR_MS, &hours));
    let none = selected(MINUTE_MS, &[]);
    let cells = Cells::of(&slo, &frame, &[none.clone(), small], &[none, large], &Hours::default());
    let total = |ms: i64| cells.over(&frame, end.plus_millis(-ms)).total;
    let minute_of = |ms: i64| (ms / MINUTE_MS) as f64;
    for ms in [MINUTE_MS, HOUR_MS, 6 * HOUR_MS, 6 * HOUR_MS + MINUTE_MS, 3 * DAY_MS, 7 * DAY_MS] {
        assert_eq!(total(ms), minute_of(ms), "{ms} ms");
    }
    // Beyond 7 d the first part hour, 56 minutes of it, is left out.
    assert_eq!(total(8 * DAY_MS), minute_of(8 * DAY_MS) - 56.0);
    assert_eq!(total(7 * DAY_MS + MINUTE_MS), minute_of(7 * DAY_MS + MINUTE_MS) - 57.0);
}

#[test]
fn what_is_read_covers_what_is_summed() {
    let slo = slo(json!({}));
    let frame = Frame::of(&slo, &reading("21T10:04:00", "21T10:00:00"));
    let ranges = crate::series::source::joined(frame.small(&slo.sli, &Hours::default()), Timestamp::EPOCH);
    let text: Vec<_> =
        ranges.iter().map(|r| format!("{}/{}", &r.from.to_string()[8..16], &r.until.to_string()[8..16])).collect();
    assert_eq!(text, ["18T10:04/18T11:00", "21T04:04/21T10:04"]);
    let large = frame.large(&Hours::default());
    assert_eq!((large.from.to_string(), large.until), ("2026-10-22T11:00:00.000Z".to_owned(), t("21T10:00:00")));
    let kept = Hours { from: large.from, until: t("20T09:00:00"), cells: vec![] };
    assert_eq!(frame.large(&kept).from, t("20T09:00:00"));
}

#[test]
fn hours_are_kept_once_no_late_fact_revises_them() {
    let slo = slo(json!({}));
    let frame = Frame::of(&slo, &reading("21T10:04:00", "21T10:00:00"));
    let until = frame.settled_until(&slo.sli);
    assert!(until.plus(HORIZON) <= frame.end);
    assert_eq!(until, t("20T09:00:00"));
    let hours = every(HOUR_MS, t("19T00:00:00"), t("21T10:00:00"), 60.0);
    let none = selected(HOUR_MS, &[]);
    let of = |kept: &Hours, hours: &[(Timestamp, f64)]| {
        Cells::of(&slo, &frame, &[none.clone(), none.clone()], &[none.clone(), selected(HOUR_MS, hours)], kept)
    };
    let fresh = of(&Hours::default(), &hours);
    let kept = fresh.settled(&slo, &frame, &Hours::default()).unwrap();
    assert_eq!((kept.until, kept.cells.len()), (until, 33));
    assert_eq!(fresh.settled(&slo, &frame, &kept), None);
    // The next slot reads only what is not kept, and sums the same.
    let rest: Vec<_> = hours.iter().copied().filter(|h| h.0 > until).collect();
    assert_eq!(of(&kept, &rest).over(&frame, frame.period_from), fresh.over(&frame, frame.period_from));
}

#[test]
fn a_calendar_month_is_that_of_the_newest_window() {
    let slo = slo(json!({"period": {"type": "CalendarMonth"}}));
    let first = Frame::of(&slo, &reading("01T00:00:00", "01T00:00:00"));
    assert_eq!((first.period_from.to_string(), first.period_ms), ("2026-10-01T00:00:00.000Z".into(), 31 * DAY_MS));
    let next = Frame::of(&slo, &reading("01T00:01:00", "01T00:00:00"));
    assert_eq!((next.period_from, next.period_ms), (t("01T00:00:00"), 30 * DAY_MS));
}

#[test]
fn a_window_ratio_counts_windows_in_which_the_condition_is_known() {
    let condition = json!({"type": "Threshold", "selector": {"metricName": "m"}, "aggregation": "p99", "op": "lt",
        "threshold": 0.5});
    let slo = slo(json!({"sli": {"type": "WindowRatio", "condition": condition}}));
    let frame = Frame::of(&slo, &reading("21T10:04:00", "21T10:00:00"));
    let mut values = every(MINUTE_MS, t("21T08:00:00"), t("21T10:04:00"), 0.1);
    // Three bad minutes, two of them in the hour of 09:00; one minute without a value.
    values
        .iter_mut()
        .filter(|v| [t("21T09:10:00"), t("21T09:11:00"), t("21T10:03:00")].contains(&v.0))
        .for_each(|v| v.1 = 0.9);
    values.retain(|v| v.0 != t("21T09:30:00"));
    let cells = Cells::of(&slo, &frame, &[selected(MINUTE_MS, &values)], &[], &Hours::default());
    assert_eq!(cells.over(&frame, t("21T09:04:00")), Sum { bad: 3.0, total: 59.0 });
    assert_eq!(cells.over(&frame, t("18T10:04:00")), Sum { bad: 3.0, total: 123.0 });
    let kept = cells.settled(&slo, &frame, &Hours::default()).unwrap();
    assert_eq!(kept.cells.last(), Some(&Cell { end: t("21T10:00:00"), bad: 2.0, total: 59.0 }));
    assert_eq!(kept.until, t("21T10:00:00"));
}
