//! Golden decisions: `{about, unit, input, view, at, decision}`, compared as JSON and held to every law.

use opsloop_kernel::{Moment, Timestamp, Worker, law};
use opsloop_observability::incident_analysis::IncidentAnalysisWorker;
use opsloop_shell::pipeline;
use serde_json::Value;
use std::{fs, path::PathBuf};

fn cases() -> Vec<(String, Value)> {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../handlers/observability/src/incident_analysis/golden");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let read = |p: &PathBuf| serde_json::from_str(&fs::read_to_string(p).unwrap()).unwrap();
    files.iter().map(|p| (p.file_stem().unwrap().to_string_lossy().into_owned(), read(p))).collect()
}

#[test]
fn golden_cases_are_decided_as_they_say() {
    let cases = cases();
    assert!(cases.len() >= 15, "{}", cases.len());
    for (name, case) in cases {
        let decided = pipeline::explain::<IncidentAnalysisWorker>(&case).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(decided, case["decision"], "{name}: {}", case["about"]);
        let unit = pipeline::unit_of(&case["unit"]).unwrap();
        let (input, view) =
            (serde_json::from_value(case["input"].clone()), serde_json::from_value(case["view"].clone()));
        let at: Timestamp = serde_json::from_value(case["at"].clone()).unwrap();
        law::all::<IncidentAnalysisWorker>(&unit, &input.unwrap(), &view.unwrap(), Moment(at)).unwrap();
    }
}

#[test]
fn every_kind_is_emitted_by_some_case() {
    let all = cases();
    for kind in IncidentAnalysisWorker::SPEC.emits {
        let emits = |c: &Value| c["decision"]["facts"].as_array().is_some_and(|f| f.iter().any(|f| f["kind"] == *kind));
        assert!(all.iter().any(|(_, c)| emits(c)), "{kind}");
    }
}
