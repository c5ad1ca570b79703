//! Payloads that do not fit a message (claim check), in memory: what the embedded store does, without a clock.

use bytes::Bytes;
use opsloop_kernel::{
    Timestamp,
    envelope::{BLOB_SCHEME, blob_uri},
};
use std::collections::BTreeMap;

#[derive(Clone, Default)]
pub struct Blobs {
    objects: BTreeMap<String, (Bytes, Timestamp)>,
}

impl Blobs {
    /// Its uri. The name says what the content is, so an object that is there is kept; it lives as long as the longest
    /// wish.
    pub fn put(&mut self, name: &str, bytes: Bytes, expires: Timestamp) -> String {
        let expires = expires.floor_millis();
        match self.objects.get_mut(name) {
            Some((_, until)) => *until = expires.max(*until),
            None => drop(self.objects.insert(name.to_owned(), (bytes, expires))),
        }
        blob_uri(name)
    }

    /// `None`: there is no such object, or no longer.
    pub fn get(&self, uri: &str, now: Timestamp) -> Option<Bytes> {
        let (bytes, until) = self.objects.get(uri.strip_prefix(BLOB_SCHEME)?)?;
        (*until > now).then(|| bytes.clone())
    }
}
