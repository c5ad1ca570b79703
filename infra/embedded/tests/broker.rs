//! What the embedded broker does of Service Bus, in a file and in memory (DESIGN 6 and 12).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "broker/bed.rs"]
mod bed;
#[path = "broker/dead.rs"]
mod dead;
#[path = "broker/durable.rs"]
mod durable;
#[path = "broker/locks.rs"]
mod locks;
#[path = "broker/publishing.rs"]
mod publishing;
#[path = "broker/rules.rs"]
mod rules;
#[path = "broker/waiting.rs"]
mod waiting;
