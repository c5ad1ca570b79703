//! One call to a handler in the default mode, with its time limit and its attempts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::answer::{Failure, FailureKind, Outcome, Verdict, judge};
use super::client::Outgoing;
use super::clock::HostClock;
use super::envelope::{Input, Sys, encode};
use super::function::Function;
use super::ids::Ids;
use super::process::Handler;
use super::request::{BodyFraming, Call, ClientTrace, HOST_VERSION, Telemetry};
use super::sink::LogSink;
use super::value::Value;

const HOPS_MAX: u32 = 50;
const ANSWER_BYTES_MAX: usize = 100 * 1024 * 1024;
/// Between the end of a call's time and the kill; a message's lock is held that much longer.
pub const GRACE: Duration = Duration::from_secs(2);

pub struct Invoker {
    pub framing: BodyFraming,
    pub telemetry: Telemetry,
    pub function_timeout: Option<Duration>,
    /// On a clock that stands still there is nobody to wait for: attempts follow at once.
    pub retries_wait: bool,
    pub clock: Arc<dyn HostClock>,
    pub ids: Arc<Ids>,
    pub sink: Arc<dyn LogSink>,
    in_flight: watch::Sender<usize>,
}

/// Counts a call for as long as it lives.
pub struct InFlight<'a>(&'a watch::Sender<usize>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Invoker {
    pub fn new(clock: Arc<dyn HostClock>, ids: Arc<Ids>, sink: Arc<dyn LogSink>) -> Self {
        Self {
            framing: BodyFraming::default(),
            telemetry: Telemetry::default(),
            function_timeout: None,
            retries_wait: true,
            clock,
            ids,
            sink,
            in_flight: watch::Sender::new(0),
        }
    }

    pub fn enter(&self) -> InFlight<'_> {
        self.in_flight.send_modify(|count| *count += 1);
        InFlight(&self.in_flight)
    }

    pub fn in_flight(&self) -> usize {
        *self.in_flight.borrow()
    }

    pub async fn idle(&self) {
        // The sender lives in `self`.
        let _ = self.in_flight.subscribe().wait_for(|count| *count == 0).await;
    }

    /// All attempts of one invocation: they share its id.
    pub async fn run(
        &self,
        handler: &Handler,
        function: &Function,
        input: &Input,
        trace: &ClientTrace,
    ) -> Result<Outcome, Failure> {
        let invocation = self.ids.guid();
        let Some(policy) = &function.retry else {
            return self.attempt(handler, function, input, trace, &invocation, None).await;
        };
        let mut last: Option<Failure> = None;
        for retry in 0.. {
            let context = policy.context(retry, &function.name, last.as_ref(), &self.ids);
            let failure = match self.attempt(handler, function, input, trace, &invocation, Some(&context)).await {
                Ok(outcome) => return Ok(outcome),
                Err(failure) => failure,
            };
            let Some(wait) = policy.wait(retry + 1, &self.ids) else { return Err(failure) };
            last = Some(failure);
            if self.retries_wait {
                self.clock.sleep_until(self.clock.now() + wait).await;
            }
        }
        Err(last.unwrap_or_else(|| Failure::new(FailureKind::Broken, "no attempt")))
    }

    async fn attempt(
        &self,
        handler: &Handler,
        function: &Function,
        input: &Input,
        trace: &ClientTrace,
        invocation: &str,
        retry: Option<&Value>,
    ) -> Result<Outcome, Failure> {
        let _entered = self.enter();
        let generation = handler.ready().await?;
        let sys = Sys { function: function.name.clone(), now: self.clock.now(), guid: self.ids.guid() };
        let json = encode(&function.binding, input, &sys, retry);
        let trace = self.telemetry.headers(trace, &self.ids);
        let call = Call { function: &function.name, invocation, json: &json, trace: &trace, framing: self.framing };
        let result = self.limit(handler, generation, &function.name, self.exchange(handler, &call)).await;
        match &result {
            Ok(outcome) => {
                tracing::debug!(function = function.name, invocation, "succeeded");
                for line in &outcome.logs {
                    self.sink.logged(&function.name, line);
                }
            }
            Err(failure) => tracing::warn!(function = function.name, invocation, kind = ?failure.kind, "failed"),
        }
        result
    }

    /// A call that takes too long costs the whole process, and is reported only when that is gone.
    pub async fn limit<T>(
        &self,
        handler: &Handler,
        generation: u64,
        function: &str,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let Some(limit) = self.function_timeout else { return call.await };
        tokio::select! {
            result = call => return result,
            () = self.clock.patience(limit) => {}
        }
        let message = format!("Timeout value of {limit:?} was exceeded by function: Functions.{function}");
        tracing::error!(function, "{message}");
        self.clock.patience(GRACE).await;
        handler.kill_for_timeout(generation).await;
        Err(Failure::new(FailureKind::Timeout, message))
    }

    /// Follows redirects; never returns from an answer without a value.
    async fn exchange(&self, handler: &Handler, call: &Call<'_>) -> Result<Outcome, Failure> {
        let port = handler.client.port();
        let mut method = "POST";
        let mut bytes = call.bytes(port);
        for _ in 0..=HOPS_MAX {
            let (head, body) = send(handler, &bytes).await.map_err(broken)?;
            match judge(method, &head, &body) {
                Verdict::Success(outcome) => return Ok(outcome),
                Verdict::Failure(failure) => return Err(failure),
                Verdict::Hang => std::future::pending().await,
                Verdict::Follow { location, as_get } => {
                    let target = local_target(&location, port).ok_or_else(|| {
                        Failure::new(FailureKind::Broken, "a redirect away from the handler is not followed here")
                    })?;
                    if as_get {
                        method = "GET";
                        bytes = get(call, port, &target);
                    } else if method == "POST" {
                        bytes = Call { function: target.trim_start_matches('/'), ..call.clone() }.bytes(port);
                    } else {
                        bytes = get(call, port, &target);
                    }
                }
            }
        }
        Err(Failure::new(FailureKind::Broken, "too many redirects"))
    }
}

async fn send(handler: &Handler, bytes: &[u8]) -> std::io::Result<(super::wire::ResponseHead, Vec<u8>)> {
    let mut answer = handler.client.send(Outgoing::Whole(bytes), false).await?;
    let body = answer.conn.read_all(&mut answer.body, ANSWER_BYTES_MAX).await?;
    let head = answer.head.clone();
    handler.client.give_back(answer);
    Ok((head, body))
}

pub fn broken(why: std::io::Error) -> Failure {
    let message = match why.kind() {
        std::io::ErrorKind::UnexpectedEof => "The response ended prematurely. (ResponseEnded)".to_owned(),
        _ => why.to_string(),
    };
    Failure::new(FailureKind::Broken, message)
}

fn local_target(location: &str, port: u16) -> Option<String> {
    if location.starts_with('/') {
        return Some(location.to_owned());
    }
    let rest = location.strip_prefix(&format!("http://127.0.0.1:{port}"))?;
    Some(if rest.is_empty() { "/".to_owned() } else { rest.to_owned() })
}

fn get(call: &Call<'_>, port: u16, target: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Azure-Functions-HostVersion: {HOST_VERSION}\r\n\
         X-Azure-Functions-InvocationId: {}\r\nUser-Agent: Azure-Functions-Host/{HOST_VERSION}\r\n\r\n",
        call.invocation
    )
    .into_bytes()
}
