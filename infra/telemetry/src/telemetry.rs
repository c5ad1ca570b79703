//! The platform's telemetry as one thing: made from its sinks, heard by `tracing`, flushed before a process may end.

use crate::{
    client::Client,
    export::{ConnectionString, Export, Invalid, OtlpEndpoint},
    logs::{self, Format},
    meters::Meters,
    signals::Signals,
    sink::{Queue, Reader, Sink},
    spans::{self, Spans},
};
use opentelemetry::{KeyValue, metrics::MeterProvider, trace::TracerProvider};
use opentelemetry_otlp::{MetricExporter, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    metrics::{SdkMeterProvider, Temporality},
    trace::{Sampler, SdkTracer, SdkTracerProvider, SpanExporter as _},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// The name of our tracer and meter.
const SCOPE: &str = "opsloop";
/// An answer waits for its telemetry no longer than this.
const ANSWER_WAITS_MAX: Duration = Duration::from_millis(500);
/// At most one answer in this time waits at all; the sinks export by themselves meanwhile.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// After a flush that failed no answer waits for this long.
const FLUSH_AGAIN: Duration = Duration::from_secs(60);

pub struct Telemetry {
    pub signals: Arc<Signals>,
    queues: Arc<[Queue]>,
    /// None where spans go nowhere.
    tracer: Option<SdkTracer>,
    /// The instruments live as long as it does.
    _meters: Option<SdkMeterProvider>,
    /// From when on an answer waits for a flush again.
    next_flush: Mutex<Option<Instant>>,
}

impl Telemetry {
    /// Log lines and Prometheus text only.
    pub fn local() -> Self {
        Self {
            signals: Arc::new(Signals::default()),
            queues: Arc::new([]),
            tracer: None,
            _meters: None,
            next_flush: Mutex::default(),
        }
    }

    /// Starts a task per sink on the current runtime. Nothing is connected to before there is something to send.
    pub fn start(export: &Export) -> Result<Self, Invalid> {
        if export.application_insights.is_none() && export.otlp.is_none() {
            return Ok(Self::local());
        }
        let resource = resource_of(export);
        // Application Insights adds up what it gets; OTLP's default is the running total.
        let insights = export.application_insights.as_ref().map(|to| (to, Reader::new(Temporality::Delta)));
        let otlp = export.otlp.as_ref().map(|to| (to, Reader::new(Temporality::Cumulative)));
        let mut provider = SdkMeterProvider::builder().with_resource(resource.clone());
        for reader in insights.iter().map(|i| &i.1).chain(otlp.iter().map(|o| &o.1)) {
            provider = provider.with_reader(reader.clone());
        }
        let meters = provider.build();
        let signals = Arc::new(Signals::also(Meters::new(&meters.meter(SCOPE))));
        let mut queues = Vec::new();
        if let Some((to, reader)) = insights {
            queues.push(insights_sink(to, export, reader, &resource, signals.clone())?);
        }
        if let Some((to, reader)) = otlp {
            queues.push(otlp_sink(to, reader, &resource, signals.clone())?);
        }
        let queues: Arc<[Queue]> = queues.into();
        let tracer = SdkTracerProvider::builder()
            .with_span_processor(Spans { queues: queues.clone(), signals: signals.clone() })
            .with_sampler(Sampler::TraceIdRatioBased(export.share.value()))
            .with_resource(resource)
            .build()
            .tracer(SCOPE);
        Ok(Self { signals, queues, tracer: Some(tracer), _meters: Some(meters), next_flush: Mutex::default() })
    }

    /// What makes spans of `tracing` into exported ones; none where they go nowhere.
    pub fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let tracer = self.tracer.clone()?;
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_context_activation(false)
            .with_tracked_inactivity(false)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false);
        Some(layer.with_filter(filter_fn(spans::exported)))
    }

    /// Makes this the process's telemetry; `filter` as in `info,opsloop_shell=debug` is that of the log lines alone.
    pub fn install(&self, format: Format, filter: &str) {
        logs::install(format, filter, self.layer());
    }

    /// Exports what waits; whether all of it was taken in time.
    pub async fn flush(&self, within: Duration) -> bool {
        let asked: Vec<_> = self.queues.iter().map(Queue::flush).collect();
        let ended = async {
            let mut done = true;
            for flush in asked {
                done &= match flush {
                    Some(ended) => ended.await.unwrap_or(false),
                    None => false,
                };
            }
            done
        };
        timeout(within, ended).await.unwrap_or(false)
    }

    /// Before the answer after which nothing is under way: the platform may freeze or kill the process then (P12).
    /// Bounded in time and in how often; a failure costs telemetry, never an answer.
    pub async fn before_answer(&self) {
        if self.queues.is_empty() || !self.is_time() {
            return;
        }
        if !self.flush(ANSWER_WAITS_MAX).await {
            tracing::debug!("telemetry was not flushed in time");
            self.not_before(FLUSH_AGAIN);
        }
    }

    fn is_time(&self) -> bool {
        let Ok(mut next) = self.next_flush.lock() else { return false };
        let now = Instant::now();
        let is = next.is_none_or(|at| at <= now);
        if is {
            *next = Some(now + FLUSH_EVERY);
        }
        is
    }
    fn not_before(&self, pause: Duration) {
        if let Ok(mut next) = self.next_flush.lock() {
            *next = Some(Instant::now() + pause);
        }
    }
}

fn resource_of(export: &Export) -> Resource {
    let attributes = [
        KeyValue::new("service.name", export.role.clone()),
        KeyValue::new("service.instance.id", export.instance.clone()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ];
    Resource::builder_empty().with_attributes(attributes).build()
}

fn insights_sink(
    to: &ConnectionString,
    export: &Export,
    reader: Reader,
    resource: &Resource,
    signals: Arc<Signals>,
) -> Result<Queue, Invalid> {
    let client = Client::new(Some(to.track()), export.bearer.clone())?;
    // The crate's own words are not repeated: they could hold the string, and with it the key.
    let refused = |_| Invalid("the connection string of Application Insights was not understood".into());
    let made = opentelemetry_application_insights::Exporter::new_from_connection_string(to.text(), client);
    let mut exporter = made.map_err(refused)?.with_sample_rate(export.share.value());
    exporter.set_resource(resource);
    Ok(Sink { exporter: "application-insights", spans: exporter.clone(), metrics: exporter, reader, signals }.start())
}

fn otlp_sink(to: &OtlpEndpoint, reader: Reader, resource: &Resource, signals: Arc<Signals>) -> Result<Queue, Invalid> {
    let refused = |why| Invalid(format!("the OTLP exporter cannot be made: {why}"));
    let client = Client::new(None, None)?;
    // Without retries of its own: those sleep on the thread that they run on.
    let spans = SpanExporter::builder()
        .with_http()
        .with_http_client(client.clone())
        .with_endpoint(to.signal("traces"))
        .with_retry_policy(RetryPolicy::disabled())
        .build();
    let metrics = MetricExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(to.signal("metrics"))
        .with_retry_policy(RetryPolicy::disabled())
        .build();
    let mut spans = spans.map_err(refused)?;
    spans.set_resource(resource);
    Ok(Sink { exporter: "otlp", spans, metrics: metrics.map_err(refused)?, reader, signals }.start())
}
