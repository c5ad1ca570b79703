//! The thread that starts handlers.
//!
//! A handler asks the kernel to be killed with its parent, and to Linux the parent is the *thread* that started it. Threads
//! of the runtime may end while the host lives on (after `block_in_place`), so this one does nothing else and stays.

use std::io;
use std::sync::{Arc, mpsc};

use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::error::HostError;
use super::launch::Launch;
use super::sink::LogSink;

struct Job {
    launch: Launch,
    group: String,
    sink: Arc<dyn LogSink>,
    done: oneshot::Sender<io::Result<Child>>,
}

/// Ends its thread when the last copy is dropped.
#[derive(Clone)]
pub(super) struct Spawner {
    jobs: mpsc::Sender<Job>,
}

impl Spawner {
    /// Must be called inside the runtime that is to watch the children.
    pub fn start() -> Result<Self, HostError> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let runtime = Handle::current();
        let work = move || {
            let _inside = runtime.enter();
            for job in inbox {
                // Whoever asked may have been stopped meanwhile: the child is killed by being dropped.
                let _ = job.done.send(job.launch.spawn(&job.group, &job.sink));
            }
        };
        let thread = std::thread::Builder::new().name("handler-parent".to_owned()).spawn(work);
        thread.map_err(|why| HostError::System(format!("no thread for the handler: {why}")))?;
        Ok(Self { jobs })
    }

    pub async fn spawn(&self, launch: &Launch, group: &str, sink: &Arc<dyn LogSink>) -> io::Result<Child> {
        let (done, wait) = oneshot::channel();
        let job = Job { launch: launch.clone(), group: group.to_owned(), sink: Arc::clone(sink), done };
        self.jobs.send(job).map_err(|_| io::ErrorKind::BrokenPipe)?;
        wait.await.map_err(|_| io::ErrorKind::BrokenPipe)?
    }
}
