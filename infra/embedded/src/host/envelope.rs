//! The body of an invocation: `{"Data":{…},"Metadata":{…}}`.
//!
//! Order and spelling of every member are the host's. The rule easily broken: without `dataType: binary` the members of a JSON
//! body overwrite Metadata (the *leak*), and handlers must be able to see that here.

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::function::{BusTrigger, DataType};
use super::source::Delivered;
use super::value::{Members, Value, Zone, put};

const UTC_OFFSET: Zone = Zone::Offset(0);

/// What stands in `Metadata.Client`.
#[derive(Debug, Clone)]
pub struct BusIdentity {
    pub namespace: String,
    pub identifier: String,
}

/// `Metadata.sys`: differs at every attempt, even of one invocation.
#[derive(Debug, Clone)]
pub struct Sys {
    pub function: String,
    pub now: Timestamp,
    pub guid: String,
}

impl Sys {
    fn value(&self) -> Value {
        Value::object([
            ("MethodName", Value::text(&self.function)),
            ("UtcNow", Value::date(self.now, Zone::Utc)),
            ("RandGuid", Value::text(&self.guid)),
        ])
    }
}

/// What the trigger hands over: the value of its binding, the binding data, and what leaks out of the value.
#[derive(Debug, Clone)]
pub struct Input {
    pub value: Value,
    /// Written into Data as it is; timers and HTTP requests are objects, which need no second encoding.
    pub binding_data: Members,
    pub leak: Members,
}

pub fn encode(binding: &str, input: &Input, sys: &Sys, retry: Option<&Value>) -> String {
    let data = input.value.to_wire().unwrap_or_else(|| Value::text("null"));
    let mut metadata = Members::new();
    for (name, value) in &input.binding_data {
        add(&mut metadata, name, value.to_wire());
    }
    put(&mut metadata, "sys", sys.value());
    for (name, value) in &input.leak {
        add(&mut metadata, name, value.to_leak().and_then(|value| value.to_wire()));
    }
    if let Some(context) = retry {
        put(&mut metadata, "RetryContext", context.clone());
    }
    Value::object([("Data", Value::Object(vec![(binding.to_owned(), data)])), ("Metadata", Value::Object(metadata))])
        .to_json()
}

/// The host drops what ends in `trigger`, because a trigger's own value stands in Data.
fn add(metadata: &mut Members, name: &str, value: Option<Value>) {
    if let Some(value) = value.filter(|_| !name.to_ascii_lowercase().ends_with("trigger")) {
        put(metadata, name, value);
    }
}

/// One message. Its body must be UTF-8 unless the data type is binary: the host destroys what is not.
pub fn single(trigger: &BusTrigger, message: &Delivered, client: &BusIdentity) -> Input {
    let mut binding_data = opaque(client);
    binding_data.extend(properties(message, false).into_iter().map(|(name, value)| (name.to_owned(), value)));
    if trigger.data_type == DataType::Binary {
        return Input { value: Value::Bytes(message.body.to_vec()), binding_data, leak: Members::new() };
    }
    let text = String::from_utf8_lossy(&message.body).into_owned();
    let leak = match Value::parse(&text) {
        Some(Value::Object(members)) => members,
        _ => Members::new(),
    };
    Input { value: Value::String(text), binding_data, leak }
}

/// All messages of a batch in one call; the error is a body that is not JSON where JSON is wanted.
pub fn batch(trigger: &BusTrigger, messages: &[Delivered], client: &BusIdentity) -> Result<Input, String> {
    let mut items = Vec::with_capacity(messages.len());
    for message in messages {
        items.push(match trigger.data_type {
            DataType::Binary => Value::Bytes(message.body.to_vec()),
            DataType::String => Value::String(String::from_utf8_lossy(&message.body).into_owned()),
            DataType::Undefined => {
                let parsed = std::str::from_utf8(&message.body).ok().and_then(Value::parse);
                parsed.ok_or("Binding parameters to complex objects uses Json.NET serialization: a body is not JSON")?
            }
        });
    }
    let mut binding_data = opaque(client);
    let columns: Vec<_> = messages.iter().map(|message| properties(message, true)).collect();
    for (index, (name, _)) in columns.first().into_iter().flatten().enumerate() {
        let column = columns.iter().filter_map(|row| row.get(index)).map(|(_, value)| value.clone()).collect();
        binding_data.push((format!("{name}Array"), Value::Array(column)));
    }
    Ok(Input { value: Value::Array(items), binding_data, leak: Members::new() })
}

fn opaque(client: &BusIdentity) -> Members {
    let mut members: Members =
        ["MessageReceiver", "MessageSession", "MessageActions", "SessionActions", "ReceiveActions"]
            .map(|name| (name.to_owned(), Value::object([])))
            .into();
    let client = Value::object([
        ("FullyQualifiedNamespace", Value::text(&client.namespace)),
        ("IsClosed", Value::Bool(false)),
        ("TransportType", Value::Int(0)),
        ("Identifier", Value::text(&client.identifier)),
    ]);
    members.push(("Client".to_owned(), client));
    members
}

/// In the order of the extension; null where the sender set nothing.
fn properties(message: &Delivered, in_batch: bool) -> Vec<(&'static str, Value)> {
    let text = |text: &Option<String>| Value::or_null(text.as_deref());
    let lock = message.lock.as_ref().map(|lock| lock.0.clone());
    let application = Value::Object(message.properties.clone());
    // In batches the extension shows the partition key a second time under this name; single messages have neither.
    let transaction_key = if in_batch { text(&message.partition_key) } else { Value::Null };
    vec![
        ("DeliveryCount", Value::Int(message.delivery_count.into())),
        ("DeadLetterSource", text(&message.dead_letter_source)),
        ("LockToken", text(&lock)),
        ("ExpiresAtUtc", expiry(message.expires_at, Zone::Unspecified)),
        ("ExpiresAt", expiry(message.expires_at, UTC_OFFSET)),
        ("EnqueuedTimeUtc", Value::date(message.enqueued_at, Zone::Unspecified)),
        ("EnqueuedTime", Value::date(message.enqueued_at, UTC_OFFSET)),
        ("MessageId", text(&message.message_id)),
        ("ContentType", text(&message.content_type)),
        ("ReplyTo", text(&message.reply_to)),
        ("SequenceNumber", Value::Int(message.sequence_number.into())),
        ("To", text(&message.to)),
        ("Subject", text(&message.subject)),
        ("Label", text(&message.subject)),
        ("CorrelationId", text(&message.correlation_id)),
        ("ApplicationProperties", application.clone()),
        ("UserProperties", application),
        ("SessionId", text(&message.session_id)),
        ("ReplyToSessionId", text(&message.reply_to_session_id)),
        ("PartitionKey", text(&message.partition_key)),
        ("TransactionPartitionKey", transaction_key),
    ]
}

/// `None` is DateTimeOffset.MaxValue, which lies beyond what a Timestamp can hold.
fn expiry(at: Option<Timestamp>, zone: Zone) -> Value {
    at.map_or_else(|| Value::Date(DateTime::MAX, zone), |at| Value::date(at, zone))
}

/// `ScheduleStatus` as a call shows it; `last` none: never, written as year 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownStatus {
    pub last: Option<Timestamp>,
    pub next: Timestamp,
    pub last_updated: Option<Timestamp>,
}

pub fn timer(status: Option<ShownStatus>, is_past_due: bool) -> Input {
    let never = Value::Date(DateTime::constant(1, 1, 1, 0, 0, 0, 0), UTC_OFFSET);
    let date = |at: Option<Timestamp>| at.map_or_else(|| never.clone(), |at| Value::date(at, UTC_OFFSET));
    let status = status.map_or(Value::Null, |status| {
        Value::object([
            ("Last", date(status.last)),
            ("Next", Value::date(status.next, UTC_OFFSET)),
            ("LastUpdated", date(status.last_updated)),
        ])
    });
    let value = Value::object([
        ("Schedule", Value::object([("AdjustForDST", Value::Bool(true))])),
        ("ScheduleStatus", status),
        ("IsPastDue", Value::Bool(is_past_due)),
    ]);
    Input { value, binding_data: Members::new(), leak: Members::new() }
}
