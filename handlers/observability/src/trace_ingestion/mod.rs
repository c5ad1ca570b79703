//! TraceIngestionWorker (SPEC 5.1).
