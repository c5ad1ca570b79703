//! HTTP on loopback between `local`, its children and the commands that operate it.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;

/// The header that carries the token between parent and child.
pub const TOKEN_HEADER: &str = "x-opsloop-token";
const ANSWER_MAX: usize = 64 * 1024 * 1024;

#[derive(Clone)]
pub struct Loopback {
    client: Client<HttpConnector, Full<Bytes>>,
    token: Option<String>,
}

/// What went wrong with a request, for a person.
#[derive(Debug)]
pub struct Failed(pub String);
impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for Failed {}

pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}
impl Answered {
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failed> {
        serde_json::from_slice(&self.body).map_err(|e| Failed(format!("the answer is not what was expected: {e}")))
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Loopback {
    pub fn new(token: Option<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector), token }
    }

    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answered, Failed> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header(TOKEN_HEADER, token);
        }
        let request = request.body(Full::new(body)).map_err(|e| Failed(format!("{url}: {e}")))?;
        let response = self.client.request(request).await.map_err(|e| Failed(format!("{url}: {}", cause(&e))))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|e| Failed(format!("{url}: {e}")))?;
        Ok(Answered { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }

    pub async fn get(&self, url: &str) -> Result<Answered, Failed> {
        self.send(Method::GET, url, &[], Bytes::new()).await
    }

    pub async fn post_json(&self, url: &str, value: &impl Serialize) -> Result<Answered, Failed> {
        let body = serde_json::to_vec(value).map_err(|e| Failed(e.to_string()))?;
        self.send(Method::POST, url, &[("content-type", "application/json")], body.into()).await
    }
}

/// The innermost reason: "connection refused" says more than "client error".
fn cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
