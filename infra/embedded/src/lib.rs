//! opsloop-embedded: what stands in for Azure on one machine.

pub mod amqp;
pub mod blobs;
pub mod broker;
pub mod clock;
pub mod host;
mod sqlite;
pub mod store;
