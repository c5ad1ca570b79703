//! When what is computed, without a store.

use super::*;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    format!("2026-11-{text}:00Z").replace(' ', "T").parse().unwrap()
}
fn utc() -> Zone {
    Zone::named("UTC")
}
fn project(since: &str) -> Project {
    Project::new("shop", at(since), &utc())
}
/// Does everything that is due by then, and says which windows, in order.
fn work(p: &mut Project, until: Timestamp) -> Vec<Task> {
    let mut done = vec![];
    while let Some(task) = p.next(&utc()).filter(|t| t.due <= until) {
        p.finish(&task);
        done.push(task);
    }
    done
}

#[test]
fn an_hour_closes_five_minutes_after_its_end_and_a_day_after_its_last_hour() {
    let mut p = project("21 22:40");
    let done = work(&mut p, at("22 01:05"));
    let order: Vec<_> = done.iter().map(|t| (t.due, t.window.size_ms, t.window.start)).collect();
    assert_eq!(
        order,
        [
            (at("21 23:05"), HOUR_MS, at("21 22:00")),
            (at("22 00:05"), HOUR_MS, at("21 23:00")),
            (at("22 00:05"), DAY_MS, at("21 00:00")),
            (at("22 01:05"), HOUR_MS, at("22 00:00")),
        ]
    );
}

#[test]
fn qsw_07_all_items_of_a_minute_make_one_task() {
    let mut p = project("21 10:30");
    for second in 0..60 {
        p.bring_forward(at("21 10:30").plus_millis(second * 1000), at("21 10:30"), &utc());
    }
    assert_eq!(p.tasks.len(), 1);
    assert_eq!((p.tasks[0].due, p.tasks[0].window.start), (at("21 10:31"), at("21 10:00")));
}

#[test]
fn a_minute_that_was_computed_is_not_to_come() {
    let mut p = project("21 10:30");
    p.bring_forward(at("21 10:30"), at("21 10:30"), &utc());
    work(&mut p, at("21 10:31"));
    p.bring_forward(at("21 10:30"), at("21 10:30"), &utc());
    assert_eq!(p.tasks[0].due, at("21 10:32"));
}

#[test]
fn qsw_08_a_late_item_is_done_in_one_minute_oldest_first() {
    let mut p = project("21 09:30");
    work(&mut p, at("21 12:10"));
    p.bring_forward(at("21 10:30"), at("21 10:30"), &utc());
    let done: Vec<_> = work(&mut p, at("21 12:11")).iter().map(|t| (t.due, t.window.start)).collect();
    let minute = at("21 12:06");
    assert_eq!(done, [(minute, at("21 10:00")), (minute, at("21 11:00")), (minute, at("21 12:00"))]);
}

#[test]
fn qsw_08_a_window_that_ended_more_than_a_day_before_the_newest_stays() {
    let mut p = project("20 00:00");
    work(&mut p, at("21 12:06"));
    p.bring_forward(at("21 12:10"), at("20 03:30"), &utc());
    let hours: Vec<_> = p.tasks.iter().filter(|t| t.window.size_ms == HOUR_MS).collect();
    assert_eq!(hours[0].window.start, at("20 11:00"), "it ended 24 h before 12:00");
    assert_eq!(hours.len(), 26, "25 that are computed and the one at hand");
    let days: Vec<_> = p.tasks.iter().filter(|t| t.window.size_ms == DAY_MS).map(|t| t.window.start).collect();
    assert_eq!(days, [at("20 00:00")], "the 20th ended 12 h ago");
}

#[test]
fn an_item_at_the_very_end_of_a_window_belongs_to_it() {
    let mut p = project("21 09:30");
    work(&mut p, at("21 12:10"));
    p.bring_forward(at("21 12:10"), at("21 11:00"), &utc());
    assert_eq!(p.tasks[0].window.start, at("21 10:00"));
}

#[test]
fn one_that_slept_leaves_out_what_it_slept_through() {
    let mut p = project("02 09:30");
    work(&mut p, at("02 10:05"));
    p.asleep = true;
    assert!(p.next(&utc()).is_none());
    assert!(p.document(&utc()).due.is_none());
    p.bring_forward(at("21 10:30"), at("21 10:29"), &utc());
    assert_eq!((p.hours.next, p.days.next), (at("21 10:00"), at("21 00:00")));
    assert_eq!(p.document(&utc()).due.unwrap().at, at("21 10:31"));
}

#[test]
fn a7_before_anything_was_computed_the_earliest_item_begins() {
    let items = [(at("21 12:10"), at("21 12:10")), (at("21 10:30"), at("21 10:30"))];
    let tell = |order: [usize; 2]| {
        let mut p = Project::new("shop", items[order[0]].1, &utc());
        order.into_iter().for_each(|n| p.bring_forward(items[n].0, items[n].1, &utc()));
        p
    };
    assert_eq!(tell([0, 1]), tell([1, 0]));
    assert_eq!(tell([0, 1]).hours.next, at("21 10:00"));
}

proptest! {
    /// Whatever is told, and whenever it is worked: closes come in order and once, and work ends.
    #[test]
    fn closes_come_once_and_in_order(
        events in proptest::collection::vec((0_i64..3 * DAY_MS, 0_i64..2 * DAY_MS, any::<bool>()), 1..60),
        zone in proptest::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"]),
    ) {
        let zone = Zone::named(zone);
        let start = at("21 00:00");
        let mut p = Project::new("shop", start, &zone);
        let mut now = start;
        let mut closed: Vec<Window> = vec![];
        for (gap, late, works) in events {
            now = now.plus_millis(gap / 20);
            p.bring_forward(now, now.plus_millis(-late), &zone);
            prop_assert!(p.tasks.len() <= 36, "bounded: {}", p.tasks.len());
            let mut rounds = 0;
            while works && let Some(task) = p.next(&zone).filter(|t| t.due <= now) {
                if task.closes {
                    closed.push(task.window);
                }
                p.finish(&task);
                rounds += 1;
                prop_assert!(rounds < 1_000);
            }
        }
        for size in [HOUR_MS, DAY_MS] {
            let of: Vec<_> = closed.iter().filter(|w| w.size_ms == size).collect();
            prop_assert!(of.windows(2).all(|w| w[0].end == w[1].start), "no gap, no repetition");
        }
    }
}
