//! Plans are what they should be, a calm run breaks nothing, and each rule notices its own breach.

use super::{
    invariants,
    model::{is_of_a_bucket, mark_of},
};
use crate::journal::Change;
use crate::workers::{
    REQUESTS,
    bed::{Tape, all_taken, cast, part, plan_of, run},
};
use opsloop_kernel::{Document, Window, window::MINUTE_MS};
use opsloop_observability::metric_aggregation::names;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn tape(seed: u64) -> Tape {
    let cast = cast();
    let plan = plan_of(&[part("MetricAggregationWorker")], &cast, seed);
    run(cast, plan)
}

/// Changes the first group of the first points document that pleases.
fn with_point(pleases: impl Fn(&Value) -> bool, change: impl Fn(&mut Value)) -> Tape {
    let mut tape = (0..50).map(tape).find(|t| points(t).any(|d| pleases(&d.body.0))).unwrap();
    let documents = tape.commits.iter_mut().flat_map(|c| &mut c.changes).filter(|c| c.kind() == "points");
    let document = documents.filter_map(|c| c.after.as_mut()).find(|d| pleases(&d.body.0)).unwrap();
    change(&mut document.body.0["groups"][0]["point"]);
    tape
}

fn points(tape: &Tape) -> impl Iterator<Item = &Document> {
    let changes = tape.commits.iter().flat_map(|c| &c.changes).filter(|c| c.kind() == "points");
    changes.filter_map(|c| c.after.as_ref())
}

fn of_size(size_ms: i64) -> impl Fn(&Value) -> bool {
    move |body| body["size_ms"] == size_ms && body["metric"] == REQUESTS
}

#[test]
fn fifty_plans_are_small_and_inside_and_the_receiver_takes_them() {
    let cast = cast();
    for seed in 0..50 {
        let plan = plan_of(&[part("MetricAggregationWorker")], &cast, seed);
        all_taken(&cast, &plan);
        for tenant in &cast.tenants {
            assert!(plan.arrivals.iter().filter(|a| a.tenant == *tenant).count() <= 12, "seed {seed}");
        }
        assert!(plan.totals.len() >= 4, "seed {seed}");
    }
}

#[test]
fn calm_runs_break_nothing_and_have_everything() {
    let mut seen = BTreeSet::new();
    for seed in 0..15 {
        let tape = tape(seed);
        tape.judge(invariants).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        for body in points(&tape).map(|d| &d.body.0) {
            seen.extend(body["groups"].as_array().unwrap().iter().map(|g| g["kind"].to_string()));
            let of_groups = |field: &str| body["groups"][0]["point"]["quality"][field].as_u64().unwrap();
            seen.extend((of_groups("resets") > 0).then(|| "resets".to_owned()));
            seen.extend((of_groups("streams") > 1).then(|| "writers".to_owned()));
            seen.extend((of_groups("gapMs") > 0).then(|| "gap".to_owned()));
            seen.extend((body["groups"][0]["point"]["revision"] == 2).then(|| "revision 2".to_owned()));
            seen.extend((body["groups"][0]["point"]["exemplars"] != Value::Null).then(|| "exemplars".to_owned()));
        }
        seen.extend(tape.recorded.keys().cloned());
    }
    let wanted = ["\"counter\"", "\"gauge\"", "\"histogram\"", "resets", "writers", "gap", "revision 2", "exemplars"];
    assert!(wanted.iter().all(|w| seen.contains(*w)), "{seen:?}");
    assert!(seen.contains("MetricAggregationWorker|telemetry_duplicates_total|"), "{seen:?}");
}

#[test]
fn i1_a_negative_sum_is_noticed() {
    with_point(of_size(MINUTE_MS), |p| p["sum"] = json!(-1.0)).must_fail(invariants, "MAW I1");
}

#[test]
fn i2_a_parent_that_is_not_its_children_is_noticed() {
    let more = |p: &mut Value| p["sum"] = json!(p["sum"].as_f64().unwrap() + 1.0);
    with_point(of_size(5 * MINUTE_MS), more).must_fail(invariants, "MAW I2");
}

#[test]
fn i3_a_point_of_something_else_is_noticed() {
    let other = |p: &mut Value| p["windowEnd"] = json!("2026-11-21T11:00:00.000Z");
    with_point(of_size(MINUTE_MS), other).must_fail(invariants, "MAW I3");
    let gauge = |body: &Value| body["size_ms"] == MINUTE_MS && body["groups"][0]["kind"] == "gauge";
    with_point(gauge, |p| p["count"] = json!(40.0)).must_fail(invariants, "MAW I3");
}

#[test]
fn i4_and_the_totals_notice_a_window_that_is_counted_twice() {
    let mut tape = tape(1);
    let of_minutes = |d: &&mut opsloop_embedded::store::Dumped| {
        d.document.kind == "points" && of_size(MINUTE_MS)(&d.document.body.0)
    };
    for d in tape.documents.iter_mut().filter(of_minutes) {
        let point = &mut d.document.body.0["groups"][0]["point"];
        point["sum"] = json!(point["sum"].as_f64().unwrap() * 9.0);
    }
    tape.must_fail(invariants, "MAW I4");
    tape.must_fail(invariants, "metric totals");
}

#[test]
fn the_totals_notice_a_single_count_more() {
    let mut tape = tape(1);
    tape.plan.totals.values_mut().for_each(|total| *total += 1.0);
    tape.must_fail(invariants, "metric totals");
}

#[test]
fn i5_quantiles_out_of_order_or_bounds_are_noticed() {
    let has = |body: &Value| body["groups"][0]["point"]["quantiles"] != Value::Null;
    with_point(has, |p| p["quantiles"]["p50"] = json!(0.9999)).must_fail(invariants, "MAW I5");
    with_point(has, |p| p["quantiles"]["p99"] = json!(17.0)).must_fail(invariants, "MAW I5");
}

#[test]
fn a_chunk_without_its_mark_is_noticed() {
    let mut tape = tape(1);
    let first = tape.commits.iter_mut().find(|c| is_of_a_bucket(c)).unwrap();
    first.changes.retain(|c| c.kind() != "mark");
    tape.must_fail(invariants, "MAW chunks");
}

/// A65: the chunk came between the reading and the commit, and the mark went all the same.
#[test]
fn a_mark_that_goes_with_a_chunk_uncounted_is_noticed() {
    let late = |tape: &Tape| {
        let closed = |n: usize, w: Window| {
            let places = tape.commits[..n].iter().enumerate();
            places.rev().find(|(_, c)| {
                let of_stream = (&c.tenant, &c.stream) == (&tape.commits[n].tenant, &tape.commits[n].stream);
                of_stream && c.changes.iter().any(|c| c.after.is_none() && mark_of(c) == Some(w))
            })
        };
        tape.commits.iter().enumerate().find_map(|(n, commit)| {
            let chunk = commit.changes.iter().any(|c| c.kind() == "chunk" && c.before.is_none());
            let mut marks = commit.changes.iter().filter(|c| chunk && c.after.is_some()).filter_map(mark_of);
            marks.find_map(|w| closed(n, w)).map(|(closing, _)| (n, closing))
        })
    };
    let (mut tape, (arrival, closing)) = (0..50).map(tape).find_map(|t| late(&t).map(|at| (t, at))).unwrap();
    let arrival = tape.commits.remove(arrival);
    tape.commits.insert(closing, arrival);
    tape.must_fail(invariants, "MAW marks");
}

/// The place of the first commit that closes a 1m window of requests.
fn closing(tape: &Tape) -> usize {
    let minutes = of_size(MINUTE_MS);
    let requests = |c: &Change| c.kind() == "points" && c.after.as_ref().is_some_and(|d| minutes(&d.body.0));
    tape.commits.iter().position(|c| c.changes.iter().any(requests)).unwrap()
}

#[test]
fn a_closing_without_ledger_or_root_is_noticed() {
    for left_out in ["ledger", "bucket", "carry"] {
        let mut tape = tape(1);
        let at = closing(&tape);
        tape.commits[at].changes.retain(|c| c.kind() != left_out);
        tape.must_fail(invariants, "MAW marks");
    }
}

#[test]
fn what_is_announced_beside_the_ledger_is_noticed() {
    let mut silent = tape(1);
    let at = closing(&silent);
    silent.commits[at].owed.clear();
    silent.must_fail(invariants, "MAW revisions");
    let mut skipped = tape(1);
    skipped.commits[at].owed[0].revision = 2;
    skipped.must_fail(invariants, "MAW revisions");
    let mut twice = tape(1);
    let again = twice.commits[at].owed[0].clone();
    twice.commits[at].owed.push(again);
    twice.must_fail(invariants, "MAW revisions");
    let mut now = tape(1);
    now.commits[at].owed[0].occurred_at = now.commits[at].at.plus_millis(1);
    now.must_fail(invariants, "MAW revisions");
}

#[test]
fn a_watermark_that_goes_back_or_too_far_is_noticed() {
    for to in ["2026-11-21T09:00:00.000Z", "2026-11-21T12:00:00.000Z"] {
        let mut tape = tape(1);
        let moves = |c: &&mut Change| {
            let marks = |d: &Document| d.body.0["watermarks"]["60000"].clone();
            c.id.0 == names::BUCKET && c.before.as_ref().is_some_and(|d| marks(d) != Value::Null)
        };
        let later = tape.commits.iter_mut().flat_map(|c| &mut c.changes).filter(moves).nth(3).unwrap();
        later.after.as_mut().unwrap().body.0["watermarks"]["60000"] = json!(to);
        tape.must_fail(invariants, "MAW watermarks");
    }
}

#[test]
fn a_watermark_that_passes_a_marked_window_is_noticed() {
    let mut tape = tape(1);
    let at = closing(&tape);
    tape.commits[at].changes.retain(|c| c.kind() != "mark");
    tape.must_fail(invariants, "MAW watermarks");
}

#[test]
fn a_mark_that_is_left_is_noticed() {
    let mut tape = tape(1);
    let marks = tape.commits.iter().flat_map(|c| &c.changes).find(|c| c.kind() == "mark").unwrap();
    let mark = marks.after.clone().unwrap();
    let mut left = tape.documents[0].clone();
    left.document = mark;
    tape.documents.push(left);
    tape.must_fail(invariants, "MAW closed");
}
