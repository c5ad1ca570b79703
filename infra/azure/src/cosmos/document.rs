//! A document as it is kept: `{id, tenantId, stream, kind, v, ttl?, expires?, due?, body}`.

use super::{numbers, trouble::Trouble};
use opsloop_kernel::{
    Body, Container, DocId, Document, Due, ETag, Found, Refusal, Stored, Stream, TenantId, Timestamp, ids,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Of the shape; a later one says how it reads this.
const VERSION: u16 = 1;
/// Below every character of a tenant, a stream and an id, so that texts joined by it sort as their parts do.
const SEPARATOR: char = ' ';
/// The first character beyond the separator.
pub(super) const BEYOND: char = '!';
/// Cosmos DB: both parts of a partition key together have at most 2 KB.
const STREAM_BYTES_MAX: usize = 1_900;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    pub id: String,
    pub tenant_id: String,
    pub stream: String,
    kind: String,
    v: u16,
    /// Seconds after which the service removes the document; later than `expires`, never before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<KeptDue>,
    body: Value,
    #[serde(rename = "_etag", skip_serializing, default)]
    pub etag: String,
}

/// The directory asks for `what` and `at`, within a `shard` or not, in the order of `key`.
#[derive(Serialize, Deserialize)]
struct KeptDue {
    what: String,
    at: Timestamp,
    shard: u8,
    key: String,
}

impl Kept {
    pub fn of(tenant: &TenantId, stream: &Stream, document: &Document, now: Timestamp) -> Self {
        let expires = document.expires.map(Timestamp::floor_millis);
        let due = document.due.as_ref().map(|due| KeptDue {
            what: due.what.to_string(),
            at: due.at.floor_millis(),
            shard: ids::shard(tenant, stream),
            key: [tenant.as_str(), &stream.name, &ids::padded(due.at), &document.id.0].join(&SEPARATOR.to_string()),
        });
        Self {
            id: document.id.0.clone(),
            tenant_id: tenant.to_string(),
            stream: stream.name.clone(),
            kind: document.kind.to_string(),
            v: VERSION,
            ttl: expires.map(|at| seconds_until(at, now)),
            expires,
            due,
            body: numbers::kept(&document.body.0),
            etag: String::new(),
        }
    }

    pub fn is_there(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|at| at > now)
    }

    /// The document, which must be of the stream that was asked for: the third layer of the tenant guard (DESIGN 4). It
    /// cannot fail while the adapter is right, so it is a defect, and nobody gets to see the document.
    pub fn read_by(self, tenant: &TenantId, stream: &Stream) -> Result<Stored, Trouble> {
        if self.tenant_id != tenant.as_str() || self.stream != stream.name {
            tracing::error!(asked = %tenant, found = self.tenant_id, "a store was about to answer with another's document");
            return Err(Trouble::Unreadable { why: "it is another stream's".into() });
        }
        if self.v != VERSION {
            return Err(Trouble::Unreadable { why: format!("`{}` has version {}", self.id, self.v) });
        }
        let body = numbers::restored(self.body)
            .map_err(|text| Trouble::Unreadable { why: format!("`{}` has a number `{text}`", self.id) })?;
        let document = Document {
            id: DocId(self.id),
            kind: self.kind.into(),
            due: self.due.map(|due| Due::at(due.what, due.at)),
            expires: self.expires,
            body: Body(body),
        };
        Ok(Stored { document, etag: ETag(self.etag) })
    }
}

/// The service counts from a whole second, which may be nearly one before now: a second more, so that nothing is gone early.
fn seconds_until(expires: Timestamp, now: Timestamp) -> i64 {
    let ms = expires.millis_since(now).max(0);
    (ms.saturating_add(999) / 1_000).saturating_add(1).min(i64::from(i32::MAX))
}

/// The beginning of the keys of a stream's due documents, without the separator after it.
pub(super) fn key_of(tenant: &TenantId, stream: &str) -> String {
    format!("{tenant}{SEPARATOR}{stream}")
}

/// What a key says. `None`: nobody here wrote it.
pub(super) fn found(key: &str, container: Container) -> Option<Found> {
    let mut parts = key.splitn(4, SEPARATOR);
    let (tenant, stream, at, id) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(Found {
        tenant: TenantId::parse(tenant).ok()?,
        stream: Stream::new(container, stream),
        at: Timestamp::from_millis(at.parse().ok()?),
        id: id.into(),
    })
}

/// A stream's name is in keys that sort as text.
pub(super) fn check_stream(stream: &Stream) -> Result<(), Refusal> {
    let name = &stream.name;
    if name.is_empty() || name.len() > STREAM_BYTES_MAX || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Refusal::payload(format!("`{name}` cannot be a stream: its text is not percent-encoded")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_tenant_stream_instant_and_id_do() {
        let mut all = Vec::new();
        for tenant in ["acme", "acme-2", "acme.b", "b"] {
            for stream in ["rules", "rules/1", "rules%20", "metrics/0", "metrics/10"] {
                for (at, id) in [(5, "b"), (5, "a|1"), (5, "a"), (40, "a"), (1_795_255_200_000, "~")] {
                    let (tenant, at) = (TenantId::parse(tenant).unwrap(), Timestamp::from_millis(at));
                    let stream = Stream::new(Container::State, stream);
                    let document = Document::new(id, "test", &0).due("Worker", at);
                    let key = Kept::of(&tenant, &stream, &document, at).due.unwrap().key;
                    let there = Found { tenant, stream, at, id: id.into() };
                    assert_eq!(found(&key, Container::State).as_ref(), Some(&there));
                    all.push((key, there));
                }
            }
        }
        let mut by_key = all.clone();
        by_key.sort_by(|a, b| a.0.cmp(&b.0));
        all.sort_by(|a, b| a.1.cmp(&b.1));
        assert_eq!(by_key, all);
    }

    #[test]
    fn the_service_removes_nothing_before_its_time() {
        let now = Timestamp::from_millis(1_795_255_200_999);
        for (ms, ttl) in [(-5, 1), (0, 1), (1, 2), (1_000, 2), (1_001, 3), (3_024_000_000, 3_024_001)] {
            assert_eq!(seconds_until(now.plus_millis(ms), now), ttl, "{ms}");
        }
        assert_eq!(seconds_until(Timestamp::MAX, now), i64::from(i32::MAX));
    }
}
