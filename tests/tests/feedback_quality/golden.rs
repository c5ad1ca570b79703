//! Golden decisions: `{about, unit, input, view, at, decision}`, compared as JSON and held to every law.

use opsloop_kernel::{Moment, Timestamp, Worker, law};
use opsloop_observability::{feedback_creation::FeedbackCreationWorker, quality_score::QualityScoreWorker};
use opsloop_shell::pipeline;
use serde_json::Value;
use std::{fs, path::PathBuf};

fn cases(folder: &str) -> Vec<(String, Value)> {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../handlers/observability/src").join(folder);
    let mut files: Vec<_> = fs::read_dir(golden.join("golden")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let read = |p: &PathBuf| serde_json::from_str(&fs::read_to_string(p).unwrap()).unwrap();
    files.iter().map(|p| (p.file_stem().unwrap().to_string_lossy().into_owned(), read(p))).collect()
}

fn decided_as_they_say<W: Worker>(cases: &[(String, Value)]) {
    assert!(cases.len() >= 14, "{}", cases.len());
    for (name, case) in cases {
        let decided = pipeline::explain::<W>(case).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(decided, case["decision"], "{name}: {}", case["about"]);
        let part = |name: &str| case[name].clone();
        let unit = pipeline::unit_of::<W::Key>(&part("unit")).unwrap();
        let input: W::Input = serde_json::from_value(part("input")).unwrap();
        let view: W::View = serde_json::from_value(part("view")).unwrap();
        let at: Timestamp = serde_json::from_value(part("at")).unwrap();
        law::all::<W>(&unit, &input, &view, Moment(at)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let planned = W::plan(&input).into_iter().flatten();
        assert!(planned.into_iter().any(|u| u == unit), "{name}: the unit is not of the plan");
    }
    for kind in W::SPEC.emits {
        let emits = |c: &Value| c["decision"]["facts"].as_array().is_some_and(|f| f.iter().any(|f| f["kind"] == *kind));
        assert!(cases.iter().any(|(_, c)| emits(c)), "no case emits {kind}");
    }
}

#[test]
fn feedback_is_decided_as_its_cases_say() {
    decided_as_they_say::<FeedbackCreationWorker>(&cases("feedback_creation"));
}

#[test]
fn quality_is_decided_as_its_cases_say() {
    decided_as_they_say::<QualityScoreWorker>(&cases("quality_score"));
}

/// The numbers of SPEC 5.8.7, where they are announced.
#[test]
fn the_cases_of_quality_announce_the_numbers_of_the_specification() {
    let cases = cases("quality_score");
    for (prefix, overall) in [
        ("QSW-01", 100.0),
        ("QSW-02", 95.18),
        ("QSW-03", 97.49),
        ("QSW-04", 88.11),
        ("QSW-05", 95.18),
        ("QSW-06", 89.61),
    ] {
        let (_, case) = cases.iter().find(|(name, _)| name.starts_with(prefix)).unwrap();
        assert_eq!(case["decision"]["facts"][0]["payload"]["overall"], overall, "{prefix}");
    }
}
