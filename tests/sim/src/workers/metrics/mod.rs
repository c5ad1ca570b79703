//! MetricAggregationWorker (SPEC 5.2): counters with resets, deltas, gauges and histograms, late, twice and out of order;
//! I1 to I5, the marks and watermarks of A65, and that the windows add up to what was counted.

mod generate;
mod marks;
mod model;
mod points;
mod rules;
#[cfg(test)]
mod tests;
mod totals;
mod writer;

pub use generate::generate;
pub use rules::invariants;
