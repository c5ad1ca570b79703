//! Azure Service Bus over AMQP 1.0: publishing, backlog and dead letters (DESIGN 12).
//!
//! One connection, one session and one pair of `$cbs` links per process, a link per entity, all of them made when they are
//! first used and made again when they break. A send is repeated whenever it is not certain that it arrived, which is safe
//! because the service takes a message id once within the duplicate window.
//! The easily broken rule: nothing is waited for without a deadline, and nothing of ours is dropped half way. A caller may
//! stop waiting (the relay's hint does after half a second); the exchange goes on in a task of its own, for an answer that
//! nobody takes would be taken for the next one's.

mod address;
mod backlog;
mod bus;
mod connection;
mod dead_letters;
mod error;
mod management;
mod message;
mod packing;
mod publish;
mod socket;
mod token;

pub use address::{Address, AddressError, CONNECTION, NAMESPACE};
pub use error::{BusError, Scope};

use azure_core::{credentials::TokenCredential, http::new_http_client};
use backlog::Counter;
use bus::Bus;
use opsloop_kernel::{
    BoxFuture, Clock, Destination, Fault, Message, Outcome, Publisher,
    message::{DeadLetter, TOPIC},
    ports::{Backlog, DeadLetters},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What the adapter is made with.
#[derive(Clone)]
pub struct Options {
    pub address: Address,
    pub credential: Arc<dyn TokenCredential>,
    /// Tells when a token is to be renewed and a count is old. Deadlines are the socket's and go by the machine's time.
    pub clock: Arc<dyn Clock>,
    /// Whose dead letters there are: the handler's name, and where its messages are sent. The topic: from the topic by the
    /// subscription of that name.
    pub handlers: BTreeMap<String, Destination>,
    pub deadlines: Deadlines,
}

/// How long one exchange may take. A call makes three tries at most.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// To connect, put a token and attach a link.
    pub connect: Duration,
    /// To send and hear the outcome, or to ask and hear the answer.
    pub answer: Duration,
}
impl Default for Deadlines {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), answer: Duration::from_secs(10) }
    }
}

/// The namespace, through the ports of the kernel. A clone shares the connection.
#[derive(Clone)]
pub struct ServiceBus {
    bus: Arc<Bus>,
    counter: Arc<Counter>,
}

impl ServiceBus {
    /// Nothing is asked of the network yet. Calls are made inside a tokio runtime.
    pub fn new(options: Options) -> Self {
        Self { bus: Arc::new(Bus::new(options)), counter: Arc::new(Counter::new(new_http_client(None))) }
    }

    /// Connects, puts a token and attaches to the topic: what the first message would need.
    ///
    /// # Errors
    /// What is missing, in words for an operator.
    pub async fn ping(&self) -> Result<(), BusError> {
        let bus = self.bus.clone();
        let asked = tokio::spawn(async move { bus.link(TOPIC).await.map(|_| ()) });
        asked.await.unwrap_or_else(|e| Err(BusError::connection(e)))
    }
}

/// Goes on to its end even when nobody waits for it any more.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    tokio::spawn(work).await.unwrap_or(Err(Fault::Unavailable { dependency: Fault::BROKER }))
}

impl Publisher for ServiceBus {
    fn publish<'a>(&'a self, messages: &'a [Message]) -> BoxFuture<'a, Result<Vec<Outcome>, Fault>> {
        let (bus, messages) = (self.bus.clone(), messages.to_vec());
        Box::pin(to_its_end(async move { publish::publish(&bus, &messages).await }))
    }
}

impl DeadLetters for ServiceBus {
    fn peek<'a>(&'a self, handler: &'a str, after: i64, limit: usize) -> BoxFuture<'a, Result<Vec<DeadLetter>, Fault>> {
        let (bus, handler) = (self.bus.clone(), handler.to_owned());
        Box::pin(to_its_end(async move {
            let found = dead_letters::peek(&bus, &handler, after, limit).await;
            found.map_err(|error| told("the dead letters could not be listed", &error))
        }))
    }

    fn complete<'a>(&'a self, handler: &'a str, sequence: i64) -> BoxFuture<'a, Result<(), Fault>> {
        let (bus, handler) = (self.bus.clone(), handler.to_owned());
        Box::pin(to_its_end(async move {
            let completed = dead_letters::complete(&bus, &handler, sequence).await;
            completed.map_err(|error| told("a dead letter could not be completed", &error))
        }))
    }
}

impl Backlog for ServiceBus {
    fn waiting<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<u64, Fault>> {
        let (bus, counter, queue) = (self.bus.clone(), self.counter.clone(), queue.to_owned());
        Box::pin(to_its_end(async move {
            let counted = counter.waiting(&bus, &queue).await;
            counted.map_err(|error| told("the messages of a queue could not be counted", &error))
        }))
    }
}

/// The one line of the log that says why, where the caller learns only that it may come again.
fn told(what: &'static str, error: &BusError) -> Fault {
    tracing::warn!(error = %error, "{what}");
    error.fault()
}
