//! Observability and feedback (SPEC 5): from OTLP to traces, series, alerts, incidents, feedback and quality.
//! One folder per worker; `events` has the payloads that pass between them.

pub mod alert_evaluation;
pub mod events;
pub mod feedback_creation;
pub mod incident_analysis;
pub mod log_ingestion;
pub mod metric_aggregation;
pub mod otlp;
pub mod quality_score;
pub mod series;
pub mod slo_evaluation;
pub mod trace_ingestion;
