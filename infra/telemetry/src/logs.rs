//! One line per event, on stdout: the host logs stderr lines as errors (P4).

use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, layer::Identity, prelude::*};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line, for machines (SPEC 3.12).
    Json,
    /// For a person at a terminal.
    Text,
}

/// Log lines alone, for what is no handler; `filter` as in `info,opsloop_shell=debug`. A second call changes nothing.
pub fn init(format: Format, filter: &str) {
    install(format, filter, None::<Identity>);
}

/// Log lines, and what else hears spans: that has a filter of its own, so quiet logs do not lose spans.
pub fn install<L>(format: Format, filter: &str, spans: Option<L>)
where
    L: Layer<Registry> + Send + Sync,
{
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(spans);
    let installed = match format {
        Format::Json => {
            let lines = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
            registry.with(lines.with_filter(filter)).try_init()
        }
        Format::Text => {
            let lines = fmt::layer().with_target(false).with_writer(std::io::stderr);
            registry.with(lines.with_filter(filter)).try_init()
        }
    };
    drop(installed);
}
