//! The emulator core as an account with our databases: every request, a client's or our own, goes through `call`.

use azure_core::http::{Method, Request, Url};
use azure_data_cosmos_driver::in_memory_emulator::{
    ConsistencyLevel, InMemoryEmulatorHttpClient, VirtualAccountConfig, VirtualRegion,
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::error::Error;

const REGION: &str = "West Europe";
pub type Headers = Vec<(String, String)>;

/// What every database has.
pub struct Layout {
    pub containers: Vec<String>,
    pub key: Vec<String>,
}

pub struct Account {
    core: InMemoryEmulatorHttpClient,
    base: Url,
    layout: Layout,
}

pub struct Reply {
    pub status: u16,
    pub headers: Headers,
    pub body: Bytes,
}

impl Account {
    pub fn open(endpoint: &str, layout: Layout) -> Result<Self, Box<dyn Error>> {
        let base = Url::parse(endpoint)?;
        let regions = vec![VirtualRegion::new(REGION, base.clone())];
        let config = VirtualAccountConfig::new(regions)?.with_consistency(ConsistencyLevel::Session);
        Ok(Self { core: InMemoryEmulatorHttpClient::new(config), base, layout })
    }

    /// A database of that name with our containers; documents expire by their own `ttl` only.
    pub async fn create_database(&self, name: &str) -> Result<(), String> {
        self.create("/dbs", json!({ "id": name })).await?;
        let kind = if self.layout.key.len() > 1 { "MultiHash" } else { "Hash" };
        for container in &self.layout.containers {
            let key = json!({ "paths": self.layout.key, "kind": kind, "version": 2 });
            let body = json!({ "id": container, "partitionKey": key, "defaultTtl": -1 });
            self.create(&format!("/dbs/{name}/colls"), body).await?;
        }
        Ok(())
    }

    async fn create(&self, path: &str, body: Value) -> Result<(), String> {
        let json = vec![("content-type".to_owned(), "application/json".to_owned())];
        let reply = self.call("POST", path, &json, Bytes::from(body.to_string())).await?;
        match reply.status {
            200 | 201 => Ok(()),
            status => Err(format!("POST {path} was answered {status}: {}", String::from_utf8_lossy(&reply.body))),
        }
    }

    pub async fn call(&self, method: &str, path: &str, headers: &Headers, body: Bytes) -> Result<Reply, String> {
        let method: Method = method.parse().map_err(|e| format!("{e}"))?;
        let url = self.base.join(path.trim_start_matches('/')).map_err(|e| e.to_string())?;
        let mut request = Request::new(url, method);
        for (name, value) in headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        if !body.is_empty() {
            request.set_body(body);
        }
        let response = self.core.execute_request(&request).await.map_err(|e| e.to_string())?;
        let raw = response.try_into_raw_response().await.map_err(|e| e.to_string())?;
        let headers = raw.headers().iter().map(|(n, v)| (n.as_str().to_owned(), v.as_str().to_owned())).collect();
        Ok(Reply { status: u16::from(raw.status()), headers, body: Bytes::from(raw.body().as_ref().to_vec()) })
    }
}
