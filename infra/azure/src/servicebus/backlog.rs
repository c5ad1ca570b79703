//! How many messages wait in a queue. AMQP has no such question; the management API over HTTP has: the description of a
//! queue, an Atom entry with `CountDetails`. It takes the role Azure Service Bus Data Owner on the queue or above it, for
//! counts belong to the right *Manage*.
//!
//! An emulator without that API is asked by peeking, up to a bound.

use super::{
    bus::Bus,
    connection::SCOPE,
    error::{BusError, Scope},
    management::{self, PEEK_MAX},
    message,
};
use azure_core::http::{AsyncResponseBody, HttpClient, Method, Request, StatusCode};
use futures::StreamExt;
use opsloop_kernel::Timestamp;
use serde::Deserialize;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The service counts with a delay itself.
const CACHED_MS: i64 = 10_000;
/// An emulator's queue is counted up to here.
const PEEKS_MAX: usize = 8;
/// Of an answer; a description has some 2 KB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Counter {
    http: Arc<dyn HttpClient>,
    counted: Mutex<HashMap<String, (Timestamp, u64)>>,
}

impl Counter {
    pub fn new(http: Arc<dyn HttpClient>) -> Self {
        Self { http, counted: Mutex::default() }
    }

    /// Whatever is not settled waits, also what is scheduled for another attempt; at most 10 s old.
    pub async fn waiting(&self, bus: &Bus, queue: &str) -> Result<u64, BusError> {
        let now = bus.options.clock.now();
        if let Some((at, count)) = self.counted().get(queue)
            && now.millis_since(*at) < CACHED_MS
        {
            return Ok(*count);
        }
        let count = match self.described(bus, queue).await? {
            Some(count) => count,
            None => peeked(bus, queue).await?,
        };
        self.counted().insert(queue.to_owned(), (now, count));
        Ok(count)
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Timestamp, u64)>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: this emulator has no such API.
    async fn described(&self, bus: &Bus, queue: &str) -> Result<Option<u64>, BusError> {
        let is_emulator = bus.options.address.is_emulator();
        let unreachable =
            |why: String| BusError::Unreachable { namespace: bus.options.address.management.to_string(), why };
        let mut url = bus.options.address.management.clone();
        url.set_path(queue);
        url.set_query(Some("api-version=2021-05"));
        let token = bus.options.credential.get_token(&[SCOPE], None).await;
        let token = token.map_err(|e| BusError::Credential { why: e.to_string() })?;
        let mut request = Request::new(url, Method::Get);
        request.insert_header("authorization", format!("Bearer {}", token.token.secret()));
        let asked = async {
            let answer = self.http.execute_request(&request).await.map_err(|e| unreachable(e.to_string()))?;
            let status = answer.status();
            let body = bounded(answer.into_body()).await.map_err(unreachable)?;
            Ok((status, body))
        };
        match bus.answering("count the messages of a queue", Scope::Link, asked).await {
            Ok((StatusCode::Ok, body)) => counts(&body).map(Some),
            Ok((StatusCode::NotFound, _)) | Err(BusError::Unreachable { .. }) if is_emulator => Ok(None),
            Ok((status, _)) => Err(refused(queue, status)),
            Err(error) => Err(error),
        }
    }
}

async fn bounded(mut body: AsyncResponseBody) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    while let Some(chunk) = body.next().await {
        out.extend_from_slice(&chunk.map_err(|e| e.to_string())?);
        if out.len() > ANSWER_BYTES_MAX {
            return Err(format!("the description has more than {ANSWER_BYTES_MAX} bytes"));
        }
    }
    Ok(out)
}

fn refused(queue: &str, status: StatusCode) -> BusError {
    let why = format!("its description was answered with {status}");
    match status {
        StatusCode::NotFound | StatusCode::Gone => BusError::NoSuchEntity { entity: queue.to_owned(), why },
        StatusCode::Unauthorized | StatusCode::Forbidden => {
            let why = format!("{why}; counting takes the role Azure Service Bus Data Owner");
            BusError::Unauthorized { entity: queue.to_owned(), why }
        }
        _ => BusError::Refused { condition: format!("status {status}"), why },
    }
}

async fn peeked(bus: &Bus, queue: &str) -> Result<u64, BusError> {
    let (mut count, mut from) = (0, 0);
    for _ in 0..PEEKS_MAX {
        let page = management::peek(bus, queue, from, PEEK_MAX).await?;
        let Some(last) = page.iter().filter_map(message::sequence).max() else { break };
        count += page.len() as u64;
        from = last.saturating_add(1);
    }
    Ok(count)
}

#[derive(Deserialize)]
struct Entry {
    content: Content,
}
#[derive(Deserialize)]
struct Content {
    #[serde(rename = "QueueDescription")]
    queue: Queue,
}
#[derive(Deserialize)]
struct Queue {
    #[serde(rename = "CountDetails")]
    counts: CountDetails,
}
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CountDetails {
    active_message_count: u64,
    #[serde(default)]
    scheduled_message_count: u64,
}

fn counts(body: &[u8]) -> Result<u64, BusError> {
    let unreadable = |why: String| BusError::Refused { condition: "an unreadable description".to_owned(), why };
    let entry: Entry = azure_core::xml::from_xml(body).map_err(|e| unreadable(e.to_string()))?;
    let counts = entry.content.queue.counts;
    Ok(counts.active_message_count + counts.scheduled_message_count)
}
