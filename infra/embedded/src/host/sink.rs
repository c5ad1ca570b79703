//! Where the handler's own lines go.

/// The level the host gives a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineLevel {
    Information,
    Warning,
    Error,
}

pub trait LogSink: Send + Sync {
    /// A line of the handler's stdout or stderr.
    fn line(&self, group: &str, level: LineLevel, text: &str);

    /// A line of `Logs` in an answer.
    fn logged(&self, function: &str, text: &str);
}

/// The default: everything becomes an event.
#[derive(Debug, Default, Clone, Copy)]
pub struct TracingSink;

impl LogSink for TracingSink {
    fn line(&self, group: &str, level: LineLevel, text: &str) {
        match level {
            LineLevel::Information => tracing::info!(target: "opsloop::handler", group, "{text}"),
            LineLevel::Warning => tracing::warn!(target: "opsloop::handler", group, "{text}"),
            LineLevel::Error => tracing::error!(target: "opsloop::handler", group, "{text}"),
        }
    }

    fn logged(&self, function: &str, text: &str) {
        tracing::info!(target: "opsloop::handler", function, "{text}");
    }
}

/// For demonstrations: the handler is not heard.
#[derive(Debug, Default, Clone, Copy)]
pub struct SilentSink;

impl LogSink for SilentSink {
    fn line(&self, _: &str, _: LineLevel, _: &str) {}

    fn logged(&self, _: &str, _: &str) {}
}

/// stdout is information; stderr is an error, or a warning if it says so (`useStdErrorStreamForErrorsOnly` is true for
/// custom handlers).
pub(super) fn level_of(is_stderr: bool, text: &str) -> LineLevel {
    if !is_stderr {
        return LineLevel::Information;
    }
    if !text.starts_with("LanguageWorkerConsoleLog") && text.to_ascii_lowercase().contains("warn") {
        LineLevel::Warning
    } else {
        LineLevel::Error
    }
}
