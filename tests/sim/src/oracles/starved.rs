//! What always fails holds up nothing else (A49, A62): where only some streams cannot be reached, everything due in the
//! others is done in time. The driver asks when those come back, before they are caught up.

use crate::journal::Verdict;
use opsloop_embedded::store::Dumped;
use opsloop_kernel::{Stream, TenantId, Timestamp};
use std::time::Duration;

pub const NAME: &str = "nothing starves";

/// A tick a minute, and pages only by the first in one: what two of them left has been left for good.
const LATE_MAX: Duration = Duration::from_secs(180);

/// `fails`: streams of which nothing is asked. Nor is it of what waits for watermarks, an
/// operator or the close of an hour, nor of incidents, which read the traces of others, and of marks, which a late
/// point sets long after they are due.
pub fn nothing_starves(documents: &[Dumped], now: Timestamp, fails: impl Fn(&TenantId, &Stream) -> bool) -> Verdict {
    for stored in documents {
        let (document, tenant) = (&stored.document, &stored.tenant);
        let Some(due) = &document.due else { continue };
        let waits = matches!(document.kind.as_ref(), "slots" | "stuck" | "quality-project" | "incident" | "mark");
        if waits || due.at.plus(LATE_MAX) >= now || fails(tenant, &stored.stream) {
            continue;
        }
        let (id, place) = (&document.id, &stored.stream.name);
        return Err(format!("{} {id} in {place} of {tenant} is due for {} since {}", document.kind, due.what, due.at));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::rig::*, *};
    use opsloop_kernel::Document;
    use serde_json::json;

    fn judged(kind: &'static str, now: &str, fails: bool) -> Verdict {
        let document = Document::new("1", kind, &json!({})).due("W", at("10:00:00"));
        nothing_starves(&[dumped(document)], at(now), |_, _| fails)
    }

    #[test]
    fn what_is_left_behind_by_a_stream_that_fails_is_noticed() {
        fails(judged("head", "10:03:01", false), "head 1 in incidents of acme is due for W since");
        assert_eq!(judged("head", "10:03:00", false), Ok(()));
        assert_eq!(judged("head", "10:03:01", true), Ok(()));
        assert_eq!(judged("slots", "10:03:01", false), Ok(()));
    }
}
