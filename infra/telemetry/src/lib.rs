//! Telemetry of the platform's own (DESIGN 9): declared signals as Prometheus text, structured log lines, and spans and
//! signals to Application Insights and OTLP.

mod client;
mod export;
mod logs;
mod meters;
mod signals;
mod sink;
mod spans;
mod telemetry;

pub use export::{Authentication, Bearer, ConnectionString, Export, Invalid, OtlpEndpoint, Share};
pub use logs::{Format, init};
pub use signals::Signals;
pub use sink::QUEUE_MAX;
pub use telemetry::Telemetry;
