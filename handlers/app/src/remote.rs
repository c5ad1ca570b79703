//! The broker as a child of `local` sees it: the parent's, over loopback, with the token of its environment.

use crate::{loopback::Loopback, settings::Parent};
use opsloop_kernel::{
    BoxFuture, Fault, Message, Outcome, Publisher,
    message::DeadLetter,
    ports::{Backlog, DeadLetters},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub const PUBLISH: &str = "/broker/publish";
pub const WAITING: &str = "/broker/waiting";
pub const PEEK: &str = "/broker/dead-letters/peek";
pub const COMPLETE: &str = "/broker/dead-letters/complete";
const DOWN: Fault = Fault::Unavailable { dependency: Fault::BROKER };

#[derive(Serialize, Deserialize)]
pub struct Waiting {
    pub queue: String,
}
#[derive(Serialize, Deserialize)]
pub struct Peek {
    pub handler: String,
    pub after: i64,
    pub limit: usize,
}
#[derive(Serialize, Deserialize)]
pub struct Complete {
    pub handler: String,
    pub sequence: i64,
}

pub struct RemoteBroker {
    client: Loopback,
    url: String,
}

impl RemoteBroker {
    pub fn new(parent: &Parent) -> Self {
        Self { client: Loopback::new(Some(parent.control_token.clone())), url: parent.control_url.clone() }
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str, question: &impl Serialize) -> Result<T, Fault> {
        let answered = self.client.post_json(&format!("{}{path}", self.url), question).await.map_err(|e| {
            tracing::warn!(error = %e, "the broker of `local` did not answer");
            DOWN
        })?;
        if !answered.status.is_success() {
            tracing::warn!(status = answered.status.as_u16(), "the broker of `local` refused");
            return Err(DOWN);
        }
        answered.json().map_err(|_| DOWN)
    }
}

impl Publisher for RemoteBroker {
    fn publish<'a>(&'a self, messages: &'a [Message]) -> BoxFuture<'a, Result<Vec<Outcome>, Fault>> {
        Box::pin(async move { self.ask(PUBLISH, &messages).await })
    }
}

impl Backlog for RemoteBroker {
    fn waiting<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<u64, Fault>> {
        Box::pin(async move { self.ask(WAITING, &Waiting { queue: queue.to_owned() }).await })
    }
}

impl DeadLetters for RemoteBroker {
    fn peek<'a>(&'a self, handler: &'a str, after: i64, limit: usize) -> BoxFuture<'a, Result<Vec<DeadLetter>, Fault>> {
        Box::pin(async move { self.ask(PEEK, &Peek { handler: handler.to_owned(), after, limit }).await })
    }
    fn complete<'a>(&'a self, handler: &'a str, sequence: i64) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { self.ask(COMPLETE, &Complete { handler: handler.to_owned(), sequence }).await })
    }
}
