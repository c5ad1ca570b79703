//! `<entity>/$management`: what clients do to messages without a link to them.

use super::{
    address::Managed,
    arriving,
    codec::{Malformed, Value},
    fetching::token,
    leaving::{self, Shown},
    rules,
    sections::{Body, Sections},
    settling::{LOCK_LOST, LOCK_LOST_TEXT, changes},
    tokens::reply,
};
use crate::{
    broker::{Broker, BrokerError, Held, Lock, Settlement},
    host::Entity,
};
use bytes::Bytes;
use opsloop_kernel::{Destination, Fault};

/// Messages in one answer, and messages or locks in one request.
const TOGETHER_MAX: usize = 250;
const NOT_FOUND: &str = "com.microsoft:message-not-found";

/// An answer: a status as HTTP has it, and a body.
pub struct Answer {
    code: i32,
    text: String,
    condition: Option<&'static str>,
    body: Value,
}

impl Answer {
    pub fn ok(body: Value) -> Self {
        Self { code: 200, text: "OK".to_owned(), condition: None, body }
    }

    pub fn no(code: i32, condition: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), condition: Some(condition), body: Value::Null }
    }
}

impl From<Malformed> for Answer {
    fn from(why: Malformed) -> Self {
        Self::no(400, "amqp:decode-error", why.to_string())
    }
}
impl From<Fault> for Answer {
    fn from(fault: Fault) -> Self {
        Self::no(500, "amqp:internal-error", format!("The broker failed ({}); try again.", fault.kind()))
    }
}
impl From<BrokerError> for Answer {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::LockLost => Self::no(410, LOCK_LOST, LOCK_LOST_TEXT),
            BrokerError::NoSuchEntity => Self::no(404, "amqp:not-found", "There is no such entity."),
            BrokerError::Fault(fault) => fault.into(),
        }
    }
}

pub async fn answer(broker: &Broker, managed: &Managed, request: &Sections<'_>) -> Vec<u8> {
    let nothing = Value::Null;
    let body = match &request.body {
        Body::Value(body) => body,
        Body::None | Body::Data(_) => &nothing,
    };
    let operation = request.application.member("operation").as_str().unwrap_or_default();
    let name = operation.strip_prefix("com.microsoft:").unwrap_or(operation);
    let answer = match of(broker, managed, name, body).await {
        Ok(answer) | Err(answer) => answer,
    };
    let mut said = vec![
        (Value::text("statusCode"), Value::I32(answer.code)),
        (Value::text("statusDescription"), Value::text(answer.text)),
    ];
    if let Some(condition) = answer.condition {
        said.push((Value::text("errorCondition"), Value::symbol(condition)));
    }
    reply(request, Value::Map(said), answer.body)
}

async fn of(broker: &Broker, managed: &Managed, name: &str, body: &Value) -> Result<Answer, Answer> {
    match (name, &managed.to, &managed.from) {
        ("schedule-message", Some(to), _) => schedule(broker, to, body).await,
        ("cancel-scheduled-message", Some(to), _) => cancel(broker, to, body).await,
        ("peek-message", _, Some(from)) => peek(broker, from, body).await,
        ("renew-lock", _, Some(_)) => renew(broker, body).await,
        ("receive-by-sequence-number", _, Some(from)) => receive(broker, from, body).await,
        ("update-disposition", _, Some(_)) => settle(broker, body).await,
        ("add-rule", _, Some(of)) => rules::add(broker, of, body).await,
        ("remove-rule", _, Some(of)) => rules::remove(broker, of, body).await,
        ("enumerate-rules", _, Some(of)) => rules::enumerate(broker, of, body).await,
        _ => Err(Answer::no(501, "amqp:not-implemented", format!("This broker has no operation '{name}' here."))),
    }
}

async fn schedule(broker: &Broker, to: &Destination, body: &Value) -> Result<Answer, Answer> {
    let mut sent = Vec::new();
    for message in body.member("messages").items().iter().take(TOGETHER_MAX) {
        let bytes = message.member("message").as_binary().unwrap_or_default();
        if bytes.len() > broker.message_bytes_max() {
            return Err(Answer::no(400, "amqp:link:message-size-exceeded", "A message exceeds the limit."));
        }
        let mut one = arriving::one(bytes, to)?;
        one.message.not_before.get_or_insert(broker.now());
        if let Some(why) = broker.refusal(&one) {
            return Err(Answer::no(400, "com.microsoft:argument-error", why));
        }
        sent.push(one);
    }
    let numbers = broker.schedule(sent).await?;
    let numbers = Value::Array(numbers.into_iter().map(Value::I64).collect());
    Ok(Answer::ok(Value::map([("sequence-numbers", numbers)])))
}

async fn cancel(broker: &Broker, to: &Destination, body: &Value) -> Result<Answer, Answer> {
    let cancelled = broker.cancel(to, numbers(body)).await?;
    if cancelled == 0 {
        return Err(Answer::no(404, NOT_FOUND, "No message is scheduled under these numbers."));
    }
    Ok(Answer::ok(Value::map([])))
}

async fn peek(broker: &Broker, from: &Entity, body: &Value) -> Result<Answer, Answer> {
    let first = body.member("from-sequence-number").as_i64().unwrap_or(0);
    let count = body.member("message-count").as_u32().and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    let found = broker.peek(from, first.saturating_sub(1), count.min(TOGETHER_MAX)).await?;
    if found.is_empty() {
        return Ok(Answer::no(204, NOT_FOUND, "There are no more messages."));
    }
    let shown = messages(&found, from, Shown::Peeked)?;
    Ok(Answer::ok(Value::map([("messages", shown)])))
}

async fn renew(broker: &Broker, body: &Value) -> Result<Answer, Answer> {
    let mut ends = Vec::new();
    for lock in locks(body) {
        ends.push(Value::Timestamp(broker.renew(lock).await?.millis()));
    }
    if ends.is_empty() {
        return Err(BrokerError::LockLost.into());
    }
    Ok(Answer::ok(Value::map([("expirations", Value::Array(ends))])))
}

async fn receive(broker: &Broker, from: &Entity, body: &Value) -> Result<Answer, Answer> {
    // 0: settled when sent, which is receive-and-delete.
    let keep = body.member("receiver-settle-mode").as_i64() != Some(0);
    let found = broker.receive_deferred(from, numbers(body), keep).await?;
    if found.is_empty() {
        return Err(Answer::no(404, NOT_FOUND, "No message is deferred under these numbers."));
    }
    let shown = messages(&found, from, if keep { Shown::Locked } else { Shown::Taken })?;
    Ok(Answer::ok(Value::map([("messages", shown)])))
}

async fn settle(broker: &Broker, body: &Value) -> Result<Answer, Answer> {
    let said = |name| body.member(name).as_str().unwrap_or_default().to_owned();
    let how = match body.member("disposition-status").as_str() {
        Some("completed") => Settlement::Complete,
        Some("abandoned") => Settlement::Abandon,
        Some("defered") => Settlement::Defer, // so it is spelled on the wire
        Some("suspended") => {
            Settlement::DeadLetter { reason: said("deadletter-reason"), description: said("deadletter-description") }
        }
        _ => return Err(Answer::no(400, "com.microsoft:argument-error", "The disposition-status is unknown.")),
    };
    let modified: Bytes = changes(body.member("properties-to-modify"));
    for lock in locks(body) {
        broker.settle(lock, how.clone(), modified.clone()).await?;
    }
    Ok(Answer::ok(Value::map([])))
}

fn messages(found: &[Held], from: &Entity, shown: Shown) -> Result<Value, Malformed> {
    let mut all = Vec::with_capacity(found.len());
    for held in found {
        let message = Value::Binary(leaving::encoded(held, from, shown)?);
        all.push(match shown {
            Shown::Locked => Value::map([("message", message), ("lock-token", token(held.lock))]),
            Shown::Taken | Shown::Peeked => Value::map([("message", message)]),
        });
    }
    Ok(Value::List(all))
}

fn numbers(body: &Value) -> Vec<i64> {
    body.member("sequence-numbers").items().iter().take(TOGETHER_MAX).filter_map(Value::as_i64).collect()
}

fn locks(body: &Value) -> Vec<Lock> {
    let tokens = body.member("lock-tokens").items().iter().take(TOGETHER_MAX);
    tokens.filter_map(|token| Lock::from_u128(u128::from_be_bytes(token.as_uuid()?))).collect()
}
