//! `function.json`: which functions there are and what starts them.
//!
//! A function that is wrong is left out, loudly, and the others run: that is what the real host does.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::config::{Settings, find, plain, time_span};
use super::error::HostError;
use super::route::Template;
use super::schedule::Schedule;
use super::source::Entity;

#[derive(Debug, Clone)]
pub struct Function {
    pub name: String,
    /// Name of the trigger's binding: the member of Data.
    pub binding: String,
    pub trigger: Trigger,
    pub retry: Option<RetryPolicy>,
}

#[derive(Debug, Clone)]
pub enum Trigger {
    Bus(BusTrigger),
    Timer(TimerTrigger),
    Http(HttpTrigger),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// None given: a string, or for batches parsed JSON.
    Undefined,
    String,
    Binary,
}

#[derive(Debug, Clone)]
pub struct BusTrigger {
    pub entity: Entity,
    pub many: bool,
    pub data_type: DataType,
}

#[derive(Debug, Clone)]
pub struct TimerTrigger {
    pub schedule: Schedule,
    pub use_monitor: bool,
    pub run_on_startup: bool,
}

#[derive(Debug, Clone)]
pub struct HttpTrigger {
    pub template: Template,
    /// Upper case; empty: every method.
    pub methods: Vec<String>,
    /// Names of the http outputs.
    pub outputs: Vec<String>,
    /// One httpTrigger and one http output and nothing else: forwarding and proxying are possible.
    pub plain: bool,
}

#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// `None`: -1, for ever.
    pub max: Option<u32>,
    pub delay: Delay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    Fixed(Duration),
    Exponential { min: Duration, max: Duration },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InError {
    pub function: String,
    pub why: String,
}

/// What the functions directory holds.
#[derive(Debug, Default)]
pub struct Functions {
    /// In order of name ignoring case, which is the order of routing.
    pub good: Vec<Function>,
    pub in_error: Vec<InError>,
    pub disabled: Vec<String>,
}

impl Functions {
    /// Direct children of `root` that have a function.json; nothing else in there matters.
    pub fn read(root: &Path, prefix: &str, settings: &Settings) -> Result<Self, HostError> {
        let mut found = Self::default();
        for entry in std::fs::read_dir(root).map_err(|why| HostError::config(root, why))? {
            let path = entry.map_err(|why| HostError::config(root, why))?.path();
            let (Ok(text), Some(name)) =
                (std::fs::read_to_string(path.join("function.json")), path.file_name().and_then(|name| name.to_str()))
            else {
                continue;
            };
            found.add(name, &text, prefix, settings);
        }
        found.good.sort_by_key(|function| function.name.to_uppercase());
        Ok(found)
    }

    pub fn add(&mut self, name: &str, text: &str, prefix: &str, settings: &Settings) {
        if settings.disables(name) {
            self.disabled.push(name.to_owned());
            return;
        }
        match parse(name, text, prefix, settings) {
            Ok(function) => self.good.push(function),
            Err(why) => self.in_error.push(InError { function: name.to_owned(), why }),
        }
    }
}

fn parse(name: &str, text: &str, prefix: &str, settings: &Settings) -> Result<Function, String> {
    check_name(name)?;
    let mut file: Value = serde_json::from_str(text).map_err(|why| why.to_string())?;
    let retry = find(&file, &["retry"]).map(retry_policy).transpose()?;
    let bindings = match file.get_mut("bindings") {
        Some(Value::Array(bindings)) if !bindings.is_empty() => bindings,
        _ => return Err("At least one binding must be declared.".to_owned()),
    };
    for binding in bindings.iter_mut() {
        expand(binding, settings)?;
    }
    check_binding_names(bindings)?;
    let triggers: Vec<&Value> = bindings.iter().filter(|binding| is_trigger(binding)).collect();
    let [trigger] = triggers[..] else {
        return Err(match triggers.len() {
            0 => "No trigger binding specified. A function must have a trigger input binding.".to_owned(),
            _ => "Multiple trigger bindings defined. A function can only have a single trigger binding.".to_owned(),
        });
    };
    Ok(Function {
        name: name.to_owned(),
        binding: text_of(trigger, "name").ok_or("a binding has no name")?,
        trigger: read_trigger(name, trigger, bindings, prefix)?,
        retry,
    })
}

fn check_name(name: &str) -> Result<(), String> {
    let mut letters = name.chars();
    let good = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && name.len() <= 128
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-')
        && !name.eq_ignore_ascii_case("host");
    if good { Ok(()) } else { Err(format!("'{name}' is not a valid function name.")) }
}

fn expand(binding: &mut Value, settings: &Settings) -> Result<(), String> {
    let Value::Object(members) = binding else { return Err("a binding is not an object".to_owned()) };
    for (_, value) in members.iter_mut() {
        if let Value::String(text) = value {
            *text = settings.expand(text).map_err(|name| format!("'%{name}%' does not resolve to a value."))?;
        }
    }
    Ok(())
}

fn check_binding_names(bindings: &[Value]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in bindings.iter().filter_map(|binding| text_of(binding, "name")) {
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(format!("Multiple bindings with name '{name}' discovered. Binding names must be unique."));
        }
    }
    Ok(())
}

fn text_of(binding: &Value, name: &str) -> Option<String> {
    find(binding, &[name]).map(plain)
}

fn flag_of(binding: &Value, name: &str) -> Option<bool> {
    find(binding, &[name]).map(|value| plain(value).eq_ignore_ascii_case("true"))
}

fn is_trigger(binding: &Value) -> bool {
    text_of(binding, "type").is_some_and(|kind| kind.to_ascii_lowercase().ends_with("trigger"))
}

fn read_trigger(name: &str, trigger: &Value, bindings: &[Value], prefix: &str) -> Result<Trigger, String> {
    let kind = text_of(trigger, "type").unwrap_or_default();
    match kind.to_ascii_lowercase().as_str() {
        "servicebustrigger" => bus_trigger(trigger).map(Trigger::Bus),
        "timertrigger" => timer_trigger(trigger).map(Trigger::Timer),
        "httptrigger" => http_trigger(name, trigger, bindings, prefix).map(Trigger::Http),
        _ => Err(format!("The binding type(s) '{kind}' are not registered.")),
    }
}

fn bus_trigger(trigger: &Value) -> Result<BusTrigger, String> {
    let text = |name| text_of(trigger, name);
    let entity = match (text("queueName"), text("topicName"), text("subscriptionName")) {
        (Some(queue), None, None) => Entity::queue(queue),
        (None, Some(topic), Some(subscription)) => Entity::subscription(topic, subscription),
        _ => return Err("either queueName or topicName and subscriptionName".to_owned()),
    };
    let data_type = match text("dataType").unwrap_or_default().to_ascii_lowercase().as_str() {
        "binary" => DataType::Binary,
        "string" => DataType::String,
        _ => DataType::Undefined,
    };
    let many = text("cardinality").is_some_and(|how| how.eq_ignore_ascii_case("many"));
    Ok(BusTrigger { entity, many, data_type })
}

fn timer_trigger(trigger: &Value) -> Result<TimerTrigger, String> {
    let schedule = text_of(trigger, "schedule").ok_or("a timerTrigger needs a schedule")?;
    Ok(TimerTrigger {
        schedule: Schedule::parse(&schedule)?,
        use_monitor: flag_of(trigger, "useMonitor").unwrap_or(true),
        run_on_startup: flag_of(trigger, "runOnStartup").unwrap_or(false),
    })
}

fn http_trigger(name: &str, trigger: &Value, bindings: &[Value], prefix: &str) -> Result<HttpTrigger, String> {
    let methods = match find(trigger, &["methods"]) {
        Some(Value::Array(methods)) => methods.iter().map(|method| plain(method).to_ascii_uppercase()).collect(),
        _ => Vec::new(),
    };
    let outputs: Vec<String> = bindings
        .iter()
        .filter(|binding| text_of(binding, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("http")))
        .filter_map(|binding| text_of(binding, "name"))
        .collect();
    let route = text_of(trigger, "route").unwrap_or_else(|| name.to_owned());
    Ok(HttpTrigger {
        template: Template::parse(prefix, &route)?,
        methods,
        plain: bindings.len() == 2 && outputs.len() == 1,
        outputs,
    })
}

fn retry_policy(retry: &Value) -> Result<RetryPolicy, String> {
    let time = |name: &str| -> Result<Duration, String> {
        let text = text_of(retry, name).ok_or_else(|| format!("retry needs {name}"))?;
        time_span(&text)?.ok_or_else(|| format!("retry.{name} is negative"))
    };
    let max = text_of(retry, "maxRetryCount").ok_or("retry needs maxRetryCount")?;
    let delay = match text_of(retry, "strategy").unwrap_or_default().to_ascii_lowercase().as_str() {
        "fixeddelay" => Delay::Fixed(time("delayInterval")?),
        "exponentialbackoff" => Delay::Exponential { min: time("minimumInterval")?, max: time("maximumInterval")? },
        other => return Err(format!("'{other}' is not a retry strategy")),
    };
    let max = if max == "-1" { None } else { Some(max.parse().map_err(|_| "maxRetryCount is not a number")?) };
    Ok(RetryPolicy { max, delay })
}
