//! Golden decisions: `{about, unit, input, view, at, decision}`, compared as JSON and held to every law.

use opsloop_kernel::{Moment, Timestamp, Worker, law};
use opsloop_observability::{alert_evaluation::AlertEvaluationWorker, slo_evaluation::SloEvaluation};
use opsloop_shell::pipeline;
use serde_json::Value;
use std::{fs, path::PathBuf};

fn cases(folder: &str) -> Vec<(String, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../handlers/observability/src").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder.join("golden")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let read = |p: &PathBuf| serde_json::from_str(&fs::read_to_string(p).unwrap()).unwrap();
    files.iter().map(|p| (p.file_stem().unwrap().to_string_lossy().into_owned(), read(p))).collect()
}

fn held<W: Worker>(folder: &str, least: usize) {
    let cases = cases(folder);
    assert!(cases.len() >= least, "{}", cases.len());
    for (name, case) in &cases {
        let decided = pipeline::explain::<W>(case).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(decided, case["decision"], "{name}: {}", case["about"]);
        let unit = pipeline::unit_of(&case["unit"]).unwrap();
        let input = serde_json::from_value(case["input"].clone()).unwrap();
        let view = serde_json::from_value(case["view"].clone()).unwrap();
        let at: Timestamp = serde_json::from_value(case["at"].clone()).unwrap();
        law::all::<W>(&unit, &input, &view, Moment(at)).unwrap();
    }
    for kind in W::SPEC.emits {
        let emits = |c: &Value| c["decision"]["facts"].as_array().is_some_and(|f| f.iter().any(|f| f["kind"] == *kind));
        assert!(cases.iter().any(|(_, c)| emits(c)), "no case emits {kind}");
    }
}

#[test]
fn golden_cases_of_rules_are_decided_as_they_say() {
    held::<AlertEvaluationWorker>("alert_evaluation", 7);
}

#[test]
fn golden_cases_of_slos_are_decided_as_they_say() {
    held::<SloEvaluation>("slo_evaluation", 5);
}
