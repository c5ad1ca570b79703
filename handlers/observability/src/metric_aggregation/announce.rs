//! `MetricAggregated`: one per (metric, window), listing the groups whose content is new (A17, SPEC 5.2.6, 9.1).

use super::{
    names,
    points::{GroupId, GroupPoint},
    revise::Revised,
    types::{Aggregation, Exemplar, Quality, Quantiles, SeriesKind},
};
use crate::events::kind::METRIC_AGGREGATED;
use opsloop_kernel::{About, Bears, Body, Fact, LabelSet, TenantId, Timestamp, Window};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The broker property by which correlation takes only what it uses.
const EXEMPLARS: &str = "exemplars";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricAggregated {
    pub metric_name: String,
    pub unit: String,
    /// The series kind; `sum` is a counter.
    pub kind: String,
    pub window_start: Timestamp,
    pub window_end: Timestamp,
    pub window_size_ms: i64,
    pub groups: Vec<AggregatedGroup>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AggregatedGroup {
    pub group_key: LabelSet,
    /// Of a definition other than the default.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group_by: Option<Vec<String>>,
    /// Where it is not that of the first group.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<String>,
    pub series_ids: BTreeMap<Aggregation, String>,
    pub revision: u32,
    pub count: f64,
    pub sum: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quantiles: Option<Quantiles>,
    #[serde(default)]
    pub exemplars: Vec<Exemplar>,
    pub quality: Quality,
}

/// The fact of a changed metric; a window is a root, whichever batch brought it forward (A25).
pub fn fact(tenant: &TenantId, metric: &str, window: Window, revised: &Revised, at: Timestamp) -> Fact {
    let listed = &revised.listed;
    let (kind, unit) = listed.first().map_or((SeriesKind::Counter, ""), |g| (g.id.kind, g.unit.as_str()));
    let series = listed.first().map(|g| series_id(tenant, metric, window, &g.id, Aggregation::Sum)).unwrap_or_default();
    let payload = MetricAggregated {
        metric_name: metric.to_owned(),
        unit: unit.to_owned(),
        kind: kind.name_in_events().to_owned(),
        window_start: window.start,
        window_end: window.end(),
        window_size_ms: window.size_ms,
        groups: listed.iter().map(|g| group(tenant, metric, window, g, (kind, unit))).collect(),
    };
    let mut about = About { subject: format!("MetricSeries/{series}"), partition_key: series, ..About::default() };
    if listed.iter().any(|g| !g.point.exemplars.is_empty()) {
        about.properties.insert(EXEMPLARS, "true".to_owned());
    }
    Fact {
        kind: METRIC_AGGREGATED,
        key: names::window_key(tenant, metric, window),
        revision: revised.revision,
        occurred_at: at,
        context: Bears::Slot { scope: format!("{metric}|{}", window.size_ms), slot: window.start },
        about,
        payload: Body::of(&payload),
    }
}

fn series_id(tenant: &TenantId, metric: &str, window: Window, id: &GroupId, aggregation: Aggregation) -> String {
    names::series_id(tenant, metric, window.size_ms, &id.group_key, aggregation, id.kind, id.group_by.as_deref())
}

fn group(
    tenant: &TenantId,
    metric: &str,
    window: Window,
    group: &GroupPoint,
    first: (SeriesKind, &str),
) -> AggregatedGroup {
    let GroupPoint { id, unit, point, .. } = group;
    let ids = id.kind.aggregations().iter().map(|a| (*a, series_id(tenant, metric, window, id, *a)));
    AggregatedGroup {
        group_key: id.group_key.clone(),
        group_by: id.group_by.clone(),
        kind: (id.kind != first.0).then(|| id.kind.name_in_events().to_owned()),
        unit: (unit != first.1).then(|| unit.clone()),
        series_ids: ids.collect(),
        revision: point.revision,
        count: point.count,
        sum: point.sum,
        min: point.min,
        max: point.max,
        last: point.last,
        rate: point.rate,
        quantiles: point.quantiles,
        exemplars: point.exemplars.clone(),
        quality: point.quality,
    }
}
