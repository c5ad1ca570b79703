//! Golden decisions: `{about, unit, input, view, at, decision}`; the files are what scenarios give. With
//! `OPSLOOP_GOLDEN=write` they are written anew, to be read before they are committed.

use super::{bed::Bed, otlp::*};
use opsloop_kernel::Worker;
use opsloop_observability::metric_aggregation::MetricAggregationWorker;
use opsloop_shell::pipeline;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

const REQUESTS: &str = "http.server.requests";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../handlers/observability/src/metric_aggregation/golden")
}

/// The file's name, what it is about, the case.
async fn made() -> Vec<(&'static str, &'static str, Value)> {
    let mut bed = Bed::new();
    let counted = |time: &str, value| vec![counter(REQUESTS, vec![number("09:58:00", time, value)])];
    bed.send("10:01:01", counted("10:01:00", 60.0)).await;
    bed.ticks("10:01:30", "10:02:30").await;
    bed.send("10:03:01", counted("10:00:00", 20.0)).await;
    bed.ticks("10:03:30", "10:06:30").await;
    let mut cases = std::mem::take(&mut bed.cases);
    let mut next = |key: &str, reason: &str| {
        let wanted =
            |c: &Value| c["unit"]["key"].as_str().unwrap().starts_with(key) && c["decision"]["reason"] == reason;
        let found = cases.iter().position(wanted).unwrap_or_else(|| panic!("no {key} with {reason}"));
        cases.remove(found)
    };
    vec![
        (
            "MAW-01-arrives",
            "The first batch of a bucket: its root, a chunk and a mark.",
            next("arrival|", "points-stored"),
        ),
        (
            "MAW-16-a-new-identity",
            "Its start is young: the first point counts, and is announced.",
            next("dirty|60000|", "window-closed"),
        ),
        ("MAW-14-watermarks-move", "Nothing is open: the watermarks move.", next("bucket", "watermarks-moved")),
        (
            "MAW-13-a-late-window",
            "A point before those that were counted: its window hands on other states, so the next one is marked.",
            next("dirty|60000|", "window-closed"),
        ),
        (
            "MAW-13-a-correction",
            "The window that was counted before: revision 2, and its states are as they were.",
            next("dirty|60000|", "window-closed"),
        ),
        ("MAW-04-five-minutes", "A parent is made of its children.", next("dirty|300000|", "window-closed")),
    ]
}

#[tokio::test]
async fn golden_cases_are_decided_as_they_say() {
    let mut kinds = vec![];
    for (name, about, mut case) in made().await {
        case["about"] = json!(about);
        let file = folder().join(format!("{name}.json"));
        if std::env::var_os("OPSLOOP_GOLDEN").is_some_and(|v| v == "write") {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&file, format!("{}\n", serde_json::to_string_pretty(&case).unwrap())).unwrap();
        }
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{name}: {e}"));
        let golden: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(golden, case, "{name}");
        assert_eq!(pipeline::explain::<MetricAggregationWorker>(&golden).unwrap(), golden["decision"], "{name}");
        kinds.extend(golden["decision"]["facts"].as_array().unwrap().iter().map(|f| f["kind"].clone()));
    }
    for kind in MetricAggregationWorker::SPEC.emits {
        assert!(kinds.contains(&json!(kind)), "{kind}");
    }
}
