//! Plans are what they should be, a calm run breaks nothing, and each rule notices its own breach.

use super::invariants;
use crate::{
    journal::{Applied, Change},
    workers::bed::{Tape, all_taken, cast, part, plan_of, run},
};
use opsloop_observability::trace_ingestion::head;
use std::collections::BTreeSet;

fn tape(seed: u64) -> Tape {
    let cast = cast();
    let plan = plan_of(&[part("TraceIngestionWorker")], &cast, seed);
    run(cast, plan)
}

/// The first tape of some seed with a commit that announces, and the place of that commit.
fn announcing() -> (Tape, usize) {
    let tape = tape(1);
    let at = tape.commits.iter().position(|c| !c.owed.is_empty()).unwrap();
    (tape, at)
}

fn head_of(commit: &mut Applied) -> &mut Change {
    commit.changes.iter_mut().find(|c| c.id.0 == head::ID).unwrap()
}

/// Changes one field of the record that a commit put into the head.
fn with_record(field: &str, value: serde_json::Value) -> Tape {
    let (mut tape, at) = announcing();
    head_of(&mut tape.commits[at]).after.as_mut().unwrap().body.0["record"][field] = value;
    tape
}

#[test]
fn fifty_plans_are_small_and_inside_and_the_receiver_takes_them() {
    let cast = cast();
    for seed in 0..50 {
        let plan = plan_of(&[part("TraceIngestionWorker")], &cast, seed);
        all_taken(&cast, &plan);
        for tenant in &cast.tenants {
            let mine = plan.arrivals.iter().filter(|a| a.tenant == *tenant);
            // A flood is one more than the batches that are planned.
            assert!((2..=11).contains(&mine.count()), "seed {seed}");
        }
    }
}

#[test]
fn calm_runs_break_nothing_and_have_everything() {
    let mut seen = BTreeSet::new();
    for seed in 0..30 {
        let tape = tape(seed);
        tape.judge(invariants).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        let heads = tape.documents.iter().filter(|d| d.document.id.0 == head::ID).map(|d| &d.document.body.0);
        for head in heads {
            seen.insert(format!("revision {}", head["revision"].as_u64().unwrap().min(2)));
            seen.insert(head["record"]["completeness"].as_str().unwrap().to_owned());
            seen.insert(head["record"]["status"].as_str().unwrap().to_owned());
            let signals = head["record"]["signals"].as_array().unwrap();
            seen.extend(signals.iter().map(|s| s["kind"].as_str().unwrap().to_owned()));
        }
        seen.extend(tape.plan.secrets.first().map(|_| "secret".to_owned()));
        seen.extend(tape.recorded.keys().cloned());
    }
    let wanted =
        ["revision 2", "partial", "complete", "error", "error_trace", "latency_outlier", "retry_storm", "secret"];
    assert!(wanted.iter().all(|w| seen.contains(*w)), "{seen:?}");
    for counted in ["telemetry_duplicates_total", "span_conflict_total"] {
        assert!(seen.contains(&format!("TraceIngestionWorker|{counted}|")), "{seen:?}");
    }
}

#[test]
fn twins_get_the_same() {
    let cast = crate::plan::Cast { twins: true, ..cast() };
    let plan = plan_of(&[part("TraceIngestionWorker")], &cast, 7);
    let of = |n: usize| {
        let mine = plan.arrivals.iter().filter(|a| a.tenant == cast.tenants[n]);
        mine.map(|a| format!("{} {:?}", a.at, a.offer)).collect::<Vec<_>>()
    };
    assert_eq!(of(0), of(1));
}

#[test]
fn i1_a_record_of_another_tenant_is_noticed() {
    with_record("tenantId", "umbrella".into()).must_fail(invariants, "TIW I1");
}

#[test]
fn i2_an_end_before_the_start_is_noticed() {
    with_record("endedAt", "2026-11-20T10:00:00.000Z".into()).must_fail(invariants, "TIW I2");
}

#[test]
fn i3_a_wrong_word_about_completeness_is_noticed() {
    let (tape, at) = announcing();
    let head = tape.commits[at].changes.iter().find(|c| c.id.0 == head::ID).unwrap();
    let is = head.after.as_ref().unwrap().body.0["record"]["completeness"].clone();
    let other = if is == "complete" { "partial" } else { "complete" };
    with_record("completeness", other.into()).must_fail(invariants, "TIW I3");
}

#[test]
fn i4_a_wrong_number_of_spans_is_noticed() {
    with_record("spanCount", 77.into()).must_fail(invariants, "TIW I4");
}

#[test]
fn i5_a_record_of_other_spans_is_noticed() {
    with_record("contentHash", "0".into()).must_fail(invariants, "TIW I5");
}

#[test]
fn i6_a_secret_is_noticed_inside_a_chunk_and_a_batch() {
    let mut tape = tape(1);
    // Every span has a name: as if that were the secret that was not redacted.
    tape.plan.secrets = vec!["step 1".to_owned()];
    tape.must_fail(invariants, "TIW I6");
    tape.documents.clear();
    tape.must_fail(invariants, "TIW I6");
}

#[test]
fn a_revision_left_out_and_one_of_another_instant_are_noticed() {
    let (mut tape, at) = announcing();
    tape.commits[at].owed[0].revision = 2;
    tape.must_fail(invariants, "TIW revisions");
    let (mut tape, at) = announcing();
    tape.commits[at].owed[0].occurred_at = tape.commits[at].at.plus_millis(1);
    tape.must_fail(invariants, "TIW revisions");
    let (mut tape, at) = announcing();
    tape.commits[at].owed.clear();
    tape.must_fail(invariants, "TIW revisions");
}

#[test]
fn a_chunk_that_the_head_does_not_know_is_noticed() {
    let mut tape = tape(1);
    let first = &mut tape.commits[0];
    let chunk = first.changes.iter().position(|c| c.kind() == "chunk").unwrap();
    first.changes.remove(chunk);
    tape.must_fail(invariants, "TIW chunks");
}

#[test]
fn a_chunk_that_only_repeats_is_noticed() {
    let mut tape = tape(1);
    let first = &mut tape.commits[0];
    let mut copy = first.changes.iter().find(|c| c.kind() == "chunk").unwrap().clone();
    copy.id.0.push('0');
    let listed = copy.id.0.trim_start_matches("chunk|").to_owned();
    first.changes.push(copy);
    let head = &mut head_of(first).after.as_mut().unwrap().body.0;
    head["chunks"].as_array_mut().unwrap().push(listed.into());
    head["chunkCount"] = 2.into();
    tape.must_fail(invariants, "TIW chunks");
}

#[test]
fn a_lost_span_and_a_strange_one_are_noticed() {
    let mut lost = tape(1);
    let at = lost.documents.iter().position(|d| d.document.kind == "chunk").unwrap();
    lost.documents.remove(at);
    lost.must_fail(invariants, "TIW spans");
    let mut strange = tape(1);
    strange.plan.spans.clear();
    strange.must_fail(invariants, "TIW spans");
}

#[test]
fn a_record_that_the_index_does_not_list_is_noticed() {
    let (mut tape, at) = announcing();
    let before = tape.commits[..at].iter_mut().flat_map(|c| &mut c.changes);
    let entry = before.filter(|c| c.kind() == "trace-entry").last().unwrap();
    entry.after = None;
    tape.must_fail(invariants, "TIW index");
}
