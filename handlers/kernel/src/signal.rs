//! The only place where a metric or milestone name is spelled (DESIGN 9, SPEC 3.12). Ids are span and log fields,
//! never labels here.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A declared metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Signal {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: &'static str,
    pub help: &'static str,
    /// Beside `worker`, which every signal has.
    pub labels: &'static [&'static str],
    pub buckets: &'static [f64],
}

/// A structured log event with the fields it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Milestone {
    pub name: &'static str,
    pub help: &'static str,
    pub fields: &'static [&'static str],
}

/// Declares metrics: `CONST: kind "name" unit "help" [labels] [buckets];`
#[macro_export]
macro_rules! signals {
    ($($id:ident: $kind:ident $name:literal $unit:literal $help:literal [$($label:literal),*] [$($bucket:literal),*];)*) => {
        $(#[doc = $help] pub const $id: Signal = Signal {
            name: $name, kind: Kind::$kind, unit: $unit, help: $help, labels: &[$($label),*], buckets: &[$($bucket),*],
        };)*
        /// Every declared metric.
        pub const SIGNALS: &[&Signal] = &[$(&$id),*];
    };
}

/// Declares log events: `CONST: "name" "help" [fields];`
#[macro_export]
macro_rules! milestones {
    ($($id:ident: $name:literal $help:literal [$($field:literal),*];)*) => {
        $(#[doc = $help] pub const $id: Milestone = Milestone { name: $name, help: $help, fields: &[$($field),*] };)*
        /// Every declared log event.
        pub const MILESTONES: &[&Milestone] = &[$(&$id),*];
    };
}

signals! {
    MESSAGES: Counter "worker_messages_total" "1" "Messages by what came of them." ["event_type", "outcome"] [];
    HANDLER_SECONDS: Histogram "worker_handler_duration_seconds" "s" "From delivery to settlement." ["event_type"]
        [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
    DEAD_LETTERS: Counter "worker_dead_letters_total" "1" "Messages refused or given up, by reason." ["reason"] [];
    INFLIGHT: Gauge "worker_inflight" "1" "Deliveries being handled now." [] [];
    BACKLOG: Gauge "worker_backlog" "1" "Batches that wait in a telemetry queue." ["queue"] [];
    WINDOW_LAG: Gauge "worker_window_lag_seconds" "s" "How late a window was closed." ["window"] [];
    TICK_SKIPPED: Counter "worker_tick_skipped_total" "1" "Due units that another replica had done." [] [];
    STALE_RESULTS: Counter "worker_stale_results_total" "1" "Results that rest on stale input." [] [];
    LATE_DROPPED: Counter "late_dropped_total" "1" "Facts beyond the reopen horizon." [] [];
    STARTS_DROPPED: Counter "starts_dropped_total" "1" "Starts of an identity that are no longer followed." [] [];
    UNIT_CONFLICT: Counter "unit_conflict_total" "1" "Windows whose streams bear two units." [] [];
    OUT_OF_ORDER: Counter "out_of_order_total" "1" "Points that went back under a known start." [] [];
    SPAN_CONFLICT: Counter "span_conflict_total" "1" "Span ids that came with another content." [] [];
    DUPLICATES: Counter "telemetry_duplicates_total" "1" "Spans and points that were there already." [] [];
    TENANT_VIOLATIONS: Counter "tenant_violations_total" "1" "Messages or telemetry of another tenant." [] [];
    OTLP_ITEMS: Counter "otlp_items_total" "1" "Spans, points and log records received." ["signal", "outcome"] [];
    OUTBOX_OWED: Gauge "outbox_owed_seconds" "s" "Age of the oldest owed message that a sweep found." [] [];
    OUTBOX_PUBLISH: Histogram "outbox_publish_seconds" "s" "From commit to the broker's acceptance." []
        [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
    STUCK: Counter "outbox_stuck_total" "1" "Messages that the broker refused for good." [] [];
    UNIT_STUCK: Counter "unit_stuck_total" "1" "Due units that refuse: a defect, they stay due." [] [];
    RULE_ERRORS: Counter "rule_error_total" "1" "Rule or SLO slots that could not be evaluated." ["reason"] [];
    SLOTS_SKIPPED: Counter "slots_skipped_total" "1" "Slots beyond the hour of catch-up." [] [];
    COSMOS_CHARGE: Counter "cosmos_request_charge_total" "1" "Request units that Cosmos DB charged."
        ["operation", "container"] [];
    COSMOS_SECONDS: Histogram "cosmos_operation_seconds" "s" "How long an operation of the store took, its retries included."
        ["operation", "container"] [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
    PANICS: Counter "panics_total" "1" "Panics caught at the router." [] [];
    TELEMETRY_DROPPED: Counter "telemetry_dropped_total" "1" "The platform's own spans that an exporter did not take."
        ["exporter", "reason"] [];
}

milestones! {
    SETTLED: "delivery.settled" "A delivery ended." ["worker", "event_id", "event_type", "outcome", "duration_ms"];
    REFUSED: "delivery.refused" "A message can never succeed." ["worker", "event_id", "reason", "error"];
    VIOLATION: "tenant.violation" "A message reached for another tenant." ["worker", "tenant_id", "target"];
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_units_stand_last() {
        let names: BTreeSet<_> = SIGNALS.iter().map(|s| s.name).collect();
        assert_eq!(names.len(), SIGNALS.len());
        for s in SIGNALS {
            let suffix = match (s.kind, s.unit) {
                (Kind::Counter, _) => "_total",
                (_, "s") => "_seconds",
                _ => "",
            };
            assert!(s.name.ends_with(suffix), "{} should end in {suffix}", s.name);
            assert_eq!(s.kind == Kind::Histogram, !s.buckets.is_empty(), "{}", s.name);
        }
    }
}
