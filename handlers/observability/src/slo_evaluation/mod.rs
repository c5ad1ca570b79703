//! SLO evaluation (SPEC 5.4).
