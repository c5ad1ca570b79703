//! What the catalogue says, as files: functions/*/function.json, bicep/catalogue.json, the worker table of the README
//! (DESIGN 8). Rendered, never edited by hand; a check compares byte for byte.

use crate::catalogue::{Catalogue, HTTP_FUNCTIONS, OUTBOX_SWEEP, TICK_PAGES};
use crate::invocation::BINDING;
use opsloop_kernel::{
    Source, Trigger,
    message::{MAX_DELIVERIES, QUEUE_LOGS, QUEUE_METRICS, QUEUE_PAGES, QUEUE_TRACES, TOPIC},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// The setting that names the Service Bus connection (host convention).
const CONNECTION: &str = "ServiceBusConnection";
const TABLE_BEGIN: &str = "<!-- workers: rendered by `opsloop render` -->";
const TABLE_END: &str = "<!-- workers end -->";
pub const SWEEP_SCHEDULE: &str = "*/30 * * * * *";

/// Every file by its path below the root.
pub fn files(catalogue: &Catalogue, readme: &str) -> BTreeMap<PathBuf, String> {
    let mut out = BTreeMap::new();
    for (name, json) in functions(catalogue) {
        out.insert(PathBuf::from("functions").join(name).join("function.json"), pretty(&json));
    }
    out.insert("bicep/catalogue.json".into(), pretty(&topology(catalogue)));
    out.insert("README.md".into(), with_table(readme, &table(catalogue)));
    out
}

fn pretty(value: &Value) -> String {
    format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default())
}

/// Every function of the host by name.
pub fn functions(catalogue: &Catalogue) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    for (spec, trigger) in catalogue.triggers() {
        if let Some(binding) = binding(spec.name, trigger) {
            out.insert(trigger.function.to_owned(), json!({ "bindings": [binding] }));
        }
    }
    out.insert(OUTBOX_SWEEP.into(), json!({ "bindings": [timer(SWEEP_SCHEDULE)] }));
    out.insert(TICK_PAGES.into(), json!({ "bindings": [queue(QUEUE_PAGES)] }));
    for (name, route, methods) in HTTP_FUNCTIONS {
        let trigger = json!({
            "type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous",
            "methods": methods, "route": route,
        });
        let answer = json!({ "type": "http", "direction": "out", "name": "res" });
        out.insert(name.into(), json!({ "bindings": [trigger, answer] }));
    }
    out
}

/// Commands over HTTP run inline and have no function of their own.
fn binding(worker: &str, trigger: &Trigger) -> Option<Value> {
    match trigger.source {
        Source::Events { .. } => Some(json!({
            "type": "serviceBusTrigger", "direction": "in", "name": BINDING, "dataType": "binary",
            "topicName": TOPIC, "subscriptionName": worker, "connection": CONNECTION,
        })),
        Source::Queue { name } => Some(queue(name)),
        Source::Timer { schedule, .. } => Some(timer(schedule)),
        Source::Commands { .. } => None,
    }
}

fn queue(name: &str) -> Value {
    json!({
        "type": "serviceBusTrigger", "direction": "in", "name": BINDING, "dataType": "binary",
        "queueName": name, "connection": CONNECTION,
    })
}

fn timer(schedule: &str) -> Value {
    json!({ "type": "timerTrigger", "direction": "in", "name": "timer", "schedule": schedule, "useMonitor": true })
}

/// What Bicep and the embedded broker deploy: queues, subscriptions with their filters, functions and how they scale.
pub fn topology(catalogue: &Catalogue) -> Value {
    let subscriptions: Vec<Value> = catalogue
        .subscribers()
        .map(|(spec, trigger)| {
            let Source::Events { kinds, filter } = trigger.source else { return Value::Null };
            json!({
                "name": spec.name, "kinds": kinds, "filter": filter, "sqlFilter": sql_filter(spec.name, trigger),
                "maxDeliveryCount": MAX_DELIVERIES,
            })
        })
        .collect();
    let functions: Vec<Value> = functions(catalogue).keys().map(|name| json!({ "name": name })).collect();
    json!({
        "topic": TOPIC,
        "queues": [QUEUE_LOGS, QUEUE_METRICS, QUEUE_TRACES, QUEUE_PAGES],
        "maxDeliveryCount": MAX_DELIVERIES,
        "subscriptions": subscriptions,
        "functions": functions,
    })
}

/// `(kind IN (…) AND NOT EXISTS(audience)) OR audience = '<worker>'` (A23), narrowed by the property that a kind must
/// have.
pub fn sql_filter(worker: &str, trigger: &Trigger) -> String {
    let Source::Events { kinds, filter } = trigger.source else { return String::new() };
    let quoted: Vec<String> = kinds.iter().map(|k| format!("'{k}'")).collect();
    let narrowed =
        filter.map_or(String::new(), |f| format!(" AND (kind <> '{}' OR {} = '{}')", f.kind, f.property, f.value));
    format!("(kind IN ({}){narrowed} AND NOT EXISTS(audience)) OR audience = '{worker}'", quoted.join(", "))
}

fn table(catalogue: &Catalogue) -> String {
    let mut out = String::from("| Worker | What it does | Triggers | Emits | Unit |\n|---|---|---|---|---|\n");
    for worker in catalogue.workers() {
        let spec = worker.spec();
        let triggers: Vec<String> = spec.triggers.iter().map(described).collect();
        let emits = if spec.emits.is_empty() { "–".to_owned() } else { spec.emits.join(", ") };
        let row = format!("| {} | {} | {} | {emits} | {} |\n", spec.name, spec.purpose, triggers.join("; "), spec.key);
        out.push_str(&row);
    }
    out
}

fn described(trigger: &Trigger) -> String {
    match trigger.source {
        Source::Events { kinds, .. } => format!("events {}", kinds.join(", ")),
        Source::Queue { name } => format!("queue `{name}`"),
        Source::Timer { cadence_s, .. } => format!("timer, every {cadence_s} s"),
        Source::Commands { kinds } => format!("commands {}", kinds.join(", ")),
    }
}

fn with_table(readme: &str, table: &str) -> String {
    let Some((before, rest)) = readme.split_once(TABLE_BEGIN) else { return readme.to_owned() };
    let after = rest.split_once(TABLE_END).map_or("", |(_, after)| after);
    format!("{before}{TABLE_BEGIN}\n{table}{TABLE_END}{after}")
}

/// Every difference between the catalogue and the files below `root`, in words.
pub fn drift(catalogue: &Catalogue, root: &Path) -> io::Result<Vec<String>> {
    let expected = files(catalogue, &read(&root.join("README.md")));
    let mut out = Vec::new();
    for (path, text) in &expected {
        if read(&root.join(path)) != *text {
            out.push(format!("{} is not what the catalogue says; run `opsloop render`", path.display()));
        }
    }
    for folder in function_folders(root)? {
        if !expected.contains_key(&PathBuf::from("functions").join(&folder).join("function.json")) {
            out.push(format!("functions/{folder} belongs to no function of the catalogue; remove it"));
        }
    }
    Ok(out)
}

/// Writes every file below `root` and removes the folders of functions that are no more.
pub fn write(catalogue: &Catalogue, root: &Path) -> io::Result<usize> {
    let files = files(catalogue, &read(&root.join("README.md")));
    for folder in function_folders(root)? {
        if !files.contains_key(&PathBuf::from("functions").join(&folder).join("function.json")) {
            fs::remove_dir_all(root.join("functions").join(folder))?;
        }
    }
    for (path, text) in &files {
        let path = root.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)?;
    }
    Ok(files.len())
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn function_folders(root: &Path) -> io::Result<Vec<String>> {
    let Ok(entries) = fs::read_dir(root.join("functions")) else { return Ok(vec![]) };
    let mut out = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            out.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(out)
}
