//! The embedded Functions host: a stand-in for `func start`, held to the bytes of the real one.
//!
//! It reads `host.json` and the rendered `function.json` files, starts the handler process and drives it: messages from a
//! [`Source`], timers, and an HTTP front. What it sends and what it makes of the answers is what the real host does, also
//! where that is odd (an empty 200 hangs, the third crash ends everything): a handler that is right here must not be
//! surprised in the cloud. Differences that are meant stand in `tests/host_differences.md` of this crate.

mod clock;
mod source;
mod value;
mod value_text;

pub use clock::{BoxFuture, HostClock, SteppedClock, WallClock};
pub use source::{Delivered, Entity, LockToken, NoSource, Source, SourceError};
pub use value::{Members, Value, Zone};
