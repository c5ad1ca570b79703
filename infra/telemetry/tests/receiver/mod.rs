//! A loopback endpoint that takes what the exporters send, and keeps it.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
};
use flate2::read::GzDecoder;
use std::{
    io::Read,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

/// Path, headers, and the body as it was before compression.
type Requested = (String, HeaderMap, Vec<u8>);

#[derive(Clone, Default)]
pub struct Received(Arc<Mutex<Vec<Requested>>>);

impl Received {
    /// A header of every request.
    #[allow(dead_code, reason = "not every test that includes this looks at headers")]
    pub fn header(&self, name: &str) -> Vec<String> {
        let all = self.0.lock().unwrap();
        all.iter().filter_map(|(_, headers, _)| Some(headers.get(name)?.to_str().unwrap().to_owned())).collect()
    }
    /// The bodies that came to this path, decompressed.
    pub fn at(&self, path: &str) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().iter().filter(|(p, ..)| p == path).map(|(.., body)| body.clone()).collect()
    }
}

/// Answers everything with this status and body.
pub async fn listen(status: u16, answer: &'static str) -> (SocketAddr, Received) {
    let received = Received::default();
    let status = StatusCode::from_u16(status).unwrap();
    let take = move |State(received): State<Received>, uri: Uri, headers: HeaderMap, body: Bytes| async move {
        let mut plain = Vec::new();
        match headers.get("content-encoding").is_some_and(|e| e == "gzip") {
            true => _ = GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap(),
            false => plain.extend_from_slice(&body),
        }
        received.0.lock().unwrap().push((uri.path().to_owned(), headers, plain));
        (status, answer).into_response()
    };
    let app = Router::new().fallback(take).with_state(received.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    (address, received)
}
