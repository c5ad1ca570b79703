//! What must hold whatever happens (SPEC 13.1), each a check with a name. The workers' own invariants stand beside their
//! generators in [`crate::workers`].

use crate::journal::Oracle;

/// A fresh set for one run.
pub fn all() -> Vec<Box<dyn Oracle>> {
    vec![]
}
