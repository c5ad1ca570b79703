//! A broker on its own, for clients to be tried on: `amqp_broker [ADDR]` prints a connection string and serves until it
//! is stopped. The topic `events` has two subscriptions, `jobs` is a queue.
//! Locks last two seconds, so that a test can see one run out.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a program for a terminal")]

use opsloop_embedded::{
    amqp::Front,
    broker::{Broker, Settings, Subscription, Topology},
    clock::WallClock,
};
use std::{sync::Arc, time::Duration};

const LOCK: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let addr = addr.parse().expect("an address, such as 127.0.0.1:5672");
    let topology = Topology::new(
        ["jobs"],
        [
            Subscription::new("incidents", ["AlertTriggered"]),
            Subscription::new("feedback", ["AlertTriggered", "TraceRecorded"]),
        ],
    );
    let settings = Settings { lock: LOCK, ..Settings::default() };
    let broker = Broker::in_memory(&topology, settings, Arc::new(WallClock))?;
    let front = Front::listen(Arc::new(broker), addr).await?;
    println!("{}", front.connection_string());
    std::future::pending().await
}
