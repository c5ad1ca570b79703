//! Each case is held to production: decoding by the shell, then the worker that it is for.

use super::super::testing::{cast, plans, tenant};
use super::*;
use futures::FutureExt;
use opsloop_kernel::{
    BoxFuture, Fault, Incoming, Refusal, Stop, Timestamp, Worker,
    message::{QUEUE_LOGS, QUEUE_TRACES, property},
    ports::Blobs,
};
use opsloop_observability::{
    feedback_creation::FeedbackCreationWorker, incident_analysis::IncidentAnalysisWorker,
    log_ingestion::LogIngestionWorker, metric_aggregation::MetricAggregationWorker, quality_score::QualityScoreWorker,
    trace_ingestion::TraceIngestionWorker,
};
use opsloop_shell::{delivery, invocation::Received};
use std::collections::BTreeSet;

struct NoBlobs;
impl Blobs for NoBlobs {
    fn put<'a>(&'a self, _: &'a str, _: Bytes, _: Timestamp) -> BoxFuture<'a, Result<String, Fault>> {
        Box::pin(async { Err(Fault::Raced) })
    }
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Fault>> {
        Box::pin(async { Ok(None) })
    }
}

fn outcome(h: &Hostile) -> Option<&'static str> {
    match judged(h) {
        Ok(()) => None,
        Err(Stop::Refusal(refusal)) => Some(refusal.code()),
        Err(Stop::Fault(fault)) => panic!("{fault:?}"),
    }
}

fn judged(h: &Hostile) -> Result<(), Stop> {
    let received = Received {
        body: h.body.clone(),
        message_id: "hostile-1".into(),
        content_type: None,
        deliveries: 1,
        enqueued_at: None,
        properties: h.properties.clone(),
    };
    let now = cast(false).start.plus_millis(60_000);
    if let Destination::Queue(queue) = &h.to {
        let batch = delivery::batch_of(queue, &received, &NoBlobs, now).now_or_never().unwrap()?;
        of_queue(queue, &batch)?;
        return Ok(());
    }
    let envelope = delivery::event_of(&received, &NoBlobs, now).now_or_never().unwrap()?;
    if envelope.tenant_id.is_platform() {
        // As `settle` does before any worker sees it.
        let platform = envelope.tenant_id.clone();
        return Err(Refusal::TenantViolation { envelope: platform.clone(), target: platform }.into());
    }
    let event = Incoming::Event(Box::new(envelope));
    match h.properties[property::AUDIENCE].as_str() {
        "IncidentAnalysisWorker" => IncidentAnalysisWorker::default().accept(&event).map(|_| ())?,
        "FeedbackCreationWorker" => FeedbackCreationWorker::default().accept(&event).map(|_| ())?,
        _ => QualityScoreWorker::default().accept(&event).map(|_| ())?,
    }
    Ok(())
}

fn of_queue(queue: &str, batch: &Incoming) -> Result<(), Refusal> {
    match queue {
        QUEUE_TRACES => TraceIngestionWorker::default().accept(batch).map(|_| ()),
        QUEUE_LOGS => LogIngestionWorker.accept(batch).map(|_| ()),
        _ => MetricAggregationWorker { metric_buckets: 4 }.accept(batch).map(|_| ()),
    }
}

#[test]
fn each_dies_as_it_is_said_or_is_ignored() {
    let (cast, acme) = (cast(false), tenant("acme"));
    let mut reasons = BTreeSet::new();
    for (n, case) in envelopes::CASES.iter().chain(batches::CASES).enumerate() {
        for seed in 0..10 {
            let h = case(&mut Rng::new(seed, "hostile"), &cast, &acme);
            assert_eq!(outcome(&h), h.dies, "case {n}");
            reasons.insert(h.dies);
        }
    }
    let all = [
        "invalid_envelope",
        "invalid_payload",
        "tenant_violation",
        "causation_loop",
        "payload_missing",
        "too_large",
        "expired",
    ];
    assert!(all.iter().all(|r| reasons.contains(&Some(*r))) && reasons.contains(&None));
}

#[test]
fn every_case_is_sent_within_a_few_seeds_and_never_too_many() {
    let plans = plans(hostile, false);
    super::super::testing::assert_in_time(&plans);
    assert!(plans.iter().all(|p| p.arrivals.len() <= 4));
    let bodies: BTreeSet<_> = plans.iter().flat_map(|p| &p.arrivals).map(|a| format!("{:?}", a.offer)).collect();
    assert!(bodies.len() > 60, "{}", bodies.len());
}
