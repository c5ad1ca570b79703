//! What the broker has, as a client gets it: the sender's sections as they came, with the broker's own beside them.

use super::{
    codec::{Decoder, Malformed, Value},
    sections::{ANNOTATIONS, APPLICATION, DATA, HEADER, PROPERTIES, Sections, push},
};
use crate::{
    broker::{Held, State},
    host::Entity,
};
use opsloop_kernel::{Message, Timestamp, message::property};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Under a lock.
    Locked,
    /// Received and gone.
    Taken,
    /// Left where it is.
    Peeked,
}

/// An encoded message.
pub fn encoded(held: &Held, from: &Entity, shown: Shown) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(held.delivered.message.body.len() + 512);
    match &held.wire {
        Some(wire) => as_it_came(&Sections::read(wire)?, held, from, shown, &mut out)?,
        None => as_published(&held.delivered.message, held, from, shown, &mut out)?,
    }
    Ok(out)
}

fn as_it_came(
    read: &Sections<'_>,
    held: &Held,
    from: &Entity,
    shown: Shown,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    push(HEADER, header(&read.header, held, shown), out);
    push(ANNOTATIONS, annotations(&read.annotations, held, from, shown), out);
    out.extend(read.properties_bytes);
    if held.modified.is_empty() && held.died.is_none() {
        out.extend(read.application_bytes);
    } else {
        push(APPLICATION, application(read.application.members().to_vec(), held)?, out);
    }
    out.extend(read.body_bytes);
    Ok(())
}

/// A message that was published in process.
fn as_published(
    message: &Message,
    held: &Held,
    from: &Entity,
    shown: Shown,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    push(HEADER, header(&Value::Null, held, shown), out);
    push(ANNOTATIONS, annotations(&Value::Null, held, from, shown), out);
    let text = |text: &str| if text.is_empty() { Value::Null } else { Value::text(text) };
    let correlation = message.properties.get(property::CORRELATION_ID).map_or(Value::Null, Value::text);
    let content_type = if message.content_type.is_empty() { Value::Null } else { Value::symbol(&message.content_type) };
    let nothing = || Value::Null;
    let fields = vec![text(&message.id), nothing(), nothing(), nothing(), nothing(), correlation, content_type];
    push(PROPERTIES, Value::List(fields), out);
    let own = message.properties.iter().map(|(name, value)| (Value::text(name), Value::text(value))).collect();
    push(APPLICATION, application(own, held)?, out);
    push(DATA, Value::Binary(message.body.to_vec()), out);
    Ok(())
}

/// Durable, priority, time to live, first acquirer, and the deliveries that came before this one.
fn header(sent: &Value, held: &Held, shown: Shown) -> Value {
    let deliveries = held.delivered.deliveries;
    let before = if shown == Shown::Peeked { deliveries } else { deliveries.saturating_sub(1) };
    Value::List(vec![
        Value::Bool(true),
        sent.field(1).clone(),
        sent.field(2).clone(),
        Value::Bool(before == 0),
        Value::U32(before),
    ])
}

/// The sender's, and what only the broker knows; nobody can claim that.
fn annotations(sent: &Value, held: &Held, from: &Entity, shown: Shown) -> Value {
    let time = |at: Timestamp| Value::Timestamp(at.millis());
    let mut own = vec![
        ("x-opt-sequence-number", Value::I64(held.sequence)),
        ("x-opt-enqueue-sequence-number", Value::I64(held.sequence)),
        ("x-opt-enqueued-time", held.delivered.enqueued_at.map_or(Value::Null, time)),
        ("x-opt-message-state", Value::I32(state(held.state))),
    ];
    if shown == Shown::Locked {
        own.push(("x-opt-locked-until", time(held.locked_until)));
    }
    if held.died.is_some() {
        let source = Entity { dead_letters: false, ..from.clone() };
        own.push(("x-opt-deadletter-source", Value::text(source.to_string())));
    }
    let is_own = |key: &Value| own.iter().any(|(name, _)| key.as_str() == Some(name));
    let mut all: Vec<_> = sent.members().iter().filter(|(key, _)| !is_own(key)).cloned().collect();
    all.extend(own.into_iter().map(|(name, value)| (Value::symbol(name), value)));
    Value::Map(all)
}

fn state(state: State) -> i32 {
    match state {
        State::Active | State::Locked => 0,
        State::Deferred => 1,
        State::Scheduled => 2,
    }
}

/// With what clients changed when they settled earlier deliveries, and why it died.
pub fn application(mut members: Vec<(Value, Value)>, held: &Held) -> Result<Value, Malformed> {
    let mut set = |name: Value, value: Value| {
        match members.iter_mut().find(|(key, _)| key.as_str() == name.as_str()) {
            Some((_, old)) => *old = value,
            None => members.push((name, value)),
        };
    };
    let mut modified = Decoder::new(&held.modified);
    while !modified.rest().is_empty() {
        for (name, value) in modified.value()?.members() {
            set(Value::text(name.as_str().unwrap_or_default()), value.clone());
        }
    }
    if let Some(died) = &held.died {
        set(Value::text("DeadLetterReason"), Value::text(&died.reason));
        set(Value::text("DeadLetterErrorDescription"), Value::text(&died.description));
    }
    Ok(Value::Map(members))
}
