//! Putting a host together, driving it, and ending it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::bus::{Drained, listen};
use super::clock::{HostClock, WallClock};
use super::config::{HostConfig, Settings};
use super::core::{Core, group_of};
use super::envelope::BusIdentity;
use super::error::HostError;
use super::front;
use super::function::{Functions, InError, Trigger};
use super::ids::Ids;
use super::invoke::Invoker;
use super::launch::{HandlerCommand, Launch};
use super::process::{Handler, State, Supervision};
use super::request::{BodyFraming, Telemetry};
use super::sink::{LogSink, TracingSink};
use super::source::{NoSource, Source};
use super::spawner::Spawner;
use super::status::TimerStore;
use super::timer::{Due, Timers, Why};

/// How long running calls may take to finish when the host stops.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Who makes time pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// Listeners and timers run by themselves.
    #[default]
    Wall,
    /// Nothing happens but through [`Host::fire_due`] and [`Host::drain`]; HTTP is served all the same.
    Stepped,
}

pub struct HostOptions {
    pub host_json: PathBuf,
    /// Working directory of the handler, and where relative executables are looked for.
    pub script_root: PathBuf,
    /// Its direct children hold the function.json files.
    pub functions_dir: PathBuf,
    /// Instead of `defaultExecutablePath`.
    pub command: Option<HandlerCommand>,
    /// Further variables for the handler, beside what it inherits and what the host sets.
    pub environment: Vec<(String, String)>,
    pub settings: Settings,
    /// Where the HTTP front listens; port 0 takes a free one. None: no front.
    pub http: Vec<SocketAddr>,
    pub pace: Pace,
    /// One process per scale group: `http`, and each other function for itself.
    pub isolate: bool,
    pub framing: BodyFraming,
    pub telemetry: Telemetry,
    /// Where timers are remembered. `None`: not beyond the life of this host.
    pub timer_status: Option<PathBuf>,
    /// What stands in `Metadata.Client`.
    pub client: BusIdentity,
    pub clock: Arc<dyn HostClock>,
    pub source: Arc<dyn Source>,
    pub sink: Arc<dyn LogSink>,
    pub ids: Arc<Ids>,
}

impl HostOptions {
    /// A host of the machine's clock without a bus and without HTTP.
    pub fn new(host_json: impl Into<PathBuf>, functions_dir: impl Into<PathBuf>) -> Self {
        let host_json = host_json.into();
        Self {
            script_root: host_json.parent().map(PathBuf::from).unwrap_or_default(),
            host_json,
            functions_dir: functions_dir.into(),
            command: None,
            environment: Vec::new(),
            settings: Settings::of_process(),
            http: Vec::new(),
            pace: Pace::default(),
            isolate: false,
            framing: BodyFraming::default(),
            telemetry: Telemetry::default(),
            timer_status: None,
            client: BusIdentity { namespace: "localhost".to_owned(), identifier: "localhost-embedded".to_owned() },
            clock: Arc::new(WallClock),
            source: Arc::new(NoSource),
            sink: Arc::new(TracingSink),
            ids: Arc::new(Ids::random()),
        }
    }
}

/// A running host. Dropping it without [`Host::stop`] kills the handler.
pub struct Host {
    core: Arc<Core>,
    in_error: Vec<InError>,
    startup: Vec<Due>,
    http: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    /// Listeners and timers: they end by themselves when told to stop.
    listeners: Mutex<JoinSet<()>>,
    /// The front and the supervisors: they are ended.
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Host {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Host {
    /// Reads what there is, starts the handlers, and, at the pace of the wall, the listeners and timers.
    pub async fn start(mut options: HostOptions) -> Result<Self, HostError> {
        options.settings.add_local(&options.script_root.join("local.settings.json"))?;
        let config = HostConfig::read(&options.host_json, &options.settings)?;
        let functions = Functions::read(&options.functions_dir, &config.route_prefix, &options.settings)?;
        report(&functions);
        if config.has_http_routes && !functions.good.is_empty() {
            return Err(HostError::Config("customHandler.http.routes cannot be used beside function.json".to_owned()));
        }
        let (listeners, http) = bind(&options.http).await?;
        let mut tasks = Vec::new();
        let handlers = start_handlers(&options, &config, &functions, http.first(), &mut tasks)?;
        let store = TimerStore::open(options.timer_status.clone());
        let (timers, startup) = Timers::start(&functions.good, store, options.clock.now());
        let core = Arc::new(assemble(&options, config, functions.good, handlers, timers));
        for listener in listeners {
            tasks.push(tokio::spawn(front::serve(Arc::clone(&core), listener)));
        }
        let stop = watch::Sender::new(false);
        let listeners = match options.pace {
            Pace::Wall => start_listeners(&core, &startup, &stop),
            Pace::Stepped => JoinSet::new(),
        };
        Ok(Self { core, in_error: functions.in_error, startup, http, stop, listeners: Mutex::new(listeners), tasks })
    }

    /// Where the front listens; the first address asked for.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.first().copied()
    }

    /// In the order in which they were asked for.
    pub fn http_addrs(&self) -> &[SocketAddr] {
        &self.http
    }

    /// Functions that were left out.
    pub fn in_error(&self) -> &[InError] {
        &self.in_error
    }

    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.core.functions.iter().map(|function| function.name.as_str())
    }

    /// Calls that run now, HTTP included.
    pub fn in_flight(&self) -> usize {
        self.core.invoker.in_flight()
    }

    /// The port of a handler, by its group: the only one unless isolated.
    pub fn handler_ports(&self) -> impl Iterator<Item = (&str, u16)> {
        self.core.handlers.iter().map(|(group, handler)| (group.as_str(), handler.client.port()))
    }

    /// Waits until every handler answers. Calls need not wait for it, they do so themselves.
    pub async fn ready(&self) -> bool {
        for handler in self.core.handlers.values() {
            if handler.ready().await.is_err() {
                return false;
            }
        }
        true
    }

    /// Returns when a handler has crashed for the third time: the real host ends then, with exit code 0.
    pub async fn ended(&self) {
        let ends = self.core.handlers.values().map(|handler| {
            let mut states = handler.states();
            Box::pin(async move {
                if states.wait_for(|state| *state == State::Ended).await.is_err() {
                    std::future::pending::<()>().await;
                }
            })
        });
        let ends: Vec<_> = ends.collect();
        if ends.is_empty() {
            return std::future::pending().await;
        }
        futures::future::select_all(ends).await;
    }

    /// Listeners first; running calls get up to ten seconds; then the handler is killed.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let mut listeners = self.listeners.lock().await;
        let drained = async { while listeners.join_next().await.is_some() {} };
        tokio::select! {
            () = drained => {}
            () = self.core.clock.patience(DRAIN_MAX) => tracing::warn!("calls were still running when the host stopped"),
        }
        for handler in self.core.handlers.values() {
            handler.stop().await;
        }
        listeners.abort_all();
        for task in &self.tasks {
            task.abort();
        }
    }

    /// The first instant at which a timer is due (it may have passed already).
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.core.timers.next()
    }

    /// Runs the timers that were missed while the host was down and those with `runOnStartup`; once, for a stepped host.
    pub async fn fire_startup(&self, at: Timestamp) -> usize {
        self.fire(self.startup.clone(), at).await
    }

    /// Runs every timer that is due at `at`, each once, and waits for them; says how many there were.
    pub async fn fire_due(&self, at: Timestamp) -> usize {
        self.fire(self.core.timers.due_at(at), at).await
    }

    /// Runs one timer now, as `POST /admin/functions/<name>` does; `None`: there is no such timer.
    pub async fn fire_one(&self, function: &str) -> Option<bool> {
        let name = self.core.timers.names().find(|name| name.eq_ignore_ascii_case(function))?.to_owned();
        let due = Due { function: name, why: Why::Admin };
        Some(self.core.run_timer(&due, self.core.clock.now()).await)
    }

    async fn fire(&self, due: Vec<Due>, at: Timestamp) -> usize {
        let runs = due.iter().map(|due| self.core.run_timer(due, at));
        futures::future::join_all(runs).await.len()
    }

    /// Delivers everything the source has, and what that makes available, until nothing is left and nothing is in flight.
    pub async fn drain(&self) -> Drained {
        self.core.drain().await
    }
}

fn report(functions: &Functions) {
    for InError { function, why } in &functions.in_error {
        tracing::error!(function, "The '{function}' function is in error: {why}");
    }
    for function in &functions.disabled {
        tracing::info!(function, "function is disabled");
    }
}

async fn bind(wanted: &[SocketAddr]) -> Result<(Vec<TcpListener>, Vec<SocketAddr>), HostError> {
    let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
    for at in wanted {
        let failed = |why| HostError::System(format!("{at}: {why}"));
        let listener = TcpListener::bind(at).await.map_err(failed)?;
        addresses.push(listener.local_addr().map_err(failed)?);
        listeners.push(listener);
    }
    Ok((listeners, addresses))
}

/// A port that was free a moment ago: the handler is told which one to bind.
fn free_port() -> Result<u16, HostError> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let port = listener.and_then(|listener| listener.local_addr()).map(|address| address.port());
    port.map_err(|why| HostError::System(format!("no free port: {why}")))
}

fn start_handlers(
    options: &HostOptions,
    config: &HostConfig,
    functions: &Functions,
    http: Option<&SocketAddr>,
    tasks: &mut Vec<JoinHandle<()>>,
) -> Result<BTreeMap<String, Arc<Handler>>, HostError> {
    let groups: BTreeSet<&str> = functions.good.iter().map(|function| group_of(function, options.isolate)).collect();
    let mut handlers = BTreeMap::new();
    let spawner = Spawner::start()?;
    for group in &groups {
        let port = match config.port {
            Some(port) if groups.len() == 1 => port,
            _ => free_port()?,
        };
        let supervision = Supervision {
            spawner: spawner.clone(),
            launch: launch(options, config, port, http),
            initialization: config.initialization_timeout,
            clock: Arc::clone(&options.clock),
            sink: Arc::clone(&options.sink),
        };
        let (handler, task) = Handler::start(group, port, supervision);
        handlers.insert((*group).to_owned(), handler);
        tasks.push(task);
    }
    Ok(handlers)
}

fn launch(options: &HostOptions, config: &HostConfig, port: u16, http: Option<&SocketAddr>) -> Launch {
    let mut launch = Launch::from_config(&config.description, &options.script_root, &options.settings);
    if let Some(command) = &options.command {
        launch.command = command.clone();
    }
    let inherited = |name: &str, value: &str| std::env::var_os(name).is_some_and(|have| have == value);
    let settings = options.settings.iter().filter(|(name, value)| !inherited(name, value));
    launch.environment = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let worker = options.ids.guid();
    let site = http.map_or_else(|| "localhost".to_owned(), ToString::to_string);
    let own = [
        ("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string()),
        ("FUNCTIONS_HTTPWORKER_PORT", port.to_string()),
        ("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", worker.clone()),
        ("FUNCTIONS_HTTPWORKER_ID", worker),
        ("FUNCTIONS_APP_ROOT_PATH", options.script_root.display().to_string()),
        ("AZURE_FUNCTIONS_ENVIRONMENT", "Development".to_owned()),
        ("WEBSITE_HOSTNAME", site),
    ];
    launch.environment.extend(own.map(|(name, value)| (name.to_owned(), value)));
    launch.environment.extend(options.environment.iter().cloned());
    launch
}

fn assemble(
    options: &HostOptions,
    config: HostConfig,
    functions: Vec<super::function::Function>,
    handlers: BTreeMap<String, Arc<Handler>>,
    timers: Timers,
) -> Core {
    let (clock, ids) = (Arc::clone(&options.clock), Arc::clone(&options.ids));
    let mut invoker = Invoker::new(Arc::clone(&clock), Arc::clone(&ids), Arc::clone(&options.sink));
    invoker.framing = options.framing;
    invoker.telemetry = options.telemetry;
    invoker.function_timeout = config.function_timeout;
    invoker.retries_wait = options.pace == Pace::Wall;
    Core {
        config,
        functions,
        handlers,
        isolate: options.isolate,
        clock,
        source: Arc::clone(&options.source),
        invoker,
        bus: options.client.clone(),
        timers,
    }
}

fn start_listeners(core: &Arc<Core>, startup: &[Due], stop: &watch::Sender<bool>) -> JoinSet<()> {
    let mut listeners = JoinSet::new();
    for function in &core.functions {
        match &function.trigger {
            Trigger::Bus(trigger) => {
                listeners.spawn(listen(Arc::clone(core), function.clone(), trigger.clone(), stop.subscribe()));
            }
            Trigger::Timer(_) => {
                let first = startup.iter().find(|due| due.function == function.name).cloned();
                listeners.spawn(keep_time(Arc::clone(core), function.name.clone(), first, stop.subscribe()));
            }
            Trigger::Http(_) => {}
        }
    }
    listeners
}

/// One timer, one run at a time.
async fn keep_time(core: Arc<Core>, function: String, first: Option<Due>, mut stop: watch::Receiver<bool>) {
    if let Some(due) = first {
        core.run_timer(&due, core.clock.now()).await;
    }
    while let Some(next) = core.timers.next_of(&function) {
        tokio::select! {
            () = core.clock.sleep_until(next) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let due = Due { function: function.clone(), why: Why::Scheduled };
        core.run_timer(&due, core.clock.now()).await;
    }
}
