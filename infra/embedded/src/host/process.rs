//! One handler process and its successors: start, probe, exit codes, kill.
//!
//! Exit 0 is for ever, 200 is free, the third other exit ends the host. The host never asks a handler to stop, it kills it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::process::Child;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::answer::{Failure, FailureKind};
use super::client::HandlerClient;
use super::clock::HostClock;
use super::launch::Launch;
use super::sink::LogSink;
use super::spawner::Spawner;

const PROBE_EVERY: Duration = Duration::from_millis(25);
/// From an exit to the next start; 60 to 220 ms were seen, most of which is the start itself.
const RESTART_AFTER: Duration = Duration::from_millis(50);
const COUNTED_EXITS_MAX: u32 = 3;
/// Crashes further apart than this do not add up.
const COUNTED_EXITS_WITHIN: Duration = Duration::from_secs(30 * 60);
/// An invocation waits for its handler at most this many times the initialization timeout.
const READY_WAIT_FACTOR: u32 = 4;
const FREE_EXIT: i32 = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Starting,
    /// The generation counts the starts.
    Ready {
        generation: u64,
    },
    /// It could not be started at all: the host stays up, and nobody tries again.
    NotStarted,
    /// It exited 0: every later call fails at once.
    Gone,
    /// The third crash.
    Ended,
    Stopped,
}

enum Kill {
    /// Of a generation, for a call that took too long.
    Timeout(u64, oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

pub struct Handler {
    pub group: String,
    pub client: HandlerClient,
    state: watch::Sender<State>,
    kills: mpsc::Sender<Kill>,
    initialization: Duration,
    clock: Arc<dyn HostClock>,
}

pub struct Supervision {
    pub spawner: Spawner,
    pub launch: Launch,
    pub initialization: Duration,
    pub clock: Arc<dyn HostClock>,
    pub sink: Arc<dyn LogSink>,
}

/// Why a process is no more.
enum End {
    Exited(i32),
    NeverReady,
    Killed(Kill),
    /// Nobody is left who could ask for anything.
    Abandoned,
}

impl Handler {
    /// Starts the first process in the background.
    pub fn start(group: &str, port: u16, supervision: Supervision) -> (Arc<Self>, JoinHandle<()>) {
        let (kills, inbox) = mpsc::channel(64);
        let handler = Arc::new(Self {
            group: group.to_owned(),
            client: HandlerClient::new(port),
            state: watch::Sender::new(State::Starting),
            kills,
            initialization: supervision.initialization,
            clock: Arc::clone(&supervision.clock),
        });
        let task = tokio::spawn(supervise(Arc::clone(&handler), supervision, inbox));
        (handler, task)
    }

    pub fn states(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Waits until calls can be sent; the generation says to which process.
    pub async fn ready(&self) -> Result<u64, Failure> {
        let mut states = self.state.subscribe();
        let settled = states.wait_for(|state| !matches!(state, State::Starting | State::NotStarted));
        let state = tokio::select! {
            state = settled => state.map_or(State::Stopped, |state| *state),
            () = self.clock.patience(self.initialization * READY_WAIT_FACTOR) => State::NotStarted,
        };
        match state {
            State::Ready { generation } => Ok(generation),
            State::Gone => Err(Failure::new(FailureKind::Broken, "Connection refused")),
            _ => Err(Failure::new(FailureKind::NoHandler, "The handler is not ready")),
        }
    }

    /// Returns once the process of that generation is gone.
    pub async fn kill_for_timeout(&self, generation: u64) {
        let (done, wait) = oneshot::channel();
        if self.kills.send(Kill::Timeout(generation, done)).await.is_ok() {
            let _ = wait.await;
        }
    }

    pub async fn stop(&self) {
        let (done, wait) = oneshot::channel();
        if self.kills.send(Kill::Stop(done)).await.is_ok() {
            let _ = wait.await;
        }
    }

    fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

async fn supervise(handler: Arc<Handler>, with: Supervision, mut inbox: mpsc::Receiver<Kill>) {
    let mut crashes = Crashes::default();
    for generation in 1.. {
        handler.set(State::Starting);
        let child = match with.spawner.spawn(&with.launch, &handler.group, &with.sink).await {
            Ok(child) => child,
            Err(why) => {
                let code = why.raw_os_error().unwrap_or_default();
                tracing::error!(group = handler.group, %why, "Failed to start Worker Channel ({code})");
                return wait_for_stop(&handler, State::NotStarted, inbox).await;
            }
        };
        tracing::info!(
            group = handler.group,
            pid = child.id(),
            port = handler.client.port(),
            generation,
            "handler started"
        );
        let end = run(&handler, child, generation, &mut inbox).await;
        if !matches!(end, End::Killed(Kill::Stop(_))) {
            handler.set(State::Starting); // running calls fail by themselves, new ones wait
        }
        handler.client.forget();
        match after(&handler, end, &mut crashes) {
            Next::Restart => with.clock.patience(RESTART_AFTER).await,
            Next::Rest(state) => return wait_for_stop(&handler, state, inbox).await,
        }
    }
}

enum Next {
    Restart,
    Rest(State),
}

#[derive(Default)]
struct Crashes {
    count: u32,
    last: Option<Instant>,
}

impl Crashes {
    fn add(&mut self) -> u32 {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) > COUNTED_EXITS_WITHIN) {
            self.count = 0;
        }
        self.last = Some(now);
        self.count += 1;
        self.count
    }
}

fn after(handler: &Handler, end: End, crashes: &mut Crashes) -> Next {
    match end {
        End::Exited(0) => {
            tracing::warn!(group = handler.group, "handler exited 0: it is not started again");
            Next::Rest(State::Gone)
        }
        End::Exited(FREE_EXIT) => {
            tracing::info!(group = handler.group, "handler asks for a restart (200)");
            Next::Restart
        }
        End::Exited(code) => {
            tracing::error!(group = handler.group, code, "handler exited");
            count(handler, crashes)
        }
        End::NeverReady => {
            tracing::error!(group = handler.group, "handler did not answer its probe in time");
            count(handler, crashes)
        }
        End::Killed(Kill::Timeout(_, done)) => {
            let _ = done.send(());
            Next::Restart
        }
        End::Killed(Kill::Stop(done)) => {
            handler.set(State::Stopped);
            let _ = done.send(());
            Next::Rest(State::Stopped)
        }
        End::Abandoned => Next::Rest(State::Stopped),
    }
}

fn count(handler: &Handler, crashes: &mut Crashes) -> Next {
    if crashes.add() < COUNTED_EXITS_MAX {
        return Next::Restart;
    }
    tracing::error!(group = handler.group, "Exceeded http worker restart retry count. Shutting down Functions Host");
    Next::Rest(State::Ended)
}

/// Watches one process to its end.
async fn run(handler: &Handler, mut child: Child, generation: u64, inbox: &mut mpsc::Receiver<Kill>) -> End {
    let probe = probe(handler);
    let deadline = handler.clock.patience(handler.initialization);
    tokio::pin!(probe, deadline);
    let mut is_ready = false;
    loop {
        tokio::select! {
            status = child.wait() => return End::Exited(exit_code(status)),
            () = &mut probe, if !is_ready => {
                is_ready = true;
                handler.set(State::Ready { generation });
            }
            () = &mut deadline, if !is_ready => {
                kill(&mut child).await;
                return End::NeverReady;
            }
            asked = inbox.recv() => match asked {
                // For a process that is gone already: what was asked for is done.
                Some(Kill::Timeout(of, done)) if of != generation => drop(done),
                Some(asked) => {
                    kill(&mut child).await;
                    return End::Killed(asked);
                }
                None => return End::Abandoned,
            },
        }
    }
}

async fn kill(child: &mut Child) {
    // An error means that it is gone already.
    let _ = child.kill().await;
}

/// As a shell counts: 128 and the signal.
fn exit_code(status: std::io::Result<std::process::ExitStatus>) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    let Ok(status) = status else { return -1 };
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// `GET /` until somebody answers, whatever it is; answered once per process.
async fn probe(handler: &Handler) {
    let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", handler.client.port());
    loop {
        if let Ok(mut conn) = handler.client.connect().await
            && conn.send(request.as_bytes()).await.is_ok()
            && conn.response(false).await.is_ok()
        {
            return;
        }
        handler.clock.patience(PROBE_EVERY).await;
    }
}

async fn wait_for_stop(handler: &Handler, state: State, mut inbox: mpsc::Receiver<Kill>) {
    handler.set(state);
    while let Some(asked) = inbox.recv().await {
        match asked {
            Kill::Timeout(_, done) | Kill::Stop(done) => {
                let _ = done.send(());
            }
        }
    }
}
