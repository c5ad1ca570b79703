//! TraceIngestionWorker and LogIngestionWorker on a real store: the scenarios of SPEC 5.1.9 and their laws.

#[path = "traces/edges.rs"]
mod edges;
#[path = "traces/golden.rs"]
mod golden;
#[path = "traces/laws.rs"]
mod laws;
#[path = "traces/logs.rs"]
mod logs;
#[path = "traces/merging.rs"]
mod merging;
#[path = "traces/records.rs"]
mod records;
#[path = "traces/timing.rs"]
mod timing;
#[path = "traces/world.rs"]
mod world;
