//! `opsloop check --settings`: reads the settings, tries every dependency, and says what to do about those that fail.

use crate::{
    adapters::{Adapters, DocumentsAt, MessagesAt, PayloadsAt},
    cli::say,
    settings::{Documents, Messages, Payloads, Settings},
    workers,
};
use opsloop_embedded::clock::WallClock;
use opsloop_kernel::{Clock, Directory as _, Timestamp, ports::Backlog as _, ports::Recorder, ports::Within};
use opsloop_telemetry::Signals;
use std::{borrow::Cow, error::Error, fmt::Display, process::ExitCode, sync::Arc};

struct Row {
    what: &'static str,
    place: String,
    /// Why it cannot be used.
    outcome: Result<(), String>,
}

pub async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let settings = Settings::of_process_without_host().map_err(|p| p.to_string())?;
    let clock: Arc<dyn Clock> = Arc::new(WallClock);
    let recorder: Arc<dyn Recorder> = Arc::new(Signals::default());
    let catalogue = workers::catalogue(&settings.workers);
    let adapters = Adapters::of(&settings, &catalogue, &clock, &recorder)?;
    let (documents, messages, payloads, secrets) =
        tokio::join!(documents(&adapters), messages(&adapters), payloads(&adapters), secrets(&adapters));
    let mut rows = vec![
        Row { what: "documents", place: place_of_documents(&settings.documents), outcome: documents },
        Row { what: "messages", place: place_of_messages(&settings), outcome: messages },
        Row { what: "payloads", place: place_of_payloads(&settings.payloads), outcome: payloads },
    ];
    if let (Some(vault), Some(outcome)) = (&settings.vault, secrets) {
        rows.push(Row { what: "secrets", place: vault.to_string(), outcome });
    }
    say(&table(&rows));
    Ok(if rows.iter().all(|r| r.outcome.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|r| r.place.chars().count()).max().unwrap_or(0);
    let line = |r: &Row| match &r.outcome {
        Ok(()) => format!("  {:<10} {:<width$}  ok", r.what, r.place),
        Err(why) => format!("  {:<10} {:<width$}  FAILED\n    {why}", r.what, r.place),
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn said<E: Display>(outcome: Result<(), E>) -> Result<(), String> {
    outcome.map_err(|e| e.to_string())
}

async fn documents(adapters: &Adapters) -> Result<(), String> {
    match &adapters.documents {
        DocumentsAt::Cosmos(store) => said(store.ping().await),
        DocumentsAt::Embedded(store) => {
            let asked = store.due(&Cow::Borrowed("check"), Timestamp::EPOCH, Within::All, None, 1).await;
            asked.map(drop).map_err(|fault| format!("the file cannot be read ({})", fault.kind()))
        }
    }
}

async fn messages(adapters: &Adapters) -> Result<(), String> {
    match &adapters.messages {
        MessagesAt::ServiceBus(bus) => said(bus.ping().await),
        MessagesAt::Parent(broker) => {
            let asked = broker.waiting(opsloop_kernel::message::QUEUE_PAGES).await;
            asked.map(drop).map_err(|_| "`opsloop local` does not answer; is it up?".to_owned())
        }
    }
}

async fn payloads(adapters: &Adapters) -> Result<(), String> {
    match &adapters.payloads {
        PayloadsAt::Blob(blobs) => said(blobs.ping().await),
        // Opening the file was the trial.
        PayloadsAt::Embedded(_) => Ok(()),
    }
}

async fn secrets(adapters: &Adapters) -> Option<Result<(), String>> {
    let secrets = adapters.secrets.as_ref()?;
    Some(said(secrets.ping().await))
}

fn place_of_documents(at: &Documents) -> String {
    match at {
        Documents::Cosmos { endpoint, database, .. } => format!("Cosmos DB {endpoint} {database}"),
        Documents::Embedded(folder) => format!("embedded, {}", folder.display()),
    }
}

fn place_of_messages(settings: &Settings) -> String {
    match &settings.messages {
        Messages::ServiceBus(address) => format!("Service Bus {}", address.endpoint),
        Messages::Parent => "embedded, of `opsloop local`".to_owned(),
    }
}

fn place_of_payloads(at: &Payloads) -> String {
    match at {
        Payloads::Blob { endpoint, container } => format!("Blob Storage {endpoint} {container}"),
        Payloads::Embedded(folder) => format!("embedded, {}", folder.display()),
    }
}
