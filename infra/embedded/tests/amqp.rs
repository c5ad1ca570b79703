//! The AMQP front, frame by frame, as a client of Service Bus sees it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "amqp/codec.rs"]
mod codec;
#[path = "amqp/hosted.rs"]
mod hosted;
#[path = "amqp/peer.rs"]
mod peer;
#[path = "amqp/protocol.rs"]
mod protocol;
#[path = "amqp/receiving.rs"]
mod receiving;
#[path = "amqp/sending.rs"]
mod sending;
