//! Parts: nothing is lost or doubled by splitting, and decompression is bounded.

use super::{
    super::{
        ContentType, Request, decode,
        parts::{count, parts, unzstd, zstd},
        receive,
        receive::batch_id,
    },
    recorded, recordings, tenant,
};
use opsloop_kernel::{Refusal, TelemetrySignal as Signal};
use proptest::prelude::*;

/// The items of a request in order, each with the resource, scope and metric it stands in.
fn items(request: &Request) -> Vec<String> {
    match request {
        Request::Traces(r) => r
            .resource_spans
            .iter()
            .flat_map(|rs| {
                rs.scope_spans.iter().flat_map(move |ss| {
                    ss.spans
                        .iter()
                        .map(move |s| format!("{:?}{}{:?}{}{s:?}", rs.resource, rs.schema_url, ss.scope, ss.schema_url))
                })
            })
            .collect(),
        Request::Logs(r) => r
            .resource_logs
            .iter()
            .flat_map(|rl| {
                rl.scope_logs.iter().flat_map(move |sl| {
                    sl.log_records
                        .iter()
                        .map(move |l| format!("{:?}{}{:?}{}{l:?}", rl.resource, rl.schema_url, sl.scope, sl.schema_url))
                })
            })
            .collect(),
        Request::Metrics(r) => {
            let mut all = vec![];
            for rm in &r.resource_metrics {
                for sm in &rm.scope_metrics {
                    for m in &sm.metrics {
                        use opentelemetry_proto::tonic::metrics::v1::metric::Data;
                        let points: Vec<String> = match m.data.as_ref().unwrap() {
                            Data::Gauge(d) => d.data_points.iter().map(|p| format!("g{p:?}")).collect(),
                            Data::Sum(d) => d
                                .data_points
                                .iter()
                                .map(|p| format!("s{}{}{p:?}", d.is_monotonic, d.aggregation_temporality))
                                .collect(),
                            Data::Histogram(d) => d.data_points.iter().map(|p| format!("h{p:?}")).collect(),
                            Data::ExponentialHistogram(d) => d.data_points.iter().map(|p| format!("e{p:?}")).collect(),
                            Data::Summary(d) => d.data_points.iter().map(|p| format!("q{p:?}")).collect(),
                        };
                        all.extend(
                            points
                                .into_iter()
                                .map(|p| format!("{:?}{:?}{}{}{p}", rm.resource, sm.scope, m.name, m.unit)),
                        );
                    }
                }
            }
            all
        }
    }
}

/// Every recording several times over, so that there is something to split.
fn large(signal: Signal) -> Request {
    let mut all: Option<Request> = None;
    for (_, s, encoding, bytes) in recordings() {
        if s != signal {
            continue;
        }
        let next = decode(s, encoding, &bytes).unwrap();
        all = Some(match (all, next) {
            (None, n) => n,
            (Some(Request::Traces(mut a)), Request::Traces(n)) => {
                a.resource_spans.extend(n.resource_spans);
                Request::Traces(a)
            }
            (Some(Request::Metrics(mut a)), Request::Metrics(n)) => {
                a.resource_metrics.extend(n.resource_metrics);
                Request::Metrics(a)
            }
            (Some(Request::Logs(mut a)), Request::Logs(n)) => {
                a.resource_logs.extend(n.resource_logs);
                Request::Logs(a)
            }
            _ => unreachable!(),
        });
    }
    all.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn parts_together_are_the_request(limit in 200usize..6_000) {
        for signal in Signal::ALL {
            let request = large(signal);
            let made = parts(request.clone(), limit).unwrap();
            let mut all = vec![];
            for part in &made {
                let read = decode(signal, ContentType::Protobuf, &unzstd(&part.bytes).unwrap()).unwrap();
                prop_assert_eq!(count(&read), part.items);
                prop_assert!(part.bytes.len() <= limit || part.items == 1);
                all.extend(items(&read));
            }
            prop_assert_eq!(all, items(&request));
        }
    }
}

#[test]
fn what_fits_is_one_part_and_parts_are_the_same_every_time() {
    for signal in Signal::ALL {
        assert_eq!(parts(large(signal), 1 << 18).unwrap().len(), 1);
        assert_eq!(parts(large(signal), 500).unwrap(), parts(large(signal), 500).unwrap());
    }
}

#[test]
fn a14_the_batch_id_is_that_of_the_content_and_its_tenant() {
    let of = |body: &[u8]| batch_id(&tenant(), Signal::Traces, body);
    // SHA-256 of "acme␟traces␟{}", made with coreutils.
    assert_eq!(of(b"{}"), "7d800e7d903b63d624f33cfdf18c2aa2ba887f98ceb308cc5030c76da01c4f7f");
    assert_ne!(of(b"{} "), of(b"{}"));
    let other = opsloop_kernel::TenantId::parse("globex").unwrap();
    assert_ne!(batch_id(&other, Signal::Traces, b"{}"), of(b"{}"));
    let received = receive(Signal::Traces, ContentType::Json, b"{}", &tenant(), recorded(), 1 << 18).unwrap();
    assert_eq!(received.batch_id, of(b"{}"));
}

#[test]
fn a_bomb_is_refused_and_a_dull_batch_is_not() {
    let dull = vec![b'a'; 4 << 20];
    assert_eq!(unzstd(&zstd(&dull).unwrap()).unwrap().len(), dull.len());
    let bomb = zstd(&vec![0; 32 << 20]).unwrap();
    assert!(bomb.len() < 160_000);
    assert!(matches!(unzstd(&bomb), Err(Refusal::TooLarge { .. })));
    assert!(unzstd(b"not zstd at all").is_err());
    assert!(unzstd(&zstd(&dull).unwrap()[..20]).is_err(), "cut off");
}
