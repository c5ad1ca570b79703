//! LogIngestionWorker (SPEC 5.10.1).
