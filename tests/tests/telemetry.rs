//! The platform's own telemetry (SPEC 3.12, DESIGN 9): what is declared is recorded, and nothing else is.

#[path = "telemetry/bed.rs"]
mod bed;
#[path = "telemetry/declared.rs"]
mod declared;
#[path = "telemetry/exported.rs"]
mod exported;
