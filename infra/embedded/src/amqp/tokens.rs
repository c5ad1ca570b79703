//! `$cbs`: clients show a token per entity before they attach to it. Any is good enough here.

use super::{
    codec::Value,
    sections::{AMQP_VALUE, APPLICATION, PROPERTIES, Sections, push},
};
use base64::Engine as _;

/// What was said of a token when it was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub audience: String,
    /// `jwt`, or a shared access signature's.
    pub kind: String,
    /// The tenant that a JWT claims to be of, unverified.
    pub tenant: Option<String>,
}

impl Token {
    pub fn of(request: &Sections<'_>) -> Self {
        let said = |name: &str| request.application.member(name).as_str().unwrap_or_default().to_owned();
        let tenant = match &request.body {
            super::sections::Body::Value(token) => token.as_str().and_then(tenant),
            _ => None,
        };
        Self { audience: said("name"), kind: said("type"), tenant }
    }
}

fn tenant(token: &str) -> Option<String> {
    let claims = token.split('.').nth(1)?;
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&json).ok()?;
    claims.get("tid")?.as_str().map(str::to_owned)
}

/// An answer to a request that came over a link; Rust's clients insist on 202.
pub fn answer(request: &Sections<'_>, is_taken: bool) -> Vec<u8> {
    let (code, text) = if is_taken { (202, "Accepted") } else { (401, "Unauthorized: the token was refused.") };
    let said = Value::map([("status-code", Value::I32(code)), ("status-description", Value::text(text))]);
    reply(request, said, Value::Null)
}

/// A message to who sent the request, about that request.
pub fn reply(request: &Sections<'_>, application: Value, body: Value) -> Vec<u8> {
    let mut out = Vec::new();
    let mut fields = vec![Value::Null; 6];
    fields[2] = request.properties.field(4).clone();
    fields[5] = request.properties.field(0).clone();
    push(PROPERTIES, Value::List(fields), &mut out);
    push(APPLICATION, application, &mut out);
    push(AMQP_VALUE, body, &mut out);
    out
}
