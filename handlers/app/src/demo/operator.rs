//! What a person would do: set up the rules, engage when an incident escalates, resolve it with its root cause.

use crate::loopback::{Answered, Loopback};
use http::Method;
use opsloop_kernel::Timestamp;
use serde_json::{Value, json};
use std::{error::Error, path::Path, time::Duration};

/// The shop's people look at an incident this long after it opened, and close it this long after that, when the
/// rollback has shown its effect.
const ENGAGES_AFTER: Duration = Duration::from_secs(4 * 60);
const RESOLVES_AFTER: Duration = Duration::from_secs(28 * 60);

/// Saves the rules and objectives that fit the recording: `alert-*.json` and `slo-*.json`.
pub async fn set_up(client: &Loopback, url: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    for file in files {
        let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let path = match (name.starts_with("alert-"), name.starts_with("slo-")) {
            (true, _) => "/v1/alerts/rules",
            (_, true) => "/v1/slos",
            _ => continue,
        };
        let body: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
        command(client, &format!("{url}{path}"), name, &body).await?;
    }
    Ok(())
}

/// With a key of its own, so that every demo publishes the same events.
async fn command(client: &Loopback, url: &str, key: &str, body: &Value) -> Result<Value, Box<dyn Error>> {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    done(client.send(Method::POST, url, &headers, serde_json::to_vec(body)?.into()).await?)
}

pub fn done(answered: Answered) -> Result<Value, Box<dyn Error>> {
    match answered.status.is_success() {
        true => Ok(answered.json()?),
        false => Err(format!("{}: {}", answered.status, answered.text()).into()),
    }
}

pub struct Operator {
    client: Loopback,
    url: String,
    looked_at: Timestamp,
}

impl Operator {
    pub fn new(client: Loopback, url: String) -> Self {
        Self { client, url, looked_at: Timestamp::EPOCH }
    }

    /// Looks once a minute.
    pub async fn act(&mut self, now: Timestamp) -> Result<(), Box<dyn Error>> {
        if now.millis_since(self.looked_at) < 60_000 {
            return Ok(());
        }
        self.looked_at = now;
        let list = done(self.client.get(&format!("{}/v1/incidents", self.url)).await?)?;
        for incident in list["items"].as_array().into_iter().flatten() {
            self.handle(incident, now).await?;
        }
        Ok(())
    }

    async fn handle(&self, incident: &Value, now: Timestamp) -> Result<(), Box<dyn Error>> {
        let id = incident["incidentId"].as_str().unwrap_or_default();
        let opened: Timestamp = incident["openedAt"].as_str().unwrap_or_default().parse()?;
        let old = |d: Duration| now >= opened.plus(d);
        match incident["status"].as_str().unwrap_or_default() {
            "Open" if old(ENGAGES_AFTER) => self.command(id, "acknowledge", json!({})).await,
            "Acknowledged" => self.command(id, "investigate", json!({})).await,
            "Escalated" if old(ENGAGES_AFTER) => self.command(id, "engage", json!({})).await,
            "Investigating" if old(RESOLVES_AFTER) => self.command(id, "resolve", root_cause()).await,
            "Mitigated" if old(RESOLVES_AFTER) => {
                let mut body = root_cause();
                body["force"] = json!(true);
                body["reason"] = json!("the rollback holds");
                self.command(id, "resolve", body).await
            }
            _ => Ok(()),
        }
    }

    async fn command(&self, id: &str, verb: &str, mut body: Value) -> Result<(), Box<dyn Error>> {
        body["actor"] = json!("on-call");
        let url = format!("{}/v1/incidents/{id}/{verb}", self.url);
        command(&self.client, &url, &format!("{id}-{verb}"), &body).await.map(drop)
    }
}

fn root_cause() -> Value {
    json!({ "rootCause": {
        "category": "code_defect", "artifactId": "art-payments-7", "recordedBy": "on-call", "evidence": [],
        "summary": "payments 2.4.0 leaks its connections; rolled back to 2.3.9",
    }})
}
