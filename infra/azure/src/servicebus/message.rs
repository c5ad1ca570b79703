//! A message of ours as AMQP says it, and back (SPEC 4.3): our properties are application properties, which filters see;
//! id, content type, correlation and kind stand in AMQP's own fields too, where the tools of Azure look for them.

use fe2o3_amqp::types::{
    messaging::{
        ApplicationProperties, Batch, Body, Data, Message as Amqp, MessageAnnotations, MessageId, Properties,
        annotations::OwnedKey, message::__private::Serializable,
    },
    primitives::{Binary, SimpleValue, Symbol, Timestamp as AmqpTimestamp, Value},
};
use opsloop_kernel::{
    Delivered, Destination, Message, Timestamp,
    message::{DeadLetter, property},
};
use std::collections::BTreeMap;

/// Not visible before.
const SCHEDULED: &str = "x-opt-scheduled-enqueue-time";
const SEQUENCE: &str = "x-opt-sequence-number";
const ENQUEUED: &str = "x-opt-enqueued-time";
/// What the service adds to the properties of a dead letter.
const REASON: &str = "DeadLetterReason";
const DESCRIPTION: &str = "DeadLetterErrorDescription";
/// A message whose data sections are encoded messages.
pub(super) const BATCH_FORMAT: u32 = 0x8001_3700;

/// A message as it travels, with its encoding, of which batches are made.
pub(super) struct Encoded {
    pub message: Amqp<Data>,
    pub bytes: Vec<u8>,
}

/// `None`: it cannot be said in AMQP, which no message of ours can bring about.
pub(super) fn encoded(message: &Message) -> Option<Encoded> {
    let message = outgoing(message);
    let bytes = serde_amqp::to_vec(&Serializable(&message)).ok()?;
    Some(Encoded { message, bytes })
}

fn outgoing(message: &Message) -> Amqp<Data> {
    let text = |name: &str| message.properties.get(name).cloned();
    let properties = Properties {
        message_id: Some(message.id.clone()).filter(|id| !id.is_empty()).map(MessageId::String),
        correlation_id: text(property::CORRELATION_ID).map(MessageId::String),
        subject: text(property::KIND),
        content_type: Some(message.content_type.as_str()).filter(|t| !t.is_empty()).map(Symbol::from),
        ..Properties::default()
    };
    let mut ours = ApplicationProperties::builder();
    for (name, value) in &message.properties {
        ours = ours.insert(name.clone(), value.clone());
    }
    let mut out = Amqp::builder().properties(properties).application_properties(ours.build());
    if let Some(at) = message.not_before {
        let at = Value::Timestamp(AmqpTimestamp::from_milliseconds(at.millis()));
        out = out.message_annotations(MessageAnnotations::builder().insert(SCHEDULED, at).build());
    }
    out.body(Data(Binary::from(message.body.to_vec()))).build()
}

/// Several in one transfer. The envelope has the id of the first, as Microsoft's clients have it.
pub(super) fn batch(messages: &[&Encoded]) -> Amqp<Batch<Data>> {
    let first = messages.first().and_then(|m| m.message.properties.as_ref()).and_then(|p| p.message_id.clone());
    let properties = Properties { message_id: first, ..Properties::default() };
    let sections: Vec<Data> = messages.iter().map(|m| Data(Binary::from(m.bytes.clone()))).collect();
    Amqp::builder().properties(properties).body(Batch::from(sections)).build()
}

/// What lies in a queue or subscription, as a peek or a delivery shows it.
pub(super) type Incoming = Amqp<Body<Value>>;

pub(super) fn sequence(message: &Incoming) -> Option<i64> {
    match annotation(message, SEQUENCE)? {
        Value::Long(sequence) => Some(*sequence),
        _ => None,
    }
}

/// A dead letter that was peeked at. `None`: it has no sequence number, so nobody could complete it.
pub(super) fn dead_letter(handler: &str, to: Destination, message: &Incoming) -> Option<DeadLetter> {
    let sequence = sequence(message)?;
    let mut properties = texts(message);
    let mut take = |name| properties.remove(name).unwrap_or_default();
    let (reason, description) = (take(REASON), take(DESCRIPTION));
    let fields = message.properties.clone().unwrap_or_default();
    let enqueued_at = instant(message, ENQUEUED);
    let message_of_ours = Message {
        id: fields.message_id.map(|id| id_text(&id)).unwrap_or_default(),
        to,
        properties,
        content_type: fields.content_type.map(|t| t.0).unwrap_or_default(),
        body: body(&message.body).into(),
        not_before: None,
    };
    // A peek shows how often it has been delivered; a delivery would not count itself.
    let deliveries = message.header.as_ref().map_or(0, |header| header.delivery_count);
    let delivered = Delivered { message: message_of_ours, deliveries, enqueued_at };
    // The service does not say when it died, only when it came: the oldest that it can be.
    let dead_at = enqueued_at.unwrap_or(Timestamp::EPOCH);
    Some(DeadLetter { handler: handler.to_owned(), sequence, delivered, reason, description, dead_at })
}

fn annotation<'m>(message: &'m Incoming, name: &str) -> Option<&'m Value> {
    let annotations = &message.message_annotations.as_ref()?.0;
    annotations.iter().find(|(key, _)| matches!(key, OwnedKey::Symbol(symbol) if symbol.0 == name)).map(|(_, v)| v)
}

fn instant(message: &Incoming, name: &str) -> Option<Timestamp> {
    match annotation(message, name)? {
        Value::Timestamp(at) => Some(Timestamp::from_millis(at.milliseconds())),
        _ => None,
    }
}

/// The application properties as text, also those that somebody else wrote as numbers.
fn texts(message: &Incoming) -> BTreeMap<String, String> {
    let Some(properties) = &message.application_properties else { return BTreeMap::new() };
    properties.0.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}

fn text(value: &SimpleValue) -> Option<String> {
    Some(match value {
        SimpleValue::String(text) => text.clone(),
        SimpleValue::Symbol(symbol) => symbol.0.clone(),
        SimpleValue::Bool(b) => b.to_string(),
        SimpleValue::Ubyte(n) => n.to_string(),
        SimpleValue::Ushort(n) => n.to_string(),
        SimpleValue::Uint(n) => n.to_string(),
        SimpleValue::Ulong(n) => n.to_string(),
        SimpleValue::Byte(n) => n.to_string(),
        SimpleValue::Short(n) => n.to_string(),
        SimpleValue::Int(n) => n.to_string(),
        SimpleValue::Long(n) => n.to_string(),
        SimpleValue::Timestamp(at) => Timestamp::from_millis(at.milliseconds()).to_string(),
        _ => return None,
    })
}

fn id_text(id: &MessageId) -> String {
    match id {
        MessageId::String(text) => text.clone(),
        MessageId::Ulong(number) => number.to_string(),
        MessageId::Uuid(uuid) => uuid::Uuid::from_bytes(uuid.clone().into_inner()).to_string(),
        MessageId::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Ours are data; other senders write text as a value.
fn body(body: &Body<Value>) -> Vec<u8> {
    match body {
        Body::Data(sections) => sections.iter().flat_map(|Data(bytes)| bytes.to_vec()).collect(),
        Body::Value(value) => match &value.0 {
            Value::String(text) => text.clone().into_bytes(),
            Value::Binary(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fe2o3_amqp::types::messaging::message::__private::Deserializable;

    fn message() -> Message {
        let properties = [("kind", "AlertTriggered"), ("tenant", "acme"), ("correlationId", "c-1"), ("attempt", "2")];
        Message {
            id: "evt-1".into(),
            to: Destination::Topic,
            properties: properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            content_type: "application/json".into(),
            body: bytes::Bytes::from_static(b"{}"),
            not_before: Some(Timestamp::from_millis(1_795_255_200_123)),
        }
    }

    fn decoded(bytes: &[u8]) -> Incoming {
        serde_amqp::from_slice::<Deserializable<Incoming>>(bytes).unwrap().0
    }

    #[test]
    fn what_is_sent_says_everything_in_the_fields_that_azure_reads() {
        let sent = decoded(&encoded(&message()).unwrap().bytes);
        let fields = sent.properties.clone().unwrap();
        assert_eq!(fields.message_id, Some(MessageId::String("evt-1".into())));
        assert_eq!(fields.correlation_id, Some(MessageId::String("c-1".into())));
        assert_eq!(fields.subject.as_deref(), Some("AlertTriggered"));
        assert_eq!(fields.content_type.unwrap().0, "application/json");
        assert_eq!(texts(&sent), message().properties);
        assert_eq!(instant(&sent, SCHEDULED), message().not_before);
        assert_eq!(body(&sent.body), b"{}");
    }

    #[test]
    fn a_dead_letter_is_the_message_without_what_the_service_added() {
        let mut sent = decoded(&encoded(&message()).unwrap().bytes);
        let added = sent.application_properties.as_mut().unwrap();
        added.0.insert(REASON.into(), SimpleValue::String("MaxDeliveryCountExceeded".into()));
        added.0.insert(DESCRIPTION.into(), SimpleValue::String("five times".into()));
        added.0.insert("theirs".into(), SimpleValue::Int(7));
        assert_eq!(dead_letter("W", Destination::Topic, &sent), None, "nobody could complete it");
        let annotations = sent.message_annotations.as_mut().unwrap();
        annotations.0.insert(OwnedKey::from(SEQUENCE), Value::Long(42));
        annotations.0.insert(OwnedKey::from(ENQUEUED), Value::Timestamp(AmqpTimestamp::from_milliseconds(5_000)));
        let dead = dead_letter("W", Destination::Topic, &sent).unwrap();
        assert_eq!(
            (dead.sequence, dead.reason.as_str(), dead.description.as_str()),
            (42, "MaxDeliveryCountExceeded", "five times")
        );
        assert_eq!(dead.dead_at, Timestamp::from_millis(5_000));
        let mut properties = message().properties;
        properties.insert("theirs".into(), "7".into());
        assert_eq!(dead.delivered.message, Message { properties, not_before: None, ..message() });
    }
}
