//! What alert rules and SLOs share (SPEC 5.3.1, 5.3.2, 5.4.1): slots in event time, selectors, conditions, and the
//! reading of series for them.
//!
//! The one rule easily broken: a slot reads exactly the windows that close by it, however late it is evaluated (A67).
//! Nothing here looks further than `Reading::up_to`.

pub mod condition;
pub mod held;
pub mod judge;
pub mod number;
pub mod paging;
pub mod slots;
pub mod source;

pub use condition::{Condition, Op, Read, Want};
pub use held::Held;
pub use judge::{Evidence, Seen, Selected, SetValues, Verdict};
pub use slots::{Grid, Pace, Reach, Reading, Waits, Watermarks};
