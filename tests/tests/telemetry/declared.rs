//! Every declared signal is recorded somewhere, and every milestone, with the fields that it must have.

use crate::bed::{deliver, event, router_of, thing, world};
use opsloop_kernel::{TenantId, signal::MILESTONES};
use opsloop_tests::{http::call, probe::Seen};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, Mutex},
};
use tracing::field::{Field, Visit};
use tracing_subscriber::{Layer, layer::Context, prelude::*};

/// The fields of every log line, by message.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<BTreeMap<String, BTreeSet<&'static str>>>>);

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().unwrap().entry(line.message).or_default().extend(line.fields);
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: BTreeSet<&'static str>,
}
impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => _ = self.fields.insert(name),
        }
    }
}

#[tokio::test]
async fn every_milestone_is_logged_with_its_fields() {
    let lines = Lines::default();
    let _listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
    let world = world();
    let router = router_of(&world, None);
    assert_eq!(deliver(&router, &event("done", None, &thing("a"))).await, 200);
    let foreign = Seen { of: Some(TenantId::parse("globex").unwrap()), ..thing("b") };
    assert_eq!(deliver(&router, &event("foreign", None, &foreign)).await, 422);
    let lines = lines.0.lock().unwrap();
    for milestone in MILESTONES {
        let fields = lines.get(milestone.name).unwrap_or_else(|| panic!("{} was not logged", milestone.name));
        for field in milestone.fields {
            assert!(fields.contains(field), "{} lacks {field}: {fields:?}", milestone.name);
        }
    }
}

#[test]
fn every_declared_signal_is_recorded_by_somebody() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let declared = fs::read_to_string(root.join("handlers/kernel/src/signal.rs")).unwrap();
    let mut code = String::new();
    for folder in ["handlers", "infra"] {
        read(&root.join(folder), &mut code);
    }
    let names = declared.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("    ")?.split_once(": ")?;
        ["Counter ", "Gauge ", "Histogram "].iter().any(|kind| rest.starts_with(kind)).then_some(name)
    });
    let names: Vec<_> = names.collect();
    assert_eq!(names.len(), opsloop_kernel::signal::SIGNALS.len());
    let said = |n: &str| code.contains(&format!("signal::{n}")) || code.contains(&format!("&{n}"));
    let silent: Vec<_> = names.into_iter().filter(|n| !said(n)).collect();
    assert!(silent.is_empty(), "declared, but never recorded: {silent:?}");
}

/// All sources but the tests beside them.
fn read(folder: &Path, code: &mut String) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        match path.is_dir() {
            true if !matches!(name.as_str(), "target" | "tests") => read(&path, code),
            false if name.ends_with(".rs") && !name.ends_with("_tests.rs") && name != "signal.rs" => {
                code.push_str(fs::read_to_string(&path).unwrap().split("#[cfg(test)]").next().unwrap_or_default());
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn what_is_in_flight_is_counted_and_comes_down_also_after_a_panic() {
    let world = world();
    let router = router_of(&world, None);
    assert_eq!(deliver(&router, &event("1", None, &thing("a"))).await, 200);
    // The sum of what the gauge was set to: one up, nought down.
    assert_eq!(world.recorded.sum(&["ProbeWorker|worker_inflight"]), 1.0);
    assert_eq!(deliver(&router, &event("2", None, &thing(opsloop_tests::probe::PANICS))).await, 500);
    assert_eq!(deliver(&router, &event("3", None, &thing("b"))).await, 200);
    assert_eq!(world.recorded.sum(&["ProbeWorker|worker_inflight"]), 3.0, "a panic leaves nothing behind");
    let _ = call(&router, "GET", "/", &[], "").await;
    assert_eq!(world.recorded.sum(&["worker_inflight"]), 3.0, "a probe is no delivery");
}
