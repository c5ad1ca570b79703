//! The counting of runtime signals (SPEC 5.7.3(2)). A trace counts once per fingerprint, at its first revision with the
//! signal, whatever arrives first: so what was counted of a later one moves (A7). An item needs the ten earliest of
//! its day and no more; beyond them there are counters only.

use super::{
    draft,
    input::{Origin, Traced},
    item::{Held, doc},
};
use crate::events::{FeedbackSource, RuntimeSignal, SignalKind};
use opsloop_kernel::{
    DocId, Document, Timestamp, TraceId,
    ids::percent,
    window::{DAY_MS, HOUR_MS},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// So many occurrences in one UTC day make an item.
pub const MIN_OCCURRENCES: usize = 10;
/// A closed hour makes one of less, where its root had so many traces …
pub const MIN_TRACES: u64 = 50;
/// … and at least one in so many bears the signal (1 %).
pub const ONE_IN: u64 = 100;
/// The hour is judged so long after its end.
pub const JUDGED_AFTER: Duration = Duration::from_secs(300);
/// As long as markers: a replay finds what was counted.
const KEPT: Duration = Duration::from_secs(35 * 24 * 3600);

/// One trace with the signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Occurrence {
    pub at: Timestamp,
    pub trace_id: TraceId,
    pub kind: SignalKind,
    pub span_name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_type: Option<String>,
    /// Where the signal begins.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    /// Whose trace it is: with the name of the root, the traces to hold it against.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub record_module_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub root_span_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skill_id: Option<String>,
}

impl Occurrence {
    pub fn of(origin: &Origin, trace: &Traced, signal: &RuntimeSignal) -> Self {
        Self {
            at: origin.occurred_at.floor_millis(),
            trace_id: trace.trace_id.clone(),
            kind: signal.kind,
            span_name: signal.span_name.clone(),
            error_type: signal.error_type.clone(),
            module_id: signal.module_id.clone().or_else(|| trace.module_id.clone()),
            record_module_id: trace.module_id.clone(),
            root_span_name: trace.root_span_name.clone(),
            environment: origin.environment.clone(),
            agent_id: origin.dimensions.get("agentId").cloned(),
            skill_id: origin.dimensions.get("skillId").cloned(),
        }
    }
    pub fn dimensions(&self) -> BTreeMap<String, String> {
        draft::dimensions_of(self.agent_id.as_ref(), self.skill_id.as_ref())
    }
    fn order(&self) -> (Timestamp, &TraceId) {
        (self.at, &self.trace_id)
    }
}

/// A fingerprint on a UTC day: the root of its item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Day {
    pub fingerprint: String,
    /// `YYYY-MM-DD`
    pub day: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<String>,
    /// The earliest, at most `MIN_OCCURRENCES`, by (at, traceId).
    pub first: Vec<Occurrence>,
    pub total: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub item: Option<DocId>,
}

impl Day {
    pub fn new(fingerprint: &str, at: Timestamp, project: Option<&str>) -> Self {
        let day = day_of(at);
        let project_id = project.map(str::to_owned);
        Self { fingerprint: fingerprint.to_owned(), day, project_id, first: vec![], total: 0, item: None }
    }
    pub fn source_id(&self) -> String {
        source_id(&self.fingerprint, &self.day)
    }
    pub fn document(&self) -> Document {
        let document = Document::new(doc::root(FeedbackSource::RuntimeSignal, &self.source_id()), "signal-day", self);
        match (&self.item, self.first.first()) {
            // The root of an item stays as long as that.
            (None, Some(o)) => document.expires(o.at.floor_to(DAY_MS, 0).plus_millis(DAY_MS).plus(KEPT)),
            _ => document,
        }
    }
    fn take_in(&mut self, occurrence: Occurrence) {
        self.first.push(occurrence);
        self.first.sort_by(|a, b| a.order().cmp(&b.order()));
        self.first.truncate(MIN_OCCURRENCES);
        self.total += 1;
    }
    fn leave_out(&mut self, trace: &TraceId) {
        self.first.retain(|o| o.trace_id != *trace);
        self.total = self.total.saturating_sub(1);
    }
}

/// A fingerprint in an hour: its evidence document, due when the hour is to be judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hour {
    pub fingerprint: String,
    pub hour: Timestamp,
    pub count: u64,
}

impl Hour {
    pub fn new(fingerprint: &str, at: Timestamp) -> Self {
        Self { fingerprint: fingerprint.to_owned(), hour: hour_of(at), count: 0 }
    }
    pub fn judged_at(&self) -> Timestamp {
        self.hour.plus_millis(HOUR_MS).plus(JUDGED_AFTER)
    }
    pub fn document(&self) -> Document {
        let expires = self.hour.plus_millis(HOUR_MS).plus(KEPT);
        Document::new(hour_id(&self.fingerprint, self.hour), "signal-hour", self).expires(expires)
    }
}

/// At which revision, and when, a trace was counted for a fingerprint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    pub at: Timestamp,
    pub revision: u32,
}
impl Counted {
    pub fn document(&self, fingerprint: &str, trace: &TraceId) -> Document {
        Document::new(counted_id(fingerprint, trace), "signal-counted", self).expires(self.at.plus(KEPT))
    }
}

pub fn hour_id(fingerprint: &str, hour: Timestamp) -> DocId {
    DocId(format!("signal|{}|{}", percent(fingerprint), hour.millis()))
}
pub fn counted_id(fingerprint: &str, trace: &TraceId) -> DocId {
    DocId(format!("counted|{}|{trace}", percent(fingerprint)))
}
pub fn source_id(fingerprint: &str, day: &str) -> String {
    format!("signal:{fingerprint}:{day}")
}
pub fn day_of(at: Timestamp) -> String {
    at.to_string().chars().take("YYYY-MM-DD".len()).collect()
}
pub fn hour_of(at: Timestamp) -> Timestamp {
    at.floor_to(HOUR_MS, 0)
}

/// The documents an occurrence touches, as they were read. `left_*` are those from which it moves, where they are
/// others than those it moves to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Before {
    pub day: Option<Held<Day>>,
    pub hour: Option<Held<Hour>>,
    pub counted: Option<Held<Counted>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub left_day: Option<Held<Day>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub left_hour: Option<Held<Hour>>,
}

/// The same documents with the occurrence in them.
#[derive(Clone, Debug, PartialEq)]
pub struct After {
    pub day: Day,
    pub hour: Hour,
    pub left_day: Option<Day>,
    pub left_hour: Option<Hour>,
}

impl Before {
    /// Counted already, at this revision or an earlier one.
    pub fn has(&self, revision: u32) -> bool {
        self.counted.as_ref().is_some_and(|c| c.body.revision <= revision)
    }

    pub fn with(&self, fingerprint: &str, occurrence: Occurrence, project: Option<&str>) -> After {
        let at = occurrence.at;
        let mut after = After {
            day: self.day.as_ref().map_or_else(|| Day::new(fingerprint, at, project), |d| d.body.clone()),
            hour: self.hour.as_ref().map_or_else(|| Hour::new(fingerprint, at), |h| h.body.clone()),
            left_day: self.left_day.as_ref().map(|d| d.body.clone()),
            left_hour: self.left_hour.as_ref().map(|h| h.body.clone()),
        };
        if let Some(counted) = &self.counted {
            after.move_out(&counted.body, &occurrence.trace_id);
        }
        after.hour.count += 1;
        after.day.take_in(occurrence);
        after
    }
}

impl After {
    fn move_out(&mut self, counted: &Counted, trace: &TraceId) {
        if hour_of(counted.at) == self.hour.hour {
            self.hour.count = self.hour.count.saturating_sub(1);
        } else if let Some(hour) = &mut self.left_hour {
            hour.count = hour.count.saturating_sub(1);
        }
        if day_of(counted.at) == self.day.day {
            self.day.leave_out(trace);
        } else if let Some(day) = &mut self.left_day {
            day.leave_out(trace);
        }
    }
}

/// Whether a closed hour without ten occurrences is worth an item all the same; `traces` may be cut off beyond
/// `100 · count`, for so many mean below 1 %.
pub fn judge(count: u64, traces: u64) -> Result<(), &'static str> {
    if traces < MIN_TRACES {
        return Err("too-few-traces");
    }
    if count.saturating_mul(ONE_IN) < traces {
        return Err("below-one-percent");
    }
    Ok(())
}
