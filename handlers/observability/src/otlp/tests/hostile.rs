//! Requests that mean harm, or nothing: a typed answer each, and no panic.

use super::{
    super::{ContentType, Request, decode, receive, receive::REQUEST_BYTES_MAX, validate},
    json, recorded, recordings, tenant,
};
use opsloop_kernel::{Refusal, TelemetrySignal as Signal};
use proptest::prelude::*;

fn refused(signal: Signal, text: &str) -> String {
    match decode(signal, ContentType::Json, text.as_bytes()) {
        Err(Refusal::InvalidPayload { why }) => why,
        other => panic!("{text}: {other:?}"),
    }
}

fn attribute(value: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"k","value":{value}}}]}}}}]}}"#)
}

#[test]
fn what_cannot_be_read_is_refused_and_never_lost() {
    for bad in ["", "[]", "null", "{", "{} {}", r#"{"resourceSpans":{}}"#, r#"{"resourceSpans":[null]}"#, "\u{feff}{}"]
    {
        refused(Signal::Traces, bad);
    }
    for value in [
        r#"{"intValue":1.5}"#,
        r#"{"intValue":"x"}"#,
        r#"{"intValue":"9223372036854775808"}"#,
        r#"{"boolValue":"true"}"#,
        r#"{"stringValue":5}"#,
        r#"{"doubleValue":"nan"}"#,
        r#"{"bytesValue":"%%"}"#,
        r#"{"stringValue":"a","intValue":"1"}"#,
        r#"{"decimalValue":"1"}"#,
    ] {
        refused(Signal::Traces, &attribute(value));
    }
    let sum =
        |t: &str| format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","sum":{t}}}]}}]}}]}}"#);
    assert!(refused(Signal::Metrics, &sum(r#"{"aggregationTemporality":"DELTA"}"#)).contains("not named"));
    refused(Signal::Metrics, &sum(r#"[]"#));
}

#[test]
fn a_refusal_does_not_quote_what_it_could_not_read() {
    let why = refused(Signal::Traces, &attribute(r#"{"intValue":"Bearer hunter2"}"#));
    assert!(!why.contains("hunter2"), "{why}");
    let why = refused(Signal::Traces, &attribute(r#"{"boolValue":"hunter2"}"#));
    assert!(!why.contains("hunter2"), "{why}");
}

#[test]
fn numbers_and_bytes_may_be_spelled_in_every_way_of_the_mapping() {
    for value in [r#"{"intValue":"7"}"#, r#"{"intValue":7}"#, r#"{"intValue":7.0}"#] {
        assert_eq!(json(Signal::Traces, &attribute(value)), json(Signal::Traces, &attribute(r#"{"intValue":"7"}"#)));
    }
    for value in ["-_8", "+/8=", "+/8", "-_8="] {
        let text = attribute(&format!(r#"{{"bytesValue":"{value}"}}"#));
        assert_eq!(json(Signal::Traces, &text), json(Signal::Traces, &attribute(r#"{"bytesValue":"+/8="}"#)));
    }
    json(Signal::Traces, &attribute(r#"{"doubleValue":"-Infinity"}"#));
    json(Signal::Traces, &attribute(r#"{"doubleValue":"1.5e3"}"#));
}

#[test]
fn unknown_fields_and_nulls_are_ignored_and_empty_requests_succeed() {
    assert_eq!(json(Signal::Traces, r#"{"new":{"deep":[1]},"resourceSpans":null}"#), json(Signal::Traces, "{}"));
    for signal in Signal::ALL {
        for (encoding, body) in [(ContentType::Json, &b"{}"[..]), (ContentType::Protobuf, b"")] {
            let received = receive(signal, encoding, body, &tenant(), recorded(), 1 << 18).unwrap();
            assert_eq!((received.parts.len(), received.items, received.rejected), (0, 0, 0));
        }
    }
}

#[test]
fn what_is_too_large_or_too_deep_is_refused() {
    let big = vec![b' '; REQUEST_BYTES_MAX + 1];
    let got = receive(Signal::Traces, ContentType::Json, &big, &tenant(), recorded(), 1 << 18);
    assert!(matches!(got, Err(Refusal::TooLarge { .. })), "{got:?}");

    let deep = (0..100_000).fold(String::new(), |s, _| s + r#"{"arrayValue":{"values":["#);
    refused(Signal::Traces, &attribute(&deep));
    // Protobuf: 100 lists in one another, each a length-delimited field 5 and a field 1.
    let mut bytes = vec![];
    for _ in 0..5_000 {
        bytes = length_delimited(1, &bytes);
    }
    assert!(decode(Signal::Logs, ContentType::Protobuf, &length_delimited(1, &bytes)).is_err());
}

fn length_delimited(field: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    prost::encoding::encode_varint(body.len() as u64, &mut out);
    out.extend_from_slice(body);
    out
}

/// What JSON can nest and the decoder reads, its protobuf form is shallow enough to be read again.
#[test]
fn what_json_nests_survives_the_queue() {
    for depth in 1..60 {
        for (open, close) in
            [(r#"{"arrayValue":{"values":["#, "]}}"), (r#"{"kvlistValue":{"values":[{"key":"k","value":"#, "}]}}")]
        {
            let value = format!("{}{}{}", open.repeat(depth), r#"{"intValue":1}"#, close.repeat(depth));
            let text = format!(
                r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{value},"attributes":[{{"key":"k","value":{value}}}]}}]}}]}}]}}"#
            );
            if let Ok(request) = decode(Signal::Logs, ContentType::Json, text.as_bytes()) {
                assert_eq!(decode(Signal::Logs, ContentType::Protobuf, &request.encode()).unwrap(), request, "{depth}");
            }
        }
    }
}

fn everything(signal: Signal, encoding: ContentType, bytes: &[u8]) {
    if let Ok(request) = decode(signal, encoding, bytes) {
        let accepted = validate(request, &tenant(), recorded());
        let again: Request = accepted.request.clone();
        let second = validate(again, &tenant(), recorded());
        assert_eq!((second.rejected, second.items), (0, accepted.items));
    }
    let _ = receive(signal, encoding, bytes, &tenant(), recorded(), 4_096);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for signal in Signal::ALL {
            everything(signal, ContentType::Protobuf, &bytes);
            everything(signal, ContentType::Json, &bytes);
        }
    }

    #[test]
    fn damaged_recordings_never_panic(pick in 0usize..25, at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let (_, signal, encoding, mut bytes) = recordings().swap_remove(pick);
        let n = at.index(bytes.len());
        bytes[n] = with;
        everything(signal, encoding, &bytes);
        bytes.truncate(cut.index(bytes.len()));
        everything(signal, encoding, &bytes);
    }
}
