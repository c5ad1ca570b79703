//! The shell: one path for every worker, in the cloud, on a laptop, in the simulator (DESIGN 5).
//!
//! accept → plan → observe → decide → bind → commit → settle; then relay. It alone holds a clock.

pub mod access;
pub mod api;
pub mod bind;
pub mod catalogue;
pub mod copies;
pub mod dead_letters;
pub mod delivery;
pub mod inflight;
pub mod invocation;
mod invoke;
pub mod otlp;
pub mod pipeline;
pub mod relay;
pub mod render;
pub mod router;
pub mod settle;
pub mod spans;
pub mod ticks;

pub use catalogue::Catalogue;
use opsloop_kernel::ports::{Backlog, Blobs, Clock, DeadLetters, Directory, Publisher, Recorder, Store};
use std::sync::Arc;

/// Everything the shell may ask of the world.
#[derive(Clone)]
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub directory: Arc<dyn Directory>,
    pub publisher: Arc<dyn Publisher>,
    pub clock: Arc<dyn Clock>,
    pub blobs: Arc<dyn Blobs>,
    pub backlog: Arc<dyn Backlog>,
    pub dead_letters: Arc<dyn DeadLetters>,
    pub recorder: Arc<dyn Recorder>,
    pub jitter: Jitter,
}

/// How delays are spread (SPEC 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Over the whole range, by the message: the same delivery gets the same delay.
    Spread,
    /// Always the longest: for tests that name instants.
    Longest,
}

/// The catalogue with the world around it: what a process serves.
#[derive(Clone)]
pub struct Shell {
    pub catalogue: Arc<Catalogue>,
    pub ports: Ports,
}
