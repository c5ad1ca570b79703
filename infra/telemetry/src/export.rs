//! Where the platform's own telemetry goes: the standard settings, read with errors that say what to write. A key is
//! never part of an error or of `Debug`.

use http::Uri;
use opsloop_kernel::BoxFuture;
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

/// The sinks, and who speaks. Without a sink telemetry is log lines and Prometheus text.
#[derive(Clone, Debug)]
pub struct Export {
    pub application_insights: Option<ConnectionString>,
    /// Whose token Application Insights gets; none where the key alone admits.
    pub bearer: Option<Bearer>,
    pub otlp: Option<OtlpEndpoint>,
    /// `service.name`, in Application Insights the cloud role.
    pub role: String,
    /// `service.instance.id`, the role instance: without one, cumulative metrics of two processes would be mixed.
    pub instance: String,
    pub share: Share,
}
impl Default for Export {
    fn default() -> Self {
        let instance = std::process::id().to_string();
        let role = "opsloop".to_owned();
        Self { application_insights: None, bearer: None, otlp: None, role, instance, share: Share::ALL }
    }
}

/// Why a setting cannot be used: what it says, and what it should say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub String);
impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for Invalid {}

/// Gives a token for `ConnectionString::scope`, or says why there is none. It is asked before each request, and so
/// should keep its tokens.
#[derive(Clone)]
pub struct Bearer(Arc<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>);

impl Bearer {
    pub fn new(token: impl Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(token))
    }
    pub(crate) async fn token(&self) -> Result<String, String> {
        (self.0)().await
    }
}
impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(hidden)")
    }
}

/// `APPLICATIONINSIGHTS_AUTHENTICATION_STRING`: a token is wanted, of the identity with this client id if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    pub client_id: Option<String>,
}

impl Authentication {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let example = "Authorization=AAD;ClientId=<guid>";
        let fields = fields_of(text, example)?;
        if !field(&fields, "authorization").is_some_and(|a| a.eq_ignore_ascii_case("aad")) {
            return invalid("its Authorization is not AAD, the only one that is supported", example);
        }
        Ok(Self { client_id: field(&fields, "clientid").map(str::to_owned) })
    }
}

/// `APPLICATIONINSIGHTS_CONNECTION_STRING`: the key and where telemetry is taken in.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionString {
    key: String,
    endpoint: Uri,
    audience: String,
}

/// Where a component without an endpoint of its own takes telemetry in.
const GLOBAL_ENDPOINT: &str = "https://dc.services.visualstudio.com";
/// Its last slash is part of its name.
const AUDIENCE: &str = "https://monitor.azure.com/";
const EXAMPLE: &str = "InstrumentationKey=<guid>;IngestionEndpoint=https://<region>.in.applicationinsights.azure.com/";

impl ConnectionString {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let fields = fields_of(text, EXAMPLE)?;
        let field = |name: &str| field(&fields, name);
        if field("authorization").is_some_and(|a| !a.eq_ignore_ascii_case("ikey")) {
            return invalid("its Authorization is not ikey, the only one that is supported", EXAMPLE);
        }
        let Some(key) = field("instrumentationkey").filter(|k| is_guid(k)) else {
            return invalid("it has no InstrumentationKey that is a GUID", EXAMPLE);
        };
        let endpoint = match (field("ingestionendpoint"), field("endpointsuffix")) {
            (Some(endpoint), _) => endpoint.to_owned(),
            (None, Some(suffix)) => {
                let location = field("location").map(|l| format!("{l}.")).unwrap_or_default();
                format!("https://{location}dc.{suffix}")
            }
            (None, None) => GLOBAL_ENDPOINT.to_owned(),
        };
        let endpoint = address(&endpoint)?;
        // The key goes with every request: in the clear only to this machine.
        if endpoint.scheme_str() == Some("http") && !is_loopback(&endpoint) {
            return invalid("its IngestionEndpoint is http, but not on this machine", EXAMPLE);
        }
        let audience = field("aadaudience").unwrap_or(AUDIENCE).to_owned();
        Ok(Self { key: key.to_owned(), endpoint, audience })
    }

    /// What a token must be for.
    pub fn scope(&self) -> String {
        format!("{}/.default", self.audience)
    }

    /// As the exporter's crate wants it. That crate replaces http by https; the client knows where to send.
    pub(crate) fn text(&self) -> String {
        format!("InstrumentationKey={};IngestionEndpoint={}", self.key, base(&self.endpoint))
    }
    pub(crate) fn track(&self) -> String {
        format!("{}/v2.1/track", base(&self.endpoint))
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionString({}, key hidden)", self.endpoint)
    }
}

/// `OTEL_EXPORTER_OTLP_ENDPOINT`: the base address of a collector, to which `/v1/traces` and `/v1/metrics` are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpEndpoint(Uri);

impl OtlpEndpoint {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        address(text).map(Self)
    }
    pub(crate) fn signal(&self, name: &str) -> String {
        format!("{}/v1/{name}", base(&self.0))
    }
}

/// Which share of all traces is kept, from 0 to 1: decided by the trace id alone, so the same in every process, and
/// never by the flag of a header, which the host may have set (P18).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

impl Share {
    pub const ALL: Self = Self(1.0);

    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text.trim().parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self(share)),
            _ => invalid(&format!("`{text}` is not a number from 0 to 1"), "0.1, to keep a tenth of all traces"),
        }
    }
    pub(crate) fn value(self) -> f64 {
        self.0
    }
}

fn fields_of(text: &str, example: &str) -> Result<Vec<(String, String)>, Invalid> {
    let mut fields = Vec::new();
    for part in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        match part.split_once('=') {
            Some((name, value)) => fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned())),
            None => return invalid("a part of it is not of the form name=value", example),
        }
    }
    Ok(fields)
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

fn invalid<T>(why: &str, example: &str) -> Result<T, Invalid> {
    Err(Invalid(format!("{why}; write it like {example}")))
}

fn address(text: &str) -> Result<Uri, Invalid> {
    let example = "https://collector.example:4318";
    let uri: Uri = match text.trim().parse() {
        Ok(uri) => uri,
        Err(why) => return invalid(&format!("an address in it cannot be read ({why})"), example),
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().unwrap_or_default().is_empty() {
        return invalid("an address in it does not begin with https:// or http:// and a host", example);
    }
    // Addresses are shown; what is secret belongs into headers.
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) || uri.query().is_some() {
        return invalid("an address in it has a user name or a query", example);
    }
    Ok(uri)
}

fn base(uri: &Uri) -> String {
    uri.to_string().trim_end_matches('/').to_owned()
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        || host.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_guid(text: &str) -> bool {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00000000-1111-2222-3333-444444444444";

    #[test]
    fn a_connection_string_is_read_as_the_portal_shows_it() {
        let text = format!(
            "InstrumentationKey={KEY};IngestionEndpoint=https://westeurope-5.in.applicationinsights.azure.com/;\
             LiveEndpoint=https://westeurope.livediagnostics.monitor.azure.com/;ApplicationId=x;"
        );
        let read = ConnectionString::parse(&text).unwrap();
        assert_eq!(read.track(), "https://westeurope-5.in.applicationinsights.azure.com/v2.1/track");
        let global = ConnectionString::parse(&format!("InstrumentationKey={KEY}")).unwrap();
        assert_eq!(global.track(), "https://dc.services.visualstudio.com/v2.1/track");
        let suffix = format!("InstrumentationKey={KEY};EndpointSuffix=ai.contoso.com;Location=westus2");
        assert_eq!(ConnectionString::parse(&suffix).unwrap().track(), "https://westus2.dc.ai.contoso.com/v2.1/track");
    }

    #[test]
    fn a_key_is_in_no_error_and_in_no_debug_text() {
        let good = ConnectionString::parse(&format!("InstrumentationKey={KEY}")).unwrap();
        assert!(!format!("{good:?}").contains(KEY));
        for bad in [
            format!("InstrumentationKey={KEY}0"),
            format!("InstrumentationKey={KEY};nonsense"),
            format!("InstrumentationKey={KEY};Authorization=AAD"),
            format!("InstrumentationKey={KEY};IngestionEndpoint=http://collector.example"),
            format!("InstrumentationKey={KEY};IngestionEndpoint=ftp://collector.example"),
            String::new(),
        ] {
            let why = ConnectionString::parse(&bad).unwrap_err().to_string();
            assert!(!why.contains(KEY) && why.contains("write it like"), "{why}");
        }
    }

    #[test]
    fn a_token_is_for_the_audience_that_the_string_names() {
        let text = format!("InstrumentationKey={KEY}");
        assert_eq!(ConnectionString::parse(&text).unwrap().scope(), "https://monitor.azure.com//.default");
        let own = ConnectionString::parse(&format!("{text};AADAudience=https://monitor.azure.us/")).unwrap();
        assert_eq!(own.scope(), "https://monitor.azure.us//.default");
        let client_id = Some(KEY.to_owned());
        let asked = Authentication::parse(&format!("ClientId={KEY};Authorization=AAD")).unwrap();
        assert_eq!(asked, Authentication { client_id });
        assert!(Authentication::parse("Authorization=ikey").is_err());
    }

    #[test]
    fn an_otlp_endpoint_is_a_base_address_without_secrets() {
        for base in ["http://127.0.0.1:4318", "http://127.0.0.1:4318/"] {
            assert_eq!(OtlpEndpoint::parse(base).unwrap().signal("traces"), "http://127.0.0.1:4318/v1/traces");
        }
        for bad in ["", "collector:4318", "grpc://collector:4317", "http://user:word@collector", "http://c/?key=1"] {
            assert!(OtlpEndpoint::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        assert_eq!(Share::parse("0.25").unwrap().value(), 0.25);
        for bad in ["1.1", "-0.1", "NaN", "all", ""] {
            assert!(Share::parse(bad).is_err(), "{bad}");
        }
    }
}
