//! From a message at the router to the spans that a collector gets: whose children they are, and that the answer waits
//! for them.

use crate::bed::{deliver, event, router_of, thing, world};
use axum::{Router, body::Bytes, extract::State, http::Uri};
use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceRequest, trace::v1::Span};
use opsloop_kernel::traceparent::Traceparent;
use opsloop_shell::{access::Access, router::Flush};
use opsloop_telemetry::{Export, OtlpEndpoint, Telemetry};
use opsloop_tests::{
    World,
    http::{self, call},
    probe::COUNTED,
};
use prost::Message;
use serde_json::json;
use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    time::Duration,
};
use tracing_subscriber::prelude::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const WITHIN: Duration = Duration::from_secs(20);

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

impl Collector {
    async fn listen() -> (SocketAddr, Self) {
        let collector = Self::default();
        let take = |State(collector): State<Self>, uri: Uri, body: Bytes| async move {
            if uri.path() == "/v1/traces" {
                let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
                let scopes = request.resource_spans.into_iter().flat_map(|r| r.scope_spans);
                collector.0.lock().unwrap().extend(scopes.flat_map(|s| s.spans));
            }
        };
        let app = Router::new().fallback(take).with_state(collector.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, app).into_future());
        (address, collector)
    }
    fn all(&self) -> Vec<Span> {
        self.0.lock().unwrap().clone()
    }
    fn named(&self, name: &str) -> Span {
        let spans = self.all();
        let names: Vec<_> = spans.iter().map(|s| s.name.clone()).collect();
        spans.into_iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no span `{name}` in {names:?}"))
    }
}

fn telemetry(to: SocketAddr) -> Arc<Telemetry> {
    let otlp = Some(OtlpEndpoint::parse(&format!("http://{to}")).unwrap());
    Arc::new(Telemetry::start(&Export { otlp, ..Export::default() }).unwrap())
}
fn flush(telemetry: &Arc<Telemetry>) -> Option<Flush> {
    let telemetry = telemetry.clone();
    Some(Box::new(move || {
        let telemetry = telemetry.clone();
        Box::pin(async move { telemetry.before_answer().await })
    }))
}
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
fn text(span: &Span, key: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let value = span.attributes.iter().find(|a| a.key == key)?.value.clone()?.value?;
    match value {
        Value::StringValue(s) => Some(s),
        other => Some(format!("{other:?}")),
    }
}
fn listen(telemetry: &Telemetry) -> tracing::subscriber::DefaultGuard {
    tracing::subscriber::set_default(tracing_subscriber::registry().with(telemetry.layer()))
}

#[tokio::test]
async fn a_message_continues_its_envelopes_trace_and_not_the_hosts_p18() {
    let (address, collector) = Collector::listen().await;
    let telemetry = telemetry(address);
    let _listening = listen(&telemetry);
    let world = world();
    let router = router_of(&world, flush(&telemetry));
    let sender = format!("00-{TRACE}-{PARENT}-00");
    // The flush before the answer: nothing else is waited for here.
    assert_eq!(deliver(&router, &event("1", Some(&sender), &thing("a"))).await, 200);
    let delivery = collector.named("ProbeWorker process ThingSeen");
    assert_eq!((hex(&delivery.trace_id).as_str(), hex(&delivery.parent_span_id).as_str()), (TRACE, PARENT));
    assert_eq!(delivery.kind, 5, "a consumer");
    for (key, value) in [("tenant.id", "acme"), ("messaging.message.id", "evt-1"), ("outcome", "processed")] {
        assert_eq!(text(&delivery, key).as_deref(), Some(value), "{key}");
    }
    let commit = collector.named("store commit");
    assert_eq!((&commit.trace_id, &commit.parent_span_id), (&delivery.trace_id, &delivery.span_id));
    // What was announced names a span, and there it is: the next consumer's parent.
    let announced = world.events(COUNTED).remove(0);
    let named = Traceparent::parse(announced.traceparent.as_deref().unwrap()).unwrap();
    let publish = collector.named("ProbeWorker publish ThingCounted");
    assert_eq!((hex(&publish.trace_id).as_str(), hex(&publish.span_id)), (TRACE, named.span_id.to_string()));
    assert_eq!((publish.kind, &publish.parent_span_id), (4, &delivery.span_id));
}

#[tokio::test]
async fn an_envelope_without_traceparent_still_names_its_trace() {
    let (address, collector) = Collector::listen().await;
    let telemetry = telemetry(address);
    let _listening = listen(&telemetry);
    let world = world();
    assert_eq!(deliver(&router_of(&world, flush(&telemetry)), &event("1", None, &thing("a"))).await, 200);
    let delivery = collector.named("ProbeWorker process ThingSeen");
    assert_eq!((hex(&delivery.trace_id).as_str(), delivery.parent_span_id.len()), (TRACE, 0));
}

#[tokio::test]
async fn what_a_human_must_see_is_an_error() {
    let (address, collector) = Collector::listen().await;
    let telemetry = telemetry(address);
    let _listening = listen(&telemetry);
    let world = world();
    let foreign = opsloop_tests::probe::Seen { of: Some(opsloop_tests::world::tenant("globex")), ..thing("a") };
    assert_eq!(deliver(&router_of(&world, None), &event("1", None, &foreign)).await, 422);
    assert!(telemetry.flush(WITHIN).await);
    let delivery = collector.named("ProbeWorker process ThingSeen");
    assert_eq!(delivery.status.unwrap().code, 2);
    let events: Vec<_> = delivery.events.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(events, ["tenant.violation", "delivery.refused"], "milestones that somebody should see");
}

#[tokio::test]
async fn a_request_continues_the_clients_trace_and_its_batch_is_linked_to_it() {
    let (address, collector) = Collector::listen().await;
    let telemetry = telemetry(address);
    let _listening = listen(&telemetry);
    let world = World::new(opsloop_app::workers::catalogue(&Default::default()));
    let router = http::router_of(&world, Access::Local);
    let now = world.now().nanos();
    let span = json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "op",
        "kind": 2, "startTimeUnixNano": now.to_string(), "endTimeUnixNano": (now + 1).to_string()});
    let body = json!({"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": [span]}]}]});
    let client = format!("00-{TRACE}-{PARENT}-01");
    let headers = [("content-type", "application/json"), ("traceparent", client.as_str())];
    assert_eq!(call(&router, "POST", "/v1/traces?code=secret", &headers, body.to_string()).await.status, 200);
    world.drain().await;
    assert_eq!(call(&router, "GET", "/v1/traces/5b8efff798038103d269b633813fc60c", &[], "").await.status, 200);
    assert!(telemetry.flush(WITHIN).await);
    let request = collector.named("POST /v1/traces");
    assert_eq!((hex(&request.trace_id).as_str(), hex(&request.parent_span_id).as_str()), (TRACE, PARENT));
    assert_eq!((request.kind, text(&request, "tenant.id").is_some()), (2, true));
    let batch = collector.named("TraceIngestionWorker process TelemetryBatch");
    assert_ne!(batch.trace_id, request.trace_id, "many traces meet in a batch: it has its own");
    assert_eq!(batch.links[0].span_id, request.span_id);
    collector.named("GET /v1/traces/{traceId}");
    assert!(!format!("{:?}", collector.all()).contains("secret"), "a query may bear a function's key");
}

#[tokio::test]
async fn a_thousand_messages_do_not_wait_for_an_endpoint_that_never_answers() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let telemetry = telemetry(deaf.local_addr().unwrap());
    let _listening = listen(&telemetry);
    let world = world();
    let router = router_of(&world, flush(&telemetry));
    // The first answer waits for its flush and gives up; after that none does, or this would take minutes.
    for n in 0..1_000 {
        assert_eq!(deliver(&router, &event(&n.to_string(), None, &thing(&format!("t/{n}")))).await, 200);
    }
    assert_eq!(world.events(COUNTED).len(), 1_000);
}
