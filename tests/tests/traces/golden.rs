//! Golden decisions: `{about, unit, input, view, at, decision}`; the files are what the scenarios give.

use super::world::{World, batch, seconds, span, with};
use opsloop_kernel::{Moment, Timestamp, Worker, law};
use opsloop_observability::trace_ingestion::TraceIngestionWorker;
use opsloop_shell::pipeline;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../handlers/observability/src/trace_ingestion/golden")
}

/// The decisions of a scenario that are worth a file: its place among all, the file's name, what it is about.
async fn made() -> Vec<(&'static str, &'static str, Value)> {
    let mut calm = World::new();
    calm.deliver(batch(&[span(0xa, 0, 0, 100), span(0xb, 0xa, 10, 60), span(0xc, 0xa, 60, 90)], seconds(0))).await;
    calm.deliver(batch(&[span(0xa, 0, 0, 100), span(0xb, 0xa, 10, 60), span(0xc, 0xa, 60, 90)], seconds(0))).await;
    calm.ticks(10, 20).await;
    let mut held = World::new();
    held.deliver(batch(&[span(0xb, 0xa, 10, 60)], seconds(0))).await;
    held.ticks(10, 60).await;
    let mut error = World::new();
    let failed = with(span(0xa, 0, 0, 100), json!({"status": {"code": 2}}));
    error.deliver(batch(&[failed], seconds(0))).await;
    error.ticks(10, 20).await;
    vec![
        (
            "TIW-01-arrives",
            "Three spans arrive: chunk and head in one commit, due ten seconds later.",
            calm.cases.remove(0),
        ),
        ("TIW-02-arrives-again", "The same batch again: duplicates, and nothing changes.", calm.cases.remove(0)),
        ("TIW-01-indexed", "Due: the index first.", calm.cases.remove(0)),
        ("TIW-01-recorded", "Due: then the head, with the event.", calm.cases.remove(0)),
        ("TIW-04-waits", "An orphan at ten seconds: it is held.", held.cases.remove(2)),
        ("TIW-04-held-for-a-minute", "An orphan after a minute: announced as partial.", held.cases.remove(3)),
        ("TIW-10-an-error-trace", "A record with a signal bears the property `signals`.", error.cases.remove(2)),
    ]
}

#[tokio::test]
async fn golden_cases_are_decided_as_they_say() {
    let mut kinds = vec![];
    for (name, about, mut case) in made().await {
        let file = folder().join(format!("{name}.json"));
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{name}: {e}"));
        let golden: Value = serde_json::from_str(&text).unwrap();
        case["about"] = json!(about);
        assert_eq!(golden, case, "{name}");
        assert_eq!(pipeline::explain::<TraceIngestionWorker>(&golden).unwrap(), golden["decision"], "{name}");
        let unit = pipeline::unit_of(&golden["unit"]).unwrap();
        let (input, view) =
            (serde_json::from_value(golden["input"].clone()), serde_json::from_value(golden["view"].clone()));
        let at: Timestamp = serde_json::from_value(golden["at"].clone()).unwrap();
        law::all::<TraceIngestionWorker>(&unit, &input.unwrap(), &view.unwrap(), Moment(at)).unwrap();
        kinds.extend(golden["decision"]["facts"].as_array().unwrap().iter().map(|f| f["kind"].clone()));
    }
    for kind in TraceIngestionWorker::SPEC.emits {
        assert!(kinds.contains(&json!(kind)), "{kind}");
    }
}
