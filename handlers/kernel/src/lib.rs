//! The kernel: what a worker is and what it may say. No runtime, no clock, no Azure.
//!
//! The words are those of DESIGN 4: a *delivery* is accepted as input, planned into chains of *units*; each unit is
//! observed (a *view*), decided (a *decision*) and committed once. Time is the *moment*, ids are derived.

pub mod cloudevents;
pub mod decision;
pub mod document;
pub mod due_list;
pub mod envelope;
pub mod fault;
pub mod freshness;
pub mod http;
pub mod ident;
pub mod ids;
pub mod incoming;
pub mod json;
pub mod law;
pub mod message;
pub mod mutant;
pub mod ports;
pub mod signal;
pub mod time;
pub mod traceparent;
pub mod window;
pub mod worker;

pub use decision::{About, Answer, Bears, Context, Decision, Effect, Fact, Note, Reason};
pub use document::{Body, DocId, DocKind, Document, Due, ETag, Stored, What, Write};
pub use envelope::Envelope;
pub use fault::{Fault, Halt, Refusal, Stop};
pub use freshness::Freshness;
pub use ident::{CorrelationId, EventId, LabelSet, SpanId, TenantId, TraceId};
pub use incoming::{
    Chain, Container, DueUnits, Found, Incoming, Signal as TelemetrySignal, Stream, TelemetryBatch, Unit, UnitKey,
};
pub use message::{Delivered, Destination, Message, Outcome};
pub use mutant::Mutant;
pub use ports::{Blobs, BoxFuture, Clock, Commit, Committed, Directory, Listing, Order, Page, Publisher, Scope, Store};
pub use time::{Moment, Timestamp};
pub use window::Window;
pub use worker::{Dedup, Performer, Platform, Source, Spec, Trigger, Worker};
