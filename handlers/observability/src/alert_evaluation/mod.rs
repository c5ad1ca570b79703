//! AlertEvaluationWorker (SPEC 5.3).
