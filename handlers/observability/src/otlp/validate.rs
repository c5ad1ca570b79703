//! What the receiver rejects alone (SPEC 5.1.4(2), 5.2.2, 5.10.1): a bad span, point or record is taken out and counted,
//! its batch goes on. Time limits are relative to the instant of receipt (A14), so that a late delivery judges alike.

use super::{
    Request,
    dimensions::{Names, names_another_tenant},
};
use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{Metric, NumberDataPoint, metric::Data, number_data_point::Value},
    resource::v1::Resource,
    trace::v1::Span,
};
use opsloop_kernel::{TenantId, Timestamp};
use std::{collections::BTreeMap, time::Duration};

/// A span may begin this long before its receipt …
const PAST_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// … and a span or point lie this far after it: clocks differ.
const FUTURE_MAX: Duration = Duration::from_secs(5 * 60);
/// OTLP: `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`.
pub const NO_RECORDED_VALUE: u32 = 1;
const ANOTHER_TENANT: &str = "the tenant attribute is not the tenant of the channel";

/// A request without what was rejected.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    pub request: Request,
    /// Spans, points and records that are left.
    pub items: u64,
    pub rejected: u64,
    /// Those of the rejected that name another tenant.
    pub tenant_violations: u64,
    /// For the sender: how many for which reason; empty if nothing was rejected.
    pub message: String,
}

pub fn validate(request: Request, tenant: &TenantId, received_at: Timestamp) -> Accepted {
    let mut judge = Judge { tenant, received_at, kept: 0, rejected: BTreeMap::new() };
    let request = match request {
        Request::Traces(mut r) => {
            for rs in &mut r.resource_spans {
                let resource = of_resource(rs.resource.as_ref());
                for ss in &mut rs.scope_spans {
                    ss.spans.retain(|s| judge.keeps(s.verdict(received_at), &s.attributes, &resource));
                }
                rs.scope_spans.retain(|ss| !ss.spans.is_empty());
            }
            r.resource_spans.retain(|rs| !rs.scope_spans.is_empty());
            Request::Traces(r)
        }
        Request::Metrics(mut r) => {
            for rm in &mut r.resource_metrics {
                let resource = of_resource(rm.resource.as_ref());
                for sm in &mut rm.scope_metrics {
                    sm.metrics.retain_mut(|m| judge.metric(m, &resource));
                }
                rm.scope_metrics.retain(|sm| !sm.metrics.is_empty());
            }
            r.resource_metrics.retain(|rm| !rm.scope_metrics.is_empty());
            Request::Metrics(r)
        }
        Request::Logs(mut r) => {
            for rl in &mut r.resource_logs {
                let resource = of_resource(rl.resource.as_ref());
                for sl in &mut rl.scope_logs {
                    sl.log_records.retain(|l| judge.keeps(Ok(()), &l.attributes, &resource));
                }
                rl.scope_logs.retain(|sl| !sl.log_records.is_empty());
            }
            r.resource_logs.retain(|rl| !rl.scope_logs.is_empty());
            Request::Logs(r)
        }
    };
    judge.accepted(request)
}

fn of_resource(resource: Option<&Resource>) -> Names<'_> {
    resource.map_or_else(Names::default, |r| Names::of(&r.attributes))
}

type Verdict = Result<(), &'static str>;

struct Judge<'a> {
    tenant: &'a TenantId,
    received_at: Timestamp,
    kept: u64,
    rejected: BTreeMap<&'static str, u64>,
}

impl Judge<'_> {
    fn keeps(&mut self, verdict: Verdict, attributes: &[KeyValue], resource: &Names<'_>) -> bool {
        let foreign = names_another_tenant(&Names::of(attributes), resource, self.tenant.as_str());
        match if foreign { Err(ANOTHER_TENANT) } else { verdict } {
            Ok(()) => {
                self.kept += 1;
                true
            }
            Err(why) => {
                *self.rejected.entry(why).or_default() += 1;
                false
            }
        }
    }

    fn metric(&mut self, metric: &mut Metric, resource: &Names<'_>) -> bool {
        let at = self.received_at;
        match &mut metric.data {
            None => !self.rejects("a metric without data"),
            Some(Data::Gauge(d)) => {
                d.data_points.retain(|p| self.keeps(number(p, at), &p.attributes, resource));
                !d.data_points.is_empty()
            }
            Some(Data::Sum(d)) => {
                let temporality = temporality(d.aggregation_temporality);
                d.data_points.retain(|p| self.keeps(temporality.and(number(p, at)), &p.attributes, resource));
                !d.data_points.is_empty()
            }
            Some(Data::Histogram(d)) => {
                let temporality = temporality(d.aggregation_temporality);
                d.data_points.retain(|p| {
                    let verdict = temporality
                        .and(in_time(p.time_unix_nano, at))
                        .and(finite(&[p.sum, p.min, p.max]))
                        .and(buckets(p.bucket_counts.len(), p.explicit_bounds.len()));
                    self.keeps(verdict, &p.attributes, resource)
                });
                !d.data_points.is_empty()
            }
            Some(Data::ExponentialHistogram(d)) => {
                let temporality = temporality(d.aggregation_temporality);
                d.data_points.retain(|p| {
                    let verdict = temporality.and(in_time(p.time_unix_nano, at)).and(finite(&[p.sum, p.min, p.max]));
                    self.keeps(verdict, &p.attributes, resource)
                });
                !d.data_points.is_empty()
            }
            Some(Data::Summary(d)) => {
                d.data_points.retain(|p| self.keeps(Err("summaries are not supported"), &p.attributes, resource));
                false
            }
        }
    }

    fn rejects(&mut self, why: &'static str) -> bool {
        *self.rejected.entry(why).or_default() += 1;
        true
    }

    fn accepted(self, request: Request) -> Accepted {
        let reasons: Vec<String> = self.rejected.iter().map(|(why, n)| format!("{n}: {why}")).collect();
        Accepted {
            request,
            items: self.kept,
            rejected: self.rejected.values().sum(),
            tenant_violations: self.rejected.get(ANOTHER_TENANT).copied().unwrap_or(0),
            message: reasons.join("; "),
        }
    }
}

trait Judged {
    fn verdict(&self, received_at: Timestamp) -> Verdict;
}

impl Judged for Span {
    fn verdict(&self, received_at: Timestamp) -> Verdict {
        if !is_id(&self.trace_id, 16) {
            return Err("a trace id is 16 bytes, not all zero");
        }
        if !is_id(&self.span_id, 8) {
            return Err("a span id is 8 bytes, not all zero");
        }
        // An all-zero parent is no parent.
        if !self.parent_span_id.is_empty() && self.parent_span_id.len() != 8 {
            return Err("a parent span id is 8 bytes");
        }
        let start = match i64::try_from(self.start_time_unix_nano) {
            Ok(0) => return Err("the start is missing"),
            Ok(ns) => Timestamp::from_nanos(ns),
            Err(_) => Timestamp::MAX,
        };
        if start < received_at.minus(PAST_MAX) {
            return Err("the start is more than 7 days past");
        }
        if start > received_at.plus(FUTURE_MAX) {
            return Err("the start is more than 5 minutes in the future");
        }
        Ok(())
    }
}

pub(crate) fn is_id(bytes: &[u8], len: usize) -> bool {
    bytes.len() == len && bytes.iter().any(|b| *b != 0)
}

fn number(point: &NumberDataPoint, received_at: Timestamp) -> Verdict {
    in_time(point.time_unix_nano, received_at)?;
    match point.value {
        Some(Value::AsDouble(d)) => finite(&[Some(d)]),
        Some(Value::AsInt(_)) => Ok(()),
        None if point.flags & NO_RECORDED_VALUE != 0 => Ok(()),
        None => Err("a point has neither a value nor the flag that it has none"),
    }
}

fn temporality(value: i32) -> Verdict {
    if matches!(value, 1 | 2) { Ok(()) } else { Err("the temporality is unspecified") }
}

fn in_time(unix_nano: u64, received_at: Timestamp) -> Verdict {
    let limit = received_at.plus(FUTURE_MAX).nanos();
    if i64::try_from(unix_nano).is_ok_and(|ns| ns <= limit) {
        Ok(())
    } else {
        Err("the time is more than 5 minutes in the future")
    }
}

fn finite(values: &[Option<f64>]) -> Verdict {
    if values.iter().flatten().all(|v| v.is_finite()) { Ok(()) } else { Err("a value is not a finite number") }
}

fn buckets(counts: usize, bounds: usize) -> Verdict {
    if counts == 0 || counts == bounds + 1 { Ok(()) } else { Err("explicit buckets do not fit their bounds") }
}
