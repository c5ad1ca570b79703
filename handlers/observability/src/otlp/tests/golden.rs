//! The official examples and what real SDKs sent: nothing is lost, in either encoding.

use super::{
    super::{ContentType, Request, decode, validate},
    folder, recorded, recordings, rendered, tenant,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opsloop_kernel::TelemetrySignal as Signal;
use serde_json::Value;

#[test]
fn the_official_examples_decode_field_by_field() {
    for (file, signal) in [
        ("trace.json", Signal::Traces),
        ("metrics.json", Signal::Metrics),
        ("logs.json", Signal::Logs),
        ("events.json", Signal::Logs),
    ] {
        let bytes = std::fs::read(folder("official").join(file)).unwrap();
        let request = decode(signal, ContentType::Json, &bytes).unwrap();
        let original: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(rendered::plain(&rendered::request(&request)), rendered::plain(&original), "{file}");
    }
}

#[test]
fn the_official_metrics_keep_their_histograms() {
    let bytes = std::fs::read(folder("official").join("metrics.json")).unwrap();
    let Request::Metrics(r) = decode(Signal::Metrics, ContentType::Json, &bytes).unwrap() else { panic!() };
    let metrics = &r.resource_metrics[0].scope_metrics[0].metrics;
    assert_eq!(metrics.len(), 4);
    assert!(metrics.iter().all(|m| m.data.is_some()));
    let Some(Data::ExponentialHistogram(h)) = &metrics[3].data else { panic!() };
    let point = &h.data_points[0];
    assert_eq!((point.count, point.zero_count, point.positive.as_ref().unwrap().offset), (3, 1, 1));
    assert_eq!(point.positive.as_ref().unwrap().bucket_counts, [0, 2]);
}

#[test]
fn recordings_of_sdks_decode_without_loss_and_are_accepted_whole() {
    for (name, signal, encoding, bytes) in recordings() {
        let request = decode(signal, encoding, &bytes).unwrap();
        match encoding {
            ContentType::Json => {
                let original: Value = serde_json::from_slice(&bytes).unwrap();
                assert_eq!(rendered::plain(&rendered::request(&request)), rendered::plain(&original), "{name}");
            }
            // The same fields in the same order give the same bytes; SDKs and prost may order them otherwise.
            ContentType::Protobuf => assert_eq!(fields_of(&request.encode()), fields_of(&bytes), "{name}"),
        }
        let accepted = validate(request, &tenant(), recorded());
        assert_eq!((accepted.rejected, accepted.message.as_str()), (0, ""), "{name}");
        assert!(accepted.items > 0, "{name}");
    }
}

#[test]
fn both_encodings_of_one_request_are_the_same() {
    for (name, signal, encoding, bytes) in recordings() {
        let request = decode(signal, encoding, &bytes).unwrap();
        let text = serde_json::to_vec(&rendered::request(&request)).unwrap();
        assert_eq!(decode(signal, ContentType::Json, &text).unwrap(), request, "{name}");
        assert_eq!(decode(signal, ContentType::Protobuf, &request.encode()).unwrap(), request, "{name}");
    }
}

/// A protobuf message as the sorted list of its fields, those of what look like messages inside it included; zero
/// scalars, which mean absent, aside. Knows nothing of OTLP, so it sees fields that the decoder would drop.
fn fields_of(bytes: &[u8]) -> Vec<String> {
    walk(bytes).unwrap()
}

fn walk(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut fields = vec![];
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let number = tag >> 3;
        let (text, zero) = match tag & 7 {
            0 => {
                let v = varint(&mut bytes)?;
                (v.to_string(), v == 0)
            }
            1 => scalar(&mut bytes, 8)?,
            2 => {
                let len = usize::try_from(varint(&mut bytes)?).ok()?;
                let body = bytes.get(..len)?;
                bytes = &bytes[len..];
                match walk(body) {
                    Some(inner) if inner.is_empty() => (String::new(), true),
                    Some(inner) => (format!("{inner:?}"), false),
                    None => (hex::encode(body), false),
                }
            }
            5 => scalar(&mut bytes, 4)?,
            _ => return None,
        };
        if number == 0 {
            return None;
        }
        // Empty strings and messages, and zeros, are the default wherever they stand outside a oneof.
        if !zero && !text.is_empty() {
            fields.push(format!("{number}:{text}"));
        }
    }
    fields.sort();
    Some(fields)
}

fn scalar(bytes: &mut &[u8], len: usize) -> Option<(String, bool)> {
    let (head, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some((hex::encode(head), head.iter().all(|b| *b == 0)))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for n in 0..10 {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << (7 * n);
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
