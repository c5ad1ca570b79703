//! What every part of the running host shares.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::answer::{Failure, FailureKind, Outcome};
use super::clock::HostClock;
use super::config::HostConfig;
use super::envelope::{BusIdentity, Input};
use super::function::{BusTrigger, Function, Trigger};
use super::invoke::Invoker;
use super::process::Handler;
use super::request::ClientTrace;
use super::source::Source;
use super::timer::{Due, Timers};

/// The group of all functions when they share one process.
pub const SHARED: &str = "app";
/// HTTP functions scale together.
const HTTP: &str = "http";

pub(super) struct Core {
    pub config: HostConfig,
    /// In order of name ignoring case.
    pub functions: Vec<Function>,
    /// By scale group; every function has one, see [`group_of`].
    pub handlers: BTreeMap<String, Arc<Handler>>,
    pub isolate: bool,
    pub clock: Arc<dyn HostClock>,
    pub source: Arc<dyn Source>,
    pub invoker: Invoker,
    pub bus: BusIdentity,
    pub timers: Timers,
}

/// Flex Consumption scales every function that is not HTTP in instances of its own.
pub(super) fn group_of(function: &Function, isolate: bool) -> &str {
    match &function.trigger {
        _ if !isolate => SHARED,
        Trigger::Http(_) => HTTP,
        Trigger::Bus(_) | Trigger::Timer(_) => &function.name,
    }
}

impl Core {
    /// `None` cannot happen: the handlers were started for these functions.
    pub fn handler_of(&self, function: &Function) -> Option<&Handler> {
        self.handlers.get(group_of(function, self.isolate)).map(Arc::as_ref)
    }

    /// All attempts of one invocation.
    pub async fn invoke(&self, function: &Function, input: &Input, trace: &ClientTrace) -> Result<Outcome, Failure> {
        let handler = self.handler_of(function);
        let handler = handler.ok_or_else(|| Failure::new(FailureKind::NoHandler, "the function has no handler"))?;
        self.invoker.run(handler, function, input, trace).await
    }

    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name.eq_ignore_ascii_case(name))
    }

    pub fn bus_functions(&self) -> Vec<(&Function, &BusTrigger)> {
        let bus = self.functions.iter().filter_map(|function| match &function.trigger {
            Trigger::Bus(trigger) => Some((function, trigger)),
            Trigger::Timer(_) | Trigger::Http(_) => None,
        });
        bus.collect()
    }

    /// One run of a timer with all its attempts; says whether it succeeded.
    pub async fn run_timer(&self, due: &Due, started: Timestamp) -> bool {
        let Some(function) = self.function(&due.function) else { return false };
        let input = self.timers.input(due);
        tracing::debug!(function = function.name, why = ?due.why, %started, "timer");
        let result = self.invoke(function, &input, &ClientTrace::default()).await;
        self.timers.ran(due, started);
        result.is_ok()
    }
}
