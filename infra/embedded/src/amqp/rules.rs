//! `$management` of a subscription: its rules.

use super::{
    arriving::{fact, plain},
    codec::Value,
    management::Answer,
};
use crate::{
    broker::{Broker, Fact, Filter, Rule, RuleError, System},
    host::Entity,
};
use std::collections::BTreeMap;

const RULE: u64 = 0x0137_0000_0004;
const NO_ACTION: u64 = 0x0137_0000_0005;
const SQL_FILTER: u64 = 0x0013_7000_0006;
const TRUE_FILTER: u64 = 0x0013_7000_0007;
const FALSE_FILTER: u64 = 0x0013_7000_0008;
const CORRELATION_FILTER: u64 = 0x0013_7000_0009;
const NOT_FOUND: &str = "com.microsoft:entity-not-found";
const INVALID: &str = "com.microsoft:argument-error";

/// The members of a correlation filter, in the order in which they are listed.
const CORRELATED: [(&str, System); 8] = [
    ("correlation-id", System::CorrelationId),
    ("message-id", System::MessageId),
    ("to", System::To),
    ("reply-to", System::ReplyTo),
    ("label", System::Label),
    ("session-id", System::SessionId),
    ("reply-to-session-id", System::ReplyToSessionId),
    ("content-type", System::ContentType),
];

pub async fn add(broker: &Broker, of: &Entity, body: &Value) -> Result<Answer, Answer> {
    let name = body.member("rule-name").as_str().unwrap_or_default().to_owned();
    let description = body.member("rule-description");
    if !description.member("sql-rule-action").is_null() {
        return Err(Answer::no(501, "amqp:not-implemented", "This broker has no actions that change a message."));
    }
    let filter = filter(description).ok_or_else(|| Answer::no(400, INVALID, "The rule has no filter."))?;
    broker.add_rule(of, Rule { name: name.clone(), filter }).await.map_err(|error| match error {
        RuleError::Exists => {
            Answer::no(409, "com.microsoft:entity-already-exists", format!("The rule '{name}' exists."))
        }
        RuleError::Invalid(why) => Answer::no(400, INVALID, format!("The rule '{name}' is none: {why}.")),
        RuleError::TooMany => Answer::no(403, "amqp:resource-limit-exceeded", "The subscription has enough rules."),
        RuleError::Broker(error) => error.into(),
    })?;
    Ok(Answer::ok(Value::map([])))
}

pub async fn remove(broker: &Broker, of: &Entity, body: &Value) -> Result<Answer, Answer> {
    let name = body.member("rule-name").as_str().unwrap_or_default();
    if broker.remove_rule(of, name).await? {
        return Ok(Answer::ok(Value::map([])));
    }
    Err(Answer::no(404, NOT_FOUND, format!("There is no rule '{name}'.")))
}

pub async fn enumerate(broker: &Broker, of: &Entity, body: &Value) -> Result<Answer, Answer> {
    let number = |name| body.member(name).as_i64().and_then(|n| usize::try_from(n).ok());
    let (skip, top) = (number("skip").unwrap_or(0), number("top").unwrap_or(usize::MAX));
    let rules = broker.rules(of).await?;
    let listed: Vec<_> = rules.iter().skip(skip).take(top).map(listed).collect();
    if listed.is_empty() {
        return Ok(Answer::no(204, NOT_FOUND, "There are no more rules."));
    }
    Ok(Answer::ok(Value::map([("rules", Value::List(listed))])))
}

/// Filter, action, name.
fn listed(rule: &Rule) -> Value {
    let filter = match &rule.filter {
        Filter::True => Value::described(TRUE_FILTER, Value::List(vec![])),
        Filter::False => Value::described(FALSE_FILTER, Value::List(vec![])),
        Filter::Sql(expression) => {
            Value::described(SQL_FILTER, Value::List(vec![Value::text(expression), Value::I32(20)]))
        }
        Filter::Correlation { system, user } => {
            let mut fields: Vec<_> =
                CORRELATED.iter().map(|(_, name)| system.get(name).map_or(Value::Null, Value::text)).collect();
            fields.push(Value::Map(user.iter().map(|(name, fact)| (Value::text(name), value(fact))).collect()));
            Value::described(CORRELATION_FILTER, Value::List(fields))
        }
    };
    let action = Value::described(NO_ACTION, Value::List(vec![]));
    let description = Value::described(RULE, Value::List(vec![filter, action, Value::text(&rule.name)]));
    Value::map([("rule-description", description)])
}

fn filter(description: &Value) -> Option<Filter> {
    if let Some(expression) = description.member("sql-filter").member("expression").as_str() {
        return Some(Filter::Sql(expression.to_owned()));
    }
    if !description.member("true-filter").is_null() {
        return Some(Filter::True);
    }
    if !description.member("false-filter").is_null() {
        return Some(Filter::False);
    }
    let correlation = description.member("correlation-filter");
    if correlation.is_null() {
        return None;
    }
    let text = |name| plain(correlation.member(name));
    let system = CORRELATED.into_iter().filter_map(|(name, system)| Some((system, text(name)?))).collect();
    let user: BTreeMap<_, _> = correlation.member("properties").members().iter().filter_map(correlated).collect();
    Some(Filter::Correlation { system, user })
}

fn correlated((name, value): &(Value, Value)) -> Option<(String, Fact)> {
    let text = || plain(value).map(Fact::Text);
    Some((name.as_str()?.to_owned(), fact(value).or_else(text)?))
}

fn value(fact: &Fact) -> Value {
    match fact {
        Fact::Bool(is) => Value::Bool(*is),
        Fact::Int(number) => Value::I64(*number),
        Fact::Float(number) => Value::F64(*number),
        Fact::Text(text) => Value::text(text),
    }
}
