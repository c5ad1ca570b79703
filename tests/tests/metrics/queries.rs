//! `POST /v1/metrics/query`: MAW-10, and what a caller may ask.

use super::{
    bed::{BUCKETS, Bed},
    otlp::*,
};
use opsloop_kernel::{
    Body,
    http::{Does, Problem, Request},
};
use opsloop_observability::metric_aggregation::endpoints;
use serde_json::{Value, json};

async fn ask(bed: &Bed, now: &str, body: Value) -> Result<Value, Problem> {
    let request = Request {
        params: Default::default(),
        query: Default::default(),
        body: Body(body),
        now: at(now),
        project: None,
        metric_buckets: BUCKETS,
    };
    let Does::Query(query) = endpoints()[0].does else { panic!("a query") };
    let scope = bed.scope();
    query(&request, &scope).await.map(|a| a.body.0)
}

/// `hh:mm=value`, `hh:mm=absent` or `hh:mm` of the only series.
fn shown(answer: &Value) -> Vec<String> {
    let Some(series) = answer["series"].get(0) else { return vec![] };
    let point = |p: &Value| {
        let start = &p["windowStart"].as_str().unwrap()[11..16];
        match (p.get("value"), p.get("absent")) {
            (Some(v), None) => format!("{start}={v}"),
            (None, Some(_)) => format!("{start}=absent"),
            (None, None) => start.to_owned(),
            both => panic!("{both:?}"),
        }
    };
    series["points"].as_array().unwrap().iter().map(point).collect()
}

#[tokio::test]
async fn maw_10_a_group_that_stops_is_absent_after_five_minutes_and_nothing_after_a_day() {
    let mut bed = Bed::new();
    bed.send("09:59:41", vec![gauge("queue", vec![number("-", "09:59:30", 7.0)])]).await;
    // Something of the same bucket goes on, so that its hours are closed too.
    bed.ticks("10:00:30", "10:09:30").await;
    let body = |from: &str| json!({"selector": {"metricName": "queue"}, "aggregation": "last", "from": at(from)});
    let answer = ask(&bed, "10:10", body("09:58")).await.unwrap();
    let expected = "09:59=7.0 10:00 10:01 10:02 10:03 10:04 10:05=absent 10:06=absent 10:07=absent 10:08=absent";
    assert_eq!(shown(&answer).join(" "), expected);
    assert_eq!(answer["freshness"]["reason"], "no_data");
    assert_eq!(answer["freshness"]["asOf"], json!(at("10:00")));
    // The value itself lies before what is asked for.
    let answer = ask(&bed, "10:10", body("10:04")).await.unwrap();
    assert_eq!(shown(&answer).join(" "), "10:04 10:05=absent 10:06=absent 10:07=absent 10:08=absent");
    assert_eq!(bed.windows("queue", 60_000).await.len(), 1, "no point is stored for it any more");

    bed.ticks("10:10:30", "34:10:30").await;
    let answer = ask(&bed, "34:10", body("33:58")).await.unwrap();
    assert_eq!(shown(&answer), ["09:58=absent", "09:59=absent"], "from 10:00 of the next day on, nothing");
    assert_eq!(shown(&ask(&bed, "34:10", body("34:00")).await.unwrap()), Vec::<String>::new());
}

#[tokio::test]
async fn a_query_combines_what_its_selector_does_not_ask_for() {
    let mut bed = Bed::new();
    let of = |module: &str, n| with(number("10:00:00", "10:01:00", n), &[("factory.module.id", module)]);
    bed.send("10:01:01", vec![deltas("hits", vec![of("a", 6.0), of("b", 24.0), of("ab", 1.0)])]).await;
    bed.tick("10:01:30").await;
    let sum = async |selector: Value| {
        let body = json!({"selector": selector, "aggregation": "sum", "rangeMs": 300_000});
        let answer = ask(&bed, "10:01:40", body).await.unwrap();
        let of = |s: &Value| (s["labels"].to_string(), s["points"][0]["value"].as_f64().unwrap());
        answer["series"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let all = sum(json!({"metricName": "hits"})).await;
    assert_eq!(all, [("{}".to_owned(), 31.0)]);
    let by = sum(json!({"metricName": "hits", "groupBy": ["moduleId"]})).await;
    assert_eq!(by.iter().map(|(_, v)| *v).collect::<Vec<_>>(), [6.0, 1.0, 24.0]);
    let some = json!({"metricName": "hits", "matchers": [{"label": "moduleId", "op": "=~", "value": "a|b"}]});
    assert_eq!(sum(some).await[0].1, 30.0, "anchored at both ends");
    let none = json!({"metricName": "hits", "matchers": [{"label": "environment", "op": "=", "value": ""}]});
    assert_eq!(sum(none).await[0].1, 31.0, "an absent label is the empty string");
}

#[tokio::test]
async fn a_query_that_makes_no_sense_says_why() {
    let bed = Bed::new();
    let status = async |body: Value| ask(&bed, "10:10", body).await.map(|_| 200).unwrap_or_else(|p| p.status);
    assert_eq!(status(json!({"selector": {"metricName": "hits"}})).await, 200);
    assert_eq!(status(json!({})).await, 400);
    assert_eq!(status(json!({"selector": {"metricName": ""}})).await, 400);
    assert_eq!(status(json!({"selector": {"metricName": "hits"}, "windowMs": 7})).await, 400);
    assert_eq!(status(json!({"selector": {"metricName": "hits"}, "rangeMs": 999_999_999_999_i64})).await, 400);
    assert_eq!(status(json!({"selector": {"metricName": "hits", "groupBy": ["status"]}})).await, 400);
    let bad = json!({"metricName": "hits", "matchers": [{"label": "a", "op": "=~", "value": "("}]});
    assert_eq!(status(json!({"selector": bad})).await, 400);
}
