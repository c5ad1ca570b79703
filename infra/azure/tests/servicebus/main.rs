//! The Service Bus adapter over a socket, against the AMQP front of the embedded broker: what is sent arrives, once, and
//! what is not certain is never called accepted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod backlog;
mod bed;
mod broken;
mod dead;
mod publishing;
mod tls;
mod tokens;
