//! Whether the store can be used, said before the first message needs it.

use super::{connection::Connection, trouble::Trouble};
use azure_data_cosmos::PartitionKey;
use futures::future::try_join_all;
use opsloop_kernel::{Container, ident::PLATFORM};
use std::time::Duration;

const PING_MAX: Duration = Duration::from_secs(5);
/// A document that never is: asking for it needs the same right as every other read.
const NOWHERE: &str = "ping";

pub(super) async fn ping(connection: &Connection) -> Result<(), Trouble> {
    let all = try_join_all(Container::ALL.map(|container| reads(connection, container)));
    match tokio::time::timeout(PING_MAX, all).await {
        Ok(answered) => answered.map(drop),
        Err(_) => Err(Trouble::TimedOut),
    }
}

async fn reads(connection: &Connection, container: Container) -> Result<(), Trouble> {
    let client = connection.container(container).await?;
    match client.read_item(PartitionKey::from((PLATFORM, NOWHERE)), NOWHERE, None).await {
        Ok(_) => Ok(()),
        Err(e) if e.status().is_not_found() => Ok(()),
        Err(e) => Err(Trouble::of(&e)),
    }
}
