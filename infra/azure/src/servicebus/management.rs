//! Looking into a queue or subscription without taking anything: the operation `peek-message` of `$management`.

use super::{
    bus::Bus,
    error::{BusError, Scope},
    message::Incoming,
};
use fe2o3_amqp::types::{
    messaging::{AmqpValue, Body, Message, message::__private::Deserializable},
    primitives::{OrderedMap, Value},
};
use fe2o3_amqp_management::{error::Error, request::Request, response::Response};

/// The service gives no more at once.
pub(super) const PEEK_MAX: usize = 250;
const NO_CONTENT: u16 = 204;

/// At most `count` messages from a sequence number on, in order; scheduled and locked ones too. Fewer says nothing, none
/// says that there are no more.
pub(super) async fn peek(bus: &Bus, entity: &str, from: i64, count: usize) -> Result<Vec<Incoming>, BusError> {
    let (mut client, ended) = bus.management(entity).await?;
    let count = i32::try_from(count.min(PEEK_MAX)).unwrap_or(i32::MAX);
    let asked = async {
        let answer = client.call(Peek { from, count }).await.map_err(|e| BusError::of_management(entity, e))?;
        // Whatever comes of the farewell, the answer is there.
        client.close().await.ok();
        Ok(answer.0)
    };
    bus.answering("peek", Scope::Link, ended.unless(asked)).await
}

struct Peek {
    from: i64,
    count: i32,
}

impl Request for Peek {
    const OPERATION: &'static str = "com.microsoft:peek-message";
    type Response = Peeked;
    type Body = AmqpValue<OrderedMap<String, Value>>;

    fn encode_body(self) -> Self::Body {
        let mut body = OrderedMap::new();
        body.insert("from-sequence-number".to_owned(), Value::Long(self.from));
        body.insert("message-count".to_owned(), Value::Int(self.count));
        AmqpValue(body)
    }
}

struct Peeked(Vec<Incoming>);

impl Response for Peeked {
    const STATUS_CODE: u16 = 200;
    type Body = Body<Value>;
    type Error = Error;

    /// `{"messages": [{"message": <an encoded message>}, …]}`
    fn decode_message(message: Message<Self::Body>) -> Result<Self, Self::Error> {
        let Body::Value(AmqpValue(Value::Map(answer))) = message.body else { return Ok(Self(Vec::new())) };
        let Some(Value::List(messages)) = answer.get(&Value::String("messages".to_owned())) else {
            return Ok(Self(Vec::new()));
        };
        Ok(Self(messages.iter().filter_map(peeked).collect()))
    }

    /// An empty entity answers 204, which is no failure.
    fn from_message(mut message: Message<Self::Body>) -> Result<Self, Self::Error> {
        match Self::verify_status_code(&mut message) {
            Ok(_) => Self::decode_message(message),
            Err(Error::Status(status)) if status.code.0.get() == NO_CONTENT => Ok(Self(Vec::new())),
            Err(error) => Err(error),
        }
    }
}

fn peeked(entry: &Value) -> Option<Incoming> {
    let Value::Map(entry) = entry else { return None };
    let Some(Value::Binary(bytes)) = entry.get(&Value::String("message".to_owned())) else { return None };
    serde_amqp::from_slice::<Deserializable<Incoming>>(bytes).ok().map(|message| message.0)
}
