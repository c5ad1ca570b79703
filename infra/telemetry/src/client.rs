//! The HTTP client of both exporters. It follows no redirects, reads little of an answer, and waits for no one long.

use crate::export::{Bearer, Invalid};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header};
use opentelemetry_http::{HttpClient, HttpError};
use std::time::Duration;

/// Connect, send and answer.
const REQUEST_MAX: Duration = Duration::from_secs(8);
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// An answer says which items were refused: a few lines.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// Where everything goes, whatever the request says; none: where the request says.
    to: Option<String>,
    bearer: Option<Bearer>,
}

impl Client {
    pub fn new(to: Option<String>, bearer: Option<Bearer>) -> Result<Self, Invalid> {
        let http = reqwest::Client::builder()
            .timeout(REQUEST_MAX)
            .connect_timeout(CONNECT_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("opsloop/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|why| Invalid(format!("no client for telemetry could be made: {why}")))?;
        Ok(Self { http, to, bearer })
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (mut parts, body) = request.into_parts();
        if let Some(bearer) = &self.bearer {
            let token = bearer.token().await.map_err(|why| format!("no token for telemetry: {why}"))?;
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
            value.set_sensitive(true);
            parts.headers.insert(header::AUTHORIZATION, value);
        }
        let to = self.to.clone().unwrap_or_else(|| parts.uri.to_string());
        let sent = self.http.request(parts.method, to).headers(parts.headers).body(body).send();
        let mut answer = sent.await?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let mut bytes = BytesMut::new();
        while let Some(chunk) = answer.chunk().await? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!("the answer is beyond {ANSWER_BYTES_MAX} bytes").into());
            }
            bytes.extend_from_slice(&chunk);
        }
        let mut response = Response::new(bytes.freeze());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}
