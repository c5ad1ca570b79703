//! How the handler process is started: command, environment, streams.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::config::{Description, Settings};
use super::sink::{LogSink, level_of};

/// A longer line is cut: nobody may fill the host's memory by never ending one.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What to run instead of `defaultExecutablePath`.
#[derive(Debug, Clone)]
pub struct HandlerCommand {
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Launch {
    pub command: HandlerCommand,
    pub directory: PathBuf,
    /// Beside what the child inherits: settings of the host, and the host's own variables.
    pub environment: Vec<(String, String)>,
}

impl Launch {
    /// From host.json. A relative path means the script root if the file is there, else the PATH.
    pub fn from_config(description: &Description, root: &Path, settings: &Settings) -> Self {
        let executable = settings.expand(&description.executable).unwrap_or_else(|_| description.executable.clone());
        let beside = root.join(&executable);
        let directory = match description.working_directory.as_str() {
            "" => root.to_owned(),
            other => root.join(other),
        };
        Self {
            command: HandlerCommand {
                program: if beside.is_file() { beside } else { executable.into() },
                arguments: arguments(description, settings),
            },
            directory,
            environment: Vec::new(),
        }
    }

    pub(super) fn spawn(&self, group: &str, sink: &Arc<dyn LogSink>) -> std::io::Result<Child> {
        let mut child = Command::new(&self.command.program)
            .args(&self.command.arguments)
            .current_dir(&self.directory)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::inherit())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Only against a host that unwinds: one that is killed leaves its handler as an orphan, as the real one does.
            .kill_on_drop(true)
            .spawn()?;
        if let Some(out) = child.stdout.take() {
            tokio::spawn(read_lines(out, false, group.to_owned(), Arc::clone(sink)));
        }
        if let Some(err) = child.stderr.take() {
            tokio::spawn(read_lines(err, true, group.to_owned(), Arc::clone(sink)));
        }
        Ok(child)
    }
}

/// Joined with blanks and split again, so that `"two words"` becomes two; unset variables vanish.
fn arguments(description: &Description, settings: &Settings) -> Vec<String> {
    let all = description.arguments.iter().chain(&description.worker_arguments);
    let expanded: Vec<String> = all.filter_map(|argument| settings.expand(argument).ok()).collect();
    expanded.join(" ").split_whitespace().map(str::to_owned).collect()
}

async fn read_lines(mut from: impl AsyncRead + Unpin, is_stderr: bool, group: String, sink: Arc<dyn LogSink>) {
    let mut pending: Vec<u8> = Vec::new();
    let mut space = vec![0; 8 * 1024];
    let emit = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        sink.line(&group, level_of(is_stderr, text), text);
    };
    while let Ok(count) = from.read(&mut space).await {
        if count == 0 {
            break;
        }
        pending.extend_from_slice(&space[..count]);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            emit(&pending[..end]);
            pending.drain(..=end);
        }
        if pending.len() > LINE_BYTES_MAX {
            emit(&pending);
            pending.clear();
        }
    }
    if !pending.is_empty() {
        emit(&pending);
    }
}
