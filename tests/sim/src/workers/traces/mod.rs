//! TraceIngestionWorker (SPEC 5.1): traces in pieces, out of order, late and from two senders; I1 to I6 at the commits
//! that announce, and that every accepted span is under its trace in the end.

mod generate;
mod listed;
mod model;
mod rules;
#[cfg(test)]
mod tests;

pub use generate::generate;
pub use rules::invariants;
