//! The one place that reads the environment. Every problem is reported at once: the name, what is wrong, an example.
//!
//! Each dependency has its own setting, named as the Functions host names it. Where it is not set, the embedded one of a
//! laptop stands in for it, which `opsloop local` configures.

use opsloop_azure::{
    blob, cosmos,
    identity::Identity,
    servicebus::{Address, CONNECTION, NAMESPACE},
};
use opsloop_kernel::Timestamp;
use opsloop_telemetry::{Authentication, Bearer, ConnectionString, Export, OtlpEndpoint, Share};
use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock},
};
use url::Url;

/// A setting: its name, a value of a laptop or of Azure, what it is.
pub struct Known {
    pub name: &'static str,
    /// In local.settings.sample.json; none where a laptop does without.
    pub local: Option<&'static str>,
    pub is: &'static str,
}

const fn known(name: &'static str, local: &'static str, is: &'static str) -> Known {
    Known { name, local: Some(local), is }
}
const fn cloud(name: &'static str, is: &'static str) -> Known {
    Known { name, local: None, is }
}

/// Every setting that a person sets. `local.settings.sample.json` and the README's table are held against it.
pub const KNOWN: &[Known] = &[
    known("FUNCTIONS_WORKER_RUNTIME", "custom", "the host's: this app is a custom handler"),
    known(
        "AzureWebJobsStorage",
        "UseDevelopmentStorage=true",
        "the host's: where it keeps timer status; Azurite locally",
    ),
    known(
        CONNECTION,
        "Endpoint=sb://127.0.0.1:5672;SharedAccessKeyName=x;SharedAccessKey=y;UseDevelopmentEmulator=true",
        "the broker of an emulator on this machine, such as `opsloop local --serve-amqp`; no key of Azure is taken",
    ),
    cloud(NAMESPACE, "the Service Bus namespace, as in opsloop.servicebus.windows.net"),
    cloud(COSMOS, "the Cosmos DB account, as in https://opsloop.documents.azure.com/"),
    cloud(COSMOS_DATABASE, "its database; opsloop without it"),
    cloud(BLOBS, "the blob service for large payloads, as in https://opsloop.blob.core.windows.net/"),
    cloud(VAULT, "the vault of secrets, as in https://opsloop.vault.azure.net/"),
    cloud(CLIENT_ID, "client id of the user-assigned managed identity; without it the system-assigned one"),
    cloud(INSIGHTS, "connection string of Application Insights; without it nothing is sent there"),
    cloud(INSIGHTS_TOKEN, "`Authorization=AAD;ClientId=…`: telemetry is sent there with a token of this identity"),
    cloud(OTLP, "a collector for our own telemetry over OTLP/HTTP, as in http://127.0.0.1:4318"),
    cloud(SAMPLER, "share of traces that are exported, 0 to 1; all without it"),
    known(DATA, ".opsloop", "folder of the embedded stores, for what has no setting of the cloud"),
    known(LOG, "info", "what is logged, as in `info,opsloop_shell=debug`"),
    known(BUCKETS, "8", "metric buckets, 1 to 256; fixed at the first start"),
    known(SIGNAL_ITEMS, "true", "whether recurring errors in traces become feedback items"),
];

pub const COSMOS: &str = "CosmosConnection__accountEndpoint";
const COSMOS_DATABASE: &str = "OPSLOOP_COSMOS_DATABASE";
pub const BLOBS: &str = "BlobConnection__serviceUri";
const VAULT: &str = "KEY_VAULT_URI";
const CLIENT_ID: &str = "AZURE_CLIENT_ID";
pub const INSIGHTS: &str = "APPLICATIONINSIGHTS_CONNECTION_STRING";
const INSIGHTS_TOKEN: &str = "APPLICATIONINSIGHTS_AUTHENTICATION_STRING";
pub const OTLP: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER_ARG";
pub const DATA: &str = "OPSLOOP_DATA";
pub const LOG: &str = "OPSLOOP_LOG";
const BUCKETS: &str = "OPSLOOP_METRIC_BUCKETS";
pub const SIGNAL_ITEMS: &str = "OPSLOOP_SIGNAL_ITEMS";
/// What `local` tells its children, and nobody else sets.
pub const CONTROL_URL: &str = "OPSLOOP_CONTROL_URL";
pub const CONTROL_TOKEN: &str = "OPSLOOP_CONTROL_TOKEN";
pub const PARENT: &str = "OPSLOOP_PARENT_PID";
pub const CLOCK: &str = "OPSLOOP_VIRTUAL_NOW";
/// What Azure sets, and nobody else.
const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";
const IN_AZURE: &str = "IDENTITY_ENDPOINT";
const REGION: &str = "REGION_NAME";
const SITE: &str = "WEBSITE_SITE_NAME";
const INSTANCE: &str = "WEBSITE_INSTANCE_ID";

/// What `serve` runs with.
#[derive(Clone)]
pub struct Settings {
    pub port: u16,
    pub log: String,
    pub workers: WorkerSettings,
    pub documents: Documents,
    pub messages: Messages,
    pub payloads: Payloads,
    pub vault: Option<Url>,
    pub identity: Identity,
    pub export: Export,
    pub parent: Option<Parent>,
}

/// Where documents are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Documents {
    Cosmos { endpoint: Url, database: String, region: Option<String> },
    Embedded(PathBuf),
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Messages {
    ServiceBus(Address),
    /// To the broker of `local`, over its control URL.
    Parent,
}

/// Where payloads are that do not fit a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payloads {
    Blob { endpoint: Url, container: String },
    Embedded(PathBuf),
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

pub type Environment = BTreeMap<String, String>;

impl Settings {
    pub fn of_process() -> Result<Self, Problems> {
        Self::of(&std::env::vars().collect())
    }

    /// For `check`: the port is the host's to give.
    pub fn of_process_without_host() -> Result<Self, Problems> {
        let mut environment: Environment = std::env::vars().collect();
        environment.entry(PORT.to_owned()).or_insert_with(|| "0".to_owned());
        Self::of(&environment)
    }

    pub fn of(environment: &Environment) -> Result<Self, Problems> {
        let mut read = Reader { environment, problems: Vec::new() };
        let (parent, identity) = (parent(&mut read), identity(&read));
        let settings = Self {
            port: read.parsed(PORT, None, "the host sets it; by hand, a free port such as 7080"),
            log: read.text(LOG, "info"),
            workers: workers(&mut read),
            documents: documents(&mut read),
            messages: messages(&mut read, parent.is_some()),
            payloads: payloads(&mut read),
            vault: read.url(VAULT, "https://opsloop.vault.azure.net/"),
            export: export(&mut read, &identity),
            identity,
            parent,
        };
        if read.problems.is_empty() { Ok(settings) } else { Err(Problems(read.problems)) }
    }
}

fn workers(read: &mut Reader<'_>) -> WorkerSettings {
    let settings = WorkerSettings {
        metric_buckets: read.parsed(BUCKETS, Some(8), "a number from 1 to 256"),
        signal_items: read.parsed(SIGNAL_ITEMS, Some(true), "true or false"),
    };
    let buckets = settings.metric_buckets;
    if !(1..=256).contains(&buckets) {
        read.problems.push(format!("{BUCKETS} is {buckets}; it is 1 to 256, for example 8"));
    }
    settings
}

fn documents(read: &mut Reader<'_>) -> Documents {
    let Some(endpoint) = read.url(COSMOS, "https://opsloop.documents.azure.com/") else {
        return Documents::Embedded(read.folder(COSMOS, "https://opsloop.documents.azure.com/"));
    };
    let (database, region) = (read.text(COSMOS_DATABASE, cosmos::DATABASE), read.set(REGION).map(str::to_owned));
    Documents::Cosmos { endpoint, database, region }
}

fn payloads(read: &mut Reader<'_>) -> Payloads {
    match read.url(BLOBS, "https://opsloop.blob.core.windows.net/") {
        Some(endpoint) => Payloads::Blob { endpoint, container: blob::CONTAINER.to_owned() },
        None => Payloads::Embedded(read.folder(BLOBS, "https://opsloop.blob.core.windows.net/")),
    }
}

/// A child of `local` publishes to its parent unless it is told otherwise.
fn messages(read: &mut Reader<'_>, has_parent: bool) -> Messages {
    let is_told = [NAMESPACE, CONNECTION].iter().any(|name| read.set(name).is_some());
    if has_parent && !is_told {
        return Messages::Parent;
    }
    match Address::of(|name| read.set(name).map(str::to_owned)) {
        Ok(address) => Messages::ServiceBus(address),
        Err(why) => {
            read.problems.push(why.to_string());
            Messages::Parent
        }
    }
}

fn identity(read: &Reader<'_>) -> Identity {
    let client_id = read.set(CLIENT_ID).map(str::to_owned);
    match client_id.is_some() || read.set(IN_AZURE).is_some() {
        true => Identity::Managed { client_id },
        false => Identity::Developer,
    }
}

fn export(read: &mut Reader<'_>, identity: &Identity) -> Export {
    let application_insights = read.read(INSIGHTS, ConnectionString::parse);
    let wanted = read.read(INSIGHTS_TOKEN, Authentication::parse);
    let whose = wanted.map(|a| a.client_id.map_or(identity.clone(), |id| Identity::Managed { client_id: Some(id) }));
    let default = Export::default();
    Export {
        bearer: whose.zip(application_insights.as_ref()).map(|(whose, to)| bearer(whose, to.scope())),
        application_insights,
        otlp: read.read(OTLP, OtlpEndpoint::parse),
        role: read.text(SITE, &default.role),
        instance: read.text(INSTANCE, &default.instance),
        share: read.read(SAMPLER, Share::parse).unwrap_or(Share::ALL),
    }
}

/// A token for each batch of telemetry; the SDK keeps it until it is old.
fn bearer(whose: Identity, scope: String) -> Bearer {
    let credential = Arc::new(OnceLock::new());
    Bearer::new(move || {
        let (whose, scope, credential) = (whose.clone(), scope.clone(), credential.clone());
        Box::pin(async move {
            let made = credential.get_or_init(|| whose.credential().map_err(|e| e.to_string()));
            let credential = made.as_ref().map_err(Clone::clone)?;
            let token = credential.get_token(&[&scope], None).await.map_err(|e| e.to_string())?;
            Ok(token.token.secret().to_owned())
        })
    })
}

/// All of it or nothing.
fn parent(read: &mut Reader<'_>) -> Option<Parent> {
    let set = [CONTROL_URL, CONTROL_TOKEN, PARENT].map(|name| read.set(name).is_some());
    if !set.contains(&true) {
        return None;
    }
    let whole = "`opsloop local` sets it, together with the others of its kind";
    Some(Parent {
        control_url: read.needed(CONTROL_URL, whole),
        control_token: read.needed(CONTROL_TOKEN, whole),
        pid: read.parsed(PARENT, None, whole),
        virtual_now: read.read(CLOCK, |text| text.parse().map_err(|_| "an instant is 2026-11-21T10:00:00.000Z")),
    })
}

struct Reader<'a> {
    environment: &'a Environment,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// An empty value is none: the portal cannot delete one.
    fn set(&self, name: &str) -> Option<&'a str> {
        self.environment.get(name).map(String::as_str).filter(|v| !v.trim().is_empty())
    }
    fn text(&self, name: &str, default: &str) -> String {
        self.set(name).unwrap_or(default).to_owned()
    }
    fn needed(&mut self, name: &str, hint: &str) -> String {
        self.set(name).map(str::to_owned).unwrap_or_else(|| {
            self.problems.push(format!("{name} is not set: {hint}"));
            String::new()
        })
    }
    fn parsed<T: std::str::FromStr + Default>(&mut self, name: &str, default: Option<T>, hint: &str) -> T {
        match (self.set(name), default) {
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
    /// What says itself why it cannot be read; the value may be a secret and is not repeated.
    fn read<T, E: fmt::Display>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        match parse(self.set(name)?) {
            Ok(value) => Some(value),
            Err(why) => {
                self.problems.push(format!("{name} cannot be used: {why}"));
                None
            }
        }
    }
    /// https, or http on this machine: what is sent elsewhere in the clear anybody can read.
    fn url(&mut self, name: &str, example: &str) -> Option<Url> {
        self.read(name, |text| {
            let url = Url::parse(text).map_err(|e| format!("`{text}` is no URL ({e}); write it like {example}"))?;
            let safe = url.scheme() == "https" || url.scheme() == "http" && opsloop_azure::identity::is_loopback(&url);
            match safe && url.has_host() {
                true => Ok(url),
                false => Err(format!("`{text}` is not https; write it like {example}")),
            }
        })
    }
    fn folder(&mut self, instead_of: &str, example: &str) -> PathBuf {
        match self.set(DATA) {
            Some(folder) => folder.into(),
            None => {
                // What is set and wrong has been told already.
                if self.set(instead_of).is_none() {
                    self.problems.push(format!(
                        "neither {instead_of} nor {DATA} is set: an address such as {example}, or a folder such as .opsloop"
                    ));
                }
                PathBuf::new()
            }
        }
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
