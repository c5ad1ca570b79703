//! Why a host does not start.

use std::fmt;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostError {
    /// host.json, local.settings.json or a directory that cannot be read.
    Config(String),
    /// The HTTP listener, a port for the handler or the thread that starts it.
    System(String),
}

impl HostError {
    pub(super) fn config(path: &Path, why: impl fmt::Display) -> Self {
        Self::Config(format!("{}: {why}", path.display()))
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(why) | Self::System(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for HostError {}
