//! Filters against messages, and the deployed expressions against what the code says of the same subscriptions.

use super::*;
use crate::broker::Topology;
use opsloop_kernel::{Destination, Message};
use proptest::prelude::*;

const CATALOGUE: &str = include_str!("../../../../../bicep/catalogue.json");

fn sent(properties: &[(&str, &str)]) -> Sent {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (content_type, body) = ("application/json".to_owned(), b"".to_vec().into());
    let to = Destination::Topic;
    Message { id: "m-1".to_owned(), to, properties, content_type, body, not_before: None }.into()
}

fn order() -> Sent {
    let mut sent = sent(&[("kind", "order"), ("tenant", "acme"), ("odd name", "x"), ("quote", "it's")]);
    sent.typed.insert("tries".to_owned(), Fact::Int(3));
    sent.typed.insert("ratio".to_owned(), Fact::Float(0.5));
    sent.typed.insert("paid".to_owned(), Fact::Bool(true));
    sent.system.insert(System::Label, "order.created".to_owned());
    sent
}

fn takes(expression: &str) -> bool {
    Prepared::new(Filter::Sql(expression.to_owned())).unwrap().takes(&order())
}

#[test]
fn what_is_true_lets_through() {
    for expression in [
        "kind = 'order'",
        "user.kind = 'order' AND [kind] = 'order' AND \"kind\" = 'order'",
        "kind <> 'page' and kind != 'page'",
        "kind IN ('page', 'order')",
        "kind NOT IN ('page')",
        "tries = 3 AND tries >= 3 AND tries <= 3 AND tries > -1 AND tries < 3.5",
        "ratio = 0.5",
        "paid = TRUE AND paid AND NOT paid = false",
        "EXISTS(tenant) AND NOT EXISTS(audience) AND EXISTS(sys.Label) AND NOT EXISTS(sys.To)",
        "audience IS NULL AND tenant IS NOT NULL",
        "[odd name] = 'x' AND quote = 'it''s'",
        "sys.Label LIKE 'order.%' AND sys.MessageId = 'm-1' AND sys.contentType = 'application/json'",
        "tenant LIKE 'a_m%' AND tenant NOT LIKE 'b%' AND tenant LIKE '%' AND tenant LIKE 'ac%me'",
        "(kind = 'page' OR (tries > 2 AND (ratio < 1)))",
        "missing = 'x' OR kind = 'order'",
        "1=1",
    ] {
        assert!(takes(expression), "{expression}");
    }
}

#[test]
fn what_is_false_or_unknown_does_not() {
    for expression in [
        "kind = 'Order'",
        "Kind = 'order'",
        "missing = 'x'",
        "NOT missing = 'x'",
        "missing <> 'x'",
        "missing NOT IN ('x')",
        "NOT missing LIKE 'x'",
        "tries = '3'",
        "tenant = 3",
        "tenant LIKE 'acm' OR tenant LIKE '_'",
        "tenant LIKE 'ac!%' ESCAPE '!'",
        "kind = 'page' AND missing = 'x'",
        "kind",
        "1=0",
    ] {
        assert!(!takes(expression), "{expression}");
    }
}

#[test]
fn what_is_no_expression_is_said_to_be_none() {
    let deep = format!("{}1=1{}", "(".repeat(40), ")".repeat(40));
    let long = format!("kind = '{}'", "x".repeat(1_024));
    for (expression, why) in [
        ("", "ends too early"),
        ("kind =", "ends too early"),
        ("kind = 'x", "missing at the end"),
        ("kind = 'x' 'y'", "not expected"),
        ("(kind = 'x'", "a ) is missing"),
        ("kind NOT = 'x'", "NOT stands before"),
        ("sys.Nothing = 'x'", "there is no property sys.Nothing"),
        ("other.kind = 'x'", "neither sys. nor user."),
        ("kind ~ 'x'", "'~' is not understood"),
        ("kind = 99999999999999999999", "is no number"),
        (deep.as_str(), "too many brackets"),
        (long.as_str(), "longer than"),
    ] {
        let told = Prepared::new(Filter::Sql(expression.to_owned())).unwrap_err();
        assert!(told.contains(why), "{expression}: {told}");
    }
}

#[test]
fn a_correlation_filter_wants_all_of_it_to_be_equal() {
    let correlation = |label: &str, tries: i64| {
        let system = [(System::Label, label.to_owned())].into();
        let user = [("tries".to_owned(), Fact::Int(tries)), ("kind".to_owned(), Fact::Text("order".to_owned()))].into();
        Prepared::new(Filter::Correlation { system, user }).unwrap().takes(&order())
    };
    assert!(correlation("order.created", 3));
    assert!(!correlation("order.created", 4) && !correlation("order", 3));
}

/// Any message of the words that the deployed rules know, and of others.
fn properties() -> impl Strategy<Value = Vec<(String, String)>> {
    let topology: Topology = serde_json::from_str(CATALOGUE).unwrap();
    let mut words: Vec<String> = topology.subscriptions.iter().flat_map(|s| s.kinds.clone()).collect();
    words.extend(topology.subscriptions.into_iter().map(|s| s.name));
    words.extend(["true", "false", "", "other"].map(str::to_owned));
    let name = prop::sample::select(vec!["kind", "kind", "audience", "signals", "tenant"]);
    prop::collection::vec((name.prop_map(str::to_owned), prop::sample::select(words)), 0..4)
}

proptest! {
    #[test]
    fn the_deployed_expressions_say_what_the_subscriptions_say(properties in properties()) {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Rendered { sql_filter: String }
        #[derive(serde::Deserialize)]
        struct Catalogue { subscriptions: Vec<Rendered> }
        let topology: Topology = serde_json::from_str(CATALOGUE).unwrap();
        let rendered: Catalogue = serde_json::from_str(CATALOGUE).unwrap();
        let properties: Vec<_> = properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let message = sent(&properties);
        for (subscription, rendered) in topology.subscriptions.iter().zip(rendered.subscriptions) {
            for sql in [subscription.sql(), rendered.sql_filter] {
                let filter = Prepared::new(Filter::Sql(sql.clone())).unwrap();
                prop_assert_eq!(filter.takes(&message), subscription.takes(&message.message.properties), "{}", sql);
            }
        }
    }

    #[test]
    fn any_text_is_an_expression_or_not_and_nothing_else(text in "[ a-z'()\\[\\],.<>=%_0-9A-Z-]{0,60}") {
        if let Ok(filter) = Prepared::new(Filter::Sql(text)) {
            filter.takes(&order());
        }
    }

    #[test]
    fn like_matches_what_it_is_made_of(text in "[ab%_]{0,12}", cut in 0..12_usize) {
        let escaped: String = text.chars().flat_map(|c| if "%_".contains(c) { vec!['!', c] } else { vec![c] }).collect();
        let mut message = order();
        message.message.properties.insert("p".to_owned(), text.clone());
        let mut tries = vec![format!("p LIKE '{escaped}' ESCAPE '!'"), format!("p LIKE '{}'", "_".repeat(text.len()))];
        let tail: String = text.chars().skip(cut).filter(|c| !"%_".contains(*c)).collect();
        if text.ends_with(&tail) {
            tries.push(format!("p LIKE '%{tail}'"));
        }
        for expression in tries {
            prop_assert!(Prepared::new(Filter::Sql(expression.clone())).unwrap().takes(&message), "{}", expression);
        }
    }
}
