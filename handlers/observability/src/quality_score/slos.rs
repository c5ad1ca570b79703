//! What the SLOs of a project say of a window (SPEC 5.8.3, 5.8.5).

use super::decide::{Budget, Slo};
use crate::slo_evaluation::{last_fresh_status, list_slos};
use opsloop_kernel::{
    Scope, Stop, Timestamp,
    window::{MINUTE_MS, stale_after},
};

/// Of each enabled SLO the last fresh status of the window. `moment` is the instant that is computed: of a window that
/// is still open the statuses before it are used, for the one of that very minute may be made a moment later.
pub async fn at(project: &str, end: Timestamp, moment: Timestamp, scope: &Scope<'_>) -> Result<Vec<Slo>, Stop> {
    let at = end.min(moment.plus_millis(-MINUTE_MS));
    let mut slos = vec![];
    for slo in list_slos(scope, Some(project)).await? {
        if !slo.enabled {
            continue;
        }
        let found = last_fresh_status(scope, &slo.slo_id, at).await?;
        let last = found.as_ref().map(|f| Budget { remaining: f.status.budget_remaining, as_of: f.status.as_of });
        // A status may be fresh as of its own minute, and no other have come since.
        let is_old =
            |b: &Budget| at.millis_since(b.as_of) > i64::try_from(stale_after(MINUTE_MS).as_millis()).unwrap_or(0);
        let stale = found.is_some_and(|f| f.stale) || last.as_ref().is_some_and(is_old);
        slos.push(Slo { slo_id: slo.slo_id, last, stale });
    }
    Ok(slos)
}
