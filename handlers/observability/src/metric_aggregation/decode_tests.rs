use super::*;
use crate::metric_aggregation::{raw::Labels, types::HistogramValue};
use opsloop_kernel::Window;

const PYTHON: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/otlp/sdk/py_none/001_v1_metrics_pb.body"));
const RECEIVED: &str = "2026-11-21T06:26:49Z";

fn batch(body: &[u8], received_at: &str) -> TelemetryBatch {
    TelemetryBatch {
        signal: TelemetrySignal::Metrics,
        tenant: TenantId::parse("acme").unwrap(),
        project: Some("booking".into()),
        received_at: received_at.parse().unwrap(),
        batch_id: "b".into(),
        part: 0,
        body: body.to_vec().into(),
    }
}

#[test]
fn the_metrics_of_a_real_sdk_are_read_whole() {
    let arrived = arrived(&batch(PYTHON, RECEIVED), 8).unwrap();
    let chunks: Vec<_> = arrived.units.iter().flat_map(|u| &u.windows).map(|w| &w.chunk).collect();
    let streams: Vec<_> = chunks.iter().flat_map(|c| &c.streams).collect();
    let Request::Metrics(sent) = otlp::decode(TelemetrySignal::Metrics, ContentType::Protobuf, PYTHON).unwrap() else {
        panic!("metrics")
    };
    assert_eq!(streams.iter().map(|s| s.points.len() as u64).sum::<u64>(), otlp::parts::count(&Request::Metrics(sent)));
    assert_eq!(arrived.units.iter().map(|u| u.late_dropped).sum::<u64>(), 0);
    assert!(chunks.iter().all(|c| c.resources.len() == 1));
    for stream in &streams {
        let labels = Labels { stream, resource: chunks[0].resources.first() };
        assert!(labels.get("moduleId").is_some() && labels.get("telemetry.sdk.language") == Some("python"));
        let buckets = stream.points[0].distribution.as_ref().and_then(|d| d.buckets.as_ref());
        match StreamKind::try_from(stream.kind).unwrap() {
            StreamKind::HistogramCumulative => assert!(matches!(buckets, Some(HistogramValue::Explicit(_)))),
            StreamKind::ExponentialCumulative => assert!(matches!(buckets, Some(HistogramValue::Exponential(_)))),
            _ => assert!(buckets.is_none()),
        }
    }
}

#[test]
fn the_plan_does_not_depend_on_the_time_of_delivery_and_groups_by_half_hour_a6() {
    let arrived_at = |at: &str| arrived(&batch(PYTHON, at), 8).unwrap();
    let one = arrived_at(RECEIVED);
    assert_eq!(one, arrived_at(RECEIVED));
    for unit in &one.units {
        for window in &unit.windows {
            let of = Window { size_ms: MINUTE_MS, start: window.start };
            assert_eq!(of.start.floor_to(HALF_HOUR_MS, 0), unit.half_hour);
            assert!(window.chunk.streams.windows(2).all(|w| w[0].id < w[1].id), "by stream id, each once");
        }
    }
}

#[test]
fn bytes_that_are_no_request_are_refused() {
    assert_eq!(arrived(&batch(&[7, 7, 7], RECEIVED), 8).unwrap_err().code(), "invalid_payload");
}
