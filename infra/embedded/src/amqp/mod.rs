//! The broker as any Service Bus client sees it: AMQP 1.0 on loopback (DESIGN 12).
//!
//! What Service Bus does beyond the standard was learned from Microsoft's own clients: tokens are put to `$cbs`, a delivery
//! tag is the lock's GUID in the byte order of .NET, operations go to `<entity>/$management`. The rule easily broken: a
//! rejected outcome that is echoed to who asked for it carries no error, for an error means that settling failed.
//! It authenticates nobody: a token is taken as it comes, so it must not listen where strangers are.
//! Left out on purpose: sessions, transactions, `$cbs` that forgets what expires.

mod address;
mod arriving;
mod attaching;
pub mod codec;
mod connection;
mod faults;
mod fetching;
pub(crate) mod hosted;
mod leaving;
mod link;
mod management;
mod outgoing;
mod rules;
mod sections;
mod sending;
mod serve;
mod session;
mod settling;
mod tokens;
mod transfer;
mod wire;

pub use faults::{Faults, OnSend};
pub use tokens::Token;

use crate::broker::Broker;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
};

/// Connections at one time; further ones wait to be taken.
const CONNECTIONS_MAX: usize = 256;

/// A listening front. Dropped, it closes with all its connections.
pub struct Front {
    addr: SocketAddr,
    faults: Faults,
    listening: AbortHandle,
}

/// What all connections of a front share.
#[derive(Clone)]
struct Shared {
    broker: Arc<Broker>,
    faults: Faults,
}

impl Front {
    /// Port 0 takes a free one.
    pub async fn listen(broker: Arc<Broker>, addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let (addr, faults) = (listener.local_addr()?, Faults::default());
        let shared = Shared { broker, faults: faults.clone() };
        let listening = tokio::spawn(accept(listener, shared)).abort_handle();
        Ok(Self { addr, faults, listening })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// For tests: what goes wrong, and what was seen.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// As clients of Service Bus are told where to go; the key is not looked at.
    pub fn connection_string(&self) -> String {
        let addr = self.addr;
        format!("Endpoint=sb://{addr};SharedAccessKeyName=local;SharedAccessKey=local;UseDevelopmentEmulator=true;")
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// The connections are this task's, and end with it.
async fn accept(listener: TcpListener, shared: Shared) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let socket = accepted(&listener).await;
        let shared = shared.clone();
        connections.spawn(async move {
            serve::serve(socket, shared).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn accepted(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return socket,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                // Out of file handles, most likely: some may be closed meanwhile.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}
