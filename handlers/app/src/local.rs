//! `opsloop local`: the whole platform on one machine. An embedded Functions host reads the *rendered* files and drives
//! a real `opsloop serve` process; the broker is this process's own (DESIGN 7).

use crate::{
    control, front,
    loopback::Loopback,
    serve::CLOCK_PATH,
    services::Services,
    settings::{CLOCK, CONTROL_TOKEN, CONTROL_URL, DATA, LOG, PARENT, SIGNAL_ITEMS},
};
use bytes::Bytes;
use opsloop_embedded::{
    amqp::Front,
    broker::{self, Broker, Tap, Topology},
    clock::{VirtualClock, WallClock},
    host::{HandlerCommand, Host, HostOptions, LogSink, Pace, SilentSink, TracingSink},
};
use opsloop_kernel::{Clock, Timestamp};
use serde::Serialize;
use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, sync::Mutex};

/// Where the platform listens, on loopback only: function port and OTLP port.
#[derive(Clone)]
pub struct Options {
    /// Has host.json, functions/ and bicep/catalogue.json.
    pub root: PathBuf,
    pub data: PathBuf,
    pub http: SocketAddr,
    pub otlp: SocketAddr,
    /// Where the broker is opened to clients of Service Bus; loopback only, for it authenticates nobody.
    pub serve_amqp: Option<SocketAddr>,
    /// In place of what is embedded.
    pub services: Services,
    /// The instant at which a virtual clock begins; none for the machine's.
    pub virtual_from: Option<Timestamp>,
    pub isolate: bool,
    pub quiet: bool,
    pub signal_items: bool,
    /// Sees every message on its way to the broker.
    pub tap: Option<Tap>,
}

impl Options {
    pub fn new(root: PathBuf, data: PathBuf) -> Self {
        Self {
            root,
            data,
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 7071)),
            otlp: SocketAddr::from((Ipv4Addr::LOCALHOST, 4318)),
            serve_amqp: None,
            services: Services::default(),
            virtual_from: None,
            isolate: false,
            quiet: false,
            signal_items: true,
            tap: None,
        }
    }
}

/// The folder with host.json: here, above here, or beside the binary.
pub fn find_root() -> Result<PathBuf, Box<dyn Error>> {
    let here = std::env::current_dir()?;
    let beside = std::env::current_exe().ok().and_then(|p| p.parent().map(Path::to_path_buf));
    let candidates =
        here.ancestors().map(Path::to_path_buf).chain(beside.iter().flat_map(|b| b.ancestors().map(Path::to_path_buf)));
    for folder in candidates {
        if folder.join("host.json").is_file() && folder.join("functions").is_dir() {
            return Ok(folder);
        }
    }
    Err("no folder with host.json and functions/ was found here or above; run this in the project's folder".into())
}

enum Time {
    Wall,
    Virtual(Arc<VirtualClock>),
}

/// The running platform.
pub struct Platform {
    host: Host,
    broker: Arc<Broker>,
    time: Time,
    client: Loopback,
    /// One `advance` at a time.
    stepping: Mutex<()>,
    pub http: SocketAddr,
    pub otlp: SocketAddr,
    /// Open as long as the platform runs.
    pub amqp: Option<Front>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub now: Timestamp,
    pub virtual_clock: bool,
    pub in_flight: usize,
    pub functions: Vec<String>,
    pub handler_ports: Vec<u16>,
}

impl Platform {
    pub async fn start(options: Options) -> Result<Arc<Self>, Box<dyn Error>> {
        std::fs::create_dir_all(&options.data)?;
        let data = options.data.canonicalize()?;
        let time = options.virtual_from.map_or(Time::Wall, |t| Time::Virtual(Arc::new(VirtualClock::at(t))));
        let broker = Broker::open(&data, &topology(&options.root)?, broker::Settings::default(), time.clock())?;
        let broker = Arc::new(broker.tapped(options.tap.clone()));
        let amqp = serve_amqp(broker.clone(), options.services.amqp_address()?.or(options.serve_amqp)).await?;
        let token = token()?;
        let (control, control_url) = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        tokio::spawn(axum::serve(control, control::router(broker.clone(), &token)).into_future());
        let services = options.services.environment(amqp.as_ref());
        let host = host_options(&options, &data, &time, broker.clone(), &token, control_url, services)?;
        let host = Host::start(host).await?;
        if !host.in_error().is_empty() {
            return Err(format!(
                "functions in error: {:?}",
                host.in_error().iter().map(|e| &e.function).collect::<Vec<_>>()
            )
            .into());
        }
        let inner = host.http_addr().ok_or("the embedded host has no HTTP front")?;
        let (http, otlp) = (TcpListener::bind(options.http).await, TcpListener::bind(options.otlp).await);
        let (http, otlp) = (taken(http, options.http)?, taken(otlp, options.otlp)?);
        let platform = Arc::new(Self {
            host,
            broker,
            time,
            client: Loopback::new(Some(token)),
            stepping: Mutex::new(()),
            http: http.local_addr()?,
            otlp: otlp.local_addr()?,
            amqp,
        });
        for listener in [http, otlp] {
            tokio::spawn(axum::serve(listener, front::router(platform.clone(), inner)).into_future());
        }
        if !platform.host.ready().await {
            return Err("the handler did not come up; see its lines above".into());
        }
        platform.catch_up().await?;
        Ok(platform)
    }

    pub fn handler_port(&self) -> Option<u16> {
        self.host.handler_ports().next().map(|(_, port)| port)
    }

    pub fn now(&self) -> Timestamp {
        self.time.clock().now()
    }

    pub async fn status(&self) -> Status {
        Status {
            now: self.now(),
            virtual_clock: matches!(self.time, Time::Virtual(_)),
            in_flight: self.host.in_flight(),
            functions: self.host.functions().map(str::to_owned).collect(),
            handler_ports: self.host.handler_ports().map(|(_, p)| p).collect(),
        }
    }

    /// Whether anything waits now or is under way.
    pub async fn busy(&self) -> Result<bool, String> {
        let counts = self.broker.totals().await.map_err(|f| format!("the broker failed ({})", f.kind()))?;
        Ok(counts.active + counts.locked > 0 || self.host.in_flight() > 0)
    }

    /// Ends when the host does (its third crash), or never.
    pub async fn ended(&self) {
        self.host.ended().await;
    }
    pub async fn stop(&self) {
        self.host.stop().await;
    }

    /// What was missed while a stepped platform was down.
    async fn catch_up(&self) -> Result<(), Box<dyn Error>> {
        if let Time::Virtual(clock) = &self.time {
            self.host.fire_startup(instant(clock.now())?).await;
            self.host.drain().await;
        }
        Ok(())
    }

    /// Moves the virtual clock: to the next due instant or tick, deliver, wait until nothing is in flight and nothing
    /// is owed, repeat (A24). A due instant comes before an arrival at the same instant.
    pub async fn advance(&self, by: Duration) -> Result<Timestamp, String> {
        let Time::Virtual(clock) = &self.time else {
            return Err("time moves by itself here; start with --virtual-clock to move it by hand".into());
        };
        let _stepping = self.stepping.lock().await;
        let until = clock.now().plus(by);
        self.drain().await?;
        loop {
            let timer = self.host.next_timer().map(|t| Timestamp::from_millis(t.as_millisecond()));
            let wake = self.broker.next_wake().await.map_err(|f| format!("the broker failed ({})", f.kind()))?;
            let next = [timer, wake].into_iter().flatten().min().unwrap_or(until);
            if next > until {
                break;
            }
            self.set(clock, next).await?;
            self.host.fire_due(instant(clock.now()).map_err(|e| e.to_string())?).await;
            self.drain().await?;
        }
        self.set(clock, until).await?;
        self.drain().await?;
        Ok(clock.now())
    }

    async fn drain(&self) -> Result<(), String> {
        self.host.drain().await;
        Ok(())
    }

    /// The children are told before anything is delivered to them.
    async fn set(&self, clock: &VirtualClock, at: Timestamp) -> Result<(), String> {
        clock.advance_to(at);
        for (_, port) in self.host.handler_ports() {
            let url = format!("http://127.0.0.1:{port}{CLOCK_PATH}");
            let told = self.client.send(http::Method::POST, &url, &[], Bytes::from(clock.now().to_string())).await;
            told.map_err(|e| format!("a handler could not be told the time: {e}"))?;
        }
        Ok(())
    }
}

impl Time {
    fn clock(&self) -> Arc<dyn Clock> {
        match self {
            Self::Wall => Arc::new(WallClock),
            Self::Virtual(clock) => clock.clone(),
        }
    }
}

fn instant(at: Timestamp) -> Result<jiff::Timestamp, jiff::Error> {
    jiff::Timestamp::from_millisecond(at.millis())
}

/// The broker's entities as rendered, not as the binary knows them: a wrong file fails here first.
fn topology(root: &Path) -> Result<Topology, Box<dyn Error>> {
    let path = root.join("bicep/catalogue.json");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}; run `opsloop render`", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}; run `opsloop render`", path.display()).into())
}

/// 256 bits from the kernel: the token lives as long as this process.
fn token() -> std::io::Result<String> {
    let mut bytes = [0u8; 32];
    std::fs::File::open("/dev/urandom").and_then(|mut f| std::io::Read::read_exact(&mut f, &mut bytes))?;
    Ok(hex::encode(bytes))
}

async fn listen(at: SocketAddr) -> Result<(TcpListener, String), Box<dyn Error>> {
    let listener = TcpListener::bind(at).await?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((listener, url))
}

fn taken(bound: std::io::Result<TcpListener>, at: SocketAddr) -> Result<TcpListener, String> {
    bound.map_err(|e| format!("{at} cannot be listened on: {e}; is another `opsloop local` or a collector running? --http-port and --otlp-port take others"))
}

/// Strangers must not reach it: whoever does may read and write every message.
async fn serve_amqp(broker: Arc<Broker>, at: Option<SocketAddr>) -> Result<Option<Front>, Box<dyn Error>> {
    let Some(at) = at else { return Ok(None) };
    if !at.ip().is_loopback() {
        return Err(format!("--serve-amqp {at}: the broker authenticates nobody, so it listens on loopback addresses only; take 127.0.0.1:{}", at.port()).into());
    }
    let front = Front::listen(broker, at).await;
    front
        .map(Some)
        .map_err(|e| format!("--serve-amqp {at} cannot be listened on: {e}; take another port, 0 for any").into())
}

fn host_options(
    options: &Options,
    data: &Path,
    time: &Time,
    broker: Arc<Broker>,
    token: &str,
    control_url: String,
    services: Vec<(String, String)>,
) -> Result<HostOptions, Box<dyn Error>> {
    let mut host = HostOptions::new(options.root.join("host.json"), options.root.join("functions"));
    host.command = Some(HandlerCommand { program: std::env::current_exe()?, arguments: vec!["serve".into()] });
    host.http = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    host.isolate = options.isolate;
    host.timer_status = Some(data.join("timers.json"));
    host.source = broker;
    host.sink = if options.quiet { Arc::new(SilentSink) as Arc<dyn LogSink> } else { Arc::new(TracingSink) };
    let mut environment = vec![
        (DATA.to_owned(), data.display().to_string()),
        (CONTROL_URL.to_owned(), control_url),
        (CONTROL_TOKEN.to_owned(), token.to_owned()),
        (PARENT.to_owned(), std::process::id().to_string()),
        (SIGNAL_ITEMS.to_owned(), options.signal_items.to_string()),
        (LOG.to_owned(), if options.quiet { "error" } else { "info" }.to_owned()),
    ];
    environment.extend(services);
    if let Time::Virtual(clock) = time {
        host.pace = Pace::Stepped;
        host.clock = clock.clone();
        environment.push((CLOCK.to_owned(), clock.now().to_string()));
    }
    host.environment = environment;
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_broker_is_opened_on_loopback_only() {
        let topology = Topology::new(["pages"], []);
        let broker = Arc::new(Broker::in_memory(&topology, broker::Settings::default(), Arc::new(WallClock)).unwrap());
        let refused = serve_amqp(broker.clone(), Some(([0, 0, 0, 0], 5672).into())).await.err().unwrap().to_string();
        assert!(refused.contains("loopback addresses only; take 127.0.0.1:5672"), "{refused}");
        let front = serve_amqp(broker.clone(), Some(([127, 0, 0, 1], 0).into())).await.unwrap().unwrap();
        let taken = serve_amqp(broker.clone(), Some(front.addr())).await.err().unwrap().to_string();
        assert!(taken.contains("take another port"), "{taken}");
        assert!(serve_amqp(broker, None).await.unwrap().is_none());
    }
}
