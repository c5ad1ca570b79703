//! The catalogue of this binary: adding a worker is one folder and one line here.

use crate::settings::WorkerSettings;
use opsloop_kernel::{Refusal, TelemetrySignal};
use opsloop_observability::{
    alert_evaluation::{self, AlertEvaluationWorker},
    feedback_creation::{self, FeedbackCreationWorker, FeedbackPolicies, FeedbackPolicy},
    incident_analysis::{self, IncidentAnalysisWorker, IncidentPolicies},
    log_ingestion::{self, LogIngestionWorker},
    metric_aggregation::{self, MetricAggregationWorker},
    otlp::{self, ContentType},
    quality_score::{self, QualityScoreWorker},
    slo_evaluation::{self, SloEvaluation},
    trace_ingestion::{self, TraceIngestionWorker, TraceSettings},
};
use opsloop_shell::{
    Catalogue,
    otlp::{Codec, Form, PART_BYTES_MAX, Raw, Taken},
};

pub fn catalogue(settings: &WorkerSettings) -> Catalogue {
    catalogue_with(settings, IncidentPolicies::default())
}

/// The same where tenants decide about incidents for themselves.
pub fn catalogue_with(settings: &WorkerSettings, incidents: IncidentPolicies) -> Catalogue {
    let buckets = settings.metric_buckets;
    let feedback = FeedbackPolicy { signal_items: settings.signal_items };
    Catalogue::default()
        .with_metric_buckets(buckets)
        .worker(TraceIngestionWorker { settings: TraceSettings::default() })
        .endpoints(trace_ingestion::endpoints())
        .worker(LogIngestionWorker)
        .endpoints(log_ingestion::endpoints())
        .worker(MetricAggregationWorker { metric_buckets: buckets })
        .endpoints(metric_aggregation::endpoints())
        .worker(AlertEvaluationWorker { buckets })
        .endpoints(alert_evaluation::endpoints())
        .worker(SloEvaluation { buckets })
        .endpoints(slo_evaluation::endpoints())
        .worker(IncidentAnalysisWorker::new(incidents))
        .endpoints(incident_analysis::endpoints())
        .worker(FeedbackCreationWorker { policies: FeedbackPolicies { default: feedback, ..Default::default() } })
        .endpoints(feedback_creation::endpoints())
        .worker(QualityScoreWorker::default())
        .endpoints(quality_score::endpoints())
}

/// OTLP for the shell's receiver.
pub struct Otlp;

fn content_type(form: Form) -> ContentType {
    match form {
        Form::Protobuf => ContentType::Protobuf,
        Form::Json => ContentType::Json,
    }
}

impl Codec for Otlp {
    fn take(&self, raw: &Raw<'_>) -> Result<Taken, Refusal> {
        let form = content_type(raw.form);
        let r = otlp::receive(raw.signal, form, raw.body, raw.tenant, raw.received_at, PART_BYTES_MAX)?;
        Ok(Taken {
            batch_id: r.batch_id,
            parts: r.parts.into_iter().map(|p| p.bytes).collect(),
            items: r.items,
            rejected: r.rejected,
            message: r.message,
            tenant_violations: r.tenant_violations,
        })
    }
    fn success(&self, signal: TelemetrySignal, form: Form, rejected: u64, message: &str) -> Vec<u8> {
        otlp::response::success(signal, content_type(form), rejected, message).body.to_vec()
    }
    fn failure(&self, form: Form, http_status: u16, message: &str) -> Vec<u8> {
        otlp::response::error(content_type(form), http_status, message).body.to_vec()
    }
}
