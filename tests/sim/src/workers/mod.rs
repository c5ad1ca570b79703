//! Every worker's part in the simulation: what is sent to it, and what must hold of what it commits (the invariants I1 …
//! In of its section in SPEC 5). A new worker is one module here and one line in the table; a test holds the table
//! against the catalogue.

use crate::{
    journal::Oracle,
    plan::{Cast, Plan},
    rng::Rng,
};

/// One worker's line.
pub struct Part {
    /// The name of SPEC 2.1, as in the catalogue.
    pub worker: &'static str,
    pub family: &'static str,
    /// Draws what is sent to this worker.
    pub generate: fn(&mut Rng, &Cast, &mut Plan),
    pub invariants: fn() -> Vec<Box<dyn Oracle>>,
}

pub const PARTS: &[Part] = &[];
