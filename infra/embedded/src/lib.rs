//! opsloop-embedded: what stands in for Azure on one machine.

pub mod host;
