//! No recovery without evidence (SPEC 13.1(3), 3.11): stale or missing input never ends an episode, and an incident ends
//! by itself only when nothing goes on. The end of a rule or definition is somebody's act and waits for none; a rule may
//! say that no data is well.

use super::reading::{marker, property, text};
use crate::journal::{Applied, Oracle, Verdict};
use opsloop_kernel::{Envelope, Message};
use opsloop_observability::{events::kind, incident_analysis};
use serde_json::Value;
use std::collections::BTreeSet;

#[derive(Default)]
pub struct Evidence {
    /// Clears that rest on stale input, by tenant and id.
    stale: BTreeSet<(String, String)>,
}

fn is_clear(kind: &str) -> bool {
    matches!(kind, kind::ALERT_RESOLVED | kind::SLO_RECOVERED)
}

/// A clear for the reason that the condition no longer holds.
fn from_windows(e: &Envelope) -> bool {
    is_clear(&e.event_type) && text(&e.payload.0, "reason") == "condition_cleared"
}

impl Oracle for Evidence {
    fn name(&self) -> &'static str {
        "no recovery without evidence"
    }

    fn applied(&mut self, commit: &Applied) -> Verdict {
        for e in &commit.owed {
            let fresh = e.freshness.as_ref().is_some_and(|f| !f.stale);
            if from_windows(e) && !fresh {
                let what = format!("{} {} of {}", e.event_type, e.event_id, e.subject);
                return Err(format!("{what} says `condition_cleared` on {:?}", e.freshness));
            }
            by_itself(commit, e)?;
        }
        let Some((worker, event, _)) = commit.marker.as_ref().and_then(marker) else { return Ok(()) };
        let stale = self.stale.contains(&(commit.tenant.to_string(), event.to_owned()));
        match commit.changes.iter().find(|c| c.kind() != "seen") {
            Some(change) if stale && worker == incident_analysis::WORKER => {
                Err(format!("the stale clear {event} changes {} of {}", change.id, commit.tenant))
            }
            _ => Ok(()),
        }
    }

    /// Also those that others send.
    fn published(&mut self, message: &Message) -> Verdict {
        if is_clear(property(message, "kind"))
            && let Ok(e) = Envelope::decode(&message.body)
            && from_windows(&e)
            && e.freshness.as_ref().is_some_and(|f| f.stale)
        {
            self.stale.insert((e.tenant_id.to_string(), e.event_id.to_string()));
        }
        Ok(())
    }
}

/// The system mitigates when nothing goes on, and resolves when nothing does but an exhausted budget (SPEC 5.5.3).
fn by_itself(commit: &Applied, e: &Envelope) -> Verdict {
    let (said, ends) = (&e.payload.0, ["Mitigated", "Resolved"]);
    let ends = e.event_type == kind::INCIDENT_TRANSITIONED && ends.contains(&text(said, "to"));
    if !ends || text(said, "actor") != "system" {
        return Ok(());
    }
    let id = text(said, "incidentId");
    let incidents = commit.changes.iter().filter(|c| c.kind() == "incident").filter_map(|c| c.after.as_ref());
    let Some(incident) = incidents.map(|d| &d.body.0).find(|i| text(i, "incidentId") == id) else {
        return Err(format!("{id} is ended without being saved"));
    };
    let sources = incident.get("sources").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for source in sources {
        let held = source.get("episodes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let of_budget = |e: &Value| text(source, "source") == "slo" && e.get("rule").is_none();
        let patient = text(said, "to") == "Resolved";
        if let Some(goes_on) = held.iter().find(|e| !(patient && of_budget(e))) {
            let to = text(said, "to");
            return Err(format!("the system lets {id} be {to} while {} has {goes_on}", text(source, "sourceId")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::rig::*, *};
    use opsloop_kernel::{Document, Freshness};
    use serde_json::json;

    fn clear(reason: &str, stale: bool) -> Envelope {
        let freshness = Freshness { as_of: at("10:04:00"), lag_ms: 60_000, stale, reason: None };
        let cleared = fact("AlertResolved", "1", json!({"reason": reason}));
        Envelope { freshness: Some(freshness), ..cleared }
    }

    #[test]
    fn a_clear_on_stale_input_is_noticed_an_act_and_an_exception_are_not() {
        let judge = |e: Envelope| Evidence::default().applied(&commit(vec![], vec![e]));
        judge(clear("condition_cleared", false)).unwrap();
        judge(clear("no_data_ok", true)).unwrap();
        judge(Envelope { freshness: None, ..clear("rule_disabled", false) }).unwrap();
        fails(judge(clear("condition_cleared", true)), "says `condition_cleared` on");
        fails(judge(Envelope { freshness: None, ..clear("condition_cleared", false) }), "on None");
    }

    #[test]
    fn a_stale_clear_that_changes_an_incident_is_noticed() {
        let stale = clear("condition_cleared", true);
        let mut oracle = Evidence::default();
        oracle.published(&message(&stale)).unwrap();
        let id = stale.event_id.as_str();
        oracle.applied(&about(incident_analysis::WORKER, id, commit(vec![], vec![]))).unwrap();
        let ends = commit(vec![saved(Document::new("cleared|1", "cleared", &json!({})))], vec![]);
        fails(oracle.applied(&about(incident_analysis::WORKER, id, ends)), "changes cleared|1");
    }

    #[test]
    fn an_incident_that_ends_while_something_goes_on_is_noticed() {
        let judge = |to: &str, source: &str, episode: Value| {
            let said = json!({"incidentId": "inc-1", "to": to, "actor": "system"});
            let sources = json!([{"source": source, "sourceId": "s-1", "episodes": [episode]}]);
            let incident = Document::new("incident|1", "incident", &json!({"incidentId": "inc-1", "sources": sources}));
            Evidence::default().applied(&commit(vec![saved(incident)], vec![fact("IncidentTransitioned", "1", said)]))
        };
        judge("Resolved", "slo", json!({"episodeId": "1"})).unwrap();
        judge("Acknowledged", "alert", json!({"episodeId": "1"})).unwrap();
        fails(judge("Resolved", "alert", json!({"episodeId": "1"})), "be Resolved while s-1 has");
        fails(judge("Mitigated", "slo", json!({"episodeId": "1"})), "be Mitigated while s-1 has");
    }
}
