//! The tolerant sense: the final records of traces and the final points, and what happened to each alert and SLO, slot
//! by slot.

use super::{
    super::reading::{difference, marker, text},
    Outcome,
    outcome::Place,
};
use crate::journal::Verdict;
use opsloop_kernel::{Document, Envelope, TenantId, Timestamp, ids::percent};
use opsloop_observability::events::kind;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What no content hash counts (SPEC 3.2): a value may be computed again.
const UNCOUNTED: [&str; 5] = ["revision", "version", "computedAt", "recordedAt", "lastArrivalAt"];

/// Without what a further revision of the same content changes.
pub fn unrevised(value: &Value) -> Value {
    match value {
        Value::Object(all) => {
            let counted = all.iter().filter(|(name, _)| !UNCOUNTED.contains(&name.as_str()));
            Value::Object(counted.map(|(name, v)| (name.clone(), unrevised(v))).collect())
        }
        Value::Array(all) => all.iter().map(unrevised).collect(),
        other => other.clone(),
    }
}

type Results<'a> = BTreeMap<(&'a TenantId, &'a str, &'a str), &'a Value>;

pub fn traces_and_points(calm: &Outcome, disturbed: &Outcome) -> Verdict {
    let (one, other) = (results(calm), results(disturbed));
    let places: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    for place in places {
        let (tenant, stream, id) = place;
        let (a, b) = (one.get(place), other.get(place));
        if a == b {
            continue;
        }
        let what = format!("{id} in {stream} of {tenant}");
        match (a, b) {
            (Some(a), Some(b)) => {
                let (a, b) = (unrevised(a), unrevised(b));
                if a != b {
                    return Err(format!("{what} differs: {}", difference(&a, &b)));
                }
            }
            (Some(_), None) => return Err(format!("{what} is there in the calm run only")),
            _ => return Err(format!("{what} is there in the disturbed run only")),
        }
    }
    Ok(())
}

fn results(outcome: &Outcome) -> Results<'_> {
    let mut found = BTreeMap::new();
    for ((tenant, stream, id), document) in &outcome.documents {
        let result = match document.kind.as_ref() {
            "head" => document.body.0.get("record"),
            "points" => Some(&document.body.0),
            _ => None,
        };
        if let Some(result) = result {
            found.insert((tenant, stream.name.as_str(), id.as_str()), result);
        }
    }
    found
}

/// Slot by slot what was announced, by the rule or SLO and what of it.
type Sequences = BTreeMap<(TenantId, Subject), BTreeSet<(Timestamp, String)>>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    /// As markers of commands name it: `rule|<id>`, `slo|<id>`.
    unit: String,
    shown: String,
}

/// Equal while every batch came before its window was closed, no slot was given up as stale in one run only, and
/// commands changed a rule at the same slot of it: whatever waits for data when its rule ends is not judged any more,
/// for that end is somebody's act and waits for none (SPEC 3.11).
pub fn sequences(calm: &Outcome, disturbed: &Outcome) -> Verdict {
    if calm.stale != disturbed.stale {
        return Ok(());
    }
    let (one, other) = (announced(calm), announced(disturbed));
    let all: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    for of in all {
        let (tenant, subject) = of;
        let late = calm.late.contains(tenant) || disturbed.late.contains(tenant);
        if late || acts(calm, of) != acts(disturbed, of) {
            continue;
        }
        let (a, b) = (one.get(of), other.get(of));
        if a != b {
            return Err(format!("{} of {tenant}: {} calm, {} disturbed", subject.shown, shown(a), shown(b)));
        }
    }
    Ok(())
}

fn announced(outcome: &Outcome) -> Sequences {
    let mut all = Sequences::new();
    for e in outcome.events.values().filter(|e| e.occurred_at <= outcome.judged_until) {
        if let Some(of) = subject(e) {
            let slots = all.entry((e.tenant_id.clone(), of)).or_default();
            slots.insert((e.occurred_at, e.event_type.clone()));
        }
    }
    all
}

/// What was answered to the commands about it, which name the slots from which they hold.
fn acts<'a>(outcome: &'a Outcome, (tenant, subject): &(TenantId, Subject)) -> Vec<(&'a str, &'a Value)> {
    let mine = |((of, _, id), document): (&'a Place, &'a Document)| {
        let (_, _, unit) = marker(&document.id).filter(|_| of == tenant && document.kind == "seen")?;
        (unit == percent(&subject.unit)).then_some((id.as_str(), &document.body.0))
    };
    outcome.documents.iter().filter_map(mine).collect()
}

fn subject(e: &Envelope) -> Option<Subject> {
    let of = |name: &str| text(&e.payload.0, name);
    match e.event_type.as_str() {
        kind::ALERT_TRIGGERED | kind::ALERT_RESOLVED => Some(Subject {
            unit: format!("rule|{}", of("ruleId")),
            shown: format!("the alert {} of rule {}", of("fingerprint"), of("ruleId")),
        }),
        kind::SLO_BREACHED | kind::SLO_RECOVERED => Some(Subject {
            unit: format!("slo|{}", of("sloId")),
            shown: format!("the SLO {} ({} {})", of("sloId"), of("kind"), of("rule")),
        }),
        _ => None,
    }
}

fn shown(slots: Option<&BTreeSet<(Timestamp, String)>>) -> String {
    let all: Vec<String> = slots.into_iter().flatten().map(|(at, kind)| format!("{kind} at {at}")).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}
