//! The laws of the ports `Store` and `Directory` (SPEC 3.13), one suite for every store: in memory, in a
//! file, and in Cosmos DB over a socket.

#[path = "store_conformance/bed.rs"]
mod bed;
#[path = "store_conformance/commits.rs"]
mod commits;
#[path = "store_conformance/directory.rs"]
mod directory;
#[path = "store_conformance/files.rs"]
mod files;
#[path = "store_conformance/model.rs"]
mod model;
#[path = "store_conformance/reads.rs"]
mod reads;
