//! Incidents on a real store (SPEC 5.5): scenarios, races of two replicas, laws over random histories, golden cases.

#[path = "incidents/api.rs"]
mod api;
#[path = "incidents/enrichment.rs"]
mod enrichment;
#[path = "incidents/events.rs"]
mod events;
#[path = "incidents/golden.rs"]
mod golden;
#[path = "incidents/laws.rs"]
mod laws;
#[path = "incidents/policy.rs"]
mod policy;
#[path = "incidents/races.rs"]
mod races;
#[path = "incidents/scenarios.rs"]
mod scenarios;
#[path = "incidents/world.rs"]
mod world;
