//! The one place that reads the environment. Every problem is reported at once, with what is wrong and an example.

use opsloop_kernel::Timestamp;
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// Every setting of `serve`: name, a value for a laptop, what it is. `local.settings.sample.json` is held against it.
pub const KNOWN: &[(&str, &str, &str)] = &[
    ("FUNCTIONS_WORKER_RUNTIME", "custom", "the host's: this app is a custom handler"),
    ("AzureWebJobsStorage", "UseDevelopmentStorage=true", "the host's: where it keeps timer status; Azurite locally"),
    ("ServiceBusConnection", "Endpoint=sb://127.0.0.1;UseDevelopmentEmulator=true", "the host's: topic and queues"),
    (DATA, ".opsloop", "folder of the embedded stores; without it the cloud's adapters would be used"),
    (LOG, "info", "what is logged, as in `info,opsloop_shell=debug`"),
    (BUCKETS, "8", "metric buckets, 1 to 256; fixed at the first start"),
    (SIGNAL_ITEMS, "true", "whether recurring errors in traces become feedback items"),
];

pub const DATA: &str = "OPSLOOP_DATA";
pub const LOG: &str = "OPSLOOP_LOG";
const BUCKETS: &str = "OPSLOOP_METRIC_BUCKETS";
pub const SIGNAL_ITEMS: &str = "OPSLOOP_SIGNAL_ITEMS";
/// What `local` tells its children, and nobody else sets.
pub const CONTROL_URL: &str = "OPSLOOP_CONTROL_URL";
pub const CONTROL_TOKEN: &str = "OPSLOOP_CONTROL_TOKEN";
pub const PARENT: &str = "OPSLOOP_PARENT_PID";
pub const CLOCK: &str = "OPSLOOP_VIRTUAL_NOW";
const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

/// What `serve` runs with.
#[derive(Clone, PartialEq)]
pub struct Settings {
    pub port: u16,
    pub data: PathBuf,
    pub log: String,
    pub workers: WorkerSettings,
    pub parent: Parent,
}

/// What the workers are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerSettings {
    pub metric_buckets: u16,
    pub signal_items: bool,
}
impl Default for WorkerSettings {
    fn default() -> Self {
        Self { metric_buckets: 8, signal_items: true }
    }
}

/// The `local` process that started this one.
#[derive(Clone, PartialEq, Eq)]
pub struct Parent {
    pub control_url: String,
    pub control_token: String,
    pub pid: i32,
    /// The virtual clock's instant; none on the wall clock.
    pub virtual_now: Option<Timestamp>,
}

/// Everything that is wrong with the environment.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the settings do not do:")?;
        self.0.iter().try_for_each(|p| writeln!(f, "  {p}"))
    }
}

impl Settings {
    pub fn of_process() -> Result<Self, Problems> {
        Self::of(&std::env::vars().collect())
    }

    pub fn of(environment: &BTreeMap<String, String>) -> Result<Self, Problems> {
        let mut read = Reader { environment, problems: Vec::new() };
        let settings = Self {
            port: read.parsed(PORT, None, "the host sets it; by hand, a free port such as 7080"),
            data: read.text(DATA, None, "a folder such as .opsloop; `opsloop local` sets it").into(),
            log: read.text(LOG, Some("info"), ""),
            workers: WorkerSettings {
                metric_buckets: read.parsed(BUCKETS, Some(8), "a number from 1 to 256"),
                signal_items: read.parsed(SIGNAL_ITEMS, Some(true), "true or false"),
            },
            parent: Parent {
                control_url: read.text(CONTROL_URL, None, "`opsloop local` sets it: it owns the embedded broker"),
                control_token: read.text(CONTROL_TOKEN, None, "`opsloop local` sets it"),
                pid: read.parsed(PARENT, None, "`opsloop local` sets it: this process ends with it"),
                virtual_now: read.optional(CLOCK, "an instant such as 2026-11-21T10:00:00.000Z"),
            },
        };
        if !(1..=256).contains(&settings.workers.metric_buckets) {
            read.problems
                .push(format!("{BUCKETS} is {}; it is 1 to 256, for example 8", settings.workers.metric_buckets));
        }
        if read.problems.is_empty() { Ok(settings) } else { Err(Problems(read.problems)) }
    }
}

struct Reader<'a> {
    environment: &'a BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn text(&mut self, name: &str, default: Option<&str>, hint: &str) -> String {
        match (self.environment.get(name), default) {
            (Some(value), _) if !value.is_empty() => value.clone(),
            (_, Some(default)) => default.to_owned(),
            (_, None) => {
                self.problems.push(format!("{name} is not set: {hint}"));
                String::new()
            }
        }
    }
    fn parsed<T: std::str::FromStr + Default>(&mut self, name: &str, default: Option<T>, hint: &str) -> T {
        match (self.environment.get(name), default) {
            (Some(value), _) => value.parse().unwrap_or_else(|_| {
                self.problems.push(format!("{name} is `{value}`: it must be {hint}"));
                T::default()
            }),
            (None, Some(default)) => default,
            (None, None) => {
                self.problems.push(format!("{name} is not set: {hint}"));
                T::default()
            }
        }
    }
    fn optional<T: std::str::FromStr>(&mut self, name: &str, hint: &str) -> Option<T> {
        let value = self.environment.get(name)?;
        let parsed = value.parse().ok();
        if parsed.is_none() {
            self.problems.push(format!("{name} is `{value}`: it must be {hint}"));
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_at_once() {
        let environment = BTreeMap::from([(BUCKETS.to_owned(), "many".to_owned())]);
        let Err(Problems(problems)) = Settings::of(&environment) else { panic!("nothing is set") };
        for name in [PORT, DATA, BUCKETS, CONTROL_URL, CONTROL_TOKEN, PARENT] {
            assert!(problems.iter().any(|p| p.starts_with(name)), "{name}: {problems:?}");
        }
    }

    #[test]
    fn the_sample_has_every_setting_and_no_other() {
        let text = include_str!("../../../local.settings.sample.json");
        let sample: serde_json::Value = serde_json::from_str(text).unwrap();
        let expected: serde_json::Map<_, _> = KNOWN.iter().map(|(n, v, _)| ((*n).to_owned(), (*v).into())).collect();
        assert_eq!(sample["Values"], serde_json::Value::Object(expected));
        assert_eq!(sample["IsEncrypted"], false);
    }
}
