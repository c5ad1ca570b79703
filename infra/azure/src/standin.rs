//! A service on loopback that answers what a test tells it to: for the faults that no emulator has, and for Key Vault,
//! which has none. The SDKs speak https to the service's own name; the transport here leads that name to the stand-in.

use azure_core::{
    credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions},
    http::{AsyncRawResponse, ClientOptions, HttpClient, HttpClientOptions, Request, Transport, new_http_client},
    time::{Duration, OffsetDateTime},
};
use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{Response, body::Frame, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    io,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use url::Url;

/// The name that the SDK asked for, before the transport led it here.
const ASKED: &str = "x-asked";

pub(crate) enum Answer {
    Reply {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
    },
    /// The connection ends without a reply.
    HangUp,
    /// The connection stays open without one.
    Silence,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self::Reply { status, headers: vec![], body: Bytes::new() }
    }
    pub(crate) fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        match self {
            Self::Reply { status, mut headers, body } => {
                headers.push((name, value.into()));
                Self::Reply { status, headers, body }
            }
            other => other,
        }
    }
    pub(crate) fn body(self, body: impl Into<Bytes>) -> Self {
        match self {
            Self::Reply { status, headers, .. } => Self::Reply { status, headers, body: body.into() },
            other => other,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Scheme and host that were asked for, then path and query.
    pub(crate) url: String,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Serves until it is dropped.
pub(crate) struct StandIn {
    pub(crate) url: Url,
    seen: Arc<Mutex<Vec<Seen>>>,
    count: watch::Receiver<usize>,
    _serving: JoinSet<()>,
}

type Script = dyn Fn(&Seen, usize) -> Answer + Send + Sync;

impl StandIn {
    /// Asks the script with each request and its number, from 0.
    pub(crate) async fn start(script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (counter, count) = watch::channel(0);
        let (script, kept): (Arc<Script>, _) = (Arc::new(script), seen.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, kept, counter) = (script.clone(), kept.clone(), counter.clone());
                let service =
                    service_fn(move |request| answered(request, script.clone(), kept.clone(), counter.clone()));
                connections.spawn(async move {
                    // A hang-up is an error of the service: the client sees the connection end.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, seen, count, _serving: serving }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn methods(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.method).collect()
    }

    /// Until so many requests have come.
    pub(crate) async fn has_seen(&self, count: usize) {
        self.count.clone().wait_for(|seen| *seen >= count).await.unwrap();
    }

    /// The client options of the adapter, over the transport that leads here.
    pub(crate) fn lead(&self, options: ClientOptions) -> ClientOptions {
        let client = new_http_client(Some(HttpClientOptions { automatic_decompression: false }));
        let transport = Transport::new(Arc::new(Leading { to: self.url.clone(), client }));
        ClientOptions { transport: Some(transport), ..options }
    }
}

async fn answered(
    request: hyper::Request<Incoming>,
    script: Arc<Script>,
    kept: Arc<Mutex<Vec<Seen>>>,
    counter: watch::Sender<usize>,
) -> io::Result<Response<BoxBody<Bytes, io::Error>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let host = head.headers.get(ASKED).and_then(|asked| asked.to_str().ok()).unwrap_or_default().to_owned();
    let seen =
        Seen { method: head.method.to_string(), url: format!("{host}{}", head.uri), headers: head.headers, body };
    let number = {
        let mut kept = kept.lock().unwrap();
        kept.push(seen.clone());
        kept.len() - 1
    };
    let answer = script(&seen, number);
    counter.send_replace(number + 1);
    match answer {
        Answer::HangUp => Err(io::Error::other("hangs up")),
        Answer::Silence => std::future::pending().await,
        Answer::Reply { status, headers, body } => {
            let mut reply = Response::builder().status(status);
            for (name, value) in headers {
                reply = reply.header(name, value);
            }
            // A stream says no size, so that a test may promise another than it sends.
            let frames = stream::iter((!body.is_empty()).then_some(Ok(Frame::data(body))));
            reply.body(BodyExt::boxed(StreamBody::new(frames))).map_err(io::Error::other)
        }
    }
}

#[derive(Debug)]
struct Leading {
    to: Url,
    client: Arc<dyn HttpClient>,
}

#[async_trait::async_trait]
impl HttpClient for Leading {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let mut led = request.clone();
        led.insert_header(ASKED, request.url().origin().ascii_serialization());
        led.url_mut().set_scheme("http").unwrap();
        led.url_mut().set_host(self.to.host_str()).unwrap();
        led.url_mut().set_port(self.to.port()).unwrap();
        self.client.execute_request(&led).await
    }
}

/// A credential that says what it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<Vec<String>>);

pub(crate) const TOKEN: &str = "a-token-of-tests";

impl Tokens {
    pub(crate) fn scopes(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl TokenCredential for Tokens {
    async fn get_token(&self, scopes: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        self.0.lock().unwrap().extend(scopes.iter().map(|scope| (*scope).to_owned()));
        Ok(AccessToken::new(Secret::new(TOKEN), OffsetDateTime::now_utc() + Duration::hours(1)))
    }
}
