//! `local` and `demo` on the adapters of the cloud: its services in place of what is embedded.

use crate::settings::{BLOBS, COSMOS, INSIGHTS, OTLP};
use opsloop_azure::{
    identity::is_loopback,
    servicebus::{CONNECTION, NAMESPACE},
};
use opsloop_embedded::amqp::Front;
use std::net::{IpAddr, SocketAddr};
use url::Url;

#[derive(clap::Args, Clone, Debug, Default)]
pub struct Services {
    /// Documents are in Cosmos DB: an emulator on this machine, or an account
    #[arg(long, value_name = "URL")]
    pub cosmos: Option<Url>,
    /// Messages go over AMQP to the broker of this process, which it serves here, as in amqp://127.0.0.1:5672
    #[arg(long, value_name = "URL")]
    pub amqp: Option<Url>,
    /// Large payloads are in Blob Storage: Azurite, as in http://127.0.0.1:10000/devstoreaccount1, or an account
    #[arg(long, value_name = "URL")]
    pub blob: Option<Url>,
}

impl Services {
    /// Where the broker is to be opened so that handlers reach it over AMQP.
    pub fn amqp_address(&self) -> Result<Option<SocketAddr>, String> {
        let Some(url) = &self.amqp else { return Ok(None) };
        let ip = url.host_str().and_then(|host| host.parse::<IpAddr>().ok());
        match (url.scheme(), ip.filter(|_| is_loopback(url))) {
            ("amqp", Some(ip)) => Ok(Some(SocketAddr::from((ip, url.port().unwrap_or(5672))))),
            _ => Err(format!(
                "--amqp {url}: the broker of this process is served on a loopback address; write amqp://127.0.0.1:5672"
            )),
        }
    }

    /// What the handlers are told. They inherit the environment of this shell: what it says of Azure is not meant for
    /// them, nor a collector's address, which may be our own.
    pub fn environment(&self, front: Option<&Front>) -> Vec<(String, String)> {
        let url = |url: &Option<Url>| url.as_ref().map(Url::to_string).unwrap_or_default();
        let amqp = front.filter(|_| self.amqp.is_some()).map(Front::connection_string).unwrap_or_default();
        let chosen = [(COSMOS, url(&self.cosmos)), (BLOBS, url(&self.blob)), (CONNECTION, amqp)];
        let emptied = [NAMESPACE, INSIGHTS, OTLP].map(|name| (name, String::new()));
        chosen.into_iter().chain(emptied).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shell_says_of_azure_does_not_reach_the_handlers() {
        let services = Services { cosmos: Some(Url::parse("http://127.0.0.1:8081/").unwrap()), ..Services::default() };
        let told = services.environment(None);
        let value = |name: &str| told.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(value(COSMOS), Some("http://127.0.0.1:8081/"));
        for name in [BLOBS, CONNECTION, NAMESPACE, INSIGHTS, OTLP] {
            assert_eq!(value(name), Some(""), "{name}");
        }
    }

    #[test]
    fn the_broker_is_served_on_loopback_only() {
        let at = |url: &str| Services { amqp: Some(Url::parse(url).unwrap()), ..Services::default() }.amqp_address();
        assert_eq!(at("amqp://127.0.0.1:0"), Ok(Some(SocketAddr::from(([127, 0, 0, 1], 0)))));
        assert_eq!(at("amqp://127.0.0.1"), Ok(Some(SocketAddr::from(([127, 0, 0, 1], 5672)))));
        for elsewhere in ["amqp://10.0.0.4:5672", "amqps://opsloop.servicebus.windows.net", "http://127.0.0.1:1"] {
            assert!(at(elsewhere).unwrap_err().contains("amqp://127.0.0.1:5672"), "{elsewhere}");
        }
    }
}
