//! The production router of a world, called without a socket.

use crate::World;
use axum::{Router, body::Body, http::Request};
use opsloop_app::workers::Otlp;
use opsloop_shell::{
    access::Access,
    otlp::Receiver,
    router::{self, Served},
};
use serde_json::Value;
use std::sync::Arc;
use tower::ServiceExt;

pub struct Answered {
    pub status: u16,
    pub content_type: String,
    pub retry_after: Option<String>,
    pub body: Vec<u8>,
}
impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

pub fn router_of(world: &World, access: Access) -> Router {
    let receiver = Receiver::new(Arc::new(Otlp));
    router::router(Arc::new(Served::new(world.shell.clone(), access, receiver, || "# EOF\n".into())))
}

pub async fn call(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answered {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let text = |name: &str| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    let (content_type, retry_after) = (text("content-type").unwrap_or_default(), text("retry-after"));
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec();
    Answered { status, content_type, retry_after, body }
}
