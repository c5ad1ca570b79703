//! One exporter with its queue: handlers never wait for it, and its memory is bounded. What does not fit, and what the
//! exporter does not get rid of, is dropped and counted.

use crate::signals::Signals;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        InstrumentKind, ManualReader, Pipeline, Temporality, data::ResourceMetrics, exporter::PushMetricExporter,
        reader::MetricReader,
    },
    trace::{SpanData, SpanExporter},
};
use opsloop_kernel::{Note, ports::Recorder, signal};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

/// Spans that wait for one exporter: some 2 MB.
pub const QUEUE_MAX: usize = 2_048;
const BATCH_MAX: usize = 512;
const SPANS_EVERY: Duration = Duration::from_secs(5);
const METRICS_EVERY: Duration = Duration::from_secs(60);
/// With what an exporter tries again within it.
const EXPORT_MAX: Duration = Duration::from_secs(10);
/// Whose signal the losses are.
const NAME: &str = "Telemetry";

/// The near end: where spans are put and a flush is asked for.
#[derive(Debug)]
pub struct Queue {
    pub exporter: &'static str,
    spans: mpsc::Sender<SpanData>,
    flushes: mpsc::Sender<oneshot::Sender<bool>>,
}

impl Queue {
    /// Takes the span, or drops and counts it: at once.
    pub fn offer(&self, span: SpanData, signals: &Signals) {
        if self.spans.try_send(span).is_err() {
            count_dropped(self.exporter, "queue_full", 1, signals);
        }
    }

    /// What is told when all that is there now has been exported; none while an earlier flush waits.
    pub fn flush(&self) -> Option<oneshot::Receiver<bool>> {
        let (done, ended) = oneshot::channel();
        self.flushes.try_send(done).ok().map(|()| ended)
    }
}

fn count_dropped(exporter: &'static str, reason: &'static str, spans: usize, signals: &Signals) {
    let note = Note::count(&signal::TELEMETRY_DROPPED, spans as u64).label("exporter", exporter);
    signals.record(NAME, &note.label("reason", reason));
}

/// Metrics of one sink; cloned, so that the meter provider and the sink's task have it both.
#[derive(Clone, Debug)]
pub struct Reader(Arc<ManualReader>);

impl Reader {
    pub fn new(temporality: Temporality) -> Self {
        Self(Arc::new(ManualReader::builder().with_temporality(temporality).build()))
    }
}
impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }
    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }
    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }
    fn shutdown_with_timeout(&self, limit: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(limit)
    }
    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

/// The far end: what an exporter's task works with.
pub struct Sink<S, M> {
    pub exporter: &'static str,
    pub spans: S,
    pub metrics: M,
    pub reader: Reader,
    pub signals: Arc<Signals>,
}

impl<S: SpanExporter + 'static, M: PushMetricExporter> Sink<S, M> {
    /// Starts the task on this runtime; it ends when the queue is dropped.
    pub fn start(self) -> Queue {
        let (spans, incoming) = mpsc::channel(QUEUE_MAX);
        let (flushes, asked) = mpsc::channel(1);
        let exporter = self.exporter;
        let task = Task { sink: self, incoming, batch: Vec::with_capacity(BATCH_MAX), failing: false };
        tokio::spawn(task.run(asked));
        Queue { exporter, spans, flushes }
    }
}

struct Task<S, M> {
    sink: Sink<S, M>,
    incoming: mpsc::Receiver<SpanData>,
    batch: Vec<SpanData>,
    /// The last export failed: its failure is logged once, not every time.
    failing: bool,
}

impl<S: SpanExporter, M: PushMetricExporter> Task<S, M> {
    async fn run(mut self, mut flushes: mpsc::Receiver<oneshot::Sender<bool>>) {
        let mut spans_due = interval_at(Instant::now() + SPANS_EVERY, SPANS_EVERY);
        let mut metrics_due = interval_at(Instant::now() + METRICS_EVERY, METRICS_EVERY);
        spans_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        metrics_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let room = BATCH_MAX - self.batch.len();
            tokio::select! {
                biased;
                flush = flushes.recv() => match flush {
                    Some(done) => {
                        let exported = self.export_all().await;
                        // Who asked may have stopped waiting.
                        let _ = done.send(exported);
                    }
                    None => return,
                },
                _ = metrics_due.tick() => {
                    self.export_metrics().await;
                }
                _ = spans_due.tick() => {
                    self.export_batch().await;
                }
                taken = self.incoming.recv_many(&mut self.batch, room) => {
                    if taken == 0 {
                        return;
                    }
                    if self.batch.len() == BATCH_MAX {
                        self.export_batch().await;
                    }
                }
            }
        }
    }

    /// What waits now, and the metrics; what comes meanwhile is the next one's.
    async fn export_all(&mut self) -> bool {
        let mut left = self.incoming.len();
        let mut done = true;
        while left > 0 {
            let room = (BATCH_MAX - self.batch.len()).min(left);
            left -= self.incoming.recv_many(&mut self.batch, room).await.max(1);
            if self.batch.len() == BATCH_MAX {
                done &= self.export_batch().await;
            }
        }
        done & self.export_batch().await & self.export_metrics().await
    }

    async fn export_batch(&mut self) -> bool {
        if self.batch.is_empty() {
            return true;
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_MAX));
        let spans = batch.len();
        let exported = timeout(EXPORT_MAX, self.sink.spans.export(batch)).await;
        let done = self.judge("spans", exported);
        if !done {
            count_dropped(self.sink.exporter, "export_failed", spans, &self.sink.signals);
        }
        done
    }

    async fn export_metrics(&mut self) -> bool {
        let mut metrics = ResourceMetrics::default();
        let collected = self.sink.reader.collect(&mut metrics);
        if collected.is_err() || metrics.scope_metrics().next().is_none() {
            return collected.is_ok();
        }
        let exported = timeout(EXPORT_MAX, self.sink.metrics.export(&metrics)).await;
        self.judge("metrics", exported)
    }

    fn judge(&mut self, what: &'static str, exported: Result<OTelSdkResult, tokio::time::error::Elapsed>) -> bool {
        let exporter = self.sink.exporter;
        let error = match exported {
            Ok(Ok(())) if self.failing => {
                self.failing = false;
                tracing::info!(exporter, "telemetry is exported again");
                return true;
            }
            Ok(Ok(())) => return true,
            Ok(Err(why)) => why.to_string(),
            Err(_) => format!("no end within {} s", EXPORT_MAX.as_secs()),
        };
        if !self.failing {
            tracing::warn!(exporter, what, error, "telemetry could not be exported and is dropped until it can be");
        }
        self.failing = true;
        false
    }
}
