//! Route templates and the path they are matched against.
//!
//! Paths match ignoring case, after `..` and percent-encoding are resolved (`/v1/%2e%2e/Bus` is `/Bus`); only `%2F` stays as it
//! is, so that it never becomes a separator. What the handler sees is the path encoded anew: `%2F` arrives as `%252F`.

use super::value::{Members, Value};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Param {
        name: String,
        optional: bool,
    },
    /// `{*rest}`: everything that is left, also nothing.
    Rest(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
}

impl Template {
    pub fn parse(prefix: &str, route: &str) -> Result<Self, String> {
        let mut segments = Vec::new();
        for part in prefix.split('/').chain(route.split('/')).filter(|part| !part.is_empty()) {
            if segments.last().is_some_and(|last| matches!(last, Segment::Rest(_))) {
                return Err(format!("in '{route}' something follows the catch-all"));
            }
            segments.push(segment(part).ok_or_else(|| format!("'{route}' is not a route"))?);
        }
        Ok(Self { segments })
    }

    /// Route values in order, null for an absent optional one; `None`: no match.
    pub fn matches(&self, path: &Path) -> Option<Members> {
        let mut values = Members::new();
        let mut parts = path.segments();
        for segment in &self.segments {
            match segment {
                Segment::Literal(want) => {
                    parts.next().filter(|have| have.to_lowercase() == want.to_lowercase())?;
                }
                Segment::Param { name, optional } => match parts.next() {
                    Some(part) => values.push((name.clone(), Value::text(part))),
                    None if *optional => values.push((name.clone(), Value::Null)),
                    None => return None,
                },
                Segment::Rest(name) => {
                    let rest: Vec<&str> = parts.by_ref().collect();
                    let value = if rest.is_empty() { Value::Null } else { Value::String(rest.join("/")) };
                    values.push((name.clone(), value));
                }
            }
        }
        parts.next().is_none().then_some(values)
    }
}

fn segment(part: &str) -> Option<Segment> {
    let Some(inside) = part.strip_prefix('{') else {
        return (!part.contains(['{', '}', '*'])).then(|| Segment::Literal(part.to_owned()));
    };
    let inside = inside.strip_suffix('}')?;
    if let Some(name) = inside.strip_prefix('*') {
        return Some(Segment::Rest(name.trim_start_matches('*').to_owned()));
    }
    let (inside, optional) = inside.strip_suffix('?').map_or((inside, false), |name| (name, true));
    // Constraints (`{id:int}`) are not applied: none of our routes has one.
    let name = inside.split([':', '=']).next()?;
    (!name.is_empty()).then(|| Segment::Param { name: name.to_owned(), optional })
}

/// A request path, decoded and without dot segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    decoded: String,
}

impl Path {
    pub fn of(raw: &str) -> Self {
        Self { decoded: without_dots(&decode(raw)) }
    }

    fn segments(&self) -> impl Iterator<Item = &str> {
        self.decoded.split('/').filter(|part| !part.is_empty())
    }

    pub fn is_root(&self) -> bool {
        self.segments().next().is_none()
    }

    /// The path behind a prefix, which is compared ignoring case.
    pub fn behind(&self, prefix: &str) -> Option<&str> {
        let head = self.decoded.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| &self.decoded[prefix.len()..])
    }

    /// As the proxy writes it: `%` itself is encoded.
    pub fn encoded(&self) -> String {
        const PLAIN: &[u8] = b"-._~!$&'()*+,;=:@/";
        let mut out = String::with_capacity(self.decoded.len());
        for byte in self.decoded.bytes() {
            if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push('%');
                out.push_str(&hex::encode_upper([byte]));
            }
        }
        out
    }
}

/// Percent-decodes all but `%2F` and what is not UTF-8.
fn decode(raw: &str) -> String {
    let mut out = Vec::with_capacity(raw.len());
    let bytes = raw.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match bytes.get(at + 1..at + 3).and_then(|digits| hex::decode(digits).ok()).as_deref() {
            Some([code]) if *byte == b'%' && *code != b'/' => {
                out.push(*code);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| raw.to_owned())
}

fn without_dots(path: &str) -> String {
    if !path.split('/').any(|part| part == "." || part == "..") {
        return path.to_owned();
    }
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => {
                if kept.len() > 1 {
                    kept.pop();
                }
            }
            _ => kept.push(part),
        }
    }
    kept.join("/")
}

#[cfg(test)]
mod tests {
    use super::{Path, Template};

    #[test]
    fn a_route_matches_ignoring_case_and_resolves_dots() {
        let route = Template::parse("", "v1/{*rest}").unwrap();
        assert!(route.matches(&Path::of("/V1/traces")).is_some());
        assert!(route.matches(&Path::of("/v1")).is_some());
        assert!(route.matches(&Path::of("/v1/../Bus")).is_none());
        assert!(route.matches(&Path::of("/v1/%2e%2e/Bus")).is_none());
        assert!(Template::parse("api", "hello/{id?}").unwrap().matches(&Path::of("/api/hello/1/2")).is_none());
    }

    #[test]
    fn an_encoded_slash_is_encoded_again() {
        assert_eq!(Path::of("/api/wild/a/b%2Fc/d").encoded(), "/api/wild/a/b%252Fc/d");
        assert_eq!(Path::of("/a%20b/%C5%BE").encoded(), "/a%20b/%C5%BE");
        assert_eq!(Path::of("/API/HELLO/AbC").encoded(), "/API/HELLO/AbC");
    }
}
