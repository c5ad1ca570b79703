//! Where the namespace is, as the Functions host is told it too: `ServiceBusConnection__fullyQualifiedNamespace` in Azure,
//! a connection string with `UseDevelopmentEmulator=true` on a developer's machine.
//!
//! A shared access key is never taken. In Azure this process has an identity; an emulator needs no secret.

use crate::identity::is_loopback;
use url::Url;

/// The settings that the host's triggers use.
pub const NAMESPACE: &str = "ServiceBusConnection__fullyQualifiedNamespace";
pub const CONNECTION: &str = "ServiceBusConnection";
/// Of AMQP over TLS, and of AMQP without, which emulators speak.
const PORT_TLS: u16 = 5671;
const PORT_PLAIN: u16 = 5672;
/// Where Microsoft's emulator answers the management API.
const PORT_EMULATOR_MANAGEMENT: u16 = 5300;

/// A namespace and where it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Fully qualified, as in `opsloop.servicebus.windows.net`: what tokens are for and certificates name.
    pub namespace: String,
    /// `amqps://<namespace>:5671` in Azure, `amqp://127.0.0.1:<port>` for an emulator.
    pub endpoint: Url,
    /// Where the management API over HTTP answers.
    pub management: Url,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error(
        "neither {NAMESPACE} nor {CONNECTION} is set, so there is no Service Bus to connect to; \
         set {NAMESPACE}, for example to opsloop.servicebus.windows.net"
    )]
    Unset,
    #[error(
        "`{0}` is not the fully qualified name of a namespace; \
         write the host alone, for example opsloop.servicebus.windows.net"
    )]
    Namespace(String),
    #[error(
        "{CONNECTION} is a connection string with a shared access key, which is not used in Azure; \
         set {NAMESPACE} in its place and give this app's identity the role Azure Service Bus Data Sender"
    )]
    SharedKey,
    #[error(
        "the emulator of {CONNECTION} is at `{0}`, which is not this machine: what is sent there is not protected; \
         write an endpoint on loopback, for example Endpoint=sb://127.0.0.1;UseDevelopmentEmulator=true"
    )]
    EmulatorElsewhere(String),
    #[error(
        "{CONNECTION} has no readable Endpoint; \
         write for example Endpoint=sb://127.0.0.1:5672;UseDevelopmentEmulator=true"
    )]
    Endpoint,
}

impl Address {
    /// From the settings of the host, asked for by name. The namespace wins over a connection string, as in the host.
    pub fn of(setting: impl Fn(&str) -> Option<String>) -> Result<Self, AddressError> {
        let set = |name| setting(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        match (set(NAMESPACE), set(CONNECTION)) {
            (Some(namespace), _) => Self::azure(&namespace),
            (None, Some(text)) => Self::connection_string(&text),
            (None, None) => Err(AddressError::Unset),
        }
    }

    /// A namespace in Azure, by its fully qualified name.
    pub fn azure(namespace: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::Namespace(namespace.to_owned());
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if !namespace.contains('.') || !namespace.chars().all(plain) {
            return Err(wrong());
        }
        let url = |text: String| Url::parse(&text).map_err(|_| wrong());
        Ok(Self {
            namespace: namespace.to_ascii_lowercase(),
            endpoint: url(format!("amqps://{namespace}:{PORT_TLS}"))?,
            management: url(format!("https://{namespace}/"))?,
        })
    }

    /// An emulator on this machine. A key in the string is an emulator's well-known one and is not read.
    pub fn connection_string(text: &str) -> Result<Self, AddressError> {
        let part = |wanted: &str| {
            let parts = text.split(';').filter_map(|part| part.split_once('='));
            parts.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
        };
        if !part("UseDevelopmentEmulator").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(AddressError::SharedKey);
        }
        let endpoint = part("Endpoint").ok_or(AddressError::Endpoint)?;
        let endpoint = Url::parse(endpoint).map_err(|_| AddressError::Endpoint)?;
        let host = endpoint.host_str().ok_or(AddressError::Endpoint)?;
        if !is_loopback(&endpoint) {
            return Err(AddressError::EmulatorElsewhere(host.to_owned()));
        }
        let port = endpoint.port().unwrap_or(PORT_PLAIN);
        let url = |text: String| Url::parse(&text).map_err(|_| AddressError::Endpoint);
        Ok(Self {
            namespace: host.to_owned(),
            endpoint: url(format!("amqp://{host}:{port}"))?,
            management: url(format!("http://{host}:{PORT_EMULATOR_MANAGEMENT}/"))?,
        })
    }

    pub fn is_emulator(&self) -> bool {
        is_loopback(&self.endpoint)
    }

    pub(super) fn is_tls(&self) -> bool {
        self.endpoint.scheme() == "amqps"
    }

    /// What a token is for, and what a link attaches to.
    pub(super) fn of_entity(&self, path: &str) -> String {
        format!("amqps://{}/{path}", self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &[(&str, &str)]) -> Result<Address, AddressError> {
        Address::of(|name| settings.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn a_namespace_is_reached_over_tls_and_wins_over_a_connection_string() {
        let both = [(NAMESPACE, "Opsloop.servicebus.windows.net"), (CONNECTION, "Endpoint=sb://x/;SharedAccessKey=k")];
        let address = of(&both).unwrap();
        assert_eq!(address.namespace, "opsloop.servicebus.windows.net");
        assert_eq!(address.endpoint.as_str(), "amqps://Opsloop.servicebus.windows.net:5671");
        assert_eq!(address.management.as_str(), "https://opsloop.servicebus.windows.net/");
        assert!(address.is_tls() && !address.is_emulator());
    }

    #[test]
    fn an_emulator_is_on_loopback_and_its_key_is_not_read() {
        let text = "Endpoint=sb://127.0.0.1:5680;SharedAccessKeyName=a;SharedAccessKey=k=;UseDevelopmentEmulator=true;";
        let address = of(&[(CONNECTION, text)]).unwrap();
        assert_eq!(address.endpoint.as_str(), "amqp://127.0.0.1:5680");
        assert!(address.is_emulator() && !address.is_tls() && !format!("{address:?}").contains("k="));
        let without_port = of(&[(CONNECTION, "Endpoint=sb://localhost;usedevelopmentemulator=True")]).unwrap();
        assert_eq!(without_port.endpoint.as_str(), "amqp://localhost:5672");
    }

    #[test]
    fn a_shared_access_key_and_an_emulator_elsewhere_are_refused() {
        let key = "Endpoint=sb://opsloop.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=verysecret";
        let refused = of(&[(CONNECTION, key)]).unwrap_err();
        assert_eq!(refused, AddressError::SharedKey);
        assert!(!refused.to_string().contains("verysecret"));
        let away = "Endpoint=sb://10.0.0.4;UseDevelopmentEmulator=true";
        assert_eq!(of(&[(CONNECTION, away)]), Err(AddressError::EmulatorElsewhere("10.0.0.4".into())));
    }

    #[test]
    fn what_cannot_be_read_is_said_with_an_example() {
        assert_eq!(of(&[(NAMESPACE, " "), (CONNECTION, "")]), Err(AddressError::Unset));
        assert_eq!(of(&[(CONNECTION, "UseDevelopmentEmulator=true")]), Err(AddressError::Endpoint));
        for wrong in ["sb://opsloop.servicebus.windows.net", "opsloop", "a.b/c", "a.b:5671"] {
            let refused = of(&[(NAMESPACE, wrong)]).unwrap_err();
            assert_eq!(refused, AddressError::Namespace(wrong.into()));
            assert!(refused.to_string().contains("for example"));
        }
    }
}
