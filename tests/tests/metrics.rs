//! MetricAggregationWorker on a store (SPEC 5.2.10): what arrives, what ticks make of it, and what crashes, races and
//! corrections leave.

#[path = "metrics/bed.rs"]
mod bed;
#[path = "metrics/corrections.rs"]
mod corrections;
#[path = "metrics/crashes.rs"]
mod crashes;
#[path = "metrics/golden.rs"]
mod golden;
#[path = "metrics/laws.rs"]
mod laws;
#[path = "metrics/otlp.rs"]
mod otlp;
#[path = "metrics/queries.rs"]
mod queries;
#[path = "metrics/series.rs"]
mod series;
