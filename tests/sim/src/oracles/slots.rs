//! A slot waits for its windows (A67): what does not say that it lags was evaluated when the watermark of every bucket
//! that it reads had reached its newest window. What the plans send reads windows of one minute.

use crate::{
    journal::{Applied, Oracle, Verdict},
    plan::Cast,
};
use opsloop_kernel::{
    Container, TenantId, Timestamp,
    window::{MINUTE_MS, allowed_lateness},
};
use opsloop_observability::metric_aggregation::{Bucket, names};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

type Key = (TenantId, String);

pub struct SlotsWait {
    metric_buckets: u16,
    /// By bucket.
    watermarks: BTreeMap<Key, Timestamp>,
    /// The metrics that a rule or SLO reads, by the id of it.
    reads: BTreeMap<Key, BTreeSet<String>>,
}

impl SlotsWait {
    pub fn new(cast: &Cast) -> Self {
        Self { metric_buckets: cast.metric_buckets, watermarks: BTreeMap::new(), reads: BTreeMap::new() }
    }

    fn judge(&self, tenant: &TenantId, before: &Value, after: &Value) -> Verdict {
        let lags = after["waits"].is_object();
        let slot = after["lastSlot"].as_str().filter(|_| !lags && before["lastSlot"] != after["lastSlot"]);
        let Some(slot) = slot.and_then(|s| s.parse::<Timestamp>().ok()) else { return Ok(()) };
        let newest_end = slot.minus(allowed_lateness(MINUTE_MS)).floor_to(MINUTE_MS, 0);
        for metric in self.reads.get(&(tenant.clone(), id_of(after))).into_iter().flatten() {
            let stream = names::stream_of(metric, self.metric_buckets).name;
            let mark = self.watermarks.get(&(tenant.clone(), stream));
            if mark.is_none_or(|m| *m < newest_end) {
                let id = id_of(after);
                return Err(format!("{id} of {tenant} passed the slot {slot}, the watermark of {metric} was {mark:?}"));
            }
        }
        Ok(())
    }
}

fn id_of(body: &Value) -> String {
    body["ruleId"].as_str().or(body["sloId"].as_str()).unwrap_or_default().to_owned()
}

fn metrics(body: &Value, found: &mut BTreeSet<String>) {
    match body {
        Value::Object(fields) => {
            found.extend(fields.get("metricName").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|v| metrics(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| metrics(v, found)),
        _ => {}
    }
}

impl Oracle for SlotsWait {
    fn name(&self) -> &'static str {
        "slots wait"
    }

    fn applied(&mut self, commit: &Applied) -> Verdict {
        for change in &commit.changes {
            let Some(after) = &change.after else { continue };
            let of_metrics = commit.stream.container == Container::Metrics;
            match change.kind() {
                "rule" | "slo" => {
                    let mut found = BTreeSet::new();
                    metrics(&after.body.0, &mut found);
                    self.reads.insert((commit.tenant.clone(), id_of(&after.body.0)), found);
                }
                // The last slot of what was disabled or deleted reads nothing.
                "slots" if after.due.is_some() => {
                    let before = change.before.as_ref().map_or(&Value::Null, |d| &d.body.0);
                    self.judge(&commit.tenant, before, &after.body.0)?;
                }
                _ if of_metrics && change.id.0 == names::BUCKET => {
                    let bucket: Bucket = after.body.read().map_err(|e| e.to_string())?;
                    if let Some(mark) = bucket.watermarks.of(MINUTE_MS) {
                        self.watermarks.insert((commit.tenant.clone(), commit.stream.name.clone()), mark);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rig::*, *};
    use opsloop_kernel::{Document, Stream};
    use serde_json::json;

    #[test]
    fn a_slot_before_its_watermark_is_noticed() {
        let mut oracle = SlotsWait::new(&cast());
        let document = |kind: &'static str, body: Value| saved(Document::new(kind, kind, &body));
        let rule = json!({"ruleId": "r", "condition": {"selector": {"metricName": "m"}}});
        oracle.applied(&commit(vec![document("rule", rule)], vec![])).unwrap();
        let mut bucket = Bucket::default();
        bucket.watermarks.minute = Some(at("10:04:00"));
        let stream = Stream::new(Container::Metrics, names::stream_of("m", cast().metric_buckets).name);
        let root = saved(Document::new(names::BUCKET, "bucket", &bucket));
        oracle.applied(&Applied { stream, ..commit(vec![root], vec![]) }).unwrap();
        let slot = |slot: &str, waits: Value| {
            let body = json!({"ruleId": "r", "lastSlot": format!("2026-11-21T{slot}.000Z"), "waits": waits});
            let due = at("10:07:00");
            commit(vec![saved(Document::new("slots", "slots", &body).due("rules", due))], vec![])
        };
        oracle.applied(&slot("10:05:00", Value::Null)).unwrap();
        oracle.applied(&slot("10:06:00", json!({}))).unwrap();
        fails(oracle.applied(&slot("10:06:00", Value::Null)), "passed the slot");
    }
}
