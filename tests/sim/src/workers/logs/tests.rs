//! Plans are what they should be, a calm run breaks nothing, and each rule notices its own breach.

use super::invariants;
use crate::workers::bed::{Tape, all_taken, cast, part, plan_of, run};

fn tape(seed: u64) -> Tape {
    let cast = cast();
    let plan = plan_of(&[part("TraceIngestionWorker"), part("LogIngestionWorker")], &cast, seed);
    run(cast, plan)
}

/// The place of the first commit of logs.
fn first(tape: &Tape) -> usize {
    tape.commits.iter().position(|c| c.stream.name.starts_with("logs/")).unwrap()
}

#[test]
fn fifty_plans_are_small_and_inside_and_the_receiver_takes_them() {
    let cast = cast();
    for seed in 0..50 {
        let plan = plan_of(&[part("LogIngestionWorker")], &cast, seed);
        all_taken(&cast, &plan);
        assert!(plan.arrivals.len() <= 4 * cast.tenants.len(), "seed {seed}");
    }
}

#[test]
fn calm_runs_break_nothing_and_have_both_kinds() {
    let (mut of_traces, mut of_modules) = (0, 0);
    for seed in 0..20 {
        let tape = tape(seed);
        tape.judge(invariants).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        let logs = tape.commits.iter().filter(|c| c.stream.name.starts_with("logs/"));
        let (modules, traces): (Vec<_>, Vec<_>) = logs.partition(|c| c.stream.name.matches('/').count() == 2);
        of_modules += modules.len();
        of_traces += traces.len();
    }
    assert!(of_traces > 20 && of_modules > 20, "{of_traces} {of_modules}");
}

#[test]
fn a_chunk_without_its_head_and_a_head_that_miscounts_are_noticed() {
    let mut alone = tape(1);
    let at = first(&alone);
    alone.commits[at].changes.retain(|c| c.kind() != "log-head");
    alone.must_fail(invariants, "LIW heads");
    let mut miscounted = tape(1);
    let heads = miscounted.commits[at].changes.iter_mut().filter(|c| c.kind() == "log-head");
    heads.for_each(|c| c.after.as_mut().unwrap().body.0["count"] = 99.into());
    miscounted.must_fail(invariants, "LIW heads");
}

#[test]
fn a_record_in_another_stream_is_noticed() {
    let mut tape = tape(1);
    let at = first(&tape);
    tape.commits[at].stream.name = "logs/elsewhere".to_owned();
    tape.must_fail(invariants, "LIW streams");
}

#[test]
fn a_repetition_that_writes_something_else_is_noticed() {
    let mut tape = tape(1);
    let at = first(&tape);
    let mut again = tape.commits[at].clone();
    for change in &mut again.changes {
        change.before = change.after.clone();
        change.after.as_mut().unwrap().body.0["first"] = "2026-11-21T10:00:00.000Z".into();
    }
    tape.commits.push(again);
    tape.must_fail(invariants, "LIW chunks");
}

#[test]
fn a_secret_inside_a_chunk_is_noticed() {
    let mut tape = tape(1);
    tape.plan.secrets = vec!["thread.id".to_owned()];
    tape.must_fail(invariants, "LIW redacted");
}

#[test]
fn a_lost_record_and_one_stored_twice_are_noticed() {
    let at = |tape: &Tape| tape.documents.iter().position(|d| d.document.kind == "log-chunk").unwrap();
    let mut lost = tape(1);
    lost.documents.remove(at(&lost));
    lost.must_fail(invariants, "LIW records");
    let mut twice = tape(1);
    let copy = twice.documents[at(&twice)].clone();
    twice.documents.push(copy);
    twice.must_fail(invariants, "LIW records");
}
