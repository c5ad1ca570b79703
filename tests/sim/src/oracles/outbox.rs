//! The outbox is empty at rest (SPEC 3.5), and nothing that was due was forgotten (SPEC 3.8, A62).

use super::reading::text;
use crate::journal::{End, Oracle, Verdict};
use opsloop_embedded::store::Dumped;
use opsloop_kernel::window::{HOUR_MS, stale_after};
use std::{collections::BTreeSet, time::Duration};

/// Every worker's tick comes once a minute at least, and what it finds is done in that minute.
const LATE_MAX: Duration = Duration::from_secs(10 * 60);

pub struct OutboxEmpty;

impl Oracle for OutboxEmpty {
    fn name(&self) -> &'static str {
        "outbox empty"
    }

    fn at_rest(&mut self, end: &End<'_>) -> Verdict {
        let accepted: BTreeSet<&str> = end.published.iter().map(|m| m.id.as_str()).collect();
        for stored in end.documents {
            let (document, tenant) = (&stored.document, &stored.tenant);
            match document.kind.as_ref() {
                "owed" => return Err(format!("{tenant} still owes {}", messages(stored).join(", "))),
                // What no broker takes waits for an operator (A16); what one has taken is not stuck.
                "stuck" => {
                    if let Some(id) = messages(stored).into_iter().find(|id| accepted.contains(id)) {
                        return Err(format!("{id} of {tenant} is stuck, and the broker has it"));
                    }
                }
                _ => on_time(end, stored)?,
            }
        }
        Ok(())
    }
}

fn messages(stored: &Dumped) -> Vec<&str> {
    let list = stored.document.body.0.get("messages").and_then(serde_json::Value::as_array);
    list.into_iter().flatten().map(|m| text(m, "id")).collect()
}

/// Who bears `due`: heads of traces, marks and roots of buckets, slots of rules and SLOs, incidents (enrichment,
/// confirmation), hours of signals, projects of quality and the notices to it. All are done by the next tick, but for
/// slots, which wait for a watermark that stands still as long as their data may be old (A67).
fn on_time(end: &End<'_>, stored: &Dumped) -> Verdict {
    let document = &stored.document;
    let Some(due) = &document.due else { return Ok(()) };
    let patience = if document.kind == "slots" { stale_after(HOUR_MS) } else { Duration::ZERO };
    if due.at.plus(patience).plus(LATE_MAX) >= end.cast.rest {
        return Ok(());
    }
    let (id, kind, place) = (&document.id, &document.kind, &stored.stream.name);
    Err(format!("{kind} {id} in {place} of {} is due for {} since {}", stored.tenant, due.what, due.at))
}

#[cfg(test)]
mod tests {
    use super::{super::rig::*, *};
    use opsloop_kernel::Document;
    use serde_json::json;

    fn judge(document: Document) -> String {
        let published = vec![message(&fact("A", "1", json!({})))];
        Ended { documents: vec![dumped(document)], published, ..Ended::default() }.judged(&mut OutboxEmpty)
    }

    #[test]
    fn what_is_owed_or_wrongly_stuck_is_noticed() {
        let id = fact("A", "1", json!({})).event_id.to_string();
        let owed = |kind: &'static str, id: &str| Document::new("1", kind, &json!({"messages": [{"id": id}]}));
        assert!(judge(owed("owed", "evt-1")).contains("acme still owes evt-1"));
        assert!(judge(owed("stuck", &id)).contains("is stuck, and the broker has it"));
        assert_eq!(judge(owed("stuck", "evt-1")), "");
    }

    #[test]
    fn what_was_forgotten_is_noticed() {
        let due = |kind: &'static str, time: &str| judge(Document::new("1", kind, &json!({})).due("W", at(time)));
        assert_eq!(due("head", "10:50:00"), "");
        assert_eq!(due("slots", "09:00:00"), "");
        assert!(due("head", "10:49:59").contains("head 1 in incidents of acme is due for W since"));
        assert!(due("slots", "07:00:00").contains("is due for W"));
    }
}
