//! The parts of the binary `opsloop` (DESIGN 7), as a library so that tests use the same catalogue.

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
pub mod settings;
pub mod sim;
pub mod workers;
