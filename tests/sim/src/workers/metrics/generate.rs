//! One or two writers of a module per tenant, measured every 20 to 60 s and exported in a dozen requests at most.

use super::writer::{CUMULATIVE, DELTA, Totals, Writer};
use crate::{
    plan::{Cast, Plan},
    rng::Rng,
    workers::otlp::{of_each_tenant, offer, service, text},
};
use opsloop_kernel::{TenantId, Timestamp};
use opsloop_observability::otlp::{
    Request,
    proto::{
        collector::metrics::v1::ExportMetricsServiceRequest,
        metrics::v1::{Metric, ResourceMetrics, ScopeMetrics},
    },
};

/// Requests of one tenant.
const EXPORTS_MAX: usize = 8;
/// Of these so many are not repetitions.
const FIRST_EXPORTS_MAX: usize = 6;

/// How the minutes of a tenant go.
pub struct Course {
    pub errors_from: Timestamp,
    pub errors_until: Timestamp,
    /// Nobody measures from here …
    pub silent_from: Timestamp,
    /// … to here.
    pub silent_until: Timestamp,
    pub errors_temporality: i32,
    pub latency_temporality: i32,
    pub latency: bool,
    pub others: bool,
}

/// What one writer said at one instant.
#[derive(Clone)]
struct Sample {
    at: Timestamp,
    metrics: Vec<Metric>,
}

struct Export {
    at: Timestamp,
    samples: Vec<Sample>,
}

pub fn generate(rng: &mut Rng, cast: &Cast, plan: &mut Plan) {
    of_each_tenant(rng, cast, |rng, tenant| of_tenant(rng, cast, plan, tenant));
}

fn of_tenant(rng: &mut Rng, cast: &Cast, plan: &mut Plan, tenant: &TenantId) {
    let course = course(rng, cast);
    let (project, module) = (*rng.pick(&cast.projects), *rng.pick(&cast.modules));
    let mut totals = Totals::new();
    let mut exports = vec![];
    let writers = rng.between(1, 2) as usize;
    let share_identity = rng.hit(0.5);
    for n in 0..writers {
        let attributes = if share_identity { vec![] } else { vec![text("service.instance.id", &format!("i-{n}"))] };
        let samples = samples(rng, cast, &course, &mut totals, (n as i64, attributes));
        let size = samples.len().div_ceil(FIRST_EXPORTS_MAX / writers).max(1);
        exports.extend(samples.chunks(size).map(|s| export(rng, s)));
    }
    repeat(rng, &mut exports);
    for Export { at, samples } in &exports {
        offer(plan, cast, *at, tenant, &request(project, module, samples));
    }
    for (metric, total) in totals {
        plan.totals.insert((tenant.clone(), metric), total);
    }
}

fn course(rng: &mut Rng, cast: &Cast) -> Course {
    let room = cast.end.millis_since(cast.start);
    let part = |share: i64| cast.start.plus_millis(room * share / 10);
    let errors = rng.between(1, 4);
    // A silence begins late enough that rules have seen something, and may last to the end.
    let silence = if rng.hit(0.3) { rng.between(4, 6) } else { 10 };
    let temporality = |rng: &mut Rng| if rng.hit(0.4) { DELTA } else { CUMULATIVE };
    Course {
        errors_from: part(if rng.hit(0.6) { errors } else { 10 }),
        errors_until: part(errors + rng.between(2, 5)),
        silent_from: part(silence),
        silent_until: part(silence + rng.between(2, 6)),
        errors_temporality: temporality(rng),
        latency_temporality: temporality(rng),
        latency: rng.hit(0.7),
        others: rng.hit(0.4),
    }
}

/// Instants of writers differ in their last milliseconds, so that no two points are one by chance.
fn samples(
    rng: &mut Rng,
    cast: &Cast,
    course: &Course,
    totals: &mut Totals,
    (n, attributes): (i64, Vec<opsloop_observability::otlp::proto::common::v1::KeyValue>),
) -> Vec<Sample> {
    let mut at = cast.start.plus_millis(rng.between(5, 50) * 1_000 + 7 * n);
    let old = rng.hit(0.25);
    let start = at.plus_millis(if old { -3_600_000 - n } else { -rng.between(10, 200) * 1_000 });
    let last = at.plus_millis(-15_000);
    let buckets = if old { [40, 7, 2, 1] } else { [0; 4] };
    let (errors, requests, sum) = if old { (90.0, 4_000.0, 12.5) } else { (0.0, 0.0, 0.0) };
    let mut writer = Writer { attributes, start, last, counts_first: !old, errors, requests, buckets, sum };
    let restart = if rng.hit(0.4) { rng.between(2, 8) } else { i64::MAX };
    let mut found = vec![];
    for step in 0.. {
        if at >= cast.end.plus_millis(-2_000) {
            break;
        }
        let silent = at >= course.silent_from && at < course.silent_until;
        if step == restart {
            writer.restart(at.plus_millis(-5_000));
        }
        if !silent {
            found.push(Sample { at, metrics: writer.measure(rng, course, at, totals) });
        }
        at = at.plus_millis(rng.between(20, 60) * 1_000);
    }
    found
}

/// Most come at once; some beyond the allowed lateness, and some so late that their windows have closed.
fn export(rng: &mut Rng, samples: &[Sample]) -> Export {
    let made = samples.last().map_or(Timestamp::EPOCH, |s| s.at);
    let late = match rng.below(10) {
        0 => rng.between(60, 240),
        1 | 2 => rng.between(20, 60),
        _ => rng.between(0, 5),
    };
    Export { at: made.plus_millis(late * 1_000 + 100), samples: samples.to_vec() }
}

/// Some is sent again: as it was, or together with what came next.
fn repeat(rng: &mut Rng, exports: &mut Vec<Export>) {
    let more = EXPORTS_MAX.saturating_sub(exports.len()).min(2);
    for _ in 0..more {
        if exports.is_empty() || !rng.hit(0.5) {
            continue;
        }
        let n = rng.below(exports.len() as u64) as usize;
        let mut samples = exports[n].samples.clone();
        let mut at = exports[n].at;
        if let Some(next) = exports.get(n + 1).filter(|_| rng.hit(0.5)) {
            samples.extend(next.samples.iter().cloned());
            at = at.max(next.at);
        }
        exports.push(Export { at: at.plus_millis(rng.between(0, 90) * 1_000), samples });
    }
}

fn request(project: &str, module: &str, samples: &[Sample]) -> Request {
    let resource_metrics = samples.iter().map(|sample| ResourceMetrics {
        resource: Some(service(project, module)),
        scope_metrics: vec![ScopeMetrics { metrics: sample.metrics.clone(), ..ScopeMetrics::default() }],
        ..ResourceMetrics::default()
    });
    Request::Metrics(ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() })
}
