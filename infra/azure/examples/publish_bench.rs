//! How many messages a second the adapter publishes over loopback to the front of the embedded broker in this process:
//! in batches, from many callers at once, and one after another.
//!
//! `cargo run --release --example publish_bench -p opsloop-azure`

use opsloop_azure::{
    identity::Identity,
    servicebus::{Address, Deadlines, Options, ServiceBus},
};
use opsloop_embedded::{
    amqp::Front,
    broker::{Broker, Settings, Topology},
    clock::WallClock,
};
use opsloop_kernel::{Destination, Message, Outcome, ports::Publisher};
use std::{collections::BTreeMap, error::Error, io::Write, sync::Arc, time::Instant};

const MESSAGES: usize = 20_000;
const BATCH: usize = 100;
const CALLERS: usize = 16;
const BODY: usize = 1_024;

type Done = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Done {
    let clock = Arc::new(WallClock);
    let broker = Arc::new(Broker::in_memory(&Topology::new(["pages"], []), Settings::default(), clock.clone())?);
    let front = Front::listen(broker, ([127, 0, 0, 1], 0).into()).await?;
    let bus = ServiceBus::new(Options {
        address: Address::connection_string(&front.connection_string())?,
        credential: Identity::Loopback.credential()?,
        clock,
        handlers: BTreeMap::new(),
        deadlines: Deadlines::default(),
    });
    bus.ping().await?;
    measure("one after another", MESSAGES / 4, send(&bus, "s", 1, MESSAGES / 4)).await?;
    let callers = (0..CALLERS).map(|n| {
        let bus = bus.clone();
        tokio::spawn(async move { send(&bus, &format!("c{n}"), 1, MESSAGES / CALLERS).await })
    });
    let callers = futures::future::try_join_all(callers);
    let all = async { callers.await?.into_iter().collect::<Result<Vec<()>, _>>().map(|_| ()) };
    measure("one by one from 16 callers", MESSAGES, all).await?;
    measure("in batches of 100", MESSAGES, send(&bus, "b", BATCH, MESSAGES)).await
}

async fn send(bus: &ServiceBus, name: &str, batch: usize, count: usize) -> Done {
    for first in (0..count).step_by(batch) {
        let messages: Vec<Message> = (first..first + batch).map(|n| message(format!("{name}-{n}"))).collect();
        let outcomes = bus.publish(&messages).await.map_err(|fault| format!("{fault:?}"))?;
        if outcomes.iter().any(|outcome| *outcome != Outcome::Accepted) {
            return Err(format!("{outcomes:?}").into());
        }
    }
    Ok(())
}

fn message(id: String) -> Message {
    Message {
        id,
        to: Destination::Queue("pages".to_owned()),
        properties: [("kind", "TickPage"), ("tenant", "acme")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        content_type: "application/json".to_owned(),
        body: vec![b'x'; BODY].into(),
        not_before: None,
    }
}

async fn measure(name: &str, count: usize, work: impl Future<Output = Done>) -> Done {
    let began = Instant::now();
    work.await?;
    let seconds = began.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "{name}: {count} messages of 1 KiB, {:.0}/s", count as f64 / seconds)?;
    Ok(())
}
