//! Every worker's part in the simulation: what is sent to it, and what must hold of what it commits (the invariants I1 …
//! In of its section in SPEC 5). A new worker is one module here and one line in the table; a test holds the table
//! against the catalogue.

pub mod alerts;
#[cfg(test)]
mod bed;
pub mod check;
pub mod claims;
pub mod feedback;
pub mod hostile;
pub mod incidents;
pub mod logs;
pub mod metrics;
mod otlp;
pub mod outside;
pub mod quality;
#[cfg(test)]
mod rehearsal;
pub mod shared;
pub mod slos;
#[cfg(test)]
mod testing;
pub mod traces;

pub use claims::claims;
pub use hostile::hostile;

use crate::{
    journal::Oracle,
    plan::{Cast, Plan},
    rng::Rng,
};

/// One worker's line.
pub struct Part {
    /// The name of SPEC 2.1, as in the catalogue.
    pub worker: &'static str,
    pub family: &'static str,
    /// Draws what is sent to this worker.
    pub generate: fn(&mut Rng, &Cast, &mut Plan),
    pub invariants: fn() -> Vec<Box<dyn Oracle>>,
}

/// The metrics that are sent, and that rules and SLOs read.
pub const ERRORS: &str = "http.server.errors";
pub const REQUESTS: &str = "http.server.requests";
pub const LATENCY: &str = "http.server.request.duration";

const OBSERVABILITY: &str = "observability";

/// In the order in which they draw: what comes later may read what was planned before.
pub const PARTS: &[Part] = &[
    Part {
        worker: "TraceIngestionWorker",
        family: OBSERVABILITY,
        generate: traces::generate,
        invariants: traces::invariants,
    },
    Part {
        worker: "LogIngestionWorker",
        family: OBSERVABILITY,
        generate: logs::generate,
        invariants: logs::invariants,
    },
    Part {
        worker: "MetricAggregationWorker",
        family: OBSERVABILITY,
        generate: metrics::generate,
        invariants: metrics::invariants,
    },
    Part {
        worker: "AlertEvaluationWorker",
        family: OBSERVABILITY,
        generate: alerts::generate,
        invariants: alerts::invariants,
    },
    Part { worker: "SloEvaluation", family: OBSERVABILITY, generate: slos::generate, invariants: slos::invariants },
    Part {
        worker: "IncidentAnalysisWorker",
        family: OBSERVABILITY,
        generate: incidents::generate,
        invariants: incidents::invariants,
    },
    Part {
        worker: "FeedbackCreationWorker",
        family: OBSERVABILITY,
        generate: feedback::generate,
        invariants: feedback::invariants,
    },
    Part {
        worker: "QualityScoreWorker",
        family: OBSERVABILITY,
        generate: quality::generate,
        invariants: quality::invariants,
    },
];
