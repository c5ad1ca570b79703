//! The embedded Functions host: a stand-in for `func start`, held to the bytes of the real one.
//!
//! It reads `host.json` and the rendered `function.json` files, starts the handler process and drives it: messages from a
//! [`Source`], timers, and an HTTP front. What it sends and what it makes of the answers is what the real host does, also
//! where that is odd (an empty 200 hangs, the third crash ends everything): a handler that is right here must not be
//! surprised in the cloud. Differences that are meant stand in `tests/host_differences.md` of this crate.

mod admin;
mod answer;
mod bus;
mod client;
mod clock;
mod config;
mod core;
pub mod envelope;
mod envelope_http;
mod error;
mod forward;
mod front;
mod front_default;
mod function;
mod ids;
mod invoke;
mod kestrel;
mod launch;
mod process;
mod proxy;
mod request;
mod retry;
mod route;
mod running;
mod schedule;
mod sink;
mod source;
mod spawner;
mod status;
mod timer;
mod value;
mod value_text;
mod wire;

pub use bus::Drained;
pub use clock::{BoxFuture, HostClock, SteppedClock, WallClock};
pub use config::{Description, HostConfig, HttpMode, Settings};
pub use envelope::BusIdentity;
pub use error::HostError;
pub use function::{
    BusTrigger, DataType, Delay, Function, Functions, HttpTrigger, InError, RetryPolicy, TimerTrigger, Trigger,
};
pub use ids::Ids;
pub use launch::HandlerCommand;
pub use request::{BodyFraming, HOST_VERSION, Telemetry};
pub use route::{Path, Template};
pub use running::{Host, HostOptions, Pace};
pub use schedule::Schedule;
pub use sink::{LineLevel, LogSink, SilentSink, TracingSink};
pub use source::{Delivered, Entity, LockToken, NoSource, Source, SourceError};
pub use value::{Members, Value, Zone};
