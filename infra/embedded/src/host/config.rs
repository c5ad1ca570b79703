//! `host.json`, as far as a custom handler needs it.
//!
//! Keys are compared ignoring case, and every one can be overridden by a setting `AzureFunctionsJobHost__a__b`, as the real
//! host does. What is not read here is left to the cloud.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::error::HostError;

/// The host's settings: its environment and `Values` of local.settings.json; names compare ignoring case.
#[derive(Debug, Clone, Default)]
pub struct Settings(BTreeMap<String, (String, String)>);

impl Settings {
    /// The environment of this process. A variable that is not UTF-8 is none of ours.
    pub fn of_process() -> Self {
        let mut settings = Self::default();
        for (name, value) in std::env::vars_os() {
            if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
                settings.set(&name, &value);
            }
        }
        settings
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_ascii_lowercase(), (name.to_owned(), value.to_owned()));
    }

    /// `Values` of local.settings.json; what the environment has already wins.
    pub fn add_local(&mut self, path: &Path) -> Result<(), HostError> {
        let Ok(text) = std::fs::read_to_string(path) else { return Ok(()) };
        let file: Value = serde_json::from_str(&text).map_err(|why| HostError::config(path, why))?;
        for (name, value) in find(&file, &["Values"]).and_then(Value::as_object).into_iter().flatten() {
            if self.get(name).is_none() {
                self.set(name, &plain(value));
            }
        }
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_ascii_lowercase()).map(|(_, value)| value.as_str())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.values().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Replaces each `%X%`; the error is the name of a setting that is missing.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            let Some((name, behind)) = after.split_once('%') else { break };
            out.push_str(before);
            out.push_str(self.get(name).ok_or_else(|| name.to_owned())?);
            rest = behind;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// `AzureWebJobs.<Function>.Disabled`; the underscores are what a shell allows.
    pub(super) fn disables(&self, function: &str) -> bool {
        let spellings = [format!("AzureWebJobs.{function}.Disabled"), format!("AzureWebJobs__{function}__Disabled")];
        spellings.iter().filter_map(|name| self.get(name)).any(|on| on == "1" || on.eq_ignore_ascii_case("true"))
    }
}

/// `customHandler.description`.
#[derive(Debug, Clone, Default)]
pub struct Description {
    pub executable: String,
    pub working_directory: String,
    pub arguments: Vec<String>,
    pub worker_arguments: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMode {
    /// The envelope, whatever came.
    Default,
    Forwarding,
    Proxying,
}

#[derive(Debug, Clone)]
pub struct HostConfig {
    pub description: Description,
    pub http_mode: HttpMode,
    /// How long a handler may take until it answers `GET /`.
    pub initialization_timeout: Duration,
    pub port: Option<u16>,
    /// `None`: -1, no limit.
    pub function_timeout: Option<Duration>,
    pub route_prefix: String,
    pub max_concurrent_calls: usize,
    pub max_batch: usize,
    pub auto_complete: bool,
    pub lock_renewal_max: Duration,
    /// `customHandler.http.routes` generates functions; not usable beside any function.json.
    pub has_http_routes: bool,
}

impl HostConfig {
    pub fn read(path: &Path, settings: &Settings) -> Result<Self, HostError> {
        let text = std::fs::read_to_string(path).map_err(|why| HostError::config(path, why))?;
        Self::parse(&text, settings).map_err(|why| HostError::config(path, why))
    }

    pub fn parse(text: &str, settings: &Settings) -> Result<Self, String> {
        let mut file: Value = serde_json::from_str(text).map_err(|why| why.to_string())?;
        override_from(settings, &mut file);
        let get = |path: &[&str]| find(&file, path);
        let time = |path: &[&str], otherwise: u64| -> Result<Option<Duration>, String> {
            get(path).map_or(Ok(Some(Duration::from_secs(otherwise))), |value| time_span(&plain(value)))
        };
        let count = |path: &[&str], otherwise: usize| -> usize {
            get(path).and_then(|value| plain(value).parse().ok()).filter(|n| *n > 0).unwrap_or(otherwise)
        };
        let on = |path: &[&str], otherwise: bool| -> bool {
            get(path).map_or(otherwise, |value| plain(value).eq_ignore_ascii_case("true"))
        };
        const BUS: [&str; 2] = ["extensions", "serviceBus"];
        let bus = |name| [BUS[0], BUS[1], name];
        Ok(Self {
            description: description(&file)?,
            http_mode: http_mode(&on),
            initialization_timeout: time(&["customHandler", "initializationTimeout"], 30)?
                .unwrap_or(Duration::from_secs(30)),
            port: get(&["customHandler", "port"]).and_then(|value| plain(value).parse().ok()),
            function_timeout: time(&["functionTimeout"], 1_800)?,
            route_prefix: get(&["extensions", "http", "routePrefix"]).map_or_else(|| "api".to_owned(), plain),
            max_concurrent_calls: count(&bus("maxConcurrentCalls"), 16 * cores()),
            max_batch: count(&bus("maxMessageBatchSize"), 1_000),
            auto_complete: on(&bus("autoCompleteMessages"), true),
            lock_renewal_max: time(&bus("maxAutoLockRenewalDuration"), 300)?.unwrap_or(Duration::MAX),
            has_http_routes: get(&["customHandler", "http", "routes"]).is_some(),
        })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn http_mode(on: &dyn Fn(&[&str], bool) -> bool) -> HttpMode {
    if on(&["customHandler", "enableProxyingHttpRequest"], false) {
        return HttpMode::Proxying; // wins over forwarding when both are set
    }
    if on(&["customHandler", "enableForwardingHttpRequest"], false) { HttpMode::Forwarding } else { HttpMode::Default }
}

fn description(file: &Value) -> Result<Description, String> {
    // `httpWorker` is the old name of the section.
    let section = find(file, &["customHandler", "description"])
        .or_else(|| find(file, &["httpWorker", "description"]))
        .ok_or("customHandler.description is missing: only custom handlers are run here")?;
    let text = |name| find(section, &[name]).map(plain).unwrap_or_default();
    let list = |name| match find(section, &[name]) {
        Some(Value::Array(items)) => items.iter().map(plain).collect(),
        _ => Vec::new(),
    };
    Ok(Description {
        executable: text("defaultExecutablePath"),
        working_directory: text("workingDirectory"),
        arguments: list("arguments"),
        worker_arguments: list("workerArguments"),
    })
}

/// `AzureFunctionsJobHost__customHandler__description__defaultExecutablePath` and the like.
fn override_from(settings: &Settings, file: &mut Value) {
    const PREFIX: &str = "azurefunctionsjobhost__";
    for (name, value) in settings.iter() {
        if let Some(path) = name.get(..PREFIX.len()).filter(|head| head.eq_ignore_ascii_case(PREFIX)) {
            let path: Vec<&str> = name[path.len()..].split("__").collect();
            set(file, &path, value);
        }
    }
}

fn set(at: &mut Value, path: &[&str], value: &str) {
    let Some((first, rest)) = path.split_first() else {
        *at = Value::String(value.to_owned());
        return;
    };
    if !at.is_object() {
        *at = Value::Object(serde_json::Map::new());
    }
    let Value::Object(members) = at else { return };
    let have = members.keys().find(|name| name.eq_ignore_ascii_case(first)).cloned();
    set(members.entry(have.unwrap_or_else(|| (*first).to_owned())).or_insert(Value::Null), rest, value);
}

pub(super) fn find<'a>(at: &'a Value, path: &[&str]) -> Option<&'a Value> {
    let mut at = at;
    for name in path {
        let members = at.as_object()?;
        at = members.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value)?;
    }
    Some(at).filter(|found| !found.is_null())
}

/// A scalar as the text a setting would have.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `[d.]hh:mm:ss[.fraction]`; `None` is -1, no limit.
pub(super) fn time_span(text: &str) -> Result<Option<Duration>, String> {
    if text.starts_with('-') {
        return Ok(None);
    }
    let wrong = || format!("`{text}` is not a time span");
    let parts: Vec<&str> = text.split(':').collect();
    let [hours, minutes, seconds] = parts[..] else { return Err(wrong()) };
    let (days, hours) = hours.split_once('.').unwrap_or(("0", hours));
    let whole = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    let seconds: f64 = seconds.parse().map_err(|_| wrong())?;
    let minutes = (whole(days)? * 24 + whole(hours)?) * 60 + whole(minutes)?;
    let seconds = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    Ok(Some(Duration::from_secs(minutes * 60) + seconds))
}
