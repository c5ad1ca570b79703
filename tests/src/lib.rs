//! The world of the scenarios: production shell and workers, memory store, embedded broker, virtual clock. No sockets,
//! no real time, no threads of its own.

pub mod cosmos;
pub mod faults;
pub mod http;
pub mod probe;
pub mod world;

pub use world::World;
