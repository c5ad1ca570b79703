//! opsloop-telemetry
