//! QualityScoreWorker (SPEC 5.8).
