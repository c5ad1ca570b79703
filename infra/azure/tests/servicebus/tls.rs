//! AMQP over TLS, with the verifier of the platform. What the platform trusts is the environment's to say, and it is the
//! process that is told: each case runs in a child of this test binary with a trust store of its own.

use super::bed::{Bed, START, options};
use opsloop_azure::{
    identity::Identity,
    servicebus::{Address, Deadlines, ServiceBus},
};
use opsloop_embedded::clock::VirtualClock;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{net::SocketAddr, path::Path, process::Stdio, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    process::Command,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

const ENDPOINT: &str = "SERVICEBUS_TEST_ENDPOINT";
const CHILD: &str = "tls::a_child_pings";

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Ends TLS in front of the broker with a certificate for this name.
async fn terminator(front: SocketAddr, authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap()));
    let listener = TcpListener::bind(super::bed::free()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(socket).await else { continue };
            let mut plain = TcpStream::connect(front).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut tls, &mut plain).await });
        }
    });
    addr
}

/// What a process that trusts this authority says of a namespace called `localhost`.
async fn pinged(endpoint: SocketAddr, trusted: &Path) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", CHILD, "--ignored", "--nocapture"]).env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR");
    let child = child.env(ENDPOINT, endpoint.port().to_string()).stdin(Stdio::null()).kill_on_drop(true);
    let said = child.output().await.unwrap();
    String::from_utf8_lossy(&said.stdout).into_owned()
}

#[tokio::test]
#[ignore = "run by the other tests in a process of its own"]
async fn a_child_pings() {
    let Ok(port) = std::env::var(ENDPOINT) else { return };
    let address = Address {
        namespace: "localhost".to_owned(),
        endpoint: format!("amqps://127.0.0.1:{port}").parse().unwrap(),
        management: "http://127.0.0.1:1/".parse().unwrap(),
    };
    let clock = Arc::new(VirtualClock::at(START));
    let credential = Identity::Loopback.credential().unwrap();
    let bus = ServiceBus::new(options(address, &clock, credential, Deadlines::default()));
    match bus.ping().await {
        Ok(()) => println!("pinged"),
        Err(error) => println!("refused: {error}"),
    }
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_platform_trusts_and_with_nobody_else() {
    let bed = Bed::new().await;
    let (ours, theirs) = (authority(), authority());
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("ours.pem");
    std::fs::write(&trusted, ours.pem()).unwrap();
    let front = bed.front().addr();

    let good = pinged(terminator(front, &ours, "localhost").await, &trusted).await;
    assert!(good.contains("pinged"), "{good}");
    let wrong_name = pinged(terminator(front, &ours, "elsewhere.example").await, &trusted).await;
    assert!(wrong_name.contains("refused: no TLS connection to localhost"), "{wrong_name}");
    let unknown_authority = pinged(terminator(front, &theirs, "localhost").await, &trusted).await;
    assert!(unknown_authority.contains("refused: no TLS connection to localhost"), "{unknown_authority}");
    assert!(unknown_authority.contains("SSL_CERT_FILE"), "{unknown_authority}");
    assert_eq!(bed.front().faults().connections(), 1);
}
