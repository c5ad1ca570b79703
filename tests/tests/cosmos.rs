//! The Cosmos DB adapter with Microsoft's SDK, over a socket, against Microsoft's emulator core: what is hard about it.
//! The laws that it shares with every store are in `store_conformance`.

#[path = "cosmos/bed.rs"]
mod bed;
#[path = "cosmos/faults.rs"]
mod faults;
#[path = "cosmos/load.rs"]
mod load;
#[path = "cosmos/ping.rs"]
mod ping;
#[path = "cosmos/wire.rs"]
mod wire;
