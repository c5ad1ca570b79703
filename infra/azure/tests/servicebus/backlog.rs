//! How many messages wait: as the management API of Azure says it, or counted where there is none.

use super::bed::{Bed, emulator, free, options, to_queue};
use opsloop_azure::servicebus::{Deadlines, ServiceBus};
use opsloop_kernel::{Fault, Message, ports::Backlog};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Mutex,
};

/// The answer that Microsoft documents for a queue, shortened.
const DESCRIPTION: &str = r#"<entry xmlns="http://www.w3.org/2005/Atom">
  <id>https://opsloop.servicebus.windows.net/otlp-traces?api-version=2021-05</id>
  <title type="text">otlp-traces</title>
  <published>2026-11-01T08:00:00Z</published>
  <author><name>opsloop</name></author>
  <link rel="self" href="https://opsloop.servicebus.windows.net/otlp-traces?api-version=2021-05"/>
  <content type="application/xml">
    <QueueDescription xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">
      <LockDuration>PT1M</LockDuration>
      <MaxSizeInMegabytes>1024</MaxSizeInMegabytes>
      <MessageCount>12345</MessageCount>
      <CountDetails xmlns:d2p1="http://schemas.microsoft.com/netservices/2011/06/servicebus">
        <d2p1:ActiveMessageCount>12300</d2p1:ActiveMessageCount>
        <d2p1:DeadLetterMessageCount>41</d2p1:DeadLetterMessageCount>
        <d2p1:ScheduledMessageCount>4</d2p1:ScheduledMessageCount>
        <d2p1:TransferMessageCount>0</d2p1:TransferMessageCount>
        <d2p1:TransferDeadLetterMessageCount>0</d2p1:TransferDeadLetterMessageCount>
      </CountDetails>
      <EntityAvailabilityStatus>Available</EntityAvailabilityStatus>
    </QueueDescription>
  </content>
</entry>"#;

/// Answers every request with this, and keeps their heads.
async fn management(status: &'static str, body: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(free()).await.unwrap();
    let (url, seen) = (format!("http://{}/", listener.local_addr().unwrap()), Arc::<Mutex<Vec<String>>>::default());
    let heads = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
            while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                match socket.read(&mut buffer).await {
                    Ok(read) if read > 0 => head.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            heads.lock().await.push(String::from_utf8_lossy(&head).into_owned());
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            socket.write_all(answer.as_bytes()).await.ok();
        }
    });
    (url, seen)
}

async fn bus_with(bed: &Bed, url: &str) -> ServiceBus {
    let mut address = emulator(&bed.front().connection_string());
    address.management = url.parse().unwrap();
    ServiceBus::new(options(address, &bed.clock, bed.issued.clone(), Deadlines::default()))
}

#[tokio::test]
async fn what_waits_is_what_the_description_of_the_queue_counts_and_it_is_asked_every_ten_seconds() {
    let (bed, (url, seen)) = (Bed::new().await, management("200 OK", DESCRIPTION).await);
    let bus = bus_with(&bed, &url).await;
    for _ in 0..5 {
        assert_eq!(bus.waiting("otlp-traces").await, Ok(12_304));
        bed.clock.advance(Duration::from_secs(4));
    }
    let heads = seen.lock().await.clone();
    assert_eq!(heads.len(), 2, "at 0 s and at 12 s");
    assert!(heads[0].starts_with("GET /otlp-traces?api-version=2021-05 HTTP/1.1\r\n"), "{}", heads[0]);
    assert!(heads[0].to_ascii_lowercase().contains("authorization: bearer short-lived\r\n"), "{}", heads[0]);
}

#[tokio::test]
async fn an_emulator_without_that_api_is_counted_by_peeking() {
    let bed = Bed::new().await;
    let messages: Vec<Message> = (0..600).map(|n| to_queue("otlp-traces", format!("t{n}"), 10)).collect();
    bed.accepted(&messages).await;
    assert_eq!(bed.bus.waiting("otlp-traces").await, Ok(600));
    assert_eq!(bed.bus.waiting("pages").await, Ok(0));
    let (url, _) = management("404 Not Found", "").await;
    assert_eq!(bus_with(&bed, &url).await.waiting("otlp-traces").await, Ok(600));
}

#[tokio::test]
async fn a_count_that_is_refused_or_unreadable_is_a_fault() {
    let bed = Bed::new().await;
    let fault = Err(Fault::Unavailable { dependency: Fault::BROKER });
    for (status, body) in [("401 Unauthorized", ""), ("503 Service Unavailable", ""), ("200 OK", "<feed/>")] {
        let (url, _) = management(status, body).await;
        assert_eq!(bus_with(&bed, &url).await.waiting("otlp-traces").await, fault, "{status}");
    }
}
