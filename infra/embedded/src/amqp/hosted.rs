//! A message that a client sent over the wire, as the embedded host shows it to functions: with the types it was sent with.

use super::{arriving::plain, codec::Value, leaving, sections::Sections};
use crate::{
    broker::Held,
    host::{Delivered, Value as Shown, Zone},
};

/// Fills in what only the wire has.
pub fn complete(delivered: &mut Delivered, held: &Held) {
    let Some(Ok(read)) = held.wire.as_deref().map(Sections::read) else { return };
    let field = |at| plain(read.properties.field(at));
    delivered.to = field(2);
    delivered.subject = field(3);
    delivered.reply_to = field(4);
    delivered.correlation_id = field(5).or(delivered.correlation_id.take());
    delivered.session_id = field(10);
    delivered.reply_to_session_id = field(12);
    delivered.partition_key = plain(read.annotations.member("x-opt-partition-key"));
    delivered.expires_at = held.expires_at.and_then(|at| jiff::Timestamp::from_millisecond(at.millis()).ok());
    if let Ok(properties) = leaving::application(read.application.members().to_vec(), held) {
        let named = |(name, value): &(Value, Value)| Some((name.as_str()?.to_owned(), shown(value)?));
        delivered.properties = properties.members().iter().filter_map(named).collect();
    }
}

fn shown(value: &Value) -> Option<Shown> {
    match value {
        Value::Null => Some(Shown::Null),
        Value::Bool(is) => Some(Shown::Bool(*is)),
        Value::U64(number) => Some(Shown::Int(i128::from(*number))),
        Value::F32(number) => Some(Shown::Float(*number)),
        Value::F64(number) => Some(Shown::Double(*number)),
        Value::Binary(bytes) => Some(Shown::Bytes(bytes.clone())),
        Value::Timestamp(millis) => {
            jiff::Timestamp::from_millisecond(*millis).ok().map(|at| Shown::date(at, Zone::Utc))
        }
        number_or_text => match number_or_text.as_i64() {
            Some(number) => Some(Shown::Int(i128::from(number))),
            None => plain(number_or_text).map(Shown::String),
        },
    }
}
