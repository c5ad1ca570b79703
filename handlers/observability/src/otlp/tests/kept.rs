//! Attributes and dimensions as they are kept.

use super::super::{
    Dimensions, Names,
    attributes::{is_secret, json_map, json_value, label_text, normalise_attributes},
    proto::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value as Kind},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn any_value(value: &Value) -> AnyValue {
    let kind = match value {
        Value::Null => return AnyValue { value: None },
        Value::String(s) => Kind::StringValue(s.clone()),
        Value::Bool(b) => Kind::BoolValue(*b),
        Value::Number(n) => n.as_i64().map_or_else(|| Kind::DoubleValue(n.as_f64().unwrap()), Kind::IntValue),
        Value::Array(a) => Kind::ArrayValue(ArrayValue { values: a.iter().map(any_value).collect() }),
        Value::Object(_) => Kind::KvlistValue(KeyValueList { values: attributes(value) }),
    };
    AnyValue { value: Some(kind) }
}

fn attributes(of: &Value) -> Vec<KeyValue> {
    let pairs = of.as_object().unwrap().iter();
    pairs.map(|(k, v)| KeyValue { key: k.clone(), value: Some(any_value(v)), key_strindex: 0 }).collect()
}

fn kept(of: Value) -> Value {
    let mut list = attributes(&of);
    normalise_attributes(&mut list);
    Value::Object(json_map(&list))
}

#[test]
fn tiw_09_a_secret_is_redacted_whatever_its_case() {
    assert_eq!(kept(json!({"Authorization": "Bearer x"})), json!({"Authorization": "[REDACTED]"}));
}

#[test]
fn tiw_16_strings_inside_a_secret_are_redacted_and_numbers_never() {
    let got = kept(json!({
        "http.request.header.authorization": ["Bearer x", "Basic y"],
        "map": {"cookie": "a=b", "deep": [{"api_key": {"k": "s", "n": 5}}]},
        "tokens": 5, "gen_ai.usage.token": 7, "auth.token": "t", "tokenizer": "bpe", "mytoken": "kept",
    }));
    assert_eq!(
        got,
        json!({
            "http.request.header.authorization": ["[REDACTED]", "[REDACTED]"],
            "map": {"cookie": "[REDACTED]", "deep": [{"api_key": {"k": "[REDACTED]", "n": 5}}]},
            "tokens": 5, "gen_ai.usage.token": 7, "auth.token": "[REDACTED]", "tokenizer": "bpe", "mytoken": "kept",
        })
    );
}

#[test]
fn superseded_names_are_renamed_and_the_current_one_wins() {
    assert_eq!(
        kept(json!({"http.method": "GET", "http.status_code": 503, "http.url": "u", "net.peer.name": "n"})),
        json!({"http.request.method": "GET", "http.response.status_code": 503, "url.full": "u", "server.address": "n"})
    );
    assert_eq!(
        kept(json!({"http.method": "GET", "http.request.method": "POST"})),
        json!({"http.request.method": "POST"})
    );
    assert_eq!(kept(json!({"deployment.environment": "qa"})), json!({"deployment.environment.name": "qa"}));
}

#[test]
fn limits_keep_the_first_and_cut_at_characters() {
    let mut list: Vec<_> =
        (0..130).map(|n| KeyValue { key: format!(" k{n} "), value: None, key_strindex: 0 }).collect();
    assert_eq!(normalise_attributes(&mut list), 2);
    assert_eq!((list.len(), list[127].key.as_str()), (128, "k127"));
    let long = "é".repeat(3_000);
    let got = kept(json!({"k": long, "list": [long]}));
    assert_eq!((got["k"].as_str().unwrap().len(), got["list"][0].as_str().unwrap().len()), (4_096, 4_096));
    let odd = format!("x{}", "é".repeat(3_000));
    assert_eq!(kept(json!({"k": odd}))["k"].as_str().unwrap().len(), 4_095);
}

#[test]
fn values_keep_their_types() {
    let bytes = AnyValue { value: Some(Kind::BytesValue(vec![1, 2])) };
    assert_eq!(json_value(&bytes), json!("AQI="));
    assert_eq!(json_value(&AnyValue { value: Some(Kind::DoubleValue(f64::NAN)) }), json!("NaN"));
    assert_eq!(
        json_value(&any_value(&json!({"a": [1, "1", 1.5, true, null]}))),
        json!({"a": [1, "1", 1.5, true, null]})
    );
    assert_eq!(label_text(&json!(1.50)).as_deref(), Some("1.5"));
    assert_eq!(label_text(&json!(9_007_199_254_740_993_i64)).as_deref(), Some("9007199254740993"));
    assert_eq!(label_text(&json!(["b", 1])).as_deref(), Some(r#"["b",1]"#));
    assert_eq!(label_text(&json!("")), None);
}

fn dimensions(item: Value, resource: Value, project: Option<&str>) -> Dimensions {
    let (item, resource) = (attributes(&item), attributes(&resource));
    Dimensions::of(&Names::of(&item), &Names::of(&resource), project)
}

#[test]
fn tiw_14_names_of_sdks_become_ids_a46() {
    let got = dimensions(
        json!({}),
        json!({"factory.project.id": "Booking App", "service.name": "Checkout_API/v2",
        "deployment.environment.name": "production"}),
        None,
    );
    assert_eq!(got.project.as_deref(), Some("booking-app"));
    assert_eq!(got.module.as_deref(), Some("checkout_api-v2"));
    assert_eq!(got.environment.as_deref(), Some("prod"));
    assert_eq!(dimensions(json!({}), json!({"deployment.environment.name": "qa-7"}), None).environment, None);
}

#[test]
fn tiw_15_an_unmodified_sdk_has_project_and_module() {
    let got = dimensions(json!({}), json!({"service.namespace": "Shop", "service.name": "cart"}), Some("local"));
    assert_eq!((got.project.as_deref(), got.module.as_deref()), (Some("shop"), Some("cart")));
    let got = dimensions(json!({}), json!({"service.name": "cart"}), Some("local"));
    assert_eq!(got.project.as_deref(), Some("local"));
}

#[test]
fn the_item_is_looked_up_before_its_resource_and_integers_are_texts() {
    let got = dimensions(
        json!({"factory.module.id": 7, "factory.agent.id": "A 1", "factory.skill.id": ""}),
        json!({"factory.module.id": "r", "factory.skill.id": "s", "factory.artifact.id": 1.5, "service.version": "v1"}),
        None,
    );
    assert_eq!(got.module.as_deref(), Some("7"));
    assert_eq!(
        got.others(),
        [("agentId", "A-1"), ("skillId", "s"), ("version", "v1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    );
    assert_eq!(
        dimensions(json!({}), json!({"deployment.environment": "stage"}), None).environment.as_deref(),
        Some("staging")
    );
}

proptest! {
    #[test]
    fn secrets_are_what_the_pattern_says(key in "[a-zA-Z._-]{0,6}(password|Passwd|SECRET|authorization|api[-_]?key|cookie|connection[-_]?string|token|tok)?[a-zA-Z._-]{0,3}") {
        let pattern = regex::Regex::new(
            "(?i-u:password|passwd|secret|authorization|api[-_]?key|cookie|connection[-_]?string|(^|[._-])token$)").unwrap();
        prop_assert_eq!(is_secret(&key), pattern.is_match(&key), "{}", key);
    }

    #[test]
    fn normalising_again_changes_nothing(keys in proptest::collection::vec("[ a-z.]{0,12}|http\\.method|http\\.request\\.method", 0..140)) {
        let list: Vec<_> = keys.iter().map(|k| KeyValue { key: k.clone(), value: Some(any_value(&json!("v"))), key_strindex: 0 }).collect();
        let mut once = list.clone();
        normalise_attributes(&mut once);
        let mut twice = once.clone();
        prop_assert_eq!(normalise_attributes(&mut twice), 0);
        prop_assert_eq!(once, twice);
    }
}
