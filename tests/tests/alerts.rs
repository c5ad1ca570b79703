//! Alert rules and SLOs on a real store (SPEC 5.3, 5.4): scenarios, catch-up, races, commands, laws, golden cases.

#[path = "alerts/api.rs"]
mod api;
#[path = "alerts/golden.rs"]
mod golden;
#[path = "alerts/laws.rs"]
mod laws;
#[path = "alerts/rules.rs"]
mod rules;
#[path = "alerts/slo_budget.rs"]
mod slo_budget;
#[path = "alerts/slos.rs"]
mod slos;
#[path = "alerts/world.rs"]
mod world;
