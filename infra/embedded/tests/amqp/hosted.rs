//! What came over the wire, as functions are shown it; and rules over `$management`.

use super::peer::*;
use opsloop_embedded::{
    amqp::codec::Value,
    host::{Source, Value as Shown},
};
use std::time::Duration;

#[tokio::test]
async fn functions_see_the_types_and_the_headers_that_were_sent() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    let mut bytes = Vec::new();
    let fields = ["id-1", "", "to", "subject", "reply-to", "correlation", "text/plain"];
    let fields = fields.map(|text| if text.is_empty() { Value::Null } else { Value::text(text) });
    Value::described(0x73, Value::List(fields.to_vec())).encode(&mut bytes);
    let members = [("kind", Value::text("AlertTriggered")), ("tries", Value::I32(3)), ("paid", Value::Bool(true))];
    Value::described(0x74, Value::map(members)).encode(&mut bytes);
    Value::described(0x77, Value::text("words")).encode(&mut bytes);
    peer.sender(0, "events").await;
    peer.transfer(0, 0, 0, &bytes).await;
    peer.outcome().await;
    let got = Source::receive(&*bed.broker, &incidents(), 1, Duration::ZERO).await.unwrap().remove(0);
    assert_eq!((got.message_id.as_deref(), &got.body[..]), (Some("id-1"), &b"words"[..]));
    let headers = [got.to, got.subject, got.reply_to, got.correlation_id, got.content_type].map(Option::unwrap);
    assert_eq!(headers, ["to", "subject", "reply-to", "correlation", "text/plain"]);
    let expected = [("kind", Shown::text("AlertTriggered")), ("tries", Shown::Int(3)), ("paid", Shown::Bool(true))];
    assert_eq!(got.properties, expected.map(|(name, value)| (name.to_owned(), value)));
}

#[tokio::test]
async fn rules_come_and_go_over_management() {
    let bed = Bed::new().await;
    let address = "events/Subscriptions/incidents/$management";
    let mut peer = bed.peer().await;
    peer.sender(0, address).await;
    peer.receiver(1, address, 1).await;
    peer.credit(1, 0, 100, false).await;
    let status = |said: &Value| said.member("statusCode").as_i64().unwrap();
    let rule = |name: &str, filter: &str, what: Value| {
        Value::map([("rule-name", Value::text(name)), ("rule-description", Value::map([(filter, what)]))])
    };
    let sql = |text: &str| Value::map([("expression", Value::text(text))]);
    let by_tries = Value::map([("properties", Value::map([("tries", Value::I32(3))])), ("label", Value::Null)]);
    for (delivery, body, expected) in [
        (0, rule("three", "correlation-filter", by_tries), 200),
        (1, rule("three", "sql-filter", sql("1=1")), 409),
        (2, rule("none", "sql-filter", sql("tries >")), 400),
        (3, rule("none", "other-filter", sql("1=1")), 400),
        (4, rule("acts", "sql-rule-action", sql("SET x = 1")), 501),
    ] {
        let (said, _) = peer.ask(0, delivery, "com.microsoft:add-rule", body).await;
        assert_eq!(status(&said), expected, "{said:?}");
    }
    let (said, body) = peer.ask(0, 5, "com.microsoft:enumerate-rules", Value::map([("top", Value::I32(9))])).await;
    assert_eq!((status(&said), body.member("rules").items().len()), (200, 2));
    peer.sender(2, "events").await;
    peer.transfer(2, 6, 0, &message("three", vec![("tries", Value::I32(3))], b"")).await;
    peer.outcome().await;
    peer.transfer(2, 7, 0, &message("text", vec![("tries", Value::text("3"))], b"")).await;
    peer.outcome().await;
    assert_eq!(bed.broker.peek(&incidents(), -1, 9).await.unwrap().len(), 1);
    let name = || Value::map([("rule-name", Value::text("three"))]);
    assert_eq!(status(&peer.ask(0, 8, "com.microsoft:remove-rule", name()).await.0), 200);
    assert_eq!(status(&peer.ask(0, 9, "com.microsoft:remove-rule", name()).await.0), 404);
}
