//! MetricAggregationWorker (SPEC 5.2).
