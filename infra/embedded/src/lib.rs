//! opsloop-embedded: what stands in for Azure on one machine.

pub mod clock;
pub mod host;
mod sqlite;
pub mod store;
