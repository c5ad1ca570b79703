//! Telemetry of the platform's own (DESIGN 9): declared signals as Prometheus text, structured log lines.

mod logs;
mod signals;

pub use logs::{Format, init};
pub use signals::Signals;
