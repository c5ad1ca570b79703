//! The record of a trace (SPEC 5.1.3), and the event that announces it.

use crate::events::{Completeness, RuntimeSignal, TraceArtifact, TraceRecorded, TraceStatus, kind};
use opsloop_kernel::{
    About, Bears, Context, Fact, SpanId, TenantId, Timestamp, TraceId,
    document::Body,
    ids::{KeyParts, trace_correlation},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceRecord {
    pub tenant_id: TenantId,
    pub trace_id: TraceId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub root_span_id: Option<SpanId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub root_span_name: Option<String>,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub duration_ms: u64,
    pub status: TraceStatus,
    pub span_count: u32,
    pub error_span_count: u32,
    pub services: Vec<String>,
    /// Those that the envelope has no field of its own for (SPEC 4.1).
    pub dimensions: BTreeMap<String, String>,
    pub completeness: Completeness,
    pub anomalies: Vec<String>,
    pub signals: Vec<RuntimeSignal>,
    pub artifacts: Vec<TraceArtifact>,
    pub revision: u32,
    pub content_hash: String,
    pub last_arrival_at: Timestamp,
}

impl TraceRecord {
    /// `TraceRecorded`, true since the due instant of its emission (SPEC 5.1.5).
    pub fn fact(&self, at: Timestamp) -> Fact {
        let (tenant, trace) = (&self.tenant_id, &self.trace_id);
        let signals = (!self.signals.is_empty()).then(|| ("signals", "true".to_owned()));
        Fact {
            kind: kind::TRACE_RECORDED,
            key: KeyParts::new("trace-recorded", tenant, [trace.as_str()]),
            revision: self.revision,
            occurred_at: at,
            context: Bears::Of(Context { trace_id: trace.clone(), correlation_id: trace_correlation(tenant, trace) }),
            about: About {
                subject: format!("TraceRecord/{trace}"),
                partition_key: trace.to_string(),
                project: self.project_id.clone(),
                module: self.module_id.clone(),
                environment: self.environment.clone(),
                dimensions: self.dimensions.clone(),
                freshness: None,
                properties: signals.into_iter().collect(),
            },
            payload: Body::of(&self.payload()),
        }
    }

    pub fn payload(&self) -> TraceRecorded {
        TraceRecorded {
            trace_id: self.trace_id.clone(),
            revision: self.revision,
            root_span_name: self.root_span_name.clone(),
            module_id: self.module_id.clone(),
            services: self.services.clone(),
            started_at: self.started_at,
            ended_at: self.ended_at,
            duration_ms: self.duration_ms,
            status: self.status,
            span_count: self.span_count,
            error_span_count: self.error_span_count,
            completeness: self.completeness,
            anomalies: self.anomalies.clone(),
            signals: self.signals.clone(),
            artifacts: self.artifacts.clone(),
            dimensions: self.dimensions.clone(),
        }
    }
}
