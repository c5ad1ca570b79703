//! LogIngestionWorker (SPEC 5.10.1): records with and without a trace; a chunk and its head agree, lie where they belong,
//! and every accepted record is there once.

mod generate;
mod rules;
#[cfg(test)]
mod tests;

pub use generate::generate;
pub use rules::invariants;
