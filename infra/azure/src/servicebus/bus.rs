//! The connection of this process: made when it is first needed, and again when it breaks.

use super::{
    Options,
    connection::{Connection, Ended, Link},
    error::{BusError, Scope},
};
use fe2o3_amqp::{
    Receiver,
    link::receiver::CreditMode,
    types::definitions::{ReceiverSettleMode, SenderSettleMode},
};
use fe2o3_amqp_management::client::MgmtClient;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

pub(super) struct Bus {
    pub options: Options,
    live: Mutex<Live>,
}

#[derive(Default)]
struct Live {
    connection: Option<Connection>,
    /// Which connection it is: what broke on an earlier one does not break this one.
    epoch: u64,
}

/// A link, and the connection that it is of.
pub(super) struct Attached {
    pub link: Arc<Link>,
    pub ended: Ended,
    epoch: u64,
}

impl Bus {
    pub fn new(options: Options) -> Self {
        Self { options, live: Mutex::default() }
    }

    /// The link to send to an entity by, with a token that is good for a while.
    pub async fn link(&self, entity: &str) -> Result<Attached, BusError> {
        let mut live = self.enter().await?;
        let attached = self.connecting(async {
            let connection = live.usable(&self.options).await?;
            Ok((connection.link(entity, &self.options).await?, connection.ended.clone()))
        });
        let attached = attached.await;
        live.keep_unless_broken(&attached);
        let (link, ended) = attached?;
        Ok(Attached { link, ended, epoch: live.epoch })
    }

    /// To ask `<entity>/$management`. Attached for one exchange: these are rare.
    pub async fn management(&self, entity: &str) -> Result<(MgmtClient, Ended), BusError> {
        let mut live = self.enter().await?;
        let node = format!("{entity}/$management");
        let attached = self.connecting(async {
            let connection = live.usable(&self.options).await?;
            connection.authorize(&node, &self.options).await?;
            let client = MgmtClient::builder()
                .management_node_address(self.options.address.of_entity(&node))
                .client_node_addr(format!("opsloop-{}", Uuid::new_v4()));
            let client = client.attach(&mut connection.session).await.map_err(|e| BusError::of_attach(entity, e))?;
            Ok((client, connection.ended.clone()))
        });
        let attached = attached.await;
        live.keep_unless_broken(&attached);
        attached
    }

    /// To receive under locks. Nothing comes before it is given credit.
    pub async fn receiver(&self, entity: &str) -> Result<Receiver, BusError> {
        let mut live = self.enter().await?;
        let attached = self.connecting(async {
            let connection = live.usable(&self.options).await?;
            connection.authorize(entity, &self.options).await?;
            let receiver = Receiver::builder()
                .name(format!("{entity}-{}", Uuid::new_v4()))
                .source(self.options.address.of_entity(entity))
                .sender_settle_mode(SenderSettleMode::Unsettled)
                .receiver_settle_mode(ReceiverSettleMode::Second)
                .credit_mode(CreditMode::Manual)
                .auto_accept(false);
            receiver.attach(&mut connection.session).await.map_err(|e| BusError::of_receiver(entity, e))
        });
        let attached = attached.await;
        live.keep_unless_broken(&attached);
        attached
    }

    /// Makes room for what broke to be made again.
    pub async fn mend(&self, entity: &str, attached: &Attached, error: &BusError) {
        let Some(broken) = error.broken() else { return };
        let mut live = self.live.lock().await;
        if live.epoch != attached.epoch {
            return;
        }
        match (broken, &mut live.connection) {
            (Scope::Link, Some(connection)) => connection.discard(entity, &attached.link),
            (Scope::Connection, _) => live.connection = None,
            (Scope::Link, None) => {}
        }
    }

    /// An exchange on a link that is there.
    pub async fn answering<T>(
        &self,
        what: &'static str,
        broken: Scope,
        work: impl Future<Output = Result<T, BusError>>,
    ) -> Result<T, BusError> {
        in_time(self.options.deadlines.answer, what, broken, work).await
    }

    async fn connecting<T>(&self, work: impl Future<Output = Result<T, BusError>>) -> Result<T, BusError> {
        in_time(self.options.deadlines.connect, "connect, put a token and attach", Scope::Connection, work).await
    }

    /// Whoever is inside is there no longer than a connect may take.
    async fn enter(&self) -> Result<MutexGuard<'_, Live>, BusError> {
        // What it timed out for is not a fault of the connection, which somebody else is making.
        let inside = async { Ok(self.live.lock().await) };
        in_time(self.options.deadlines.connect, "wait for the connection", Scope::Connection, inside).await
    }
}

impl Live {
    async fn usable(&mut self, options: &Options) -> Result<&mut Connection, BusError> {
        let there = match self.connection.take().filter(Connection::is_usable) {
            Some(connection) => connection,
            None => {
                let connection = Connection::open(options).await?;
                self.epoch += 1;
                tracing::debug!(namespace = %options.address.namespace, epoch = self.epoch, "connected to Service Bus");
                connection
            }
        };
        Ok(self.connection.insert(there))
    }

    fn keep_unless_broken<T>(&mut self, result: &Result<T, BusError>) {
        if result.as_ref().is_err_and(|error| error.broken() == Some(Scope::Connection)) {
            self.connection = None;
        }
    }
}

async fn in_time<T>(
    deadline: Duration,
    what: &'static str,
    broken: Scope,
    work: impl Future<Output = Result<T, BusError>>,
) -> Result<T, BusError> {
    tokio::time::timeout(deadline, work).await.unwrap_or(Err(BusError::TimedOut { what, broken }))
}
