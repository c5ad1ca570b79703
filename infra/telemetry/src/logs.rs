//! One line per event, on stdout: the host logs stderr lines as errors (P4).

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line, for machines (SPEC 3.12).
    Json,
    /// For a person at a terminal.
    Text,
}

/// Installs the subscriber; `filter` as in `info,opsloop_shell=debug`. A second call changes nothing.
pub fn init(format: Format, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let installed = match format {
        Format::Json => registry.with(fmt::layer().json().flatten_event(true).with_current_span(true)).try_init(),
        Format::Text => registry.with(fmt::layer().with_target(false).with_writer(std::io::stderr)).try_init(),
    };
    drop(installed);
}
