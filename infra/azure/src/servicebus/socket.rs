//! The byte stream below AMQP. The engine would open its own socket, but never sets TCP_NODELAY, which costs 40 ms and more
//! for each small frame that waits for an acknowledgement, and would choose its own roots and crypto provider.

use super::{address::Address, error::BusError};
use rustls_platform_verifier::BuilderVerifierExt;
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, crypto::aws_lc_rs, pki_types::ServerName},
};

/// What the engine asks of a stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin> Stream for T {}

pub(super) async fn dial(address: &Address) -> Result<Box<dyn Stream>, BusError> {
    let unreachable = |why: std::io::Error| BusError::Unreachable {
        namespace: address.endpoint.authority().to_owned(),
        why: why.to_string(),
    };
    let host = address.endpoint.host_str().unwrap_or_default();
    // Brackets belong to the URL, not to the address.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let tcp = TcpStream::connect((host, address.endpoint.port().unwrap_or_default())).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    if !address.is_tls() {
        return Ok(Box::new(tcp));
    }
    let refused = |why: String| BusError::Tls { namespace: address.namespace.clone(), why };
    let name = ServerName::try_from(address.namespace.clone()).map_err(|e| refused(e.to_string()))?;
    let tls = TlsConnector::from(Arc::new(trust().map_err(|e| refused(e.to_string()))?));
    let stream = tls.connect(name, tcp).await.map_err(|e| refused(e.to_string()))?;
    Ok(Box::new(stream))
}

/// What the platform trusts, with the crypto provider that the rest of the process uses. Read anew for each connection, of
/// which there are few: authorities change while a process lives.
fn trust() -> Result<ClientConfig, tokio_rustls::rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_platform_verifier()?.with_no_client_auth())
}
