//! QualityScoreWorker (SPEC 5.8).

pub mod formula;
