//! Deterministic simulation (DESIGN 10.5): production code with every port replaced, and everything from one seed.
//!
//! README.md says what is simulated and how to debug a seed. The easily broken rule: nothing here may draw from
//! anything but [`rng::Rng`], and no map whose order is by chance may be walked.

pub mod blobs;
pub mod broker;
pub mod campaign;
pub mod counts;
pub mod driver;
pub mod durable;
pub mod faults;
pub mod journal;
pub mod oracles;
pub mod plan;
pub mod ports;
pub mod record;
pub mod report;
pub mod rng;
pub mod seeds;
pub mod shared;
pub mod shrink;
pub mod simulate;
pub mod time;
pub mod turns;
pub mod workers;
pub mod world;
