use super::*;

const SECOND_NS: i64 = 1_000_000_000;
/// 2026-11-21T10:00:00Z
const TEN: i64 = 1_795_255_200 * SECOND_NS;

/// `hh:mm:ss` of that day.
fn at(text: &str) -> i64 {
    let parts: Vec<i64> = text.split(':').map(|p| p.parse().unwrap()).collect();
    TEN + ((parts[0] - 10) * 3_600 + parts[1] * 60 + parts[2]) * SECOND_NS
}
fn point(start: &str, time: &str, value: f64) -> RawPoint {
    let start_ns = if start == "-" { 0 } else { at(start) };
    RawPoint { start_ns, time_ns: at(time), value, ..RawPoint::default() }
}
fn run(state: &mut StreamState, points: Vec<RawPoint>) -> Outcome {
    fold(StreamKind::MonotonicCumulative, state, points)
}
fn amounts(outcome: &Outcome) -> Vec<f64> {
    let number = |c: &Contribution| match c.amount {
        Amount::Number(n) => n,
        Amount::Distribution(ref d) => d.count as f64,
    };
    outcome.contributions.iter().map(number).collect()
}

#[test]
fn maw_01_a_long_lived_writer_seen_for_the_first_time_makes_no_spike() {
    let mut state = StreamState::default();
    let points = [("10:00:00", 100.0), ("10:01:00", 160.0), ("10:02:00", 220.0)].map(|(t, v)| point("09:00:00", t, v));
    let out = run(&mut state, points.to_vec());
    assert_eq!(amounts(&out), [60.0, 60.0]);
    assert_eq!((out.resets, out.counts), (0, Counts::default()));
    assert_eq!(out.contributions[0].interval_ns, Some(60 * SECOND_NS));
}

#[test]
fn maw_02_a_restart_counts_fully_and_a_clock_set_back_counts_nothing() {
    let before =
        |start| [("10:00:00", 100.0), ("10:01:00", 160.0), ("10:02:00", 220.0)].map(|(t, v)| point(start, t, v));
    for (old, new, sum, resets, dropped) in [
        ("09:00:00", "10:02:20", vec![30.0], 1, 0),
        ("-", "-", vec![30.0], 1, 0),
        ("09:00:00", "09:00:00", vec![], 0, 1),
    ] {
        let mut state = StreamState::default();
        run(&mut state, before(old).to_vec());
        let out = run(&mut state, vec![point(new, "10:03:00", 30.0)]);
        assert_eq!((amounts(&out), out.resets, out.counts.out_of_order), (sum, resets, dropped), "{old} {new}");
    }
}

#[test]
fn maw_16_a61_writers_that_share_an_identity_are_followed_by_their_starts() {
    let mut state = StreamState::default();
    let mut points = Vec::new();
    for n in 1..=5 {
        points.push(point("10:00:00", &format!("10:0{n}:00"), f64::from(n) * 10.0));
        points.push(point("10:00:20", &format!("10:0{n}:20"), f64::from(n) * 10.0));
    }
    points.reverse();
    let out = run(&mut state, points);
    assert_eq!(amounts(&out), [10.0; 10]);
    assert_eq!((out.resets, out.counts.out_of_order), (1, 0));
}

#[test]
fn maw_17_a61_a_restart_counts_and_an_old_start_only_seeds() {
    let mut state = StreamState::default();
    let first = |start, time, value| vec![point(start, time, value)];
    run(&mut state, first("10:00:00", "10:05:00", 50.0));
    assert_eq!(state.starts.len(), 1);
    run(&mut state, first("10:00:20", "10:05:20", 50.0));
    let restarted = run(&mut state, first("10:05:40", "10:06:00", 7.0));
    assert_eq!((amounts(&restarted), restarted.resets), (vec![7.0], 1));
    let old = run(&mut state, vec![point("10:00:20", "10:06:20", 60.0), point("07:00:00", "10:06:30", 9_000.0)]);
    assert_eq!((amounts(&old), old.resets), (vec![10.0], 1));
    assert_eq!(amounts(&run(&mut state, first("07:00:00", "10:07:30", 9_004.0))), [4.0]);
}

#[test]
fn maw_18_a61_deltas_of_one_identity_add_and_equal_ones_are_one() {
    let twelve = point("10:00:00", "10:01:00", 12.0);
    let five = point("10:00:00", "10:00:30", 5.0);
    let mut state = StreamState::default();
    let points = vec![five.clone(), twelve.clone(), five, twelve.clone(), twelve];
    let out = fold(StreamKind::MonotonicDelta, &mut state, points);
    assert_eq!((amounts(&out), out.counts.duplicates), (vec![5.0, 12.0], 3));
    assert_eq!(state, StreamState::default());
}

#[test]
fn a_start_leaves_after_a_day_and_then_only_seeds() {
    let mut state = StreamState::default();
    run(&mut state, vec![point("10:00:00", "10:01:00", 5.0), point("10:00:30", "20:00:00", 1.0)]);
    // 24 h and a minute after the first start's last point, 14 h after the second's.
    let late = run(&mut state, vec![point("10:00:30", "34:02:00", 3.0), point("10:00:00", "34:03:00", 9.0)]);
    assert_eq!((amounts(&late), state.left_ns), (vec![2.0], Some(at("10:00:00"))));
    let next = run(&mut state, vec![point("10:00:00", "34:04:00", 11.0)]);
    assert_eq!(amounts(&next), [2.0], "seeded again, it goes on");
}

#[test]
fn an_identity_without_starts_is_new_again() {
    let mut state = StreamState::default();
    run(&mut state, vec![point("10:00:00", "10:01:00", 5.0)]);
    let again = run(&mut state, vec![point("39:58:00", "40:00:00", 4.0)]);
    assert_eq!((amounts(&again), again.resets, state.left_ns), (vec![4.0], 0, None));
}

#[test]
fn the_starts_of_an_identity_are_bounded() {
    let mut state = StreamState::default();
    let many: Vec<_> = (0..STARTS_MAX)
        .map(|n| RawPoint { start_ns: TEN + n as i64, time_ns: TEN + SECOND_NS + n as i64, ..RawPoint::default() })
        .collect();
    run(&mut state, many);
    let busy = run(&mut state, vec![point("10:01:00", "10:02:00", 5.0)]);
    assert_eq!((amounts(&busy), busy.counts.starts_dropped, state.starts.len()), (vec![], 1, STARTS_MAX));
    let silent = run(&mut state, vec![point("10:09:00", "10:11:00", 5.0)]);
    assert_eq!((amounts(&silent), silent.counts.starts_dropped, state.starts.len()), (vec![5.0], 1, STARTS_MAX));
    assert_eq!(state.left_ns, Some(TEN), "the longest silent left");
}

#[test]
fn of_two_samples_of_one_time_the_larger_counts() {
    let points = vec![point("10:00:00", "10:01:00", 3.0), point("-", "10:01:00", 8.0), point("-", "10:00:30", 9.0)];
    let out = fold(StreamKind::Samples, &mut StreamState::default(), points);
    assert_eq!(out.samples.iter().map(|s| s.value).collect::<Vec<_>>(), [9.0, 8.0]);
}
