//! IncidentAnalysisWorker (SPEC 5.5).
