//! What stands between the workers and Azure: the kernel's ports on Microsoft's SDKs, and on AMQP where none is usable
//! (DESIGN 12). Every adapter connects when it is first used, never at start, and is made once per process.

pub mod blob;
pub mod cosmos;
pub mod identity;
pub mod keyvault;
pub mod rest;
pub mod servicebus;

#[cfg(test)]
mod standin;
