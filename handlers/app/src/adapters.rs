//! The world of one process, as its settings name it: Azure's services, or the embedded ones that stand in for them.
//! Nothing here connects to anything: every adapter does so when it is first used.

use crate::{
    buckets::Checked,
    remote::RemoteBroker,
    settings::{Documents, Messages, Payloads, Settings},
};
use opsloop_azure::{
    blob::{self, AzureBlobs},
    cosmos::{CosmosOptions, CosmosStore},
    keyvault::{self, Secrets},
    servicebus::{self, Deadlines, ServiceBus},
};
use opsloop_embedded::{blobs::SqliteBlobs, broker::Topology, store::SqliteStore};
use opsloop_kernel::{Blobs, Clock, Destination, Directory, Publisher, Store, ports::*};
use opsloop_shell::{Catalogue, Jitter, Ports, render};
use std::{collections::BTreeMap, error::Error, sync::Arc};

/// Each as its own type, for who asks it more than a port does (`check`).
pub struct Adapters {
    pub documents: DocumentsAt,
    pub messages: MessagesAt,
    pub payloads: PayloadsAt,
    pub secrets: Option<Secrets>,
}

pub enum DocumentsAt {
    Cosmos(Arc<CosmosStore>),
    Embedded(Arc<SqliteStore>),
}

pub enum MessagesAt {
    ServiceBus(ServiceBus),
    Parent(Arc<RemoteBroker>),
}

pub enum PayloadsAt {
    Blob(Arc<AzureBlobs>),
    Embedded(Arc<SqliteBlobs>),
}

type Made<T> = Result<T, Box<dyn Error>>;

impl Adapters {
    pub fn of(
        settings: &Settings,
        catalogue: &Catalogue,
        clock: &Arc<dyn Clock>,
        recorder: &Arc<dyn Recorder>,
    ) -> Made<Self> {
        Ok(Self {
            documents: documents(settings, clock, recorder)?,
            messages: messages(settings, catalogue, clock)?,
            payloads: payloads(settings, clock)?,
            secrets: secrets(settings, clock)?,
        })
    }

    /// The shell's ports.
    pub fn ports(&self, buckets: u16, clock: Arc<dyn Clock>, recorder: Arc<dyn Recorder>) -> Ports {
        let (store, directory) = match &self.documents {
            DocumentsAt::Cosmos(store) => checked(store.clone(), buckets),
            DocumentsAt::Embedded(store) => checked(store.clone(), buckets),
        };
        let (publisher, backlog, dead_letters): (Arc<dyn Publisher>, Arc<dyn Backlog>, Arc<dyn DeadLetters>) =
            match &self.messages {
                MessagesAt::ServiceBus(bus) => {
                    let bus = Arc::new(bus.clone());
                    (bus.clone(), bus.clone(), bus)
                }
                MessagesAt::Parent(broker) => (broker.clone(), broker.clone(), broker.clone()),
            };
        let blobs: Arc<dyn Blobs> = match &self.payloads {
            PayloadsAt::Blob(blobs) => blobs.clone(),
            PayloadsAt::Embedded(blobs) => blobs.clone(),
        };
        Ports { store, directory, publisher, clock, blobs, backlog, dead_letters, recorder, jitter: Jitter::Spread }
    }
}

fn checked<S: Store + Directory + 'static>(store: Arc<S>, buckets: u16) -> (Arc<dyn Store>, Arc<dyn Directory>) {
    let checked = Arc::new(Checked::new(store, buckets));
    (checked.clone(), checked)
}

fn documents(settings: &Settings, clock: &Arc<dyn Clock>, recorder: &Arc<dyn Recorder>) -> Made<DocumentsAt> {
    Ok(match &settings.documents {
        Documents::Embedded(folder) => {
            std::fs::create_dir_all(folder)?;
            DocumentsAt::Embedded(Arc::new(SqliteStore::open(folder, clock.clone())?))
        }
        Documents::Cosmos { endpoint, database, region } => {
            DocumentsAt::Cosmos(Arc::new(CosmosStore::new(CosmosOptions {
                endpoint: endpoint.clone(),
                database: database.clone(),
                credential: settings.identity.at(endpoint).credential()?,
                clock: clock.clone(),
                recorder: recorder.clone(),
                region: region.clone(),
            })))
        }
    })
}

fn messages(settings: &Settings, catalogue: &Catalogue, clock: &Arc<dyn Clock>) -> Made<MessagesAt> {
    let address = match (&settings.messages, &settings.parent) {
        (Messages::ServiceBus(address), _) => address,
        (Messages::Parent, Some(parent)) => return Ok(MessagesAt::Parent(Arc::new(RemoteBroker::new(parent)))),
        (Messages::Parent, None) => return Err("no broker is set".into()),
    };
    Ok(MessagesAt::ServiceBus(ServiceBus::new(servicebus::Options {
        address: address.clone(),
        credential: settings.identity.at(&address.endpoint).credential()?,
        clock: clock.clone(),
        handlers: handlers(catalogue)?,
        deadlines: Deadlines::default(),
    })))
}

/// Who can have dead letters, and where their messages come from.
fn handlers(catalogue: &Catalogue) -> Made<BTreeMap<String, Destination>> {
    let topology: Topology = serde_json::from_value(render::topology(catalogue))?;
    let queues = topology.queues.into_iter().map(|q| (q.clone(), Destination::Queue(q)));
    let subscriptions = topology.subscriptions.into_iter().map(|s| (s.name, Destination::Topic));
    Ok(queues.chain(subscriptions).collect())
}

fn payloads(settings: &Settings, clock: &Arc<dyn Clock>) -> Made<PayloadsAt> {
    Ok(match &settings.payloads {
        Payloads::Embedded(folder) => {
            std::fs::create_dir_all(folder)?;
            PayloadsAt::Embedded(Arc::new(SqliteBlobs::open(folder, clock.clone())?))
        }
        Payloads::Blob { endpoint, container } => PayloadsAt::Blob(Arc::new(AzureBlobs::new(blob::Options {
            endpoint: endpoint.clone(),
            container: container.clone(),
            credential: settings.identity.at(endpoint).credential()?,
            clock: clock.clone(),
        })?)),
    })
}

fn secrets(settings: &Settings, clock: &Arc<dyn Clock>) -> Made<Option<Secrets>> {
    let Some(vault) = &settings.vault else { return Ok(None) };
    let credential = settings.identity.at(vault).credential()?;
    Ok(Some(Secrets::new(keyvault::Options { vault: vault.clone(), credential, clock: clock.clone() })?))
}
