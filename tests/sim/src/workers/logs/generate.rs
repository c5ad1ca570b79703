//! A few records per tenant, some of traces that the plan has already.

use crate::{
    plan::{Cast, Plan},
    rng::Rng,
    workers::otlp::{integer, nanos, of_each_tenant, offer, service, text},
};
use opsloop_kernel::{TenantId, Timestamp, TraceId};
use opsloop_observability::otlp::{
    Request,
    proto::{
        collector::logs::v1::ExportLogsServiceRequest,
        common::v1::{AnyValue, any_value::Value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    },
};

pub fn generate(rng: &mut Rng, cast: &Cast, plan: &mut Plan) {
    of_each_tenant(rng, cast, |rng, tenant| of_tenant(rng, cast, plan, tenant));
}

fn of_tenant(rng: &mut Rng, cast: &Cast, plan: &mut Plan, tenant: &TenantId) {
    let traces: Vec<String> = plan.spans.keys().filter(|(t, _)| t == tenant).map(|(_, trace)| trace.clone()).collect();
    let room = cast.end.millis_since(cast.start);
    for _ in 0..rng.between(1, 2) {
        let at = cast.start.plus_millis(rng.between(10_000, room - 60_000));
        let (project, module) = (*rng.pick(&cast.projects), *rng.pick(&cast.modules));
        let service = service(project, module);
        let records = (0..rng.between(1, 4)).map(|_| record(rng, plan, at, &traces)).collect();
        let scope_logs = vec![ScopeLogs { log_records: records, ..ScopeLogs::default() }];
        let logs = ResourceLogs { resource: Some(service), scope_logs, ..ResourceLogs::default() };
        let request = Request::Logs(ExportLogsServiceRequest { resource_logs: vec![logs] });
        offer(plan, cast, at, tenant, &request);
        if rng.hit(0.25) {
            offer(plan, cast, at.plus_millis(rng.between(1, 50_000)), tenant, &request);
        }
    }
}

/// One that was made a little before `at`.
fn record(rng: &mut Rng, plan: &mut Plan, at: Timestamp, traces: &[String]) -> LogRecord {
    let of_trace =
        if traces.is_empty() || rng.hit(0.4) { None } else { TraceId::parse(rng.pick(traces).as_str()).ok() };
    let mut record = LogRecord {
        time_unix_nano: nanos(at.plus_millis(-rng.between(1, 4_000))),
        severity_number: *rng.pick(&[5, 9, 13, 17, 21]),
        body: Some(AnyValue { value: Some(Value::StringValue(format!("record {}", rng.hex(12)))) }),
        trace_id: of_trace.map(|t| bytes_of(&t)).unwrap_or_default(),
        attributes: vec![integer("thread.id", rng.between(1, 9))],
        ..LogRecord::default()
    };
    if rng.hit(0.3) {
        let secret = format!("s3cr3t{}", rng.hex(12));
        record.attributes.push(text("http.request.header.cookie", &secret));
        plan.secrets.push(secret);
    }
    record
}

fn bytes_of(trace: &TraceId) -> Vec<u8> {
    let digits = trace.as_str();
    (0..digits.len()).step_by(2).filter_map(|n| u8::from_str_radix(&digits[n..n + 2], 16).ok()).collect()
}
