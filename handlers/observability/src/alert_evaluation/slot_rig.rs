//! Slots over hand-made windows: the rig keeps what a decision writes and hands it to the next slot. Each decision is
//! held to the laws of the kernel.

use super::super::{
    documents::{Chunk, HeldChunk, Root, StoredRule},
    slot::SlotView,
    *,
};
use crate::{
    events::{AlertResolved, AlertTriggered},
    metric_aggregation::bucket::newest_end,
    series::{Held, Selected, SetValues, Watermarks, source::Buckets},
};
use opsloop_kernel::{ETag, Fact, LabelSet, Write, law};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub fn t(text: &str) -> Timestamp {
    format!("2026-11-21T{text}Z").parse().unwrap()
}
pub fn labels(pairs: &[(&str, &str)]) -> LabelSet {
    pairs.iter().copied().collect()
}
/// Rule R of SPEC 5.3.8, changed.
pub fn rule(change: Value) -> AlertRule {
    let mut text = json!({"ruleId": "alr-7", "name": "API p99 latency", "severity": "high", "forMs": 300_000,
        "condition": {"type": "Threshold", "selector": {"metricName": "http.server.request.duration",
            "groupBy": ["moduleId"]}, "aggregation": "p99", "windowMs": 60_000, "rangeMs": 60_000, "reducer": "last",
            "op": "gt", "threshold": 0.5}});
    for (name, value) in change.as_object().unwrap() {
        text[name] = value.clone();
    }
    serde_json::from_value(text).unwrap()
}

pub struct Rig {
    pub view: SlotView,
    pub values: BTreeMap<LabelSet, BTreeMap<Timestamp, f64>>,
    /// Where aggregation stands; `None`: nowhere behind.
    pub mark: Option<Timestamp>,
    version: u32,
}

pub const TENANT: &str = "acme";

impl Rig {
    pub fn new(rule: AlertRule, first: &str) -> Self {
        let held = |body| Held { etag: ETag("1".into()), due: None, body };
        let rule = held(StoredRule { rule, deleted: false });
        let root = Held { etag: ETag("1".into()), due: Some(t(first)), body: Root::of("alr-7") };
        let view = SlotView { root: Some(root), rule: Some(rule), ..SlotView::default() };
        Self { view, values: BTreeMap::new(), mark: None, version: 1 }
    }
    pub fn rule(&self) -> AlertRule {
        self.view.rule.as_ref().unwrap().body.rule.clone()
    }
    /// The value that slot `slot` finds in its newest window.
    pub fn sees(&mut self, module: &str, slot: &str, value: f64) {
        let end = newest_end(self.rule().condition.window_ms(), t(slot));
        self.values.entry(labels(&[("moduleId", module)])).or_default().insert(end, value);
    }
    pub fn due(&self) -> Option<Timestamp> {
        self.view.root.as_ref().and_then(|r| r.due)
    }
    pub fn instances(&self) -> Vec<Instance> {
        self.view.chunks.iter().flat_map(|c| c.held.body.instances.clone()).collect()
    }
    pub fn state(&self) -> Vec<State> {
        self.instances().iter().map(|i| i.state).collect()
    }

    /// Decides the slot, found by a tick, without keeping what is decided.
    pub fn decide(&mut self, slot: Timestamp, tick: Timestamp) -> Decision {
        let reads = self.rule().condition.reads();
        let mut marks = Watermarks::default();
        for r in &reads {
            marks.meet(r.size_ms, Some(self.mark.unwrap_or_else(|| newest_end(r.size_ms, slot))));
        }
        self.view.buckets = Buckets { watermarks: marks, from: Timestamp::EPOCH };
        self.view.data = match self.view.stage(slot, tick) {
            slot::Stage::Reads(reading, _) => {
                reads.iter().map(|r| self.selected(r.size_ms, reading.end(r.size_ms))).collect()
            }
            _ => vec![],
        };
        let (unit, input) = (self.unit(slot), self.input(slot, tick));
        let view = View::Slot(Box::new(self.view.clone()));
        law::all::<AlertEvaluationWorker>(&unit, &input, &view, Moment(slot)).unwrap();
        AlertEvaluationWorker::decide(&unit, &input, &view, Moment(slot)).unwrap()
    }
    fn selected(&self, size_ms: i64, up_to: Timestamp) -> Selected {
        let set = |(l, values): (&LabelSet, &BTreeMap<Timestamp, f64>)| SetValues {
            labels: l.clone(),
            values: values.range(..=up_to).map(|(at, v)| (*at, *v)).collect(),
        };
        let sets = self.values.iter().map(set).filter(|s| !s.values.is_empty()).collect();
        Selected { size_ms, up_to, sets, error: None }
    }
    fn unit(&self, slot: Timestamp) -> Unit<Key> {
        let tenant = TenantId::parse(TENANT).unwrap();
        Unit { tenant, stream: documents::stream(), key: Key::Slots("alr-7".into()), due: Some(slot) }
    }
    fn input(&self, slot: Timestamp, tick: Timestamp) -> Input {
        let found = vec![FoundDue { id: documents::root_id("alr-7"), at: slot }];
        Input::Due { tenant: TenantId::parse(TENANT).unwrap(), tick, found }
    }

    /// Applies what a decision writes, as the store would.
    pub fn keep(&mut self, decision: &Decision) {
        self.version += 1;
        let etag = ETag(self.version.to_string());
        for write in &decision.writes {
            let id = write.id().clone();
            match write {
                Write::Save(d, _) if id.0.starts_with("slots|") => {
                    let due = d.due.as_ref().map(|d| d.at);
                    self.view.root = Some(Held { etag: etag.clone(), due, body: d.body.read().unwrap() });
                }
                Write::Save(d, _) => {
                    let body: Chunk = d.body.read().unwrap();
                    self.view.chunks.retain(|c| c.id != id);
                    self.view.chunks.push(HeldChunk { id, held: Held { etag: etag.clone(), due: None, body } });
                    self.view.chunks.sort_by(|a, b| a.id.cmp(&b.id));
                }
                Write::Delete(..) => self.view.chunks.retain(|c| c.id != id),
                Write::Put(_) => panic!("nothing is put blindly"),
            }
        }
    }
    pub fn at(&mut self, slot: &str) -> Decision {
        self.tick(slot, slot)
    }
    pub fn tick(&mut self, slot: &str, tick: &str) -> Decision {
        let decision = self.decide(t(slot), t(tick));
        self.keep(&decision);
        decision
    }
    /// Slots from `from` on, one a minute, each seeing one value for module `a`; all that was announced.
    pub fn run(&mut self, from: &str, values: &[f64]) -> Vec<(Timestamp, String)> {
        let mut out = vec![];
        for (n, value) in (0_i64..).zip(values) {
            let slot = t(from).plus_millis(n * 60_000);
            let end = newest_end(60_000, slot);
            self.values.entry(labels(&[("moduleId", "a")])).or_default().insert(end, *value);
            let decision = self.decide(slot, slot);
            self.keep(&decision);
            out.extend(decision.facts.iter().map(|f| (f.occurred_at, said(f))));
        }
        out
    }
}

pub fn said(fact: &Fact) -> String {
    match fact.kind {
        "AlertTriggered" if triggered(fact).repeat => "repeat".into(),
        "AlertTriggered" => "trigger".into(),
        _ => format!("{:?}", resolved(fact).reason),
    }
}
pub fn triggered(fact: &Fact) -> AlertTriggered {
    fact.payload.read().unwrap()
}
pub fn resolved(fact: &Fact) -> AlertResolved {
    fact.payload.read().unwrap()
}
pub fn announced(events: &[(Timestamp, String)]) -> Vec<(String, &str)> {
    events.iter().map(|(at, what)| (at.to_string()[11..16].to_owned(), what.as_str())).collect()
}
