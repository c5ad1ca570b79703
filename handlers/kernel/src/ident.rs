//! Identifiers and label sets (SPEC 3.1), and how telemetry's own names are brought to their form (SPEC 5.1.2, A46).

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// The tenant of ticks and pages; refused from everywhere else (SPEC 3.10).
pub const PLATFORM: &str = "platform";
const SLUG_MAX: usize = 63;
const TOKEN_MAX: usize = 64;

macro_rules! ident {
    ($($(#[$m:meta])* $name:ident, $check:path, $form:literal;)*) => { $(
        $(#[$m])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);
        impl $name {
            pub fn parse(text: impl Into<String>) -> Result<Self, String> {
                let text = text.into();
                if $check(&text) { Ok(Self(text)) } else {
                    Err(format!("`{}` is not a {}: {}", shown(&text), stringify!($name), $form))
                }
            }
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl fmt::Display for $name { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) } }
        impl FromStr for $name { type Err = String; fn from_str(s: &str) -> Result<Self, String> { Self::parse(s) } }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Self::parse(String::deserialize(d)?).map_err(D::Error::custom)
            }
        }
    )* };
}

ident! {
    /// The isolation boundary; also the form of project, module and environment ids.
    TenantId, is_slug, "lower-case letters, digits, `.`, `_`, `-`, at most 63, the first a letter or digit";
    /// A W3C trace id.
    TraceId, is_trace_id, "32 lower-case hex digits, not all zero";
    /// A W3C span id.
    SpanId, is_span_id, "16 lower-case hex digits, not all zero";
    /// One workflow, from cause to last effect.
    CorrelationId, is_correlation, "`corr-` and a UUID";
    /// The identity of an occurrence.
    EventId, is_event_id, "`evt-` and 1 to 64 letters, digits, `_`, `-`";
}

/// Text from outside in an error is cut: an error is not a place for a megabyte.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

impl TenantId {
    pub fn platform() -> Self {
        Self(PLATFORM.to_owned())
    }
    pub fn is_platform(&self) -> bool {
        self.0 == PLATFORM
    }
}

impl EventId {
    /// For ids made by the derivations of SPEC 3.2 only.
    pub(crate) fn derived(uuid: uuid::Uuid) -> Self {
        Self(format!("evt-{uuid}"))
    }
}
impl CorrelationId {
    pub(crate) fn derived(uuid: uuid::Uuid) -> Self {
        Self(format!("corr-{uuid}"))
    }
}
impl TraceId {
    /// The first 32 hex digits of a SHA-256; all zero has probability 2^-128 and is mapped away.
    pub(crate) fn of_digest(hex64: &str) -> Self {
        let head: String = hex64.chars().take(32).collect();
        if head.bytes().all(|b| b == b'0') { Self(format!("{:032x}", 1)) } else { Self(head) }
    }
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 16 && bytes.iter().any(|b| *b != 0)).then(|| Self(hex::encode(bytes)))
    }
    /// A legacy id (`trace-9f1c2b7d`) at the compatibility edge: hashed, so that equal ids correlate (gap G-01).
    pub fn of_legacy(text: &str) -> Self {
        Self::of_digest(&crate::json::sha256_hex(text.as_bytes()))
    }
}
impl SpanId {
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 8 && bytes.iter().any(|b| *b != 0)).then(|| Self(hex::encode(bytes)))
    }
}

/// `^[a-z0-9][a-z0-9._-]{0,62}$`
pub fn is_slug(s: &str) -> bool {
    let b = s.as_bytes();
    !b.is_empty() && b.len() <= SLUG_MAX && starts_slug(b[0]) && b.iter().all(|c| in_slug(*c))
}
fn starts_slug(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}
fn in_slug(c: u8) -> bool {
    starts_slug(c) || matches!(c, b'.' | b'_' | b'-')
}
fn is_lower_hex(s: &str, len: usize) -> bool {
    s.len() == len
        && s.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
        && s.bytes().any(|c| c != b'0')
}
fn is_trace_id(s: &str) -> bool {
    is_lower_hex(s, 32)
}
fn is_span_id(s: &str) -> bool {
    is_lower_hex(s, 16)
}
fn is_correlation(s: &str) -> bool {
    s.strip_prefix("corr-").is_some_and(|u| u.len() == 36 && uuid::Uuid::try_parse(u).is_ok())
}
fn is_event_id(s: &str) -> bool {
    s.strip_prefix("evt-").is_some_and(is_token)
}
/// The token of an entity id.
pub fn is_token(s: &str) -> bool {
    !s.is_empty() && s.len() <= TOKEN_MAX && s.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
}
/// `^[A-Za-z0-9._-]{1,128}$` (A33): artifacts, agents, skills, workflows, executions, commands, records.
pub fn is_user_id(s: &str) -> bool {
    !s.is_empty() && s.len() <= 128 && s.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
}

/// Brings a name as an SDK sends it to the form of an id: lower case, what is outside the form replaced by `-`, what
/// cannot stand first dropped, cut to length; `None` if nothing is left (A46).
pub fn slug_of(name: &str) -> Option<String> {
    let replaced = name.chars().flat_map(char::to_lowercase).map(|c| match u8::try_from(c) {
        Ok(b) if in_slug(b) => c,
        _ => '-',
    });
    let slug: String = replaced.skip_while(|c| !c.is_ascii_lowercase() && !c.is_ascii_digit()).take(SLUG_MAX).collect();
    (!slug.is_empty()).then_some(slug)
}

/// The same for ids whose form keeps case (A46).
pub fn user_id_of(name: &str) -> Option<String> {
    let id: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .take(128)
        .collect();
    (!id.is_empty()).then_some(id)
}

/// `dev|test|staging|prod`, with the names people use for them; any other environment is absent (A46).
pub fn environment_of(name: &str) -> Option<&'static str> {
    match slug_of(name)?.as_str() {
        "dev" | "development" => Some("dev"),
        "test" => Some("test"),
        "staging" | "stage" => Some("staging"),
        "prod" | "production" => Some("prod"),
        _ => None,
    }
}

/// Labels in byte order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LabelSet(pub BTreeMap<String, String>);

impl LabelSet {
    /// `k=v` joined by `,`; `\`, `,` and `=` escaped with `\` (SPEC 3.1).
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        for (k, v) in &self.0 {
            if !out.is_empty() {
                out.push(',');
            }
            escape(k, &mut out);
            out.push('=');
            escape(v, &mut out);
        }
        out
    }
    /// An absent label reads as the empty string.
    pub fn get(&self, label: &str) -> &str {
        self.0.get(label).map_or("", String::as_str)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for LabelSet {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        if matches!(c, '\\' | ',' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiw_14_names_of_sdks_become_ids_a46() {
        assert_eq!(slug_of("Booking App").as_deref(), Some("booking-app"));
        assert_eq!(slug_of("Checkout_API/v2").as_deref(), Some("checkout_api-v2"));
        assert_eq!(slug_of("_.-x").as_deref(), Some("x"));
        assert_eq!(slug_of("日本").as_deref(), None);
        assert_eq!(environment_of("production"), Some("prod"));
        assert_eq!(environment_of("qa-7"), None);
    }

    #[test]
    fn labels_escape_what_separates() {
        let labels: LabelSet = [("b", "x,y=z\\"), ("a", "1")].into_iter().collect();
        assert_eq!(labels.canonical(), "a=1,b=x\\,y\\=z\\\\");
    }

    #[test]
    fn ids_have_one_form() {
        assert!(TenantId::parse("Acme").is_err());
        assert!(TraceId::parse("4BF92F3577B34DA6A3CE929D0E0E4736").is_err());
        assert!(TraceId::parse("0".repeat(32)).is_err());
        assert!(EventId::parse("evt-").is_err());
        assert!(CorrelationId::parse("corr-0d6f7a52-6c5e-4f0c-8a55-0f8a2f5f2b11").is_ok());
    }
}
