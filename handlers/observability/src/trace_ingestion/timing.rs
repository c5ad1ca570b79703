//! When a trace is due (SPEC 5.1.4(7)): a pure function of the instants at which something new or changed was received,
//! so that neither the order of arrivals nor a late tick moves it (A62).

use opsloop_kernel::Timestamp;
use std::time::Duration;

/// No new or changed span for this long, and a complete record is announced.
pub const SETTLE_WINDOW: Duration = Duration::from_secs(10);
/// After the first span of a revision it is announced, whatever is missing.
pub const MAX_HOLD: Duration = Duration::from_secs(60);

/// `arrivals`: sorted instants that no revision covers yet. `tried`: the last due instant at which the record was not
/// complete. `done`: that of the last revision, before which nothing is due.
pub fn due(arrivals: &[Timestamp], tried: Option<Timestamp>, done: Option<Timestamp>) -> Option<Timestamp> {
    let (first, rest) = arrivals.split_first()?;
    let hold = hold_of(*first);
    let settle = |after: Timestamp| after.plus(SETTLE_WINDOW).min(hold);
    let was_tried = |due: Timestamp| tried.is_some_and(|t| t >= due);
    let mut due = settle(*first);
    for arrival in rest {
        if *arrival >= due {
            if !was_tried(due) {
                break; // it counts for the next revision
            }
            due = hold;
        }
        if *arrival >= due {
            break;
        }
        due = settle(*arrival);
    }
    if was_tried(due) {
        due = hold;
    }
    Some(done.map_or(due, |d| due.max(d)))
}

/// When the revision that begins with `first` waits no longer.
pub fn hold_of(first: Timestamp) -> Timestamp {
    first.plus(MAX_HOLD)
}
