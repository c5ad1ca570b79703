//! The workers a process serves, erased to one type; what they say of themselves is checked here (DESIGN 8).

use crate::pipeline::{self, Job, Ran};
use opsloop_kernel::{BoxFuture, Source, Spec, Trigger, Worker, http::Endpoint};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Kinds that come from outside or from families that a later issue builds: consumed, emitted by nobody here.
pub const INBOUND: &[&str] = &[
    "CostAnomalyDetected",
    "RuntimeDeploymentCompleted",
    "RuntimeDeploymentRolledBack",
    "RuntimeDriftDetected",
    "RuntimeDriftResolved",
    "SecretRotated",
    "SecretRotationFailed",
];
/// Kinds that leave the platform: emitted, consumed by others (SPEC 9.1).
pub const OUTBOUND: &[&str] = &[
    "MetricAggregated",
    "IncidentOpened",
    "IncidentTransitioned",
    "GovernanceReviewRequested",
    "QualityScoreComputed",
];
/// The functions that belong to the shell itself.
pub const OUTBOX_SWEEP: &str = "OutboxSweep";
pub const TICK_PAGES: &str = "TickPages";
pub const HTTP_FUNCTIONS: [(&str, &str, &[&str]); 4] = [
    ("OtlpLogs", "v1/logs", &["post"]),
    ("OtlpMetrics", "v1/metrics", &["post"]),
    ("OtlpTraces", "v1/traces", &["post"]),
    ("PublicApi", "v1/{*rest}", &["get", "post", "put", "delete"]),
];

/// A worker without its types.
pub trait AnyWorker: Send + Sync {
    fn spec(&self) -> &'static Spec;
    fn run<'a>(&'a self, job: &'a Job<'a>) -> BoxFuture<'a, Ran>;
    /// Runs one golden case and says what was decided and why.
    fn explain(&self, case: &Value) -> Result<Value, String>;
}

impl<W: Worker> AnyWorker for W {
    fn spec(&self) -> &'static Spec {
        const { &W::SPEC }
    }
    fn run<'a>(&'a self, job: &'a Job<'a>) -> BoxFuture<'a, Ran> {
        Box::pin(pipeline::run(self, job))
    }
    fn explain(&self, case: &Value) -> Result<Value, String> {
        pipeline::explain::<W>(case)
    }
}

#[derive(Default)]
pub struct Catalogue {
    workers: Vec<Box<dyn AnyWorker>>,
    endpoints: Vec<Endpoint>,
    metric_buckets: Option<u16>,
}

/// Where a deployment sets none (SPEC 11).
const METRIC_BUCKETS: u16 = 8;

impl Catalogue {
    pub fn worker(mut self, worker: impl AnyWorker + 'static) -> Self {
        self.workers.push(Box::new(worker));
        self
    }
    pub fn endpoints(mut self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        self.endpoints.extend(endpoints);
        self
    }
    /// That of the workers: queries look for series where they are.
    pub fn with_metric_buckets(mut self, buckets: u16) -> Self {
        self.metric_buckets = Some(buckets);
        self
    }
    pub fn metric_buckets(&self) -> u16 {
        self.metric_buckets.unwrap_or(METRIC_BUCKETS)
    }
    pub fn workers(&self) -> impl Iterator<Item = &dyn AnyWorker> {
        self.workers.iter().map(Box::as_ref)
    }
    pub fn all_endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }
    pub fn named(&self, worker: &str) -> Option<&dyn AnyWorker> {
        self.workers().find(|w| w.spec().name == worker)
    }
    /// The worker and trigger behind a function of the host.
    pub fn function(&self, function: &str) -> Option<(&dyn AnyWorker, &'static Trigger)> {
        self.workers().find_map(|w| Some((w, w.spec().trigger(function)?)))
    }
    /// The subscription of a worker is called after it; so is the audience of its copies.
    pub fn subscribers(&self) -> impl Iterator<Item = (&'static Spec, &'static Trigger)> {
        self.triggers().filter(|(_, t)| matches!(t.source, Source::Events { .. }))
    }
    pub fn triggers(&self) -> impl Iterator<Item = (&'static Spec, &'static Trigger)> {
        self.workers().flat_map(|w| w.spec().triggers.iter().map(move |t| (w.spec(), t)))
    }

    /// Everything that is wrong with the topology, in words.
    pub fn problems(&self) -> Vec<String> {
        let mut out = self.name_problems();
        let consumed: BTreeSet<&str> = self.consumed().collect();
        let emitted: BTreeSet<&str> = self.workers().flat_map(|w| w.spec().emits.iter().copied()).collect();
        for kind in consumed.iter().filter(|k| !emitted.contains(*k) && !INBOUND.contains(k)) {
            out.push(format!("{kind} is consumed, but nobody emits it and it is not listed as inbound"));
        }
        for kind in emitted.iter().filter(|k| !consumed.contains(*k) && !OUTBOUND.contains(k)) {
            out.push(format!("{kind} is emitted, but nobody consumes it and it is not listed as outbound"));
        }
        for e in &self.endpoints {
            if let opsloop_kernel::http::Does::Command { worker, kind, .. } = e.does
                && !self.takes(worker, kind)
            {
                out.push(format!("{} {}: {worker} does not take the command {kind}", e.method.name(), e.path));
            }
        }
        out
    }

    fn consumed(&self) -> impl Iterator<Item = &'static str> {
        self.subscribers().flat_map(|(_, t)| match t.source {
            Source::Events { kinds, .. } => kinds.iter().copied(),
            _ => [].iter().copied(),
        })
    }

    fn takes(&self, worker: &str, kind: &str) -> bool {
        self.triggers().any(|(spec, t)| {
            spec.name == worker && matches!(t.source, Source::Commands { kinds } if kinds.contains(&kind))
        })
    }

    fn name_problems(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        let own = [OUTBOX_SWEEP, TICK_PAGES].into_iter().chain(HTTP_FUNCTIONS.iter().map(|f| f.0));
        for name in self.triggers().map(|(_, t)| t.function).chain(own) {
            if let Some(other) = seen.insert(name.to_ascii_lowercase(), name) {
                out.push(format!("the function {name} has the name of {other}"));
            }
        }
        for (spec, _) in self.triggers() {
            if spec.triggers.iter().filter(|t| matches!(t.source, Source::Timer { .. })).count() > 1 {
                out.push(format!("{} has more than one timer", spec.name));
            }
        }
        out
    }
}
