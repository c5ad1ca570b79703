//! W3C trace context, as far as the platform reads and writes it (SPEC 4.5).

use crate::ident::{SpanId, TraceId};

/// The field with which a span takes the place that an envelope gave it: its `traceparent` names a trace and a span
/// before there is one, for both are derived (SPEC 4.1). The exporter puts it there; such a span has no children.
pub const PLACE: &str = "opsloop.place";
/// The field of a span that continues a trace of which no span is known: it stands there without parent.
pub const ROOT: &str = "opsloop.root";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traceparent {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub flags: u8,
}

impl Traceparent {
    /// `None`: the header is ignored. Version `ff`, a wrong length for version `00`, digits that are not lower-case
    /// hex and all-zero ids are; a higher version is read by its first four fields.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let known = version == "00";
        if !is_hex2(version) || version == "ff" || !is_hex2(flags) {
            return None;
        }
        if (known && text.len() != 55) || (!known && text.len() < 55) {
            return None;
        }
        Some(Self {
            trace_id: TraceId::parse(trace).ok()?,
            span_id: SpanId::parse(span).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        })
    }
}

impl std::fmt::Display for Traceparent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

fn is_hex2(s: &str) -> bool {
    s.len() == 2 && s.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_good_header_round_trips() {
        assert_eq!(Traceparent::parse(GOOD).unwrap().to_string(), GOOD);
        assert!(Traceparent::parse(&GOOD.replace("00-4", "cc-4")).is_some());
        assert!(Traceparent::parse(&format!("{}-more", GOOD.replace("00-4", "cc-4"))).is_some());
    }

    #[test]
    fn a_bad_header_is_ignored() {
        for bad in [
            GOOD.replace("00-4", "ff-4"),
            format!("{GOOD}-more"),
            GOOD.to_uppercase(),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            String::new(),
        ] {
            assert_eq!(Traceparent::parse(&bad), None, "{bad}");
        }
    }
}
