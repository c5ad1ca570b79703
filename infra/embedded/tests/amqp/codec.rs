//! The codec against values and bytes of all kinds.

use opsloop_embedded::amqp::codec::{Decoder, Malformed, Value};
use proptest::{collection::vec, prelude::*};

fn simple() -> impl Strategy<Value = Value> {
    let numbers = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<u8>().prop_map(Value::U8),
        any::<u16>().prop_map(Value::U16),
        prop_oneof![Just(0), 0..300_u32, any::<u32>()].prop_map(Value::U32),
        prop_oneof![Just(0), 0..300_u64, any::<u64>()].prop_map(Value::U64),
        any::<i8>().prop_map(Value::I8),
        any::<i16>().prop_map(Value::I16),
        any::<i32>().prop_map(Value::I32),
        any::<i64>().prop_map(Value::I64),
    ];
    prop_oneof![
        4 => numbers,
        1 => Just(Value::Null),
        1 => any::<f32>().prop_map(Value::F32),
        1 => any::<f64>().prop_map(Value::F64),
        1 => any::<[u8; 4]>().prop_map(Value::Decimal32),
        1 => any::<[u8; 8]>().prop_map(Value::Decimal64),
        1 => any::<[u8; 16]>().prop_map(Value::Decimal128),
        1 => any::<u32>().prop_map(Value::Char),
        1 => any::<i64>().prop_map(Value::Timestamp),
        1 => any::<[u8; 16]>().prop_map(Value::Uuid),
        1 => vec(any::<u8>(), 0..400).prop_map(Value::Binary),
        2 => ".{0,300}".prop_map(Value::Text),
        2 => "[ -~]{0,40}".prop_map(Value::Symbol),
    ]
}

/// Arrays have one type: several of one value are.
fn value() -> impl Strategy<Value = Value> {
    simple().prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::List),
            vec((inner.clone(), inner.clone()), 0..4).prop_map(Value::Map),
            (inner.clone(), 0..6_usize).prop_map(|(one, n)| Value::Array(vec![one; n])),
            vec(any::<i64>(), 0..6).prop_map(|all| Value::Array(all.into_iter().map(Value::I64).collect())),
            (any::<u64>(), inner).prop_map(|(code, inner)| Value::described(code, inner)),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_again(value in value()) {
        prop_assert_eq!(Decoder::only(&value.to_bytes()), Ok(value));
    }

    #[test]
    fn arbitrary_bytes_are_a_value_or_malformed_and_nothing_else(bytes in vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::new(&bytes);
        while decoder.value().is_ok() && !decoder.rest().is_empty() {}
    }

    #[test]
    fn a_changed_byte_never_panics(value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = value.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Decoder::only(&bytes) {
            prop_assert!(read.to_bytes().len() <= bytes.len() * 9 + 64);
        }
    }
}

#[test]
fn a_size_or_count_beyond_the_bytes_is_malformed_at_once() {
    for bytes in [
        &b"\xb0\xff\xff\xff\xffx"[..],
        b"\xd0\x00\x00\x00\x04\xff\xff\xff\xff",
        b"\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40",
        b"\xc0\x05\x01\x50\x01\x00\x00",
        b"\xc1\x03\x01\x50\x01",
    ] {
        assert!(Decoder::only(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn what_is_nested_too_deep_is_malformed() {
    let nested = |depth: usize| (0..depth).fold(Value::Null, |inner, _| Value::List(vec![inner])).to_bytes();
    assert!(Decoder::only(&nested(20)).is_ok());
    assert_eq!(Decoder::only(&nested(64)), Err(Malformed("nested too deep")));
    let described: Vec<u8> = [0, 0x44].repeat(10_000);
    assert!(Decoder::only(&described).is_err());
}
