//! The rules by name.

use super::{marks, points, totals};
use crate::{
    journal::Oracle,
    workers::shared::{Rule, oracles},
};

pub fn invariants() -> Vec<Box<dyn Oracle>> {
    oracles(vec![
        Rule::at_commits("MAW I1", points::not_negative),
        Rule::at_commits("MAW I2", points::combined),
        Rule::at_commits("MAW I3", points::attributed),
        Rule::at_rest("MAW I4", totals::telescoped),
        Rule::at_commits("MAW I5", points::quantiles),
        Rule::at_commits("MAW chunks", marks::marked),
        Rule::at_commits("MAW windows", marks::in_their_windows),
        Rule::at_commits("MAW marks", marks::mark_deleted),
        Rule::at_commits("MAW revisions", marks::announced),
        Rule::at_commits("MAW watermarks", marks::watermarks),
        Rule::at_rest("MAW closed", totals::no_mark_left),
        Rule::at_rest("metric totals", totals::metric_totals),
    ])
}
