//! The parts of the binary `opsloop` (DESIGN 7), as a library so that tests use the same catalogue.

mod adapters;
mod buckets;
mod check;
pub mod cli;
mod control;
pub mod demo;
mod front;
pub mod local;
pub mod loopback;
mod operate;
mod orphan;
mod package;
mod remote;
mod serve;
mod services;
pub mod settings;
pub mod sim;
pub mod workers;
