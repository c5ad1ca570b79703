//! An HTTP request as the default mode shows it to a function. Our own functions are proxied; this is for those that are not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::envelope::Input;
use super::value::{Members, Value, put};

/// A client's request, its headers in the order of Kestrel.
#[derive(Debug, Clone, Default)]
pub struct ClientRequest {
    pub method: String,
    pub host: String,
    /// Encoded path.
    pub path: String,
    /// Without `?`.
    pub query: Option<String>,
    /// Values of one name are joined already.
    pub headers: Vec<(String, Vec<String>)>,
    pub route_values: Members,
    /// `None`: empty, or chunked, which the host does not read in this mode.
    pub body: Option<Vec<u8>>,
}

pub fn http(request: &ClientRequest) -> Input {
    let query = query_pairs(request.query.as_deref());
    let mut value: Members = vec![
        ("Url".to_owned(), Value::String(url(request))),
        ("Method".to_owned(), Value::text(&request.method)),
        ("Query".to_owned(), Value::Object(query.clone())),
        ("Headers".to_owned(), headers(request, |values| Value::Array(values.iter().map(Value::text).collect()))),
        ("Params".to_owned(), Value::Object(request.route_values.clone())),
        ("Identities".to_owned(), Value::Array(vec![nobody()])),
    ];
    if let Some(body) = &request.body {
        value.push(("Body".to_owned(), Value::String(body_text(request, body))));
    }
    Input { value: Value::Object(value), binding_data: binding_data(request, query), leak: Members::new() }
}

fn binding_data(request: &ClientRequest, query: Members) -> Members {
    let mut data = Members::new();
    let body = request.body.as_deref().and_then(|body| std::str::from_utf8(body).ok());
    if let Some(Value::Object(members)) = body.and_then(Value::parse) {
        for (name, value) in members {
            put(&mut data, &name, value.to_leak().unwrap_or(Value::Null));
        }
    }
    for (name, value) in query.iter().chain(&request.route_values) {
        put(&mut data, name, value.clone());
    }
    put(&mut data, "Query", Value::Object(query));
    put(&mut data, "Headers", headers(request, |values| Value::String(values.join(", "))));
    data
}

fn url(request: &ClientRequest) -> String {
    let query = request.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
    format!("http://{}{}{query}", request.host, request.path)
}

fn headers(request: &ClientRequest, shape: impl Fn(&[String]) -> Value) -> Value {
    Value::Object(request.headers.iter().map(|(name, values)| (name.clone(), shape(values))).collect())
}

fn body_text(request: &ClientRequest, body: &[u8]) -> String {
    let kind = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let kind = kind.and_then(|(_, values)| values.first()).map(|kind| kind.to_ascii_lowercase()).unwrap_or_default();
    if kind.starts_with("application/octet-stream") || kind.starts_with("multipart/") {
        STANDARD.encode(body)
    } else {
        String::from_utf8_lossy(body).into_owned()
    }
}

fn query_pairs(query: Option<&str>) -> Members {
    let mut pairs = Members::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (form_decode(name), form_decode(value));
        match pairs.iter_mut().find(|(have, _)| have.eq_ignore_ascii_case(&name)) {
            Some((_, Value::String(have))) => {
                have.push(',');
                have.push_str(&value);
            }
            _ => pairs.push((name, Value::String(value))),
        }
    }
    pairs
}

fn form_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let code = behind.get(..2).and_then(|digits| hex::decode(digits).ok());
        match (*first, code.as_deref()) {
            (b'%', Some([code])) => {
                out.push(*code);
                rest = &behind[2..];
            }
            (b'+', _) => {
                out.push(b' ');
                rest = behind;
            }
            (byte, _) => {
                out.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The identity of somebody who did not log in.
fn nobody() -> Value {
    Value::object([
        ("AuthenticationType", Value::Null),
        ("IsAuthenticated", Value::Bool(false)),
        ("Actor", Value::Null),
        ("BootstrapContext", Value::Null),
        ("Claims", Value::Array(Vec::new())),
        ("Label", Value::Null),
        ("Name", Value::Null),
        ("NameClaimType", Value::text("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name")),
        ("RoleClaimType", Value::text("http://schemas.microsoft.com/ws/2008/06/identity/claims/role")),
    ])
}
