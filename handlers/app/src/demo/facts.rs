//! The facts of a run, as the broker accepts them.

use crate::cli::say;
use opsloop_kernel::{Envelope, Message};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

#[derive(Clone, Default)]
pub struct Facts {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    seen: BTreeSet<String>,
    waiting: Vec<Envelope>,
    counts: BTreeMap<String, usize>,
}

impl Facts {
    /// Takes every message on its way to the broker; a fact published twice is one fact.
    pub fn tap(&self) -> Arc<dyn Fn(&Message) + Send + Sync> {
        let state = self.state.clone();
        Arc::new(move |message: &Message| {
            let Ok(envelope) = serde_json::from_slice::<Envelope>(&message.body) else { return };
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if !envelope.tenant_id.is_platform() && state.seen.insert(envelope.event_id.to_string()) {
                *state.counts.entry(envelope.event_type.clone()).or_default() += 1;
                state.waiting.push(envelope);
            }
        })
    }

    /// Prints what came since the last time, in the order of what happened.
    pub fn print(&self) {
        let mut waiting = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut state.waiting)
        };
        waiting.sort_by(|a, b| (a.occurred_at, &a.event_id).cmp(&(b.occurred_at, &b.event_id)));
        for e in waiting {
            let at = e.occurred_at.to_string();
            let clock = at.get(11..19).unwrap_or_default();
            say(&format!("{clock}  {:<22} {}  {}", e.event_type, e.trace_id, gist(&e)));
        }
    }

    /// SHA-256 over all event ids, sorted: two runs published the same facts if it is the same.
    pub fn digest(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hash = Sha256::new();
        for id in &state.seen {
            hash.update(id);
            hash.update("\n");
        }
        hex::encode(hash.finalize())
    }

    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).counts.clone()
    }
}

/// What a person wants to know of a fact, in a line.
fn gist(e: &Envelope) -> String {
    let p = &e.payload.0;
    let text = |name: &str| match &p[name] {
        serde_json::Value::String(s) => s.clone(),
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    };
    let parts: Vec<String> = match e.event_type.as_str() {
        "TraceRecorded" => {
            vec![text("moduleId"), text("rootSpanName"), text("status"), format!("{} ms", text("durationMs"))]
        }
        "MetricAggregated" => {
            let minutes = p["windowSizeMs"].as_i64().unwrap_or_default() / 60_000;
            let groups = p["groups"].as_array().map_or(0, Vec::len);
            vec![text("metricName"), format!("{minutes}m"), format!("{groups} groups")]
        }
        "AlertTriggered" | "AlertResolved" => vec![text("ruleId"), text("severity"), text("value"), text("reason")],
        "SloBreached" | "SloRecovered" => vec![text("sloId"), text("rule"), text("severity"), text("kind")],
        "IncidentOpened" => vec![text("severity"), text("title")],
        "IncidentTransitioned" => vec![text("from"), "→".into(), text("to"), format!("by {}", text("actor"))],
        "IncidentResolved" => vec![p["rootCause"]["category"].as_str().unwrap_or_default().into(), text("incidentId")],
        "FeedbackItemCreated" => vec![text("category"), text("severity"), text("artifactId"), text("title")],
        "QualityScoreComputed" => vec![e.partition_key.clone(), format!("overall {}", text("overall"))],
        _ => vec![e.subject.clone()],
    };
    parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" ")
}
