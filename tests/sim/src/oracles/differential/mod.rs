//! The differential oracle: for the same inputs the disturbed run ends as the calm one does (SPEC 13.1(2) and (7),
//! E2E-06, A19, A70). The rule easily broken: what is left out here is what SPEC says may differ, and nothing else.

mod incidents;
mod outcome;
mod results;
mod strict;
#[cfg(test)]
mod tests;

pub use outcome::{Outcome, is_late};

use crate::journal::Verdict;

/// How much two runs must have in common, by how the second one was disturbed (SPEC 13.1(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sense {
    /// Every message was handled before its unit was next due: the same documents and events, incidents aside.
    Strict,
    /// Delays stayed within what is not stale, and batches within the allowed lateness: the same traces, points and
    /// sequences of alerts and SLOs.
    Tolerant,
    /// Anything goes but the invariants.
    InvariantsOnly,
}

pub fn same(calm: &Outcome, disturbed: &Outcome, sense: Sense) -> Verdict {
    match sense {
        Sense::InvariantsOnly => return Ok(()),
        Sense::Strict => strict::same(calm, disturbed)?,
        Sense::Tolerant => {
            results::traces_and_points(calm, disturbed)?;
            results::sequences(calm, disturbed)?;
        }
    }
    incidents::same(calm, disturbed)
}
