//! Payloads that do not fit a message (claim check, DESIGN 6), in Azure Blob Storage.
//!
//! A name says what the content is, so an object is written once and never changed; what does change is until when it is
//! kept, and that only grows. The instant stands in the object's metadata and is judged by our clock; the storage
//! account's lifecycle rule removes objects a day after the longest life. A reference names the object, never the account,
//! so events and documents are the same here and in the embedded store.
//!
//! Left out on purpose: blocks and parallel ranges. An object is one request up and one down, so that it is there whole
//! or not at all.

mod error;

pub use error::BlobError;

use crate::{
    identity::is_loopback,
    rest::{self, Failure},
};
use azure_core::{
    credentials::TokenCredential,
    error::ErrorKind,
    http::{ClientOptions, Etag},
};
use azure_storage_blob::{
    BlobClient, BlobContainerClient, BlobContainerClientOptions,
    models::{
        BlobClientDownloadOptions, BlobClientDownloadResult, BlobClientGetPropertiesResultHeaders,
        BlobClientSetMetadataOptions, BlobClientUploadOptions,
    },
};
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use opsloop_kernel::{
    Blobs, BoxFuture, Clock, Fault, Timestamp,
    envelope::{BLOB_SCHEME, blob_uri},
};
use std::{collections::HashMap, num::NonZero, sync::Arc, time::Duration};
use url::Url;

/// The container that `bicep/` makes.
pub const CONTAINER: &str = "claims";
/// What a telemetry batch may be at most, unpacked; nothing that is stored is larger.
const BYTES_MAX: NonZero<usize> = NonZero::<usize>::MIN.saturating_add(64 * 1024 * 1024 - 1);
/// Blob Storage's own limit.
const NAME_MAX: usize = 1_024;
/// A put or a get with all its tries; then the message is put off.
const DEADLINE: Duration = Duration::from_secs(15);
const PING_DEADLINE: Duration = Duration::from_secs(2);
/// A put finds the object there, and gone or changed when it looks: so often it begins anew.
const ROUNDS_MAX: u32 = 3;
const EXPIRES: &str = "expires";

/// Azurite's account of development, signed once with the key that Microsoft publishes for it: read, write and create, on
/// this machine only. Azurite takes a bearer token over https alone, and no key has a place in our settings.
const EMULATOR_SAS: &str = "sp=rwc&ss=b&srt=sco&se=2099-12-31T00%3A00%3A00Z&spr=https%2Chttp&sv=2019-12-12\
                            &sig=yRbv3AyT26zlSPmjVfbytaO3v624SJqh%2B3WEfdL97TQ%3D";

pub struct Options {
    /// `https://<account>.blob.core.windows.net/`, or Azurite on loopback: `http://127.0.0.1:10000/devstoreaccount1`.
    pub endpoint: Url,
    pub container: String,
    /// Not asked on loopback.
    pub credential: Arc<dyn TokenCredential>,
    pub clock: Arc<dyn Clock>,
}

pub struct AzureBlobs {
    container: BlobContainerClient,
    /// Only of an emulator is the container ours to make.
    is_emulator: bool,
    clock: Arc<dyn Clock>,
}

impl AzureBlobs {
    /// No request is sent yet. An error says that the endpoint is not one: neither https nor on loopback, or with a query.
    pub fn new(options: Options) -> azure_core::Result<Self> {
        Self::over(options, rest::client_options())
    }

    fn over(options: Options, client_options: ClientOptions) -> azure_core::Result<Self> {
        let Options { mut endpoint, container, credential, clock } = options;
        let is_emulator = is_loopback(&endpoint);
        let wrong = |why: &str| azure_core::Error::with_message(ErrorKind::Other, format!("the blob endpoint {why}"));
        if endpoint.query().is_some() {
            return Err(wrong("has a query: signatures have no place in settings, access is by identity"));
        }
        endpoint.path_segments_mut().map_err(|()| wrong("is no address"))?.pop_if_empty().push(&container);
        if is_emulator {
            endpoint.set_query(Some(EMULATOR_SAS));
        }
        let options = BlobContainerClientOptions { client_options, ..BlobContainerClientOptions::default() };
        let container = BlobContainerClient::new(endpoint, (!is_emulator).then_some(credential), Some(options))?;
        Ok(Self { container, is_emulator, clock })
    }

    /// Whether the container is there and lets us in; the error says what to do.
    pub async fn ping(&self) -> Result<(), BlobError> {
        let asked = async { Ok(self.container.get_properties(None).await.map(|_| ())?) };
        let answered = rest::within(PING_DEADLINE, &*self.clock, asked).await;
        let failure = match answered {
            Ok(()) => return Ok(()),
            Err(failure) if self.is_to_be_made(&failure) => return Ok(()),
            Err(failure) => failure,
        };
        Err(self.error(failure))
    }

    async fn write(&self, name: &str, bytes: Bytes, expires: Timestamp) -> Result<(), Failure> {
        let mut last = Failure::NotUnderstood("the object came and went".into());
        for _ in 0..ROUNDS_MAX {
            match self.create(name, bytes.clone(), expires).await {
                Ok(()) => return Ok(()),
                Err(failure) if self.is_to_be_made(&failure) => self.make_container().await?,
                Err(failure) if is_there_already(&failure) => {
                    if self.prolong(name, expires).await? {
                        return Ok(());
                    }
                    last = failure;
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(last)
    }

    /// One request, whatever the size: it is there whole or not at all.
    async fn create(&self, name: &str, bytes: Bytes, expires: Timestamp) -> Result<(), Failure> {
        let options = BlobClientUploadOptions {
            if_none_match: Some(Etag::from("*")),
            metadata: Some(metadata(expires)),
            blob_content_type: Some("application/octet-stream".into()),
            partition_size: NonZero::new(BYTES_MAX.get() as u64),
            ..BlobClientUploadOptions::default()
        };
        self.blob(name).upload(bytes.into(), Some(options)).await?;
        Ok(())
    }

    /// Keeps an object at least until then. `false`: it has gone meanwhile, or somebody else changed until when.
    async fn prolong(&self, name: &str, expires: Timestamp) -> Result<bool, Failure> {
        let found = match self.blob(name).get_properties(None).await.map_err(Failure::from) {
            Ok(found) => found,
            Err(failure) if failure.has(404) => return Ok(false),
            Err(failure) => return Err(failure),
        };
        if expires_in(&found.metadata()?).is_some_and(|end| end >= expires) {
            return Ok(true);
        }
        let options =
            BlobClientSetMetadataOptions { if_match: found.etag()?, ..BlobClientSetMetadataOptions::default() };
        match self.blob(name).set_metadata(&metadata(expires), Some(options)).await.map_err(Failure::from) {
            Ok(_) => Ok(true),
            Err(failure) if failure.has(404) || failure.has(412) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    async fn read(&self, name: &str) -> Result<Option<Bytes>, Failure> {
        let options = BlobClientDownloadOptions {
            parallel: Some(NonZero::<usize>::MIN),
            partition_size: Some(BYTES_MAX),
            ..BlobClientDownloadOptions::default()
        };
        let found = match self.blob(name).download(Some(options)).await.map_err(Failure::from) {
            Ok(found) => found,
            Err(failure) if failure.has_code("BlobNotFound") || self.is_to_be_made(&failure) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        if expires_in(&found.properties.metadata).is_some_and(|end| end <= self.clock.now()) {
            return Ok(None);
        }
        let size = size_of(&found)?;
        if size > BYTES_MAX.get() {
            tracing::warn!(
                name,
                size,
                limit = BYTES_MAX.get(),
                "an object larger than any that is put here is not ours"
            );
            return Ok(None);
        }
        collect(found, size).await.map(Some)
    }

    async fn make_container(&self) -> Result<(), Failure> {
        match self.container.create(None).await.map_err(Failure::from) {
            Err(failure) if !failure.has(409) => Err(failure),
            _ => Ok(()),
        }
    }

    fn is_to_be_made(&self, failure: &Failure) -> bool {
        self.is_emulator && failure.has_code("ContainerNotFound")
    }

    fn blob(&self, name: &str) -> BlobClient {
        self.container.blob_client(name)
    }

    fn error(&self, failure: Failure) -> BlobError {
        let mut container = self.container.url().clone();
        container.set_query(None);
        BlobError { container, failure }
    }

    fn fault(&self, failure: Failure) -> Fault {
        let fault = failure.fault(Fault::BLOBS);
        tracing::warn!(dependency = Fault::BLOBS, error = %self.error(failure), "blobs");
        fault
    }
}

impl Blobs for AzureBlobs {
    /// An object that is there is not written again; it lives as long as the longest wish.
    fn put<'a>(&'a self, name: &'a str, bytes: Bytes, expires: Timestamp) -> BoxFuture<'a, Result<String, Fault>> {
        Box::pin(async move {
            if !is_name(name) || bytes.len() > BYTES_MAX.get() {
                tracing::error!(name, size = bytes.len(), limit = BYTES_MAX.get(), "no object can be stored as this");
                return Err(Fault::Unavailable { dependency: Fault::BLOBS });
            }
            let written = rest::within(DEADLINE, &*self.clock, self.write(name, bytes, expires)).await;
            written.map(|()| blob_uri(name)).map_err(|failure| self.fault(failure))
        })
    }

    fn get<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Fault>> {
        Box::pin(async move {
            let Some(name) = uri.strip_prefix(BLOB_SCHEME).filter(|name| is_name(name)) else { return Ok(None) };
            let read = rest::within(DEADLINE, &*self.clock, self.read(name)).await;
            read.map_err(|failure| self.fault(failure))
        })
    }
}

/// What the service keeps as it is: it would take `a/../b` for `b`.
fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// 409 says so where the name is taken; 412 where the condition was looked at first. Both are looked into: 409 is also a
/// container that is being deleted.
fn is_there_already(failure: &Failure) -> bool {
    failure.has(409) || failure.has(412)
}

fn metadata(expires: Timestamp) -> HashMap<String, String> {
    HashMap::from([(EXPIRES.to_owned(), expires.to_string())])
}

fn expires_in(metadata: &HashMap<String, String>) -> Option<Timestamp> {
    metadata.get(EXPIRES)?.parse().ok()
}

/// Of the whole object: we ask for a range, so `Content-Range: bytes 0-9/10` says it.
fn size_of(found: &BlobClientDownloadResult) -> Result<usize, Failure> {
    let range = found.headers.get_optional_str(&"content-range".into());
    let size = match range {
        Some(range) => range.rsplit_once('/').and_then(|(_, total)| total.parse().ok()),
        None => found.properties.content_length.and_then(|length| usize::try_from(length).ok()),
    };
    size.ok_or_else(|| Failure::NotUnderstood("it does not say how large the object is".into()))
}

async fn collect(mut found: BlobClientDownloadResult, size: usize) -> Result<Bytes, Failure> {
    let mut bytes = BytesMut::with_capacity(size);
    while let Some(part) = found.body.try_next().await? {
        bytes.extend_from_slice(&part);
        if bytes.len() > size {
            break;
        }
    }
    if bytes.len() != size {
        return Err(Failure::Unreachable(format!("of {size} bytes it sent {}", bytes.len())));
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests;
