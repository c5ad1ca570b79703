//! Documents that expire, by their `ttl` in seconds since `_ts`: the core keeps it and does nothing.

use crate::account::{Account, Headers};
use bytes::Bytes;
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// Removes what has expired, or will have in so many seconds, of one database or of all; tells how many documents those were.
pub async fn sweep(account: &Account, database: Option<&str>, ahead_seconds: i64) -> Result<usize, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?.as_secs();
    let now = i64::try_from(now).map_err(|e| e.to_string())? + ahead_seconds;
    let mut removed = 0;
    for found in listed(account, "/dbs", "Databases").await? {
        let name = text(&found, "id");
        if database.is_some_and(|only| only != name) {
            continue;
        }
        let path = format!("/dbs/{name}/colls");
        for container in listed(account, &path, "DocumentCollections").await? {
            let documents = format!("{path}/{}/docs", text(&container, "id"));
            let keys = container["partitionKey"]["paths"].as_array().cloned().unwrap_or_default();
            for document in listed(account, &documents, "Documents").await? {
                if has_expired(&document, now) {
                    delete(account, &documents, &keys, &document).await?;
                    removed += 1;
                }
            }
        }
    }
    Ok(removed)
}

fn has_expired(document: &Value, now: i64) -> bool {
    let (Some(ttl), Some(written)) = (document["ttl"].as_i64(), document["_ts"].as_i64()) else { return false };
    ttl >= 0 && now >= written + ttl
}

async fn listed(account: &Account, path: &str, name: &str) -> Result<Vec<Value>, String> {
    let reply = account.call("GET", path, &Headers::new(), Bytes::new()).await?;
    if reply.status != 200 {
        return Err(format!("GET {path} was answered {}", reply.status));
    }
    let mut page: Value = serde_json::from_slice(&reply.body).map_err(|e| e.to_string())?;
    match page[name].take() {
        Value::Array(found) => Ok(found),
        _ => Err(format!("GET {path} has no `{name}`")),
    }
}

/// By etag: what has been written meanwhile stays.
async fn delete(account: &Account, documents: &str, keys: &[Value], document: &Value) -> Result<(), String> {
    let parts = keys.iter().map(|path| document[path.as_str().unwrap_or_default().trim_start_matches('/')].clone());
    let headers = vec![
        ("x-ms-documentdb-partitionkey".to_owned(), Value::from_iter(parts).to_string()),
        ("if-match".to_owned(), text(document, "_etag").to_owned()),
    ];
    account.call("DELETE", &format!("{documents}/{}", text(document, "id")), &headers, Bytes::new()).await.map(drop)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}
